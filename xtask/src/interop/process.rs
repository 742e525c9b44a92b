//! Child processes, bounded in time and never left running.
//!
//! [`output`] is for a program that prints and ends, [`Service`] for one that serves until
//! it is dropped. Both write to files: a program must not hang because its pipe is not read.
//!
//! Each runs in a process group of its own, so that Ctrl-C reaches this process only. All
//! waiting then fails, and programs are ended in the order their owners drop them: LND, for
//! one, does not end after its chain has.

mod service;

use std::ffi::OsStr;
use std::fs::File;
use std::io::{Read, Seek, Write};
use std::os::unix::process::CommandExt as _;
use std::path::Path;
use std::process::{Child, Command, ExitStatus};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, LazyLock};
use std::thread;
use std::time::{Duration, Instant};

use anyhow::{Context, Result, anyhow, bail};
use rustix::process::{Pid, Signal, kill_process_group};
use signal_hook::consts::TERM_SIGNALS;
use signal_hook::flag as on_signal;

pub(crate) use service::Service;

/// How often a program is looked at that takes its time.
const LOOK: Duration = Duration::from_millis(20);
/// How often one is asked whether it is ready. The asking is another program, and costs.
const ASK: Duration = Duration::from_millis(200);
/// How long a program may take to end once asked.
const FAREWELL: Duration = Duration::from_secs(15);
/// How much of a log is worth showing.
const TAIL_LINES: usize = 25;

/// Set once this process is asked to end. One for the process, as its signals are.
static ENDING: LazyLock<Arc<AtomicBool>> = LazyLock::new(Arc::default);

/// From here on, being asked to end means giving up in good order; being asked twice, at once.
///
/// # Errors
///
/// When the system does not allow it.
pub(crate) fn end_in_good_order() -> Result<()> {
    for signal in TERM_SIGNALS {
        on_signal::register_conditional_shutdown(*signal, 1, Arc::clone(&ENDING))?;
        on_signal::register(*signal, Arc::clone(&ENDING))?;
    }
    Ok(())
}

/// Fails once this process is asked to end: for work that waits for nothing here.
///
/// # Errors
///
/// Then.
pub(crate) fn go_on() -> Result<()> {
    if ENDING.load(Ordering::Relaxed) {
        bail!("interrupted");
    }
    Ok(())
}

/// A program that ended by itself.
#[derive(Debug)]
pub(crate) struct Finished {
    pub(crate) status: ExitStatus,
    pub(crate) stdout: String,
    pub(crate) stderr: String,
}

/// Runs a program to its end.
///
/// # Errors
///
/// When it cannot be started, or has not ended in time and was killed. A status other than
/// zero is not an error here.
pub(crate) fn finish(command: &mut Command, patience: Duration) -> Result<Finished> {
    finish_with_input(command, patience, "")
}

fn finish_with_input(command: &mut Command, patience: Duration, input: &str) -> Result<Finished> {
    let mut stdin = tempfile::tempfile()?;
    stdin.write_all(input.as_bytes())?;
    stdin.rewind()?;
    let (mut stdout, mut stderr) = (tempfile::tempfile()?, tempfile::tempfile()?);

    command
        .stdin(stdin)
        .stdout(stdout.try_clone()?)
        .stderr(stderr.try_clone()?);
    let status = Guard::spawn(command)?
        .wait(patience)
        .with_context(|| shown(command))?;
    Ok(Finished {
        status,
        stdout: contents(&mut stdout)?,
        stderr: contents(&mut stderr)?,
    })
}

/// Runs a program to its end; what it printed.
///
/// # Errors
///
/// As [`finish`], and when its status is not zero.
pub(crate) fn output(command: &mut Command, patience: Duration) -> Result<String> {
    output_with_input(command, patience, "")
}

/// Runs a program to its end, with `input` to read; what it printed.
///
/// # Errors
///
/// As [`output`].
pub(crate) fn output_with_input(
    command: &mut Command,
    patience: Duration,
    input: &str,
) -> Result<String> {
    let finished = finish_with_input(command, patience, input)?;
    if finished.status.success() {
        return Ok(finished.stdout);
    }
    let said = [finished.stdout, finished.stderr].concat();
    let (command, status) = (shown(command), finished.status);
    bail!("{command}: ended with {status}: {}", tail(&said));
}

