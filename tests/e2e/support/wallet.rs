//! A wallet that pays and then falls silent: what a broken connection looks like to a buyer.

use std::net::SocketAddr;
use std::sync::Arc;

use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _, copy};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::{Notify, watch};

use super::Market;

/// A proxy in front of the buyer's wallet. It passes what the wallet sends until the wallet was
/// asked to pay, and withholds the rest until it may speak.
#[derive(Debug)]
pub struct SilentWallet {
    uri: String,
    state: Arc<State>,
}

#[derive(Debug, Default)]
struct State {
    speaks: watch::Sender<bool>,
    withheld: Notify,
}

impl SilentWallet {
    pub async fn open(market: &Market) -> Self {
        let real = market.buyer_uri();
        let (_, rest) = real.split_once("://").unwrap();
        let (authority, _) = rest.split_once('?').unwrap();
        let target: SocketAddr = authority.parse().unwrap();
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap().to_string();
        let state = Arc::new(State::default());
        let buyer = market.buyer();
        let shared = Arc::clone(&state);
        tokio::spawn(async move {
            while let Ok((client, _)) = listener.accept().await {
                let has_paid = {
                    let buyer = buyer.clone();
                    move || !buyer.payments(0, usize::MAX).is_empty()
                };
                tokio::spawn(pass(client, target, Arc::clone(&shared), has_paid));
            }
        });
        Self {
            uri: real.replacen(authority, &address, 1),
            state,
        }
    }

    pub fn uri(&self) -> String {
        self.uri.clone()
    }

    /// Waits until the wallet has sent something that is withheld.
    pub async fn withheld(&self) {
        self.state.withheld.notified().await;
    }

    /// Passes what was withheld, and everything from here on.
    pub fn speak(&self) {
        self.state.speaks.send_replace(true);
    }
}

async fn pass(
    client: TcpStream,
    target: SocketAddr,
    state: Arc<State>,
    has_paid: impl Fn() -> bool + Send,
) {
    let wallet = TcpStream::connect(target).await.unwrap();
    let (mut from_wallet, mut to_wallet) = wallet.into_split();
    let (mut from_client, mut to_client) = client.into_split();
    tokio::spawn(async move {
        // Either side may close first.
        let _closed = copy(&mut from_client, &mut to_wallet).await;
    });
    let mut piece = [0; 4_096];
    while let Ok(len @ 1..) = from_wallet.read(&mut piece).await {
        if has_paid() && !*state.speaks.borrow() {
            state.withheld.notify_one();
            let mut speaks = state.speaks.subscribe();
            let may_speak = speaks.wait_for(|speaks| *speaks).await.is_ok();
            assert!(may_speak, "the sender is in the state");
        }
        if to_client.write_all(&piece[..len]).await.is_err() {
            return;
        }
    }
}
