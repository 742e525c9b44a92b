//! Our programs on LND's wallets: the wallet traits' contract, and one whole purchase.
//!
//! The gateway is given a macaroon that can only ask to be paid, so this also shows that it
//! needs no more.

use std::path::Path;
use std::process::Command;
use std::time::Duration;

use anyhow::{Context as _, Result, bail, ensure};

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
    })?;
    checks.check(
        "macaroons that allow too little are refused by name",
        || lack_permission(&tollway, &network),
    )
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

/// Sells and buys with stock macaroons that do not allow it.
fn lack_permission(tollway: &Path, network: &LndNetwork) -> Result<()> {
    let seller = &network.seller;
    for macaroon in ["readonly", "router"] {
        let wallet = seller.lndconnect(&seller.macaroon(macaroon)?)?;
        names(
            Gateway::start(tollway, &wallet).map(drop),
            ["invoices:write", "invoice.macaroon"],
        )
        .with_context(|| format!("selling with {macaroon}.macaroon"))?;
    }
    let gateway = Gateway::start(tollway, &seller.lndconnect(&seller.macaroon(SELLING)?)?)?;
    for (macaroon, missing) in [("readonly", "offchain:write"), ("invoice", "offchain:read")] {
        let wallet = network
            .buyer
            .lndconnect(&network.buyer.macaroon(macaroon)?)?;
        let bought = Buyer::new(tollway, &wallet)?.get(&gateway.page());
        names(bought.map(drop), [missing, "router.macaroon"])
            .with_context(|| format!("buying with {macaroon}.macaroon"))?;
    }
    Ok(())
}

/// Fails unless `refused` is an error whose text contains `words`.
fn names(refused: Result<()>, words: [&str; 2]) -> Result<()> {
    let Err(error) = refused else {
        bail!("it was accepted");
    };
    let text = format!("{error:#}");
    ensure!(
        words.iter().all(|word| text.contains(word)),
        "{words:?} are not named in: {text}"
    );
    Ok(())
}

fn payments(network: &LndNetwork) -> Result<usize> {
    let list = network
        .buyer
        .lncli()
        .json(&["listpayments", "--include_incomplete"])?;
    list.count("payments")
}

/// Enough to sell and to buy, as README.md has it; LND makes the files.
const SELLING: &str = "invoice";
const BUYING: &str = "router";
