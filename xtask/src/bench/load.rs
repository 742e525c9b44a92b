//! Load generators, each on its own core: `tollway-bench load` for HTTP/1.1, h2load for gRPC.

use std::fs;
use std::io::{BufRead, BufReader, Write};
use std::net::SocketAddr;
use std::path::Path;
use std::process::{Child, ChildStdin, ChildStdout, Command, Stdio};
use std::time::Duration;

use anyhow::{Context, Result, bail, ensure};
use serde::{Deserialize, Serialize};

use crate::interop::process;

/// One run of HTTP/1.1 load, as `bench/src/load.rs` reads it.
#[derive(Debug, Serialize)]
pub(super) struct Order<'a> {
    pub(super) target: SocketAddr,
    pub(super) connections: usize,
    pub(super) seconds: f64,
    pub(super) requests_max: Option<u64>,
    /// The status every reply must have.
    pub(super) status: u16,
    pub(super) authorization: Option<&'a str>,
}

/// The outcome of a run.
#[derive(Clone, Copy, Debug, Deserialize)]
pub(super) struct Outcome {
    pub(super) requests: u32,
    pub(super) seconds: f64,
    pub(super) p50_us: f64,
    pub(super) p99_us: f64,
}

impl Outcome {
    pub(super) fn per_second(&self) -> f64 {
        f64::from(self.requests) / self.seconds
    }
}

/// The running load program, which is the upstream too. Stopped when dropped.
#[derive(Debug)]
pub(super) struct Load {
    child: Child,
    orders: ChildStdin,
    outcomes: BufReader<ChildStdout>,
    upstream: SocketAddr,
}

#[derive(Debug, Deserialize)]
struct Announcement {
    upstream: SocketAddr,
}

impl Load {
    /// Starts the program on one core, or on all.
    ///
    /// # Errors
    ///
    /// When the program does not start.
    pub(super) fn start(program: &Path, cores: Cores) -> Result<Self> {
        let mut child = cores
            .command(program)
            .arg("load")
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .spawn()?;
        let orders = child.stdin.take().context("no input")?;
        let outcomes = child.stdout.take().context("no output")?;
        let mut outcomes = BufReader::new(outcomes);
        let announced: Announcement = serde_json::from_str(&line(&mut outcomes)?)?;
        Ok(Self {
            child,
            orders,
            outcomes,
            upstream: announced.upstream,
        })
    }

    /// Returns the address of its upstream.
    pub(super) const fn upstream(&self) -> SocketAddr {
        self.upstream
    }

    /// Sends load.
    ///
    /// # Errors
    ///
    /// When a reply has another status than `run` expects; every later run then fails too.
    pub(super) fn run(&mut self, order: &Order<'_>) -> Result<Outcome> {
        process::go_on()?;
        writeln!(self.orders, "{}", serde_json::to_string(order)?)?;
        Ok(serde_json::from_str(&line(&mut self.outcomes)?)?)
    }
}

impl Drop for Load {
    fn drop(&mut self) {
        // It has no state to save.
        let _already_gone = self.child.kill();
        let _ended = self.child.wait();
    }
}

fn line(from: &mut impl BufRead) -> Result<String> {
    let mut line = String::new();
    from.read_line(&mut line)?;
    ensure!(
        !line.is_empty(),
        "the load ended early; why is printed above"
    );
    Ok(line)
}

/// Makes gRPC calls with h2load: 16 connections, 10 streams on each.
///
/// # Errors
///
/// When a reply was not 200, or h2load does not work.
pub(super) fn grpc(
    target: SocketAddr,
    seconds: f64,
    authorization: Option<&str>,
    dir: &Path,
) -> Result<Outcome> {
    let log = dir.join("h2load.log");
    // h2load would append to the last run's file.
    fs::write(&log, "")?;
    let mut h2load = Cores::Only(LOAD_CORE).command(Path::new("h2load"));
    h2load
        .args(["--clients=16", "--max-concurrent-streams=10"])
        .arg(format!("--duration={:.0}ms", seconds * 1e3))
        .arg(process::flag("--log-file", &log))
        .args(grpc_request(authorization, dir)?)
        .arg(format!("http://{target}{METHOD}"));
    process::output(
        &mut h2load,
        GRACE.saturating_add(Duration::from_secs_f64(seconds)),
    )?;
    read_log(&fs::read_to_string(&log)?, seconds)
}

