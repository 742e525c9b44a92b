//! LND's own command line against the sandbox.
//!
//! Operators use `lncli`: the commands that inspect an LND must work on the sandbox, and print
//! the same.

use anyhow::{Result, ensure};

use super::lnd_command::{Answer, Lncli};
use super::report::{Checks, Halt};
use super::sandbox::Sandbox;
use super::{Setup, install};

const AMOUNT_SAT: i64 = 1_234;
const MEMO: &str = "interop through lncli";

pub(super) fn run(setup: &Setup, checks: &mut Checks<'_>) -> Result<(), Halt> {
    let programs = install::lnd(setup)?;
    let sandbox = Sandbox::start(&setup.workspace.tollway()?)?;
    let seller = sandbox.seller.lncli(&programs);
    let buyer = sandbox.buyer.lncli(&programs);

    checks.check("getinfo", || get_info(&seller, &buyer))?;
    let before = checks.check("channelbalance", || balance(&buyer))?;
    let invoice = checks.check("addinvoice", || add_invoice(&seller))?;
    checks.check("decodepayreq", || decode(&seller, &buyer, &invoice))?;
    let preimage = checks.check("payinvoice", || pay(&buyer, &invoice))?;
    checks.check("payinvoice refuses what is paid", || {
        refuse_paid(&buyer, &invoice)
    })?;
    checks.check("listinvoices", || {
        list_invoices(&seller, &invoice, &preimage)
    })?;
    checks.check("listpayments", || {
        list_payments(&buyer, &invoice, &preimage)
    })?;
    checks.check("channelbalance after", || {
        let (after, wanted) = (balance(&buyer)?, before.saturating_sub(AMOUNT_SAT));
        ensure!(after == wanted, "the buyer has {after} sat, not {wanted}");
        Ok(())
    })
}

/// An invoice as `addinvoice` prints it.
#[derive(Debug)]
struct Added {
    hash: String,
    request: String,
}

fn get_info(seller: &Lncli, buyer: &Lncli) -> Result<()> {
    for wallet in [seller, buyer] {
        let info = wallet.json(&["getinfo"])?;
        info.expect("synced_to_chain", true)?;
        info.expect("chains/0/network", "regtest")?;
        ensure!(
            info.text("identity_pubkey")?.len() == 66,
            "the key is not 33 bytes in hex"
        );
        ensure!(info.number("num_active_channels")? > 0, "no active channel");
    }
    Ok(())
}

fn balance(wallet: &Lncli) -> Result<i64> {
    let balance = wallet.json(&["channelbalance"])?;
    let sat = balance.number("balance")?;
    ensure!(sat > 0, "the channels are empty");
    ensure!(
        balance.number("remote_balance/sat")? > 0,
        "nothing can be received"
    );
    balance.expect("local_balance/sat", sat.to_string())?;
    Ok(sat)
}

fn add_invoice(seller: &Lncli) -> Result<Added> {
    let added = seller.json(&[
        "addinvoice",
        "--memo",
        MEMO,
        "--amt",
        &AMOUNT_SAT.to_string(),
    ])?;
    Ok(Added {
        hash: added.text("r_hash")?,
        request: added.text("payment_request")?,
    })
}

fn decode(seller: &Lncli, buyer: &Lncli, invoice: &Added) -> Result<()> {
    let decoded = buyer.json(&["decodepayreq", &invoice.request])?;
    decoded.expect("payment_hash", invoice.hash.as_str())?;
    decoded.expect("num_satoshis", AMOUNT_SAT.to_string())?;
    decoded.expect("description", MEMO)?;
    let seller = seller.json(&["getinfo"])?;
    decoded.expect("destination", seller.text("identity_pubkey")?)
}

fn pay(buyer: &Lncli, invoice: &Added) -> Result<String> {
    let paid = buyer.json(&["payinvoice", "--force", "--json", &invoice.request])?;
    expect_payment(&paid, "", invoice)?;
    paid.text("payment_preimage")
}

fn refuse_paid(buyer: &Lncli, invoice: &Added) -> Result<()> {
    let said = buyer.refusal(&["payinvoice", "--force", "--json", &invoice.request])?;
    ensure!(said.contains("invoice is already paid"), "it said: {said}");
    Ok(())
}

fn list_invoices(seller: &Lncli, invoice: &Added, preimage: &str) -> Result<()> {
    let list = seller.json(&["listinvoices", "--max_invoices=1"])?;
    list.expect("invoices/0/r_hash", invoice.hash.as_str())?;
    list.expect("invoices/0/r_preimage", preimage)?;
    list.expect("invoices/0/state", "SETTLED")?;
    list.expect("invoices/0/memo", MEMO)?;
    list.expect("invoices/0/amt_paid_sat", AMOUNT_SAT.to_string())
}

fn list_payments(buyer: &Lncli, invoice: &Added, preimage: &str) -> Result<()> {
    let list = buyer.json(&["listpayments", "--include_incomplete", "--max_payments=1"])?;
    expect_payment(&list, "payments/0/", invoice)?;
    list.expect("payments/0/payment_preimage", preimage)
}

fn expect_payment(answer: &Answer, at: &str, invoice: &Added) -> Result<()> {
    answer.expect(&format!("{at}payment_hash"), invoice.hash.as_str())?;
    answer.expect(&format!("{at}status"), "SUCCEEDED")?;
    answer.expect(&format!("{at}value_sat"), AMOUNT_SAT.to_string())
}
