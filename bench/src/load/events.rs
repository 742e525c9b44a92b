//! Event loop of load and upstream, on one thread.

use std::collections::HashMap;
use std::io::{ErrorKind, stdin};
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::time::Instant;

use anyhow::Result;
use rustix::buffer::spare_capacity;
use rustix::event::epoll;

use super::clients::Clients;
use super::upstream::Peer;
use super::{Order, Outcome};

/// The owner of a polled socket.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(super) enum Token {
    Listener,
    Orders,
    Peer(u64),
    Client(usize),
}

impl Token {
    /// Parity distinguishes upstream connections from clients.
    fn pack(self) -> epoll::EventData {
        epoll::EventData::new_u64(match self {
            Self::Listener => 0,
            Self::Orders => 1,
            Self::Peer(id) => id.wrapping_add(1).wrapping_mul(2),
            Self::Client(index) => (index as u64)
                .wrapping_add(1)
                .wrapping_mul(2)
                .wrapping_add(1),
        })
    }

    fn unpack(data: epoll::EventData) -> Self {
        let number = data.u64();
        let index = number.div_euclid(2).wrapping_sub(1);
        match (number, number.rem_euclid(2)) {
            (0, _) => Self::Listener,
            (1, _) => Self::Orders,
            (_, 0) => Self::Peer(index),
            _ => Self::Client(usize::try_from(index).unwrap_or(usize::MAX)),
        }
    }
}

/// The event loop, and the upstream that is always part of it.
pub(super) struct Events {
    epoll: rustix::fd::OwnedFd,
    listener: TcpListener,
    peers: HashMap<u64, Peer>,
    next_peer: u64,
    ready: Vec<epoll::Event>,
}

impl Events {
    pub(super) fn new() -> Result<Self> {
        let epoll = epoll::create(epoll::CreateFlags::CLOEXEC)?;
        let listener = TcpListener::bind("127.0.0.1:0")?;
        listener.set_nonblocking(true)?;
        epoll::add(
            &epoll,
            &listener,
            Token::Listener.pack(),
            epoll::EventFlags::IN,
        )?;
        epoll::add(&epoll, stdin(), Token::Orders.pack(), epoll::EventFlags::IN)?;
        Ok(Self {
            epoll,
            listener,
            peers: HashMap::new(),
            next_peer: 0,
            ready: Vec::with_capacity(EVENTS_MAX),
        })
    }

    /// Returns the address of the upstream.
    pub(super) fn upstream(&self) -> Result<SocketAddr> {
        Ok(self.listener.local_addr()?)
    }

    /// Serves upstream requests until a socket in `wanted` is ready.
    pub(super) fn serve_until(&mut self, wanted: Token) -> Result<()> {
        loop {
            for token in self.wait()? {
                if token == wanted {
                    return Ok(());
                }
                self.serve(token)?;
            }
        }
    }

    pub(super) fn run(&mut self, order: &Order) -> Result<Outcome> {
        let mut clients = Clients::connect(order)?;
        for (index, stream) in clients.streams().enumerate() {
            let token = Token::Client(index).pack();
            epoll::add(&self.epoll, stream, token, epoll::EventFlags::IN)?;
        }
        let begun = Instant::now();
        clients.begin()?;
        while !clients.are_done() {
            for token in self.wait()? {
                match token {
                    Token::Client(index) => clients.advance(index)?,
                    Token::Listener | Token::Orders | Token::Peer(_) => self.serve(token)?,
                }
            }
        }
        let seconds = begun.elapsed().as_secs_f64();
        let latencies = clients.into_latencies();
        Ok(Outcome {
            requests: latencies.count(),
            seconds,
            latency: latencies.percentiles(),
        })
    }

    fn wait(&mut self) -> Result<Vec<Token>> {
        self.ready.clear();
        match epoll::wait(&self.epoll, spare_capacity(&mut self.ready), None) {
            Ok(_) | Err(rustix::io::Errno::INTR) => {}
            Err(error) => return Err(error.into()),
        }
        Ok(self
            .ready
            .iter()
            .map(|event| Token::unpack(event.data))
            .collect())
    }

    fn serve(&mut self, token: Token) -> Result<()> {
        match token {
            Token::Listener => self.accept(),
            Token::Peer(id) => {
                let is_open = self.peers.get_mut(&id).is_some_and(Peer::answer);
                if !is_open {
                    self.peers.remove(&id);
                }
                Ok(())
            }
            Token::Client(_) | Token::Orders => Ok(()),
        }
    }

    fn accept(&mut self) -> Result<()> {
        let stream = match self.listener.accept() {
            Ok((stream, _)) => stream,
            Err(error) if error.kind() == ErrorKind::WouldBlock => return Ok(()),
            Err(error) => return Err(error.into()),
        };
        prepare(&stream)?;
        let id = self.next_peer;
        self.next_peer = id.wrapping_add(1);
        epoll::add(
            &self.epoll,
            &stream,
            Token::Peer(id).pack(),
            epoll::EventFlags::IN,
        )?;
        self.peers.insert(id, Peer::new(stream));
        Ok(())
    }
}

pub(super) fn prepare(stream: &TcpStream) -> Result<()> {
    stream.set_nonblocking(true)?;
    Ok(stream.set_nodelay(true)?)
}

const EVENTS_MAX: usize = 256;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_token_comes_back_as_itself() {
        for token in [
            Token::Listener,
            Token::Orders,
            Token::Peer(0),
            Token::Peer(7),
            Token::Client(0),
            Token::Client(63),
        ] {
            assert_eq!(Token::unpack(token.pack()), token);
        }
    }
}