/// Makes one call and checks that its trailers arrive.
///
/// # Errors
///
/// When they do not arrive.
pub(super) fn check_trailers(
    target: SocketAddr,
    authorization: Option<&str>,
    dir: &Path,
) -> Result<()> {
    let mut nghttp = Command::new("nghttp");
    nghttp
        .arg("--verbose")
        .args(grpc_request(authorization, dir)?)
        .arg(format!("http://{target}{METHOD}"));
    let said = process::output(&mut nghttp, GRACE)?;
    ensure!(
        said.contains("grpc-status: 0"),
        "no trailers arrived from {target}: {said}"
    );
    Ok(())
}

/// Returns the arguments for the request, which both programs take.
fn grpc_request(authorization: Option<&str>, dir: &Path) -> Result<Vec<String>> {
    let body = dir.join("message");
    fs::write(&body, MESSAGE)?;
    let mut arguments = vec![
        process::flag("--data", &body),
        "--header=content-type: application/grpc".to_owned(),
        "--header=te: trailers".to_owned(),
    ];
    arguments.extend(authorization.map(|value| format!("--header=authorization: {value}")));
    Ok(arguments)
}

/// Reads one line per call: its start, its status, and the microseconds that it took.
fn read_log(log: &str, seconds: f64) -> Result<Outcome> {
    let mut micros = Vec::new();
    for line in log.lines() {
        let mut fields = line.split('\t').skip(1);
        let (Some(status), Some(taken)) = (fields.next(), fields.next()) else {
            bail!("h2load wrote: {line}");
        };
        ensure!(status == "200", "a call was answered {status}");
        micros.push(taken.parse::<u32>()?);
    }
    ensure!(!micros.is_empty(), "no call was answered");
    micros.sort_unstable();
    let at = |percent: usize| {
        let index = micros.len().saturating_mul(percent).div_euclid(100);
        f64::from(micros.get(index).copied().unwrap_or(0))
    };
    Ok(Outcome {
        requests: u32::try_from(micros.len())?,
        seconds,
        p50_us: at(50),
        p99_us: at(99),
    })
}

/// Where a program may run.
#[derive(Clone, Copy, Debug)]
pub(super) enum Cores {
    All,
    Only(usize),
}

impl Cores {
    /// Returns a command that starts `program` there, in the process itself.
    pub(super) fn command(self, program: &Path) -> Command {
        match self {
            Self::All => Command::new(program),
            Self::Only(core) => {
                let mut taskset = Command::new("taskset");
                taskset.arg("--cpu-list").arg(core.to_string()).arg(program);
                taskset
            }
        }
    }
}

/// The core of the measured program.
pub(super) const PROXY_CORE: usize = 0;
/// The core of load and upstream.
pub(super) const LOAD_CORE: usize = 1;
/// The path of the calls, and of the file that nghttpd returns for them.
pub(super) const METHOD: &str = "/item";
/// A gRPC frame of 64 bytes.
pub(super) const MESSAGE: &[u8; 69] =
    b"\0\0\0\0\x40tollwaytollwaytollwaytollwaytollwaytollwaytollwaytollwaytollwayt";
const GRACE: Duration = Duration::from_secs(20);

#[cfg(test)]
#[expect(clippy::float_cmp, reason = "small integers are exact")]
mod tests {
    use super::*;

    #[test]
    fn a_log_with_another_status_is_refused() {
        assert!(read_log("1\t200\t50\n2\t503\t60\n", 1.0).is_err());
        assert!(read_log("", 1.0).is_err());
    }

    #[test]
    fn a_log_is_counted_and_sorted() {
        let outcome = read_log("1\t200\t70\n2\t200\t50\n3\t200\t60\n", 1.5).unwrap();

        assert_eq!((outcome.requests, outcome.p50_us), (3, 60.0));
        assert_eq!(outcome.per_second(), 2.0);
    }
}
