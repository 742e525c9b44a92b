//! Listener sockets.
//!
//! Each worker gets its own socket on each port, and the kernel spreads new connections
//! over them. A port that is taken is still an error: sharing is allowed among our own
//! workers only, so the port is first bound without sharing.

use std::io;
use std::net::{SocketAddr, TcpListener};
use std::num::NonZeroUsize;

use socket2::{Domain, Protocol, SockRef, Socket, Type};

use crate::conn::tcp::probe_when_silent;

/// Binds `count` sockets to one address; port 0 is resolved once and then shared.
///
/// # Errors
///
/// The error of the operating system, such as `AddrInUse`.
pub(crate) fn bind(
    address: SocketAddr,
    count: NonZeroUsize,
) -> io::Result<(SocketAddr, Vec<TcpListener>)> {
    let alone = open(address, Sharing::Refused)?;
    let address = alone.local_addr()?;
    if count == NonZeroUsize::MIN {
        return Ok((address, vec![alone]));
    }
    drop(alone);
    let sockets: io::Result<Vec<_>> = (0..count.get())
        .map(|_| open(address, Sharing::Allowed))
        .collect();
    Ok((address, sockets?))
}

#[derive(Clone, Copy)]
enum Sharing {
    Allowed,
    Refused,
}

fn open(address: SocketAddr, sharing: Sharing) -> io::Result<TcpListener> {
    let socket = Socket::new(
        Domain::for_address(address),
        Type::STREAM,
        Some(Protocol::TCP),
    )?;
    socket.set_nonblocking(true)?;
    socket.set_reuse_address(true)?;
    socket.set_reuse_port(matches!(sharing, Sharing::Allowed))?;
    // Accepted connections inherit these, which saves system calls on each.
    socket.set_tcp_nodelay(true)?;
    probe_when_silent(&SockRef::from(&socket))?;
    socket.set_tcp_notsent_lowat(UNSENT_MAX)?;
    socket.bind(&address.into())?;
    socket.listen(BACKLOG)?;
    Ok(socket.into())
}

const BACKLOG: i32 = 1024;
/// Bytes that the kernel takes from a connection beyond what it has sent. With its usual megabytes, a
/// slow reader would look like one that has stopped.
const UNSENT_MAX: u32 = 128 * 1024;

#[cfg(test)]
mod tests {
    use super::*;

    const TWO: NonZeroUsize = NonZeroUsize::new(2).unwrap();

    fn any_port() -> SocketAddr {
        SocketAddr::from(([127, 0, 0, 1], 0))
    }

    #[test]
    fn workers_share_one_port() {
        let (address, sockets) = bind(any_port(), TWO).unwrap();

        assert_eq!(sockets.len(), 2);
        assert!(
            sockets
                .iter()
                .all(|socket| socket.local_addr().unwrap() == address)
        );
    }

    #[test]
    fn a_port_served_by_another_gateway_is_refused() {
        let (address, _sockets) = bind(any_port(), TWO).unwrap();

        let refused = bind(address, TWO).unwrap_err();

        assert_eq!(refused.kind(), io::ErrorKind::AddrInUse);
    }
}
