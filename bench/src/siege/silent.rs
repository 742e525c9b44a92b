//! Connections on which nothing is sent.

use std::net::SocketAddr;

use anyhow::Result;
use tokio::net::TcpStream;
use tokio::time::{Duration, Instant, sleep_until, timeout};

use super::Target;
use super::made::Made;
use super::socket::still_open;

pub(super) async fn run(
    target: &Target,
    address: SocketAddr,
    count: usize,
    until: Instant,
) -> Result<Made> {
    let opened = open(target, address, count, until).await;
    sleep_until(until).await;
    Ok(Made {
        count: opened.len(),
        seen: format!(
            "{} connected, {} open at the end",
            opened.len(),
            still_open(&opened)
        ),
    })
}

/// Opens as many as there can be. The kernel refuses none: what the proxy does not accept waits
/// in its backlog, and what finds that full waits here.
async fn open(
    target: &Target,
    address: SocketAddr,
    count: usize,
    until: Instant,
) -> Vec<TcpStream> {
    let mut opened = Vec::with_capacity(count);
    while opened.len() < count && Instant::now() < until {
        let attacker = target.attacker_at(opened.len());
        match timeout(PATIENCE, attacker.connect(address)).await {
            Ok(Ok(stream)) => opened.push(stream),
            Ok(Err(_)) | Err(_) => break,
        }
    }
    opened
}

const PATIENCE: Duration = Duration::from_millis(500);
