//! Clients of the proxy: each sends its next request after the last response.

use std::net::{SocketAddr, TcpStream};
use std::rc::Rc;
use std::sync::Arc;
use std::time::{Duration, Instant};

use anyhow::Result;
use rustls::ClientConfig;

use super::Order;
use super::body::Filler;
use super::incoming::{Expected, Incoming};
use super::poll::{Poll, Token};
use super::socket::Socket;
use super::tls::{self, Handshakes, Session};
use crate::latency::Latencies;

/// All clients of one run.
#[derive(Debug)]
pub(super) struct Clients {
    plan: Plan,
    connections: usize,
    clients: Vec<Client>,
    duration: Duration,
    ends: Instant,
    unsent: u64,
    unready: usize,
    open: usize,
    latencies: Latencies,
}

/// What every client does.
#[derive(Debug)]
struct Plan {
    target: SocketAddr,
    head: Vec<u8>,
    upload: u64,
    expected: Expected,
    tls: Option<Arc<ClientConfig>>,
    connects: Connects,
    poll: Rc<Poll>,
}

#[derive(Clone, Copy, Debug, Eq, PartialEq)]
enum Connects {
    Once,
    PerRequest,
}

impl Clients {
    /// Opens the connections that are kept.
    pub(super) fn connect(order: &Order, poll: &Rc<Poll>) -> Result<Self> {
        let now = Instant::now();
        let connections = order.connections.get();
        let plan = Plan::new(order, poll)?;
        let mut clients = Self {
            connections,
            clients: Vec::with_capacity(connections),
            duration: order.duration()?,
            ends: now,
            unsent: order.requests_max.map_or(u64::MAX, u64::from),
            unready: 0,
            open: connections,
            latencies: Latencies::default(),
            plan,
        };
        if clients.plan.connects == Connects::Once {
            for index in 0..connections {
                clients.clients.push(Client::connect(&clients.plan, index)?);
            }
            clients.unready = clients.clients.iter().filter(|one| one.unready()).count();
        }
        Ok(clients)
    }

    /// Returns whether all connections that are kept have shaken hands.
    pub(super) const fn are_ready(&self) -> bool {
        self.unready == 0
    }

    /// Begins the run.
    pub(super) fn begin(&mut self, filler: &Filler) -> Result<()> {
        let now = Instant::now();
        self.ends = now.checked_add(self.duration).unwrap_or(now);
        (0..self.connections).try_for_each(|index| self.next(index, now, filler))
    }

    /// Receives or sends what a client can without waiting, and begins its next request when its
    /// response is complete.
    pub(super) fn advance(&mut self, index: usize, filler: &Filler, sink: &mut [u8]) -> Result<()> {
        let Some(client) = self.clients.get_mut(index) else {
            return Ok(());
        };
        match client.advance(&self.plan, filler, sink)? {
            Progress::Some => Ok(()),
            Progress::Established if self.plan.connects == Connects::Once => {
                self.unready = self.unready.saturating_sub(1);
                Ok(())
            }
            Progress::Established => client.send(&self.plan, filler),
            Progress::Response => {
                let now = Instant::now();
                self.latencies
                    .add(now.saturating_duration_since(client.begun));
                self.next(index, now, filler)
            }
        }
    }

    pub(super) const fn are_done(&self) -> bool {
        self.open == 0
    }

    pub(super) fn into_latencies(self) -> Latencies {
        self.latencies
    }

    /// Begins the next request, or none when the run is over.
    fn next(&mut self, index: usize, now: Instant, filler: &Filler) -> Result<()> {
        if now >= self.ends || self.unsent == 0 {
            self.open = self.open.saturating_sub(1);
            return Ok(());
        }
        self.unsent = self.unsent.saturating_sub(1);
        if self.plan.connects == Connects::PerRequest {
            return self.connect_again(index);
        }
        match self.clients.get_mut(index) {
            Some(client) => {
                client.begun = now;
                client.send(&self.plan, filler)
            }
            None => Ok(()),
        }
    }

    /// Closes the connection that was used and opens another. Its request is sent after the
    /// handshake.
    fn connect_again(&mut self, index: usize) -> Result<()> {
        match self.clients.get_mut(index) {
            Some(client) => {
                client.close()?;
                *client = Client::connect(&self.plan, index)?;
            }
            None => self.clients.push(Client::connect(&self.plan, index)?),
        }
        Ok(())
    }
}

impl Plan {
    fn new(order: &Order, poll: &Rc<Poll>) -> Result<Self> {
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

#[derive(Debug)]
struct Client {
    socket: Socket,
    tls: Option<Session>,
    begun: Instant,
    /// What of the request's body is not sent.
    unsent: u64,
    incoming: Incoming,
}

/// What came of an event.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
enum Progress {
    Some,
    /// The handshake is done.
    Established,
    /// The response is complete.
    Response,
}

impl Client {
    fn connect(plan: &Plan, index: usize) -> Result<Self> {
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

    fn unready(&self) -> bool {
        self.tls.as_ref().is_some_and(|tls| !tls.is_established())
    }

    fn advance(&mut self, plan: &Plan, filler: &Filler, sink: &mut [u8]) -> Result<Progress> {
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
    fn send(&mut self, plan: &Plan, filler: &Filler) -> Result<()> {
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

    fn close(&mut self) -> Result<()> {
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