/// Asks until there is an answer.
///
/// # Errors
///
/// The last refusal, when there was none in time.
pub(crate) fn until<T>(patience: Duration, mut ask: impl FnMut() -> Result<T>) -> Result<T> {
    let begun = Instant::now();
    loop {
        let refusal = match ask() {
            Ok(answer) => return Ok(answer),
            Err(refusal) => refusal,
        };
        if let Some(why) = gives_up(begun, patience) {
            return Err(refusal.context(why));
        }
        thread::sleep(ASK);
    }
}

/// Why waiting is over, once it is.
fn gives_up(begun: Instant, patience: Duration) -> Option<String> {
    if ENDING.load(Ordering::Relaxed) {
        return Some("interrupted".to_owned());
    }
    let late = begun.elapsed() > patience;
    late.then(|| format!("not within {} s", patience.as_secs()))
}

/// A child that does not outlive its owner: asked to end, then made to.
#[derive(Debug)]
struct Guard(Child);

impl Guard {
    fn spawn(command: &mut Command) -> Result<Self> {
        let child = command.process_group(0).spawn();
        Ok(Self(child.with_context(|| {
            format!("cannot start {}", shown(command))
        })?))
    }

    /// Waits for the child to end by itself.
    fn wait(mut self, patience: Duration) -> Result<ExitStatus> {
        let begun = Instant::now();
        loop {
            if let Some(status) = self.0.try_wait()? {
                return Ok(status);
            }
            if let Some(why) = gives_up(begun, patience) {
                bail!(why);
            }
            thread::sleep(LOOK);
        }
    }

    /// Asks the child, and what it has started, to end; true once it has.
    fn dismiss(&mut self) -> Result<bool> {
        self.send(Signal::TERM)?;
        let begun = Instant::now();
        while self.0.try_wait()?.is_none() {
            if begun.elapsed() > FAREWELL {
                return Ok(false);
            }
            thread::sleep(LOOK);
        }
        Ok(true)
    }

    fn send(&self, signal: Signal) -> Result<()> {
        let group = i32::try_from(self.0.id())?;
        let group = Pid::from_raw(group).ok_or_else(|| anyhow!("no process 0"))?;
        Ok(kill_process_group(group, signal)?)
    }
}

impl Drop for Guard {
    fn drop(&mut self) {
        if matches!(self.0.try_wait(), Ok(Some(_))) {
            return;
        }
        if !matches!(self.dismiss(), Ok(true)) {
            // Already gone, or about to be: there is nothing left to do about a failure here.
            let _ = self.send(Signal::KILL);
            let _ = self.0.wait();
        }
    }
}

/// `--name=path`, for programs that want their flags in one piece.
pub(crate) fn flag(name: &str, path: &Path) -> String {
    format!("{name}={}", path.display())
}

/// The program and its arguments, as one would type them.
pub(crate) fn shown(command: &Command) -> String {
    std::iter::once(command.get_program())
        .chain(command.get_args())
        .map(OsStr::to_string_lossy)
        .collect::<Vec<_>>()
        .join(" ")
}

fn contents(file: &mut File) -> Result<String> {
    file.rewind()?;
    let mut bytes = Vec::new();
    file.read_to_end(&mut bytes)?;
    Ok(String::from_utf8_lossy(&bytes).into_owned())
}

fn tail(text: &str) -> String {
    let lines: Vec<_> = text.trim().lines().collect();
    let from = lines.len().saturating_sub(TAIL_LINES);
    lines.get(from..).unwrap_or_default().join("\n      ")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_program_that_takes_too_long_is_killed() {
        let error = finish(Command::new("sleep").arg("600"), Duration::ZERO).unwrap_err();

        assert_eq!(format!("{error:#}"), "sleep 600: not within 0 s");
    }

    #[test]
    fn a_status_that_is_not_zero_comes_with_what_the_program_said() {
        let mut command = Command::new("sh");
        command.args(["-c", "echo broken >&2; exit 3"]);

        let error = output(&mut command, FAREWELL).unwrap_err();

        assert!(error.to_string().contains("broken"), "{error:#}");
    }

    #[test]
    fn what_a_program_reads_is_what_it_was_given() {
        let said = output_with_input(&mut Command::new("cat"), FAREWELL, "given").unwrap();

        assert_eq!(said, "given");
    }
}
