//! Clients that send or read little by little, and never stop.

use std::net::SocketAddr;
use std::sync::Arc;

use anyhow::Result;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpStream;
use tokio::task::JoinSet;
use tokio::time::{Duration, Instant, sleep};

use super::Target;
use super::made::Made;
use super::socket::Side;

/// Heads of which a byte arrives now and then.
pub(super) async fn heads(target: &Arc<Target>, count: usize, until: Instant) -> Result<Made> {
    let begin = "GET /item HTTP/1.1\r\nHost: localhost\r\nX-Slow: ".to_owned();
    senders(target, target.http1, begin.into_bytes(), count, until).await
}

/// Handshakes of which a byte arrives now and then.
pub(super) async fn handshakes(target: &Arc<Target>, count: usize, until: Instant) -> Result<Made> {
    // A record of 512 bytes, as long as a ClientHello is.
    let begin = vec![0x16, 3, 1, 2, 0, 1, 0, 1, 0xfc];
    senders(target, target.https, begin, count, until).await
}

/// Uploads that are paid for and of which a byte arrives now and then.
pub(super) async fn bodies(target: &Arc<Target>, count: usize, until: Instant) -> Result<Made> {
    let begin = format!(
        "POST /upload HTTP/1.1\r\nHost: localhost\r\nContent-Length: 1000000\r\n\
         Authorization: {}\r\n\r\n",
        target.attacker
    );
    senders(target, target.http1, begin.into_bytes(), count, until).await
}

/// Large responses that are paid for and read little by little.
pub(super) async fn readers(target: &Arc<Target>, count: usize, until: Instant) -> Result<Made> {
    let mut readers = JoinSet::new();
    for number in 0..count {
        let target = Arc::clone(target);
        readers.spawn(async move { read(&target, target.attacker_at(number), until).await });
    }
    Ok(ended(readers, count).await)
}

async fn senders(
    target: &Arc<Target>,
    address: SocketAddr,
    begin: Vec<u8>,
    count: usize,
    until: Instant,
) -> Result<Made> {
    let begin: Arc<[u8]> = begin.into();
    let mut senders = JoinSet::new();
    for number in 0..count {
        let (target, begin) = (Arc::clone(target), Arc::clone(&begin));
        senders.spawn(async move {
            let attacker = target.attacker_at(number);
            let mut stream = attacker.connect(address).await?;
            stream.write_all(&begin).await?;
            drip(stream, until).await
        });
    }
    Ok(ended(senders, count).await)
}

async fn drip(mut stream: TcpStream, until: Instant) -> Result<()> {
    while Instant::now() < until {
        stream.write_all(b"x").await?;
        sleep(PAUSE).await;
    }
    Ok(())
}

async fn read(target: &Target, attacker: Side, until: Instant) -> Result<()> {
    let mut stream = attacker.connect_reluctantly(target.http1).await?;
    let request = format!(
        "GET /big HTTP/1.1\r\nHost: localhost\r\nAuthorization: {}\r\n\r\n",
        target.attacker
    );
    stream.write_all(request.as_bytes()).await?;
    let mut bytes = [0; 64];
    while Instant::now() < until {
        stream.read_exact(&mut bytes).await?;
        sleep(PAUSE).await;
    }
    Ok(())
}

/// Waits for all, and counts those that the proxy did not end.
async fn ended(mut attackers: JoinSet<Result<()>>, count: usize) -> Made {
    let mut open = 0_usize;
    while let Some(attacker) = attackers.join_next().await {
        open = open.saturating_add(usize::from(matches!(attacker, Ok(Ok(())))));
    }
    Made {
        count,
        seen: format!("{open} of {count} open at the end"),
    }
}

const PAUSE: Duration = Duration::from_millis(500);
