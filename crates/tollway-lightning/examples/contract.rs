//! Holds two LND wallets to the contract: one line per case, exit status 1 when one is broken.
//!
//! ```text
//! cargo run -p tollway-lightning --features contract,lnd --example contract -- SELLER BUYER [UNAFFORDABLE]
//! ```
//!
//! `SELLER` and `BUYER` are `lndconnect://` URIs of wallets with a channel between them, or `-`
//! to read them from the environment variables `SELLER` and `BUYER`, where other users of the
//! machine cannot see the macaroons. `UNAFFORDABLE` is an amount the buyer cannot pay.
#![allow(
    clippy::print_stdout,
    clippy::print_stderr,
    reason = "a program whose output is its result"
)]

use std::error::Error;
use std::process::ExitCode;

use tollway_lightning::contract::{CASES, Fixture};
use tollway_lightning::lnd::{Lnd, LndConnect};

#[tokio::main(flavor = "current_thread")]
async fn main() -> ExitCode {
    match run().await {
        Ok(0) => ExitCode::SUCCESS,
        Ok(broken) => {
            eprintln!("{broken} of {} cases broken", CASES.len());
            ExitCode::FAILURE
        }
        Err(error) => {
            eprintln!("error: {error}");
            ExitCode::FAILURE
        }
    }
}

async fn run() -> Result<usize, Box<dyn Error>> {
    let mut args = std::env::args().skip(1);
    let seller = wallet(args.next(), "SELLER")?.invoicer();
    let buyer = wallet(args.next(), "BUYER")?.payer();
    let fixture = Fixture {
        seller: &seller,
        buyer: &buyer,
        unaffordable: args.next().as_deref().unwrap_or(UNAFFORDABLE).parse()?,
    };
    let mut broken: usize = 0;
    for case in CASES {
        match case.run(&fixture).await {
            Ok(()) => println!("ok      {}", case.name()),
            Err(violation) => {
                broken = broken.saturating_add(1);
                println!("BROKEN  {}: {violation}", case.name());
            }
        }
    }
    Ok(broken)
}

fn wallet(arg: Option<String>, name: &str) -> Result<Lnd, Box<dyn Error>> {
    let uri = match arg.as_deref() {
        Some("-") | None => std::env::var(name).map_err(|error| format!("{name}: {error}"))?,
        Some(uri) => uri.to_owned(),
    };
    Ok(Lnd::new(&LndConnect::parse(&uri)?)?)
}

/// More than a channel of the size LND opens by default can hold, and what it may still ask for.
const UNAFFORDABLE: &str = "16000000 sat";
