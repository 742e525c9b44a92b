//! The access log: bytes received, however late they arrive.

use std::io;
use std::sync::LazyLock;

use tokio::io::AsyncWriteExt;
use tokio::net::TcpStream;
use tokio::sync::watch;
use tollway_gateway::{Price, Running};

use crate::support::client::read_until;
use crate::support::shop::Shop;
use crate::support::site::SUNNY;
use crate::support::upstream::Upstream;
use crate::support::{self, upstream};

#[tokio::test]
async fn what_arrives_after_the_response_is_counted() {
    let address = upstream::accept(|mut stream| async move {
        read_until(&mut stream, "\r\n\r\n").await;
        stream.write_all(SUNNY).await.unwrap();
        read_until(&mut stream, "rest").await;
    })
    .await;
    let log = Log::read();
    let running = support::start(Price::Free, address);
    let mut client = post(&running, "/early", 9, "begin").await;
    support::soon(read_until(&mut client, "sunny")).await;

    client.write_all(b"rest").await.unwrap();

    let line = support::soon(log.line("/early")).await;
    assert!(line.contains("received=9 sent=5 "), "{line}");
    assert!(line.contains("complete"), "{line}");
}

#[tokio::test]
async fn the_body_of_a_refused_request_is_counted() {
    let shop = Shop::open().await;
    let log = Log::read();
    let running = support::start(shop.price(), Upstream::sunny().await.address);
    let mut client = post(&running, "/unpaid", 9, "begin").await;
    support::soon(read_until(&mut client, " 402 ")).await;

    client.write_all(b"rest").await.unwrap();

    let line = support::soon(log.line("/unpaid")).await;
    assert!(line.contains("received=9 "), "{line}");
}

/// Sends a head, and the beginning of a body of a length.
async fn post(running: &Running, path: &str, length: usize, beginning: &str) -> TcpStream {
    let mut stream = TcpStream::connect(support::http(running)).await.unwrap();
    let head = format!("POST {path} HTTP/1.1\r\nHost: a\r\nContent-Length: {length}\r\n\r\n");
    let request = [head.as_bytes(), beginning.as_bytes()].concat();
    stream.write_all(&request).await.unwrap();
    stream
}

/// The access log of all gateways of this process.
struct Log(watch::Receiver<String>);

static LINES: LazyLock<watch::Sender<String>> = LazyLock::new(|| {
    let filter = "off,tollway::access=debug";
    let subscriber = tracing_subscriber::fmt()
        .with_ansi(false)
        .with_env_filter(filter);
    subscriber.with_writer(|| Writer).init();
    watch::Sender::default()
});

impl Log {
    fn read() -> Self {
        Self(LINES.subscribe())
    }

    /// Waits for the line of a path.
    async fn line(mut self, path: &str) -> String {
        let path = format!("path=\"{path}\"");
        let find = |log: &String| {
            let mut lines = log.lines();
            lines.find(|line| line.contains(&path)).map(str::to_owned)
        };
        let log = self.0.wait_for(|log| find(log).is_some()).await.unwrap();
        find(&log).unwrap()
    }
}

/// Adds whole lines to the log.
struct Writer;

impl io::Write for Writer {
    fn write(&mut self, line: &[u8]) -> io::Result<usize> {
        LINES.send_modify(|log| log.push_str(&String::from_utf8_lossy(line)));
        Ok(line.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}
