//! Memory of the gate while it makes challenges that are never paid.
//!
//! A binary of its own, because it watches the memory of the whole process.
#![cfg(target_os = "linux")]
#![allow(
    clippy::unwrap_used,
    clippy::panic,
    reason = "test code; the exemption for tests does not reach helper functions"
)]

use std::fs;
use std::net::{IpAddr, Ipv4Addr};
use std::sync::Arc;

use futures_util::future::{self, BoxFuture};
use http::Request;
use l402::{Invoice, KeyRing, MasterKey, Msat, Network, PaymentHash};
use tollway_lightning::{InvoiceState, InvoiceTerms, Invoicer, WalletError};
use tollway_server::ledger::MemoryLedger;
use tollway_server::{Gate, GateSettings, Peer, Rejection, RequestInfo, Requirement, Terms};

#[tokio::test]
async fn a_hundred_thousand_unpaid_challenges_leave_nothing_behind() {
    let shop = Shop::open().await;
    shop.ask(0..CHALLENGES / 10).await;
    let before = resident_bytes();

    let refused = shop.ask(CHALLENGES / 10..CHALLENGES).await;

    let grown = resident_bytes().saturating_sub(before);
    println!("{refused} challenges grew the process by {grown} bytes");
    // An entry of only 50 bytes each would be 4.5 MB.
    assert!(grown < 2_000_000, "{grown} bytes");
}

/// A gate whose wallet hands out one and the same invoice.
struct Shop {
    gate: Gate,
    requirement: Requirement,
    terms: Terms,
}

impl Shop {
    async fn open() -> Self {
        let keys = KeyRing::new(MasterKey::new([1; 32]));
        let ledger = Arc::new(MemoryLedger::new());
        let wallet = Arc::new(OneInvoice(Invoice::parse(COFFEE).unwrap()));
        let gate = Gate::open(keys, wallet, ledger, GateSettings::default()).await;
        let price = Msat::from_msat(250_000_000);
        Self {
            gate: gate.unwrap(),
            requirement: Requirement::new("coffee".parse().unwrap()),
            terms: Terms::new(price).unwrap(),
        }
    }

    /// Lets one client from each of many networks ask, and counts those asked to pay.
    async fn ask(&self, networks: std::ops::Range<u32>) -> usize {
        let (parts, ()) = Request::get("/").body(()).unwrap().into_parts();
        let mut asked_to_pay = 0_usize;
        for network in networks {
            let address = IpAddr::V4(Ipv4Addr::from(network << 8 | 1));
            let info = RequestInfo::of(&parts, Peer::at(address));
            let admitted = self.gate.admit(&self.requirement, &self.terms, &info);
            match admitted.await.unwrap_err() {
                Rejection::PaymentRequired(_) => asked_to_pay = asked_to_pay.saturating_add(1),
                Rejection::TokenInUse(_)
                | Rejection::TooManyChallenges(_)
                | Rejection::TooManyRequests(_)
                | Rejection::UnsellablePath(_) => {}
                Rejection::Unavailable(outage) => panic!("{outage}"),
            }
        }
        asked_to_pay
    }
}

#[derive(Debug)]
struct OneInvoice(Invoice);

impl Invoicer for OneInvoice {
    fn network(&self) -> BoxFuture<'_, Result<Network, WalletError>> {
        Box::pin(future::ready(Ok(Network::Mainnet)))
    }

    fn invoice(&self, _terms: InvoiceTerms) -> BoxFuture<'_, Result<Invoice, WalletError>> {
        Box::pin(future::ready(Ok(self.0.clone())))
    }

    fn lookup(
        &self,
        _hash: PaymentHash,
    ) -> BoxFuture<'_, Result<Option<InvoiceState>, WalletError>> {
        Box::pin(future::ready(Ok(None)))
    }
}

fn resident_bytes() -> usize {
    let statm = fs::read_to_string("/proc/self/statm").unwrap();
    let pages: usize = statm.split(' ').nth(1).unwrap().parse().unwrap();
    pages.saturating_mul(4_096)
}

const CHALLENGES: u32 = 100_000;
// BOLT 11, "Examples": 2500 µBTC for a cup of coffee.
const COFFEE: &str = "lnbc2500u1pvjluezsp5zyg3zyg3zyg3zyg3zyg3zyg3zyg3zyg3zyg3zyg3zyg3zyg3zygspp5qqqsyqcyq5rqwzqfqqqsyqcyq5rqwzqfqqqsyqcyq5rqwzqfqypqdq5xysxxatsyp3k7enxv4jsxqzpu9qrsgquk0rl77nj30yxdy8j9vdx85fkpmdla2087ne0xh8nhedh8w27kyke0lp53ut353s06fv3qfegext0eh0ymjpf39tuven09sam30g4vgpfna3rh";
