//! A program that serves until it is dropped.

use std::fs::{self, File};
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::thread;
use std::time::{Duration, Instant};

use anyhow::{Result, bail};

use super::{ASK, Guard, gives_up, tail};

/// A program that serves until it is dropped.
#[derive(Debug)]
pub(crate) struct Service {
    name: String,
    guard: Guard,
    log: PathBuf,
}

impl Service {
    /// Starts it, with everything it prints going to `NAME.log` in `log_dir`.
    ///
    /// # Errors
    ///
    /// When it cannot be started.
    pub(crate) fn start(name: &str, command: &mut Command, log_dir: &Path) -> Result<Self> {
        let log = log_dir.join(format!("{name}.log"));
        let output = File::create(&log)?;
        command
            .stdin(Stdio::null())
            .stdout(output.try_clone()?)
            .stderr(output);
        Ok(Self {
            name: name.to_owned(),
            guard: Guard::spawn(command)?,
            log,
        })
    }

    /// Calls `ask` until it succeeds, with what the service has printed so far.
    ///
    /// # Errors
    ///
    /// When it ended first, or was not ready in time; with the end of its log.
    pub(crate) fn ready<T>(
        &mut self,
        patience: Duration,
        mut ask: impl FnMut(&str) -> Result<T>,
    ) -> Result<T> {
        let begun = Instant::now();
        loop {
            let refusal = match ask(&self.log()) {
                Ok(answer) => return Ok(answer),
                Err(refusal) => refusal,
            };
            let why = match self.guard.0.try_wait()? {
                Some(status) => Some(format!("ended with {status}")),
                None => gives_up(begun, patience),
            };
            if let Some(why) = why {
                let (name, log) = (&self.name, self.log());
                bail!(
                    "{name} does not start: {why}: {refusal:#}; its log ends: {}",
                    tail(&log)
                );
            }
            thread::sleep(ASK);
        }
    }

    /// Returns whether it has ended by itself.
    ///
    /// # Errors
    ///
    /// When the system does not tell.
    pub(crate) fn has_ended(&mut self) -> Result<bool> {
        Ok(self.guard.0.try_wait()?.is_some())
    }

    /// The process, while it runs.
    pub(crate) fn id(&self) -> u32 {
        self.guard.0.id()
    }

    fn log(&self) -> String {
        fs::read(&self.log).map_or_else(
            |error| format!("no log: {error}"),
            |bytes| String::from_utf8_lossy(&bytes).into_owned(),
        )
    }
}

#[cfg(test)]
mod tests {
    use super::super::FAREWELL;
    use super::*;

    #[test]
    fn a_dropped_service_has_ended() {
        let dir = tempfile::tempdir().unwrap();
        let service =
            Service::start("sleeper", Command::new("sleep").arg("600"), dir.path()).unwrap();
        let pid = service.guard.0.id();

        drop(service);

        assert!(!Path::new(&format!("/proc/{pid}")).exists());
    }

    #[test]
    fn a_service_that_ends_instead_of_serving_is_reported_with_its_log() {
        let dir = tempfile::tempdir().unwrap();
        let mut command = Command::new("sh");
        command.args(["-c", "echo no port; exit 1"]);
        let mut service = Service::start("early", &mut command, dir.path()).unwrap();

        let error = service
            .ready(FAREWELL, |_| bail!("refused") as Result<()>)
            .unwrap_err();

        assert!(error.to_string().contains("no port"), "{error:#}");
    }
}
