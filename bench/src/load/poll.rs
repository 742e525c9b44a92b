//! Readiness of sockets: who owns one, and what it is polled for.

use std::time::Duration;

use anyhow::Result;
use rustix::buffer::spare_capacity;
use rustix::event::{Timespec, epoll};
use rustix::fd::{AsFd, OwnedFd};

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

/// What a socket is polled for.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(super) enum Interest {
    Read,
    Write,
}

impl Interest {
    const fn flags(self) -> epoll::EventFlags {
        match self {
            Self::Read => epoll::EventFlags::IN,
            Self::Write => epoll::EventFlags::OUT,
        }
    }
}

/// The polled sockets. A socket leaves when it is closed.
#[derive(Debug)]
pub(super) struct Poll(OwnedFd);

impl Poll {
    pub(super) fn new() -> Result<Self> {
        Ok(Self(epoll::create(epoll::CreateFlags::CLOEXEC)?))
    }

    pub(super) fn add(&self, socket: &impl AsFd, token: Token, interest: Interest) -> Result<()> {
        Ok(epoll::add(&self.0, socket, token.pack(), interest.flags())?)
    }

    pub(super) fn change(
        &self,
        socket: &impl AsFd,
        token: Token,
        interest: Interest,
    ) -> Result<()> {
        Ok(epoll::modify(
            &self.0,
            socket,
            token.pack(),
            interest.flags(),
        )?)
    }

    /// Waits until sockets are ready and returns their owners; none after `patience`.
    pub(super) fn wait(&self, patience: Option<Duration>) -> Result<Vec<Token>> {
        let mut ready: Vec<epoll::Event> = Vec::with_capacity(EVENTS_MAX);
        let timeout = patience.map(Timespec::try_from).transpose()?;
        loop {
            match epoll::wait(&self.0, spare_capacity(&mut ready), timeout.as_ref()) {
                Ok(_) => break,
                Err(rustix::io::Errno::INTR) => {}
                Err(error) => return Err(error.into()),
            }
        }
        Ok(ready
            .iter()
            .map(|event| Token::unpack(event.data))
            .collect())
    }
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
