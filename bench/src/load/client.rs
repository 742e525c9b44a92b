//! One client of the proxy: a connection, its TLS, and the response it waits for.

use std::net::{SocketAddr, TcpStream};
use std::rc::Rc;
use std::sync::Arc;
use std::time::Instant;

use anyhow::Result;
use rustls::ClientConfig;

use super::Order;
use super::body::Filler;
use super::incoming::{Expected, Incoming};
use super::poll::{Poll, Token};
use super::socket::Socket;
use super::tls::{self, Handshakes, Session};

/// What every client does.
#[derive(Debug)]
pub(super) struct Plan {
    target: SocketAddr,
    head: Vec<u8>,
    upload: u64,
    expected: Expected,
    tls: Option<Arc<ClientConfig>>,
    pub(super) connects: Connects,
    poll: Rc<Poll>,
}

/// How many connections a client opens.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(super) enum Connects {
    Once,
    PerRequest,
}

impl Plan {
    pub(super) fn new(order: &Order, poll: &Rc<Poll>) -> Result<Self> {
        let host = order.target.to_string();
        let head = order.exchange.head(&host, order.authorization.as_deref());
        Ok(Self {
            target: order.target,
            head: head.into_bytes(),
            upload: order.exchange.upload(),
            expected: Expected {
                status: order.status,
                body: (order.status == OK).then(|| order.exchange.download()),
            },
            tls: order.handshakes.map(|_| tls::config()).transpose()?,
            connects: match order.handshakes {
                None | Some(Handshakes::Once) => Connects::Once,
                Some(Handshakes::PerRequest) => Connects::PerRequest,
            },
            poll: Rc::clone(poll),
        })
    }
}

/// A client: it has one request open at most.
#[derive(Debug)]
pub(super) struct Client {
    socket: Socket,
    tls: Option<Session>,
    pub(super) begun: Instant,
    /// What of the request's body is not sent.
    unsent: u64,
    incoming: Incoming,
}

/// What came of an event.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(super) enum Progress {
    Some,
    /// The handshake is done.
    Established,
    /// The response is complete.
    Response,
}

impl Client {
    pub(super) fn connect(plan: &Plan, index: usize) -> Result<Self> {
        let begun = Instant::now();
        let stream = TcpStream::connect(plan.target)?;
        let mut client = Self {
            socket: Socket::new(stream, Token::Client(index), &plan.poll)?,
            tls: plan.tls.as_ref().map(Session::new).transpose()?,
            begun,
            unsent: 0,
            incoming: Incoming::default(),
        };
        if let Some(tls) = &mut client.tls {
            let mut out = Vec::new();
            tls.process(&mut out, |_| Ok(()))?;
            client.socket.write(&out)?;
        }
        Ok(client)
    }

    pub(super) fn unready(&self) -> bool {
        self.tls.as_ref().is_some_and(|tls| !tls.is_established())
    }

    pub(super) fn advance(
        &mut self,
        plan: &Plan,
        filler: &Filler,
        sink: &mut [u8],
    ) -> Result<Progress> {
        if self.unsent > 0 {
            self.unsent = self.socket.write_body(filler, self.unsent)?;
            return Ok(Progress::Some);
        }
        let complete = match &mut self.tls {
            Some(_) => return self.receive_tls(plan.expected),
            None => self.receive(plan.expected, sink)?,
        };
        Ok(if complete {
            Progress::Response
        } else {
            Progress::Some
        })
    }

    /// Returns whether the response is complete.
    fn receive(&mut self, expected: Expected, sink: &mut [u8]) -> Result<bool> {
        let left = self.incoming.body_left();
        if left > 0 {
            return self.incoming.skip(self.socket.discard(left, sink)?);
        }
        let mut chunk = [0; CHUNK];
        match self.socket.read(&mut chunk)? {
            Some(read) => self
                .incoming
                .take(chunk.get(..read).unwrap_or_default(), expected),
            None => Ok(false),
        }
    }

    fn receive_tls(&mut self, expected: Expected) -> Result<Progress> {
        let Some(tls) = &mut self.tls else {
            return Ok(Progress::Some);
        };
        let Some(read) = self.socket.read(tls.spare())? else {
            return Ok(Progress::Some);
        };
        tls.filled(read);
        let was_established = tls.is_established();
        let (mut out, mut complete) = (Vec::new(), false);
        let incoming = &mut self.incoming;
        tls.process(&mut out, |plain| {
            complete |= incoming.take(plain, expected)?;
            Ok(())
        })?;
        let is_established = tls.is_established();
        if !out.is_empty() {
            self.socket.write(&out)?;
        }
        Ok(if complete {
            Progress::Response
        } else if is_established && !was_established {
            Progress::Established
        } else {
            Progress::Some
        })
    }

    /// Sends a request.
    pub(super) fn send(&mut self, plan: &Plan, filler: &Filler) -> Result<()> {
        self.incoming.begin();
        if let Some(tls) = &mut self.tls {
            let mut out = Vec::new();
            tls.encrypt(&plan.head, &mut out)?;
            return self.socket.write(&out);
        }
        if plan.upload == 0 {
            return self.socket.write(&plan.head);
        }
        self.socket.write_head(&plan.head)?;
        self.unsent = self.socket.write_body(filler, plan.upload)?;
        Ok(())
    }

    pub(super) fn close(&mut self) -> Result<()> {
        match &mut self.tls {
            Some(tls) => {
                let mut out = Vec::new();
                tls.close(&mut out)?;
                self.socket.write(&out)
            }
            None => Ok(()),
        }
    }
}

const CHUNK: usize = 4096;
const OK: u16 = 200;
