//! `tollway token revoke`: makes a token, or every token minted before a moment, invalid.
//!
//! Writes to the ledger of a data directory. Running gateways on it refuse the token within
//! a second. What an earlier revocation covers is not revoked again.

use std::path::{Path, PathBuf};

use l402::{Identifier, PaymentHash, RevocationSet, RootKeys as _, TokenId, UnixSeconds};
use serde_json::{Value, json};
use tollway_server::DataDir;
use tollway_server::keys::file::{KeyFile, KeySummary};
use tollway_server::ledger::{
    LedgerReader, Period, Reports as _, Revocation, Revocations as _, TokenRecord,
};

use super::id;
use super::presented::Presented;
use crate::cli::RevokeArgs;
use crate::exit::Failure;
use crate::moment;
use crate::output::Output;
use crate::paths::Dirs;

/// Revokes for good, or lists what is revoked.
pub(super) async fn run(args: &RevokeArgs, output: Output) -> Result<(), Failure> {
    let dir = data_dir(args.data_dir.as_ref())?;
    let ledger = DataDir::open_reports(&dir).map_err(Failure::caused)?;
    let ledger = ledger.ok_or_else(|| {
        Failure::usage(format!(
            "{}: no ledger there: name the gateway's directory with --data-dir",
            DataDir::ledger_file(&dir).display()
        ))
    })?;
    if args.list {
        return list(&ledger, output).await;
    }
    let revocation = revocation(args, &ledger).await?;
    // Revoking does not depend on the keys.
    let keys = KeyFile::read(&DataDir::key_file(&dir)).ok();
    if let (Revocation::Token(token), Some(keys)) = (revocation, &keys) {
        check_minted(token, keys, &dir)?;
    }
    let revoked = revoked_by(&ledger)?;
    if let Some(text) = covered(revocation, &revoked, keys.as_ref()) {
        return print(&format!("nothing new: {text}"), revocation, false, output);
    }
    drop(ledger);
    let ledger = DataDir::open_ledger(&dir).map_err(Failure::caused)?;
    ledger.revoke(revocation).await.map_err(Failure::caused)?;
    let text = match revocation {
        Revocation::Token(token) => format!("revoked {token}"),
        Revocation::MintedBefore(moment) => {
            format!("revoked every token minted before {}", moment::show(moment))
        }
    };
    print(&text, revocation, true, output)
}

/// Returns the directory of the gateway that is meant.
pub(super) fn data_dir(named: Option<&PathBuf>) -> Result<PathBuf, Failure> {
    match named {
        Some(dir) => Ok(dir.clone()),
        None => Ok(Dirs::from_env()?.gateway()),
    }
}

/// Returns everything that is revoked.
pub(in crate::commands) fn revoked_by(ledger: &LedgerReader) -> Result<RevocationSet, Failure> {
    let mut revoked = RevocationSet::default();
    for revocation in ledger.revocations().map_err(Failure::caused)? {
        match revocation {
            Revocation::MintedBefore(moment) => revoked.revoke_minted_before(moment),
            Revocation::Token(token) => revoked.revoke(token),
        }
    }
    Ok(revoked)
}

fn print(text: &str, revocation: Revocation, new: bool, output: Output) -> Result<(), Failure> {
    let revoked = match revocation {
        Revocation::Token(token) => json!({ "token_id": token.to_string() }),
        Revocation::MintedBefore(moment) => json!({ "minted_before": moment.as_secs() }),
    };
    output.line(text, &json!({ "revoked": revoked, "new": new }))
}

/// Lists what is revoked. Of the moments, the latest counts.
async fn list(ledger: &LedgerReader, output: Output) -> Result<(), Failure> {
    let revoked = revoked_by(ledger)?;
    let moment = revoked.minted_before().map(UnixSeconds::as_secs);
    let mut items: Vec<Value> = moment
        .map(|moment| json!({ "minted_before": moment }))
        .into_iter()
        .collect();
    for token in revoked.tokens() {
        let record = ledger.token(*token).await.map_err(Failure::caused)?;
        let hash = record.map(|record| record.payment_hash.to_string());
        items.push(json!({ "token_id": token.to_string(), "payment_hash": hash }));
    }
    let lines: Vec<String> = items.iter().map(to_line).collect();
    let text = if lines.is_empty() {
        "nothing is revoked".to_owned()
    } else {
        lines.join("\n")
    };
    output.line(&text, &json!({ "revocations": items }))
}

fn to_line(item: &Value) -> String {
    let text = |name: &str| item.get(name).and_then(Value::as_str);
    if let Some(moment) = item.get("minted_before").and_then(Value::as_u64) {
        let moment = moment::show(UnixSeconds::new(moment));
        return format!("every token minted before {moment}");
    }
    let token = text("token_id").unwrap_or_default();
    let paid = text("payment_hash").and_then(|hash| hash.get(..ID_LEN));
    match paid {
        Some(id) => format!("token {token}, sold as {id}"),
        None => format!("token {token}, never used"),
    }
}

