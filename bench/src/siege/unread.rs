//! Large responses that are paid for and not read.

use anyhow::Result;
use tokio::io::AsyncWriteExt as _;
use tokio::time::{Instant, sleep_until};

use super::Target;
use super::frames::{self, Body};
use super::socket::{Side, is_open, still_open};

/// Each on a connection of its own, as HTTP/1.1 needs.
pub(super) async fn over_http1(
    target: &Target,
    path: &str,
    count: usize,
    until: Instant,
) -> Result<String> {
    let request = format!(
        "GET {path} HTTP/1.1\r\nHost: localhost\r\nAuthorization: {}\r\n\r\n",
        target.attacker
    );
    let mut opened = Vec::with_capacity(count);
    for _ in 0..count {
        let mut stream = Side::Attacker.connect_reluctantly(target.http1).await?;
        stream.write_all(request.as_bytes()).await?;
        opened.push(stream);
    }
    sleep_until(until).await;
    Ok(format!(
        "{count} asked, {} open at the end",
        still_open(&opened)
    ))
}

/// All on one connection, with the window that clients have by default and never more.
pub(super) async fn over_http2(target: &Target, count: usize, until: Instant) -> Result<String> {
    let heads = ids(count).flat_map(|id| {
        let fields = frames::get("/big", Some(&target.attacker));
        frames::headers(id, Body::None, &fields)
    });
    streams(target, heads.collect(), count, until).await
}

/// The same as gRPC calls.
pub(super) async fn over_grpc(target: &Target, count: usize, until: Instant) -> Result<String> {
    let heads = ids(count).flat_map(|id| {
        let fields = frames::call("/grpc/big", &target.attacker);
        let mut bytes = frames::headers(id, Body::Follows, &fields);
        bytes.extend(frames::last_data(id, EMPTY_MESSAGE));
        bytes
    });
    streams(target, heads.collect(), count, until).await
}

async fn streams(target: &Target, heads: Vec<u8>, count: usize, until: Instant) -> Result<String> {
    let mut stream = Side::Attacker.connect(target.http2).await?;
    stream.write_all(&frames::preface(&[])).await?;
    stream.write_all(&heads).await?;
    sleep_until(until).await;
    let open = if is_open(&stream) { "open" } else { "closed" };
    Ok(format!(
        "{count} streams asked, their connection {open} at the end"
    ))
}

/// The streams of a client: odd.
fn ids(count: usize) -> impl Iterator<Item = u32> {
    (1_u32..).step_by(2).take(count)
}

/// A gRPC frame without content.
const EMPTY_MESSAGE: &[u8] = &[0; 5];
