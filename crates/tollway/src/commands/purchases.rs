//! `tollway purchases`: shows what was bought, and ends purchases that nothing can look up.
//!
//! An open purchase may have been paid. The wallet that paid it is asked by the next
//! `tollway get` of the same URL; only when that wallet is gone must a person decide.

use l402::{Msat, PaymentHash, Preimage, PurchaseState};
use serde_json::{Value, json};
use tollway_client::Book;
use tollway_client::book::{Owner, Purchase, Resolution};

use crate::cli::{ListPurchasesArgs, PurchasesCommand, ResolveArgs};
use crate::exit::Failure;
use crate::moment;
use crate::output::Output;
use crate::paths::Dirs;
use crate::table::{Heading, Table, in_sat};

/// Runs one of the purchase commands.
pub(crate) fn run(command: &PurchasesCommand, dirs: &Dirs, output: Output) -> Result<(), Failure> {
    let book = Book::open_to_report(&dirs.client());
    match command {
        PurchasesCommand::List(args) => list(args, &book, output),
        PurchasesCommand::Resolve(args) => resolve(args, &book, output),
    }
}

fn list(args: &ListPurchasesArgs, book: &Book, output: Output) -> Result<(), Failure> {
    let open = book.open_purchases().map_err(Failure::caused)?;
    let ended = if args.all {
        book.purchases().map_err(Failure::caused)?
    } else {
        Vec::new()
    };
    let ended = ended.iter().filter(|purchase| !purchase.state.is_open());
    let listed: Vec<(&Purchase, Option<Owner>)> = ended
        .map(|purchase| (purchase, None))
        .chain(
            open.iter()
                .map(|(purchase, owner)| (purchase, Some(*owner))),
        )
        .collect();
    let shown: Vec<Value> = listed
        .iter()
        .map(|(purchase, owner)| show(purchase, *owner))
        .collect();
    let text = table(&listed).or(if args.all {
        "nothing was bought yet: `tollway get URL` buys what asks for a payment"
    } else {
        "no open purchases: --all lists the ended ones as well"
    });
    output.line(&text, &json!({ "purchases": shown }))
}

fn table(purchases: &[(&Purchase, Option<Owner>)]) -> Table<6> {
    let mut table = Table::new([
        Heading::Left("BEGUN AT"),
        Heading::Left("STATE"),
        Heading::Right("PRICE"),
        Heading::Right("FEE"),
        Heading::Left("WALLET"),
        Heading::Left("URL"),
    ]);
    for (purchase, owner) in purchases {
        let resource = &purchase.resource;
        table.row([
            moment::show(purchase.begun_at),
            state(&purchase.state).to_owned(),
            in_sat(purchase.payable.price()),
            fee(purchase).map(in_sat).unwrap_or_default(),
            purchase.wallet_name.as_str().to_owned(),
            format!("{}{}", resource.origin, resource.path),
        ]);
        table.note(&format!("payment hash {}", purchase.payment_hash()));
        if !purchase.reason.is_empty() {
            table.note(&purchase.reason);
        }
        if let Some(advice) = advice(purchase, *owner) {
            table.note(&advice);
        }
    }
    table
}

fn show(purchase: &Purchase, owner: Option<Owner>) -> Value {
    json!({
        "payment_hash": purchase.payment_hash().to_string(),
        "state": state(&purchase.state),
        "price_msat": purchase.payable.price().as_msat(),
        "fee_msat": fee(purchase).map(Msat::as_msat),
        "origin": purchase.resource.origin.to_string(),
        "path": purchase.resource.path,
        "wallet": purchase.wallet_name.as_str(),
        "begun_at": purchase.begun_at.as_secs(),
        "reason": purchase.reason,
        "advice": advice(purchase, owner),
    })
}

/// Returns the routing fee of a purchase that was paid.
const fn fee(purchase: &Purchase) -> Option<Msat> {
    match purchase.state {
        PurchaseState::Paid { fee, .. } => Some(fee),
        PurchaseState::Failed
        | PurchaseState::Offered
        | PurchaseState::Paying
        | PurchaseState::Reserved
        | PurchaseState::Unknown => None,
    }
}

/// Returns what to do about a purchase that is open.
fn advice(purchase: &Purchase, owner: Option<Owner>) -> Option<String> {
    match owner? {
        Owner::Working => Some("a running process is waiting for the wallet".to_owned()),
        Owner::Gone => Some(format!(
            "get the URL again with {} to look it up, or, if that wallet is gone: tollway purchases resolve {} --not-paid",
            wallet(purchase.wallet_name.as_str()),
            purchase.payment_hash()
        )),
    }
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

fn resolve(args: &ResolveArgs, book: &Book, output: Output) -> Result<(), Failure> {
    let resolution = match &args.paid {
        Some(preimage) => Resolution::Paid {
            preimage: Preimage::from_hex(preimage.trim())
                .map_err(|error| Failure::usage(format!("the preimage is {error}")))?,
            fee: args.fee,
        },
        None => Resolution::NotPaid,
    };
    let hash = find(&args.payment_hash, book)?;
    let purchase = book.resolve(&hash, resolution).map_err(Failure::caused)?;
    let text = table(&[(&purchase, None)]).to_string();
    output.line(&text, &show(&purchase, None))
}

/// Returns the payment hash of the one purchase that `name` is the beginning of.
fn find(name: &str, book: &Book) -> Result<PaymentHash, Failure> {
    let purchases = book.purchases().map_err(Failure::caused)?;
    let hashes = purchases.iter().map(Purchase::payment_hash);
    let found: Vec<PaymentHash> = hashes
        .filter(|hash| hash.to_string().starts_with(name))
        .collect();
    // A preimage looks like a hash and is a secret.
    let shown: String = name.chars().take(SHOWN_LEN).collect();
    match found.as_slice() {
        [hash] => Ok(*hash),
        [] => Err(Failure::usage(format!(
            "no purchase has a payment hash that begins with `{shown}`: `tollway purchases list` \
             shows the open ones"
        ))),
        several => {
            let hashes: Vec<String> = several.iter().map(PaymentHash::to_string).collect();
            let hashes = hashes.join(", ");
            Err(Failure::usage(format!("`{shown}` is ambiguous: {hashes}")))
        }
    }
}

const SHOWN_LEN: usize = 8;
