//! HTTP/2 clients that are refused and never give window to the response.

use anyhow::Result;
use tokio::io::AsyncWriteExt as _;
use tokio::net::TcpStream;
use tokio::time::{Duration, Instant, sleep_until, timeout};

use super::Target;
use super::frames::{self, INITIAL_WINDOW_SIZE};
use super::made::Made;
use super::socket::{Side, still_open};

pub(super) async fn run(target: &Target, count: usize, until: Instant) -> Result<Made> {
    let mut opened = Vec::with_capacity(count);
    while opened.len() < count && Instant::now() < until {
        match timeout(PATIENCE, ask(target, target.attacker_at(opened.len()))).await {
            Ok(Ok(stream)) => opened.push(stream),
            Ok(Err(_)) | Err(_) => break,
        }
    }
    sleep_until(until).await;
    Ok(Made {
        count: opened.len(),
        seen: format!(
            "{} asked, {} open at the end",
            opened.len(),
            still_open(&opened)
        ),
    })
}

/// Asks for a path that is refused before anything is charged.
async fn ask(target: &Target, attacker: Side) -> Result<TcpStream> {
    let mut stream = attacker.connect(target.http2).await?;
    let mut bytes = frames::preface(&[(INITIAL_WINDOW_SIZE, 0)]);
    bytes.extend(frames::get(1, "/a/../b", None));
    stream.write_all(&bytes).await?;
    Ok(stream)
}

const PATIENCE: Duration = Duration::from_millis(500);
