//! `tollway purchases`: shows what was bought, and ends purchases that nothing can look up.
//!
//! An open purchase may have been paid. The wallet that paid it is asked by the next
//! `tollway get` of the same URL; only when that wallet is gone must a person decide.

use l402::{Preimage, PurchaseState};
use serde_json::{Value, json};
use tollway_client::Book;
use tollway_client::book::{Owner, Purchase, Resolution};

use crate::cli::{ListPurchasesArgs, PurchasesCommand, ResolveArgs};
use crate::exit::Failure;
use crate::output::Output;
use crate::paths::Dirs;

/// Runs one of the purchase commands.
pub(crate) fn run(command: &PurchasesCommand, dirs: &Dirs, output: Output) -> Result<(), Failure> {
    let book = Book::open(&dirs.client());
    match command {
        PurchasesCommand::List(args) => list(args, &book, output),
        PurchasesCommand::Resolve(args) => resolve(args, &book, output),
    }
}

fn list(args: &ListPurchasesArgs, book: &Book, output: Output) -> Result<(), Failure> {
    let open = book.open_purchases().map_err(Failure::general)?;
    let mut shown: Vec<Value> = Vec::new();
    if args.all {
        let all = book.purchases().map_err(Failure::general)?;
        let ended = all.iter().filter(|purchase| !purchase.state.is_open());
        shown.extend(ended.map(|purchase| show(purchase, None)));
    }
    shown.extend(
        open.iter()
            .map(|(purchase, owner)| show(purchase, Some(*owner))),
    );
    output.list(&shown, "no open purchases", to_line, "purchases")
}

fn show(purchase: &Purchase, owner: Option<Owner>) -> Value {
    let hash = purchase.payment_hash().to_string();
    let advice = match owner {
        None => None,
        Some(Owner::Working) => Some("a running process is waiting for the wallet".to_owned()),
        Some(Owner::Gone) => Some(format!(
            "get the URL again with {} to look it up, or, if that wallet is gone: tollway purchases resolve {hash} --not-paid",
            wallet(purchase.wallet_name.as_str())
        )),
    };
    json!({
        "payment_hash": hash,
        "state": state(&purchase.state),
        "price_msat": purchase.payable.price().as_msat(),
        "origin": purchase.resource.origin.to_string(),
        "path": purchase.resource.path,
        "wallet": purchase.wallet_name.as_str(),
        "begun_at": purchase.begun_at.as_secs(),
        "reason": purchase.reason,
        "advice": advice,
    })
}

/// Returns how a wallet is named on the command line. Only a sandbox's is named as it is shown:
/// what else names a wallet is a secret.
fn wallet(name: &str) -> String {
    if name.starts_with("sandbox:") {
        format!("--wallet {name}")
    } else {
        format!("the wallet {name} (--wallet takes its URI, or its name in [wallets])")
    }
}

const fn state(state: &PurchaseState) -> &'static str {
    match state {
        PurchaseState::Failed => "failed",
        PurchaseState::Offered => "offered",
        PurchaseState::Paid { .. } => "paid",
        PurchaseState::Paying | PurchaseState::Reserved | PurchaseState::Unknown => "unknown",
    }
}

fn to_line(shown: &Value) -> String {
    let text = |name: &str| shown[name].as_str().unwrap_or_default().to_owned();
    let mut line = format!(
        "{}  {:<7}  {:>9} msat  {}{}",
        text("payment_hash"),
        text("state"),
        shown["price_msat"],
        text("origin"),
        text("path"),
    );
    for name in ["reason", "advice"] {
        if !text(name).is_empty() {
            line.push_str(&format!("\n    {}", text(name)));
        }
    }
    line
}

fn resolve(args: &ResolveArgs, book: &Book, output: Output) -> Result<(), Failure> {
    let resolution = match &args.paid {
        Some(preimage) => Resolution::Paid {
            preimage: Preimage::from_hex(preimage.trim())
                .map_err(|error| Failure::usage(format!("the preimage is {error}")))?,
            fee: args.fee,
        },
        None => Resolution::NotPaid,
    };
    let purchase = book
        .resolve(&args.payment_hash, resolution)
        .map_err(Failure::general)?;
    let shown = show(&purchase, None);
    output.line(&to_line(&shown), &shown)
}
