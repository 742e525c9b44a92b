//! Event loop of load and upstream, on one thread.

use std::collections::HashMap;
use std::io::ErrorKind;
use std::net::{SocketAddr, TcpListener};
use std::rc::Rc;
use std::time::{Duration, Instant};

use anyhow::{Result, ensure};
use rustix::fd::AsFd;

use super::body::{Filler, SINK_BYTES};
use super::clients::Clients;
use super::poll::{Interest, Poll, Token};
use super::socket::Socket;
use super::upstream::Peer;
use super::{Order, Outcome};

/// The event loop, and the upstream that is always part of it.
#[derive(Debug)]
pub(super) struct Events {
    poll: Rc<Poll>,
    listener: TcpListener,
    peers: HashMap<u64, Peer>,
    next_peer: u64,
    filler: Filler,
    sink: Vec<u8>,
}

impl Events {
    pub(super) fn new() -> Result<Self> {
        let listener = TcpListener::bind("127.0.0.1:0")?;
        listener.set_nonblocking(true)?;
        let events = Self {
            poll: Rc::new(Poll::new()?),
            listener,
            peers: HashMap::new(),
            next_peer: 0,
            filler: Filler::new()?,
            sink: vec![0; SINK_BYTES],
        };
        events.watch(&events.listener, Token::Listener)?;
        Ok(events)
    }

    /// Returns the address of the upstream.
    pub(super) fn upstream(&self) -> Result<SocketAddr> {
        Ok(self.listener.local_addr()?)
    }

    /// Polls a descriptor for reading.
    pub(super) fn watch(&self, descriptor: &impl AsFd, token: Token) -> Result<()> {
        self.poll.add(descriptor, token, Interest::Read)
    }

    /// Serves upstream requests until a descriptor is ready.
    pub(super) fn serve_until(&mut self, wanted: Token) -> Result<()> {
        loop {
            for token in self.poll.wait(None)? {
                if token == wanted {
                    return Ok(());
                }
                self.serve(token)?;
            }
        }
    }

    /// Makes one run.
    ///
    /// # Errors
    ///
    /// When a response is not the expected one, or none of the clients makes progress.
    pub(super) fn run(&mut self, order: &Order) -> Result<Outcome> {
        let mut clients = Clients::connect(order, &self.poll)?;
        while !clients.are_ready() {
            self.advance(&mut clients)?;
        }
        let begun = Instant::now();
        clients.begin(&self.filler)?;
        while !clients.are_done() {
            self.advance(&mut clients)?;
        }
        let seconds = begun.elapsed().as_secs_f64();
        let latencies = clients.into_latencies();
        Ok(Outcome {
            requests: latencies.count(),
            seconds,
            latency: latencies.percentiles(),
        })
    }

    fn advance(&mut self, clients: &mut Clients) -> Result<()> {
        let ready = self.poll.wait(Some(PATIENCE))?;
        ensure!(
            !ready.is_empty(),
            "nothing arrived for {} s",
            PATIENCE.as_secs()
        );
        for token in ready {
            match token {
                Token::Client(index) => clients.advance(index, &self.filler, &mut self.sink)?,
                Token::Listener | Token::Orders | Token::Peer(_) => self.serve(token)?,
            }
        }
        Ok(())
    }

    fn serve(&mut self, token: Token) -> Result<()> {
        match token {
            Token::Listener => self.accept(),
            Token::Peer(id) => {
                let lost = self
                    .peers
                    .get_mut(&id)
                    .is_none_or(|peer| peer.advance(&self.filler, &mut self.sink).is_err());
                if lost {
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
        let id = self.next_peer;
        self.next_peer = id.wrapping_add(1);
        let socket = Socket::new(stream, Token::Peer(id), &self.poll)?;
        self.peers.insert(id, Peer::new(socket));
        Ok(())
    }
}

/// A run in which nothing happens for so long has failed.
const PATIENCE: Duration = Duration::from_secs(10);

#[cfg(test)]
mod tests {
    use super::super::exchange::Exchange;
    use super::*;

    #[test]
    fn every_exchange_comes_to_its_end() {
        for exchange in [
            Exchange::Item,
            Exchange::Download(102_400),
            Exchange::Download(10_485_760),
            Exchange::Upload(10),
            Exchange::Upload(10_485_760),
        ] {
            let mut events = Events::new().unwrap();
            let target = events.upstream().unwrap();

            let outcome = events.run(&order(target, exchange)).unwrap();

            assert_eq!(outcome.requests, 20, "{exchange:?}");
        }
    }

    #[test]
    fn an_unexpected_status_fails_the_run() {
        let mut events = Events::new().unwrap();
        let mut order = order(events.upstream().unwrap(), Exchange::Item);
        order.status = 402;

        assert!(events.run(&order).is_err());
    }

    /// Twenty requests on three connections.
    fn order(target: SocketAddr, exchange: Exchange) -> Order {
        let json = format!(
            r#"{{"target": "{target}", "connections": 3, "seconds": 600, "requests_max": 20,
                "status": 200, "authorization": null, "exchange": "item", "handshakes": null}}"#
        );
        let order: Order = serde_json::from_str(&json).unwrap();
        Order { exchange, ..order }
    }
}
