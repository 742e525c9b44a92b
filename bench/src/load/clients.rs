//! Clients of the proxy: each sends its next request after the last response.

use std::rc::Rc;
use std::time::{Duration, Instant};

use anyhow::Result;

use super::Order;
use super::body::Filler;
use super::client::{Client, Connects, Plan, Progress};
use super::poll::Poll;
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
