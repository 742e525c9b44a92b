//! Requests that are not paid for, as fast as they are refused.

use std::collections::BTreeMap;
use std::sync::Arc;

use anyhow::{Context, Result, ensure};
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpStream;
use tokio::task::JoinSet;
use tokio::time::Instant;

use super::Target;
use super::socket::Side;

/// Sends `count` requests over a few connections, or as many as there is time for.
pub(super) async fn run(target: &Arc<Target>, count: usize, until: Instant) -> Result<String> {
    let each = count.div_ceil(CONNECTIONS);
    let mut attackers = JoinSet::new();
    for _ in 0..CONNECTIONS {
        let target = Arc::clone(target);
        attackers.spawn(async move { ask(&target, each, until).await });
    }
    let mut statuses = BTreeMap::<u16, usize>::new();
    while let Some(ended) = attackers.join_next().await {
        for (status, times) in ended?? {
            let sum = statuses.entry(status).or_default();
            *sum = sum.saturating_add(times);
        }
    }
    let shown: Vec<_> = statuses
        .iter()
        .map(|(status, times)| format!("{times} × {status}"))
        .collect();
    Ok(shown.join(", "))
}

async fn ask(target: &Target, count: usize, until: Instant) -> Result<BTreeMap<u16, usize>> {
    let mut statuses = BTreeMap::new();
    let mut stream = Side::Attacker.connect(target.http1).await?;
    for _ in 0..count {
        if Instant::now() >= until {
            break;
        }
        stream
            .write_all(b"GET /item HTTP/1.1\r\nHost: localhost\r\n\r\n")
            .await?;
        let Some((status, stays)) = response(&mut stream).await? else {
            stream = Side::Attacker.connect(target.http1).await?;
            continue;
        };
        let times: &mut usize = statuses.entry(status).or_default();
        *times = times.saturating_add(1);
        if !stays {
            stream = Side::Attacker.connect(target.http1).await?;
        }
    }
    Ok(statuses)
}

/// Reads a response, and returns its status and whether the connection stays open; nothing when
/// it was closed first.
async fn response(stream: &mut TcpStream) -> Result<Option<(u16, bool)>> {
    let mut bytes = Vec::with_capacity(2048);
    let end = loop {
        if let Some(end) = bytes.windows(4).position(|window| window == b"\r\n\r\n") {
            break end.saturating_add(4);
        }
        if stream.read_buf(&mut bytes).await.unwrap_or(0) == 0 {
            return Ok(None);
        }
    };
    let head = String::from_utf8_lossy(bytes.get(..end).unwrap_or_default()).to_ascii_lowercase();
    let length: usize = header(&head, "content-length:")
        .context("a refusal without a length")?
        .parse()?;
    let status = head.get(9..12).context("no status")?.parse()?;
    let whole = end.saturating_add(length);
    while bytes.len() < whole {
        ensure!(stream.read_buf(&mut bytes).await? > 0, "cut short");
    }
    Ok(Some((
        status,
        header(&head, "connection:") != Some("close"),
    )))
}

fn header<'a>(head: &'a str, name: &str) -> Option<&'a str> {
    head.lines()
        .find_map(|line| line.strip_prefix(name))
        .map(str::trim)
}

const CONNECTIONS: usize = 32;
