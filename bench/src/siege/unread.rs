//! Large responses that are paid for and not read.

use anyhow::Result;
use tokio::io::AsyncWriteExt as _;
use tokio::net::TcpStream;
use tokio::time::{Instant, sleep_until};

use super::Target;
use super::frames;
use super::made::Made;
use super::socket::{is_open, still_open};
use super::tls::Tls;

/// Each on a connection of its own, as HTTP/1.1 needs.
pub(super) async fn over_http1(
    target: &Target,
    path: &str,
    count: usize,
    until: Instant,
) -> Result<Made> {
    let request = format!(
        "GET {path} HTTP/1.1\r\nHost: localhost\r\nAuthorization: {}\r\n\r\n",
        target.attacker
    );
    let mut opened = Vec::with_capacity(count);
    for number in 0..count {
        let attacker = target.attacker_at(number);
        let mut stream = attacker.connect_reluctantly(target.http1).await?;
        stream.write_all(request.as_bytes()).await?;
        opened.push(stream);
    }
    sleep_until(until).await;
    Ok(Made {
        count,
        seen: format!("{count} asked, {} open at the end", still_open(&opened)),
    })
}

/// All on one connection, with the window that clients have by default and never more.
pub(super) async fn over_http2(target: &Target, count: usize, until: Instant) -> Result<Made> {
    let requests = ids(count).flat_map(|id| frames::get(id, "/big", Some(&target.attacker)));
    streams(target, requests.collect(), count, until).await
}

/// The same with TLS.
pub(super) async fn over_tls(target: &Target, count: usize, until: Instant) -> Result<Made> {
    let requests = ids(count).flat_map(|id| frames::get(id, "/big", Some(&target.attacker)));
    let requests: Vec<u8> = requests.collect();
    let tls = Tls::new(&target.certificate, "h2")?;
    let stream = target.attacker_at(0).connect(target.https).await?;
    let mut stream = tls.connect(stream).await?;
    stream.write_all(&frames::preface(&[])).await?;
    stream.write_all(&requests).await?;
    stream.flush().await?;
    sleep_until(until).await;
    Ok(streams_asked(count, stream.get_ref().0))
}

/// The same as gRPC calls.
pub(super) async fn over_grpc(target: &Target, count: usize, until: Instant) -> Result<Made> {
    let calls = ids(count).flat_map(|id| frames::call(id, "/grpc/big", &target.attacker));
    streams(target, calls.collect(), count, until).await
}

async fn streams(target: &Target, requests: Vec<u8>, count: usize, until: Instant) -> Result<Made> {
    let mut stream = target.attacker_at(0).connect(target.http2).await?;
    stream.write_all(&frames::preface(&[])).await?;
    stream.write_all(&requests).await?;
    sleep_until(until).await;
    Ok(streams_asked(count, &stream))
}

fn streams_asked(count: usize, stream: &TcpStream) -> Made {
    let open = if is_open(stream) { "open" } else { "closed" };
    Made {
        count,
        seen: format!("{count} streams asked, their connection {open} at the end"),
    }
}

/// The streams of a client: odd.
fn ids(count: usize) -> impl Iterator<Item = u32> {
    (1_u32..).step_by(2).take(count)
}
