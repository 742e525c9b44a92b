//! Requests that are not paid for, as fast as they are refused.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use anyhow::{Context, Result, ensure};
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpStream;
use tokio::task::JoinSet;
use tokio::time::Instant;

use super::Target;
use super::made::Made;

/// Sends `count` requests over a few connections, each once the last has its response, or as many
/// as there is time for.
pub(super) async fn run(target: &Arc<Target>, count: usize, until: Instant) -> Result<Made> {
    let left = Arc::new(AtomicUsize::new(count));
    let mut attackers = JoinSet::new();
    for number in 0..CONNECTIONS {
        let (target, left) = (Arc::clone(target), Arc::clone(&left));
        attackers.spawn(async move { ask(&target, number, &left, until).await });
    }
    let begun = Instant::now();
    let mut statuses = Statuses::new();
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
    Ok(Made {
        count: statuses.values().sum(),
        seen: format!(
            "{} in {:.1} s",
            shown.join(", "),
            begun.elapsed().as_secs_f64()
        ),
    })
}

/// How many responses had which status.
type Statuses = BTreeMap<u16, usize>;

async fn ask(
    target: &Target,
    number: usize,
    left: &AtomicUsize,
    until: Instant,
) -> Result<Statuses> {
    let attacker = target.attacker_at(number);
    let mut statuses = Statuses::new();
    let mut stream = attacker.connect(target.http1).await?;
    while Instant::now() < until && take(left) {
        let (status, stays) = loop {
            stream.write_all(REQUEST).await?;
            if let Some(responded) = response(&mut stream).await? {
                break responded;
            }
            stream = attacker.connect(target.http1).await?;
        };
        let times = statuses.entry(status).or_default();
        *times = times.saturating_add(1);
        if !stays {
            stream = attacker.connect(target.http1).await?;
        }
    }
    Ok(statuses)
}

/// Takes one of those that are left; returns whether there was one.
fn take(left: &AtomicUsize) -> bool {
    let taken = left.fetch_update(Ordering::Relaxed, Ordering::Relaxed, |left| {
        left.checked_sub(1)
    });
    taken.is_ok()
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

const REQUEST: &[u8] = b"GET /item HTTP/1.1\r\nHost: localhost\r\n\r\n";
const CONNECTIONS: usize = 32;
