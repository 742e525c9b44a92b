//! Our programs on LND's wallets: the wallet traits' contract, and one whole purchase.
//!
//! The gateway is given a macaroon that can only ask to be paid, so this also shows that it
//! needs no more.

use std::path::Path;
use std::process::Command;
use std::time::Duration;

use anyhow::{Result, ensure};

use super::gateway::{Buyer, Gateway, PRICE_SAT};
use super::lnd_network::LndNetwork;
use super::report::{Checks, Halt};
use super::{Setup, install, process, upstream};

/// Includes invoices that have to expire first.
const CONTRACT: Duration = Duration::from_secs(120);

pub(super) fn run(setup: &Setup, checks: &mut Checks<'_>) -> Result<(), Halt> {
    let programs = install::lnd(setup)?;
    let contract = setup.workspace.contract()?;
    let tollway = setup.workspace.tollway()?;

    let network = checks.check("a network of two LND nodes", || {
        LndNetwork::start(&programs)
    })?;
    checks.check("the contract of both wallet traits", || {
        hold_to_contract(&contract, &network, ["admin", "admin"])
    })?;
    checks.check("the contract with macaroons that allow no more", || {
        hold_to_contract(&contract, &network, [SELLING, BUYING])
    })?;
    checks.check("a purchase from the seller's gateway by the buyer", || {
        buy(&tollway, &network)
    })
}

/// `macaroons` are the names of the seller's and the buyer's macaroon files.
fn hold_to_contract(contract: &Path, network: &LndNetwork, macaroons: [&str; 2]) -> Result<()> {
    let [selling, buying] = macaroons;
    let mut command = Command::new(contract);
    for (variable, wallet, macaroon) in [
        ("SELLER", &network.seller, selling),
        ("BUYER", &network.buyer, buying),
    ] {
        command.env(variable, wallet.lndconnect(&wallet.macaroon(macaroon)?)?);
    }
    process::output(&mut command, CONTRACT).map(drop)
}

fn buy(tollway: &Path, network: &LndNetwork) -> Result<()> {
    let seller = &network.seller;
    let gateway = Gateway::start(tollway, &seller.lndconnect(&seller.macaroon(SELLING)?)?)?;
    let wallet = network.buyer.lndconnect(&network.buyer.macaroon(BUYING)?)?;
    let buyer = Buyer::new(tollway, &wallet)?;

    let before = payments(network)?;
    let bought = buyer.get(&gateway.page())?;
    ensure!(bought == upstream::GOODS, "the page reads: {bought}");
    let again = buyer.get(&gateway.page())?;
    ensure!(
        again == upstream::GOODS,
        "with the kept credential the page reads: {again}"
    );

    let paid = payments(network)?.saturating_sub(before);
    ensure!(paid == 1, "{paid} payments for one credential");
    let invoices = seller.lncli().json(&["listinvoices", "--max_invoices=1"])?;
    invoices.expect("invoices/0/state", "SETTLED")?;
    invoices.expect("invoices/0/amt_paid_sat", PRICE_SAT.to_string())
}

fn payments(network: &LndNetwork) -> Result<usize> {
    let list = network
        .buyer
        .lncli()
        .json(&["listpayments", "--include_incomplete"])?;
    list.count("payments")
}

/// What README.md says is enough to sell and to buy, as LND makes the files.
const SELLING: &str = "invoice";
const BUYING: &str = "router";
