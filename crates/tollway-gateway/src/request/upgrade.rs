//! Tunnels: upgraded connections.
//!
//! Client and upstream have agreed to leave HTTP; bytes are copied both ways until both
//! sides have closed. The opening request pays for the tunnel, however long it lasts. A
//! stopping gateway closes it.

use hyper::upgrade::{OnUpgrade, Upgraded};
use hyper_util::rt::TokioIo;
use tokio::io::copy_bidirectional;
use tokio::sync::watch;
use tollway_server::{Ending, Settlement, Usage};

use crate::request::reply::InFlight;

/// The two halves of a tunnel before it opens.
#[derive(Debug)]
pub(crate) struct Tunnel {
    pub(crate) client: OnUpgrade,
    pub(crate) upstream: OnUpgrade,
    pub(crate) settlement: Option<Settlement>,
    /// Held while the tunnel is open.
    pub(crate) in_flight: InFlight,
}

impl Tunnel {
    /// Copies bytes until both sides have closed, one fails, or `closing` turns true.
    pub(crate) async fn run(self, mut closing: watch::Receiver<bool>) {
        let Self {
            client,
            upstream,
            settlement,
            in_flight,
        } = self;
        let (ending, usage) = tokio::select! {
            ended = copy(client, upstream) => ended,
            _ = closing.wait_for(|closing| *closing) => (Ending::ServiceFailed, Usage::default()),
        };
        if let Some(settlement) = settlement {
            settlement.finish(ending, usage);
        }
        drop(in_flight);
    }
}

async fn copy(client: OnUpgrade, upstream: OnUpgrade) -> (Ending, Usage) {
    let Ok((client, upstream)) = tokio::try_join!(client, upstream) else {
        tracing::debug!("upgrade failed");
        return (Ending::ServiceFailed, Usage::default());
    };
    let (mut client, mut upstream) = (plain(client), plain(upstream));
    // An abrupt end of either side is how tunnels usually end.
    match copy_bidirectional(&mut client, &mut upstream).await {
        Ok((_, to_client)) => (Ending::Complete, Usage::of_body(to_client)),
        Err(_) => (Ending::ClientLeft, Usage::default()),
    }
}

fn plain(upgraded: Upgraded) -> TokioIo<Upgraded> {
    TokioIo::new(upgraded)
}
