//! An upstream that fails on request, and a client that shows what arrived.

use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::{TcpSocket, TcpStream};
use tokio::sync::Notify;

/// An upstream whose port is taken from the start, and refuses connections until it listens.
///
/// | path | response |
/// |---|---|
/// | `/reset-after` | half a body |
/// | `/reset-before` | a reset |
/// | `/silent` | none |
/// | any other | `paid` |
#[derive(Debug)]
pub struct Upstream {
    address: SocketAddr,
    socket: Option<TcpSocket>,
    seen: Arc<Seen>,
}

/// What has happened at an upstream.
#[derive(Debug, Default)]
struct Seen {
    /// Notified for each request to `/silent`.
    waiting: Notify,
    /// The responses begun.
    responses: AtomicU64,
}

impl Upstream {
    pub fn bind() -> Self {
        let socket = TcpSocket::new_v4().unwrap();
        socket.bind(SocketAddr::from(([127, 0, 0, 1], 0))).unwrap();
        Self {
            address: socket.local_addr().unwrap(),
            socket: Some(socket),
            seen: Arc::default(),
        }
    }

    pub const fn address(&self) -> SocketAddr {
        self.address
    }

    /// Listens from here on.
    pub fn listen(&mut self) {
        let Some(socket) = self.socket.take() else {
            return;
        };
        let listener = socket.listen(1_024).unwrap();
        let seen = Arc::clone(&self.seen);
        tokio::spawn(async move {
            while let Ok((stream, _)) = listener.accept().await {
                tokio::spawn(respond(stream, Arc::clone(&seen)));
            }
        });
    }

    /// Waits until a request to `/silent` has arrived.
    pub async fn waiting(&self) {
        self.seen.waiting.notified().await;
    }

    /// Returns how many responses it has begun to send.
    pub fn responses(&self) -> u64 {
        self.seen.responses.load(Ordering::SeqCst)
    }
}

async fn respond(mut stream: TcpStream, seen: Arc<Seen>) {
    let Some(head) = read_head(&mut stream).await else {
        return;
    };
    let response: &[u8] = if head.starts_with("GET /reset-after ") {
        b"HTTP/1.1 200 OK\r\ncontent-length: 100\r\n\r\nhalf"
    } else if head.starts_with("GET /reset-before ") {
        stream.set_zero_linger().unwrap();
        return;
    } else if head.starts_with("GET /silent ") {
        seen.waiting.notify_one();
        // Returns when the gateway gives up.
        let _closed = stream.read_u8().await;
        return;
    } else {
        b"HTTP/1.1 200 OK\r\ncontent-length: 4\r\nconnection: close\r\n\r\npaid"
    };
    seen.responses.fetch_add(1, Ordering::SeqCst);
    // A gateway that was killed has closed first.
    let _closed = stream.write_all(response).await;
    let _closed = stream.shutdown().await;
}

async fn read_head(stream: &mut TcpStream) -> Option<String> {
    let mut head = Vec::new();
    while !head.ends_with(b"\r\n\r\n") {
        head.push(stream.read_u8().await.ok()?);
    }
    String::from_utf8(head).ok()
}

/// What arrived at the client, to the byte.
#[derive(Debug)]
pub struct Reply(String);

impl Reply {
    /// 1 when a byte of the upstream's response arrived, 0 otherwise.
    pub fn delivered(&self) -> u64 {
        u64::from(self.0.starts_with("HTTP/1.1 200 "))
    }

    /// Its status; 0 when there is none.
    pub fn status(&self) -> u16 {
        let status = self.0.split(' ').nth(1);
        status.and_then(|status| status.parse().ok()).unwrap_or(0)
    }

    /// The values of its `WWW-Authenticate` lines.
    pub fn challenges(&self) -> Vec<&str> {
        let value = |line: &'_ str| {
            let (name, _) = line.split_once(':')?;
            name.eq_ignore_ascii_case("www-authenticate")
                .then_some(name.len() + 1)
        };
        self.0
            .lines()
            .filter_map(|line| value(line).map(|at| line[at..].trim()))
            .collect()
    }
}

/// Sends one GET request on a connection of its own.
pub async fn request(address: SocketAddr, path: &str, authorization: Option<&str>) -> Reply {
    let Ok(mut stream) = TcpStream::connect(address).await else {
        return Reply(String::new());
    };
    let credential =
        authorization.map_or_else(String::new, |value| format!("authorization: {value}\r\n"));
    let head = format!("GET {path} HTTP/1.1\r\nhost: api\r\nconnection: close\r\n{credential}\r\n");
    let mut reply = Vec::new();
    if stream.write_all(head.as_bytes()).await.is_ok() {
        // What arrived before a reset counts.
        let _reset = stream.read_to_end(&mut reply).await;
    }
    Reply(String::from_utf8_lossy(&reply).into_owned())
}
