//! The LND-compatible API as LND's clients use it: real sockets, TLS and macaroon files.
//!
//! What is expected here was captured from LND 0.20.1-beta on a regtest of its own.
#![allow(
    clippy::indexing_slicing,
    clippy::panic,
    clippy::unwrap_used,
    reason = "a test that cannot go on has failed"
)]

mod client;
mod files;
mod invoices;
mod payments;
mod permissions;
mod rest;
mod start;

use std::path::Path;

use tempfile::TempDir;
use tollway_lightning::lnd::proto::lnrpc;
use tollway_sandbox::lnd::{LndSandbox, Ports};
use tollway_sandbox::{Sandbox, SandboxConfig};

use client::Client;

/// A sandbox with a server for each wallet, and their data.
struct Network {
    lnd: LndSandbox,
    dir: TempDir,
}

impl Network {
    async fn start() -> Self {
        let dir = tempfile::tempdir().unwrap();
        Self::start_in(dir).await
    }

    async fn start_in(dir: TempDir) -> Self {
        let config = SandboxConfig::new(dir.path().to_owned());
        let lnd = LndSandbox::start(config, Ports::ANY).await.unwrap();
        Self { lnd, dir }
    }

    fn sandbox(&self) -> &Sandbox {
        self.lnd.network()
    }

    async fn seller(&self) -> Client {
        Client::admin(self.lnd.seller()).await
    }

    async fn buyer(&self) -> Client {
        Client::admin(self.lnd.buyer()).await
    }

    /// Stops everything and leaves the data.
    async fn stop(self) -> TempDir {
        self.lnd.stop().await.unwrap();
        self.dir
    }
}

/// An invoice over `sat`, added through the API.
async fn invoice_over(seller: &Client, sat: i64) -> lnrpc::AddInvoiceResponse {
    let request = lnrpc::Invoice {
        value: sat,
        memo: "a test".to_owned(),
        ..lnrpc::Invoice::default()
    };
    seller.add_invoice(request).await.unwrap()
}

fn read(path: &Path) -> Vec<u8> {
    std::fs::read(path).unwrap()
}

fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}
