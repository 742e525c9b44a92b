//! Speed and memory of the sandbox on this machine.
//!
//! Prints the time until ready, the first payment, payments one after another and several
//! at once, and what unpaid invoices cost in memory.
//! `cargo run --release -p tollway-sandbox --example measure`
#![allow(
    clippy::arithmetic_side_effects,
    clippy::indexing_slicing,
    clippy::panic,
    clippy::print_stdout,
    clippy::unwrap_used,
    reason = "a measurement prints, and stops at the first failure"
)]

use std::time::{Duration, Instant};

use l402::Msat;
use tokio::task::JoinSet;
use tollway_sandbox::wallet::{
    InvoiceDescription, NewInvoice, NewPayment, PaymentStatus, SelfPayment, Wallet, parse_invoice,
};
use tollway_sandbox::{Sandbox, SandboxConfig};

#[tokio::main]
async fn main() {
    let dir = tempfile::tempdir().unwrap();
    let start = Instant::now();
    let config = SandboxConfig::new(dir.path().to_owned());
    let sandbox = Sandbox::start(config).await.unwrap();
    println!(
        "ready          {:>8.2} ms   {}",
        millis(start.elapsed()),
        memory()
    );
    let (seller, buyer) = (sandbox.seller(), sandbox.buyer());
    let first = purchase(seller.clone(), buyer.clone()).await;
    println!("first payment  {:>8.2} ms   {}", millis(first), memory());

    for at_once in [1, 8, 32] {
        let count = if at_once == 1 { 500 } else { 3_000 };
        let begun = Instant::now();
        let mut times = many(seller, buyer, count, at_once).await;
        let rate = count as f64 / begun.elapsed().as_secs_f64();
        times.sort_unstable();
        println!(
            "{at_once:>2} at once      p50 {:>6.2} ms  p99 {:>6.2} ms  {rate:>6.0}/s   {}",
            millis(at(&times, 50)),
            millis(at(&times, 99)),
            memory(),
        );
    }

    let begun = Instant::now();
    for _ in 0..UNPAID {
        seller.add_invoice(terms()).unwrap();
    }
    let rate = UNPAID as f64 / begun.elapsed().as_secs_f64();
    println!("{UNPAID} unpaid invoices    {rate:>6.0}/s   {}", memory());

    let begun = Instant::now();
    sandbox.stop().await;
    println!("stopped        {:>8.2} ms", millis(begun.elapsed()));
}

/// Makes `count` payments, `at_once` of them at any time; how long each took.
async fn many(seller: &Wallet, buyer: &Wallet, count: usize, at_once: usize) -> Vec<Duration> {
    let mut in_flight = JoinSet::new();
    let mut times = Vec::with_capacity(count);
    for _ in 0..count {
        if in_flight.len() == at_once {
            times.push(in_flight.join_next().await.unwrap().unwrap());
        }
        in_flight.spawn(purchase(seller.clone(), buyer.clone()));
    }
    while let Some(done) = in_flight.join_next().await {
        times.push(done.unwrap());
    }
    times
}

/// One payment of a new invoice: from `pay` to the preimage.
async fn purchase(seller: Wallet, buyer: Wallet) -> Duration {
    let invoice = seller.add_invoice(terms()).unwrap();
    let begun = Instant::now();
    let watch = buyer.pay(&NewPayment {
        invoice: parse_invoice(&invoice.bolt11).unwrap(),
        amount: None,
        fee_max: Msat::ZERO,
        timeout: Duration::from_secs(60),
        self_payment: SelfPayment::Refuse,
    });
    let paid = watch.unwrap().ended().await;
    let took = begun.elapsed();
    match paid.status {
        PaymentStatus::Succeeded { preimage, .. } => assert!(preimage.matches(&paid.hash)),
        PaymentStatus::Failed(_) | PaymentStatus::InFlight => panic!("{:?}", paid.status),
    }
    took
}

fn terms() -> NewInvoice {
    NewInvoice {
        description: InvoiceDescription::Memo("L402".into()),
        amount: Msat::from_sat(10),
        expiry_secs: Some(600),
        preimage: None,
    }
}

fn at(sorted: &[Duration], percent: usize) -> Duration {
    sorted[(sorted.len() - 1) * percent / 100]
}

fn millis(duration: Duration) -> f64 {
    duration.as_secs_f64() * 1e3
}

/// Returns the process's memory, on Linux.
fn memory() -> String {
    let status = std::fs::read_to_string("/proc/self/status").unwrap_or_default();
    let line = status.lines().find(|line| line.starts_with("VmRSS:"));
    let kib = line.and_then(|line| line.split_whitespace().nth(1)?.parse::<u64>().ok());
    kib.map_or_else(String::new, |kib| format!("{} MiB", kib / 1024))
}

const UNPAID: u32 = 100_000;
