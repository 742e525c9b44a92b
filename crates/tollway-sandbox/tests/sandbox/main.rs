//! The private network as its users see it: real nodes, real sockets, no doubles.
#![allow(
    clippy::arithmetic_side_effects,
    clippy::panic,
    clippy::unwrap_used,
    reason = "a test that cannot go on has failed"
)]

mod invoices;
mod lifetime;
mod payments;

use std::path::Path;
use std::time::Duration;

use l402::{Msat, Preimage};
use tempfile::TempDir;
use tollway_sandbox::wallet::{
    FailureReason, InvoiceDescription, InvoiceRecord, NewInvoice, NewPayment, PaymentRecord,
    PaymentStatus, SelfPayment, Wallet, parse_invoice,
};
use tollway_sandbox::{ChannelPlan, Sandbox, SandboxConfig};

/// A network with its data in a directory of its own, which must outlive it.
async fn network() -> (Sandbox, TempDir) {
    let dir = tempfile::tempdir().unwrap();
    (network_in(dir.path()).await, dir)
}

async fn network_in(dir: &Path) -> Sandbox {
    Sandbox::start(SandboxConfig::new(dir.to_owned()))
        .await
        .unwrap()
}

async fn network_with(channels: ChannelPlan) -> (Sandbox, TempDir) {
    let dir = tempfile::tempdir().unwrap();
    let config = SandboxConfig {
        data_dir: dir.path().to_owned(),
        channels,
    };
    (Sandbox::start(config).await.unwrap(), dir)
}

/// An invoice for `amount`, or for any amount.
fn invoice(payee: &Wallet, amount: Option<Msat>) -> InvoiceRecord {
    payee.add_invoice(terms(amount)).unwrap()
}

fn terms(amount: Option<Msat>) -> NewInvoice {
    NewInvoice {
        description: InvoiceDescription::Memo("a test".into()),
        amount,
        expiry_secs: Some(3_600),
        preimage: None,
    }
}

fn payment(bolt11: &str) -> NewPayment {
    NewPayment {
        invoice: parse_invoice(bolt11).unwrap(),
        amount: None,
        fee_max: sat(10),
        timeout: Duration::from_secs(60),
        self_payment: SelfPayment::Refuse,
    }
}

/// Pays an invoice and waits for the end.
async fn pay(payer: &Wallet, invoice: &InvoiceRecord) -> PaymentRecord {
    payer.pay(&payment(&invoice.bolt11)).unwrap().ended().await
}

fn preimage(record: &PaymentRecord) -> &Preimage {
    match &record.status {
        PaymentStatus::Succeeded { preimage, .. } => preimage,
        PaymentStatus::Failed(_) | PaymentStatus::InFlight => panic!("{:?}", record.status),
    }
}

fn failure(record: &PaymentRecord) -> FailureReason {
    match record.status {
        PaymentStatus::Failed(reason) => reason,
        PaymentStatus::InFlight | PaymentStatus::Succeeded { .. } => panic!("{:?}", record.status),
    }
}

fn sat(sat: u64) -> Msat {
    Msat::from_sat(sat).unwrap()
}

fn btc(btc: u64) -> Msat {
    sat(btc * 100_000_000)
}