async fn revocation(args: &RevokeArgs, ledger: &LedgerReader) -> Result<Revocation, Failure> {
    let now = moment::now()?;
    match (&args.token, args.minted_before, args.all) {
        (Some(text), None, false) => Ok(Revocation::Token(token_id(text, ledger).await?)),
        (None, Some(moment), false) if moment > now => Err(Failure::usage(format!(
            "{} is in the future, and no token sold until then could be used: name a moment of \
             the past, or `now`",
            moment::show(moment)
        ))),
        (None, Some(moment), false) => Ok(Revocation::MintedBefore(moment)),
        // Those of this second are minted before the next one.
        (None, None, true) => Ok(Revocation::MintedBefore(now.plus_secs(1))),
        _ => Err(Failure::usage(
            "give a token, --minted-before MOMENT, --all or --list",
        )),
    }
}

/// Returns what is revoked already, in words.
fn covered(
    revocation: Revocation,
    revoked: &RevocationSet,
    keys: Option<&KeyFile>,
) -> Option<String> {
    let before = revoked.minted_before();
    let of_before = |moment| {
        let moment = moment::show(moment);
        format!("every token minted before {moment} is revoked already")
    };
    match revocation {
        Revocation::MintedBefore(moment) => {
            before.filter(|before| *before >= moment).map(of_before)
        }
        Revocation::Token(token) => {
            let minted_at = keys
                .and_then(|keys| keys.ring().ok())
                .and_then(|ring| ring.minted_at(&token));
            if revoked.tokens().any(|revoked| *revoked == token) {
                Some(format!("{token} is revoked already"))
            } else if revoked.is_revoked(&token, minted_at) {
                before.map(of_before)
            } else {
                None
            }
        }
    }
}

/// Refuses a token that no key of this gateway minted: it buys nothing here in any case.
fn check_minted(token: TokenId, keys: &KeyFile, dir: &Path) -> Result<(), Failure> {
    let id = token.to_string();
    let minted = |key: &KeySummary| id.starts_with(&key.id.to_string());
    if keys.summaries().iter().any(minted) {
        return Ok(());
    }
    // It may be a preimage that was taken for an id.
    let start = id.get(..ID_LEN).unwrap_or_default();
    Err(Failure::usage(format!(
        "no key in {} minted the token {start}…: name its gateway's directory with --data-dir",
        DataDir::key_file(dir).display()
    )))
}

/// Reads a token id, the ID of a token that was sold or is stored, or the id out of a token, a
/// credential or a challenge.
async fn token_id(text: &str, ledger: &LedgerReader) -> Result<TokenId, Failure> {
    let text = text.trim();
    if id::is_id(text)
        && let Some(token) = sold(text, ledger).await?
    {
        return Ok(token);
    }
    // A token id has the form of a hash, as the whole ID of a stored token has.
    if let Ok(bytes) = text.parse::<PaymentHash>()
        && !id::is_stored(text)
    {
        return Ok(TokenId::new(*bytes.as_bytes()));
    }
    let presented = Presented::read_or(text, WHAT_TO_REVOKE).map_err(|failure| {
        if id::is_id(text) {
            let shown = text.get(..ID_LEN).unwrap_or(text);
            return Failure::usage(format!(
                "no token `{shown}` was used here or is stored: `tollway sales --tokens` shows the IDs of those that were used, and any is revoked by its text"
            ));
        }
        failure
    })?;
    let identifier =
        Identifier::parse(presented.macaroon().identifier()).map_err(Failure::usage)?;
    Ok(identifier.token_id)
}

/// Returns the token that was bought with the payment whose hash begins with `id`, if it was
/// ever used.
async fn sold(id: &str, ledger: &LedgerReader) -> Result<Option<TokenId>, Failure> {
    let start = id.to_ascii_lowercase();
    let tokens = ledger.tokens(Period::AllTime, usize::MAX).await;
    let tokens = tokens.map_err(Failure::caused)?;
    let is_meant = |record: &&TokenRecord| record.payment_hash.to_string().starts_with(&start);
    let found: Vec<&TokenRecord> = tokens.iter().filter(is_meant).collect();
    match found.as_slice() {
        [] => Ok(None),
        [record] => Ok(Some(record.token)),
        several => {
            let ids: Vec<String> = several
                .iter()
                .take(AMBIGUOUS_SHOWN)
                .map(|record| record.payment_hash.to_string())
                .collect();
            let ids = ids.join(", ");
            Err(Failure::usage(format!("`{start}` is ambiguous: {ids}")))
        }
    }
}

const WHAT_TO_REVOKE: &str = "give an ID or a payment hash that `tollway sales --tokens` shows, or its beginning, a token id, a token, or --all or --minted-before MOMENT for many";
const ID_LEN: usize = 8;
const AMBIGUOUS_SHOWN: usize = 5;
