//! HTTP/1.1 load and its upstream: `tollway-bench load`.

use std::io::{BufRead, BufReader, Write};
use std::net::SocketAddr;
use std::path::Path;
use std::process::{Child, ChildStdin, ChildStdout, Stdio};

use anyhow::{Context, Result, ensure};
use serde::{Deserialize, Serialize};

use super::cores::Cores;
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
    pub(super) exchange: Exchange,
    /// Without TLS if there is none.
    pub(super) handshakes: Option<Handshakes>,
}

/// A request and its response, by their bodies.
#[derive(Clone, Copy, Debug, Eq, PartialEq, Serialize)]
#[serde(rename_all = "snake_case")]
pub(super) enum Exchange {
    /// No body, and a response of 128 bytes.
    Item,
    /// No body, and a response of so many bytes.
    Download(u32),
    /// A body of so many bytes, and a response of 128 bytes.
    Upload(u32),
}

/// How often a client shakes hands.
#[derive(Clone, Copy, Debug, Eq, PartialEq, Serialize)]
#[serde(rename_all = "snake_case")]
pub(super) enum Handshakes {
    /// Before the run: connections are kept.
    Once,
    /// For each request: every one has a connection of its own.
    PerRequest,
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
