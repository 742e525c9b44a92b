//! Connections between nodes, over TCP on the loopback interface.
//!
//! Sockets are opened here and not by
//! `lightning-net-tokio`, which leaves Nagle's algorithm on: with delayed acknowledgements
//! that costs 44 ms a message.

use std::net::{Ipv4Addr, SocketAddr};
use std::sync::Arc;
use std::time::Duration;

use bitcoin::secp256k1::PublicKey;
use tokio::net::{TcpListener, TcpStream};

use super::Node;

/// Opens a port for peers on the loopback interface.
pub(crate) async fn bind() -> std::io::Result<TcpListener> {
    TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).await
}

impl Node {
    /// Accepts peers for ever. A connection outlives this future, until
    /// [`disconnect`](Self::disconnect).
    pub(crate) async fn accept(self: Arc<Self>, listener: TcpListener) {
        loop {
            let accepted = listener.accept().await;
            match accepted.and_then(|(stream, _)| into_prompt(stream)) {
                Ok(stream) => {
                    let peers = Arc::clone(&self.peers);
                    // The connection runs in its own task; the future only waits for its end.
                    drop(lightning_net_tokio::setup_inbound(peers, stream));
                }
                Err(error) => {
                    tracing::warn!(%error, "a peer's connection was not accepted");
                    tokio::time::sleep(PAUSE).await;
                }
            }
        }
    }

    /// Keeps a connection to a peer, dialling again whenever it ends.
    pub(crate) async fn keep_connected(self: Arc<Self>, peer: PublicKey, address: SocketAddr) {
        loop {
            match TcpStream::connect(address).await.and_then(into_prompt) {
                Ok(stream) => {
                    let peers = Arc::clone(&self.peers);
                    lightning_net_tokio::setup_outbound(peers, peer, stream).await;
                    tracing::debug!(%peer, "a peer's connection ended");
                }
                Err(error) => tracing::debug!(%peer, %error, "a peer is not reachable"),
            }
            tokio::time::sleep(PAUSE).await;
        }
    }

    /// Resolves once the handshake with `peer` is done.
    pub(crate) async fn connected(&self, peer: PublicKey) {
        while self.peers.peer_by_node_id(&peer).is_none() {
            tokio::time::sleep(Duration::from_millis(1)).await;
        }
    }

    /// How many peers are connected.
    pub(crate) fn peer_count(&self) -> usize {
        self.peers.list_peers().len()
    }

    /// Ends every connection.
    pub(crate) fn disconnect(&self) {
        self.peers.disconnect_all_peers();
    }
}

fn into_prompt(stream: TcpStream) -> std::io::Result<std::net::TcpStream> {
    stream.set_nodelay(true)?;
    stream.into_std()
}

/// Before another try; short, because everyone is on this machine.
const PAUSE: Duration = Duration::from_millis(100);
