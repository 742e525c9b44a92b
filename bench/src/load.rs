//! Load generator: upstream and clients of an HTTP/1.1 proxy, in one event loop on one thread.
//!
//! Both ends share a core that the proxy under test does not run on. A general-purpose load
//! generator with a general-purpose server would saturate it before a fast proxy saturates its
//! own, and would limit the figures. Hence bodies are sent from a file in memory without being
//! copied and discarded without being read, and certificates are not verified.
//!
//! Runs are requested on standard input, one JSON object per line, and reported the same way on
//! standard output; the upstream serves at any time. A run ends when every request sent has its
//! response, and fails on the first response with an unexpected status or length.
#![expect(clippy::print_stdout, reason = "the results are the output")]

mod body;
mod client;
mod clients;
mod events;
mod exchange;
mod incoming;
mod message;
mod poll;
mod socket;
mod tls;
mod upstream;

use std::io::stdin;
use std::net::SocketAddr;
use std::num::{NonZeroU64, NonZeroUsize};
use std::time::Duration;

use anyhow::{Context, Result};
use serde::{Deserialize, Serialize};

use crate::latency::Percentiles;
use events::Events;
use exchange::Exchange;
use poll::Token;
use tls::Handshakes;

/// One run.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct Order {
    target: SocketAddr,
    connections: NonZeroUsize,
    seconds: f64,
    /// The run ends earlier after this many.
    requests_max: Option<NonZeroU64>,
    /// The status every reply must have.
    status: u16,
    /// The value of the `Authorization` line, if one is sent.
    authorization: Option<String>,
    #[serde(default)]
    exchange: Exchange,
    /// Without TLS if there is none.
    handshakes: Option<Handshakes>,
}

/// The outcome of a run.
#[derive(Debug, Serialize)]
struct Outcome {
    requests: usize,
    seconds: f64,
    #[serde(flatten)]
    latency: Percentiles,
}

/// Where the upstream listens; printed first.
#[derive(Debug, Serialize)]
struct Announcement {
    upstream: SocketAddr,
}

/// Serves and sends until standard input ends.
///
/// # Errors
///
/// When a run fails, a line cannot be read, or a system call fails.
pub(crate) fn run() -> Result<()> {
    let mut events = Events::new()?;
    events.watch(&stdin(), Token::Orders)?;
    println!(
        "{}",
        serde_json::to_string(&Announcement {
            upstream: events.upstream()?
        })?
    );
    let mut line = String::new();
    loop {
        events.serve_until(Token::Orders)?;
        line.clear();
        if stdin().read_line(&mut line)? == 0 {
            return Ok(());
        }
        let order: Order = serde_json::from_str(&line).context("not an order")?;
        let outcome = events.run(&order)?;
        println!("{}", serde_json::to_string(&outcome)?);
    }
}

impl Order {
    fn duration(&self) -> Result<Duration> {
        Ok(Duration::try_from_secs_f64(self.seconds)?)
    }
}
