//! Sockets of attackers and customers, each side with its own address.

use std::net::{Ipv4Addr, SocketAddr};

use anyhow::Result;
use rustix::process::{Resource, getrlimit, setrlimit};
use tokio::net::{TcpSocket, TcpStream};

/// The side of a connection.
#[derive(Clone, Copy, Debug)]
pub(super) enum Side {
    /// One of the attackers' addresses.
    Attacker(u16),
    Customer,
}

impl Side {
    const fn address(self) -> Ipv4Addr {
        match self {
            Self::Attacker(number) => {
                let [high, low] = number.to_be_bytes();
                Ipv4Addr::new(127, 66, high, low)
            }
            Self::Customer => Ipv4Addr::new(127, 0, 0, 1),
        }
    }

    /// Connects to the proxy.
    pub(super) async fn connect(self, proxy: SocketAddr) -> Result<TcpStream> {
        self.connect_with(TcpSocket::new_v4()?, proxy).await
    }

    /// Connects with a small receive buffer, so that what is not read stays with the proxy.
    pub(super) async fn connect_reluctantly(self, proxy: SocketAddr) -> Result<TcpStream> {
        let socket = TcpSocket::new_v4()?;
        socket.set_recv_buffer_size(SMALL_BYTES)?;
        self.connect_with(socket, proxy).await
    }

    async fn connect_with(self, socket: TcpSocket, proxy: SocketAddr) -> Result<TcpStream> {
        socket.bind(SocketAddr::from((self.address(), 0)))?;
        let stream = socket.connect(proxy).await?;
        stream.set_nodelay(true)?;
        Ok(stream)
    }
}

/// Returns how many of these connections the proxy has not closed.
pub(super) fn still_open(streams: &[TcpStream]) -> usize {
    streams.iter().filter(|stream| is_open(stream)).count()
}

/// Discards what has arrived, and returns whether the connection is open.
pub(super) fn is_open(stream: &TcpStream) -> bool {
    let mut discarded = [0; 4096];
    loop {
        match stream.try_read(&mut discarded) {
            Ok(0) => return false,
            Ok(_) => {}
            Err(error) => return error.kind() == std::io::ErrorKind::WouldBlock,
        }
    }
}

/// Allows as many descriptors as this process may have. Where that is refused, connections fail
/// and the outcome counts them.
pub(super) fn raise_descriptor_limit() {
    let mut limit = getrlimit(Resource::Nofile);
    limit.current = limit.maximum;
    let _refused = setrlimit(Resource::Nofile, limit);
}

const SMALL_BYTES: u32 = 4096;
