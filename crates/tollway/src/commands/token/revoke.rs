//! `tollway token revoke`: makes a token, or every token minted before a moment, invalid.
//!
//! Writes to the ledger of a data directory. Running gateways on it refuse the token within
//! a second.

use std::path::Path;

use l402::{Identifier, PaymentHash, TokenId};
use serde_json::json;
use tollway_server::DataDir;
use tollway_server::keys::file::{KeyFile, KeySummary};
use tollway_server::ledger::{Revocation, Revocations as _};

use super::id;
use super::presented::Presented;
use crate::cli::RevokeArgs;
use crate::exit::Failure;
use crate::moment;
use crate::output::Output;
use crate::paths::Dirs;

/// Revokes for good.
pub(super) async fn run(args: &RevokeArgs, output: Output) -> Result<(), Failure> {
    let revocation = revocation(args)?;
    let dir = match &args.data_dir {
        Some(dir) => dir.clone(),
        None => Dirs::from_env()?.gateway(),
    };
    let file = DataDir::ledger_file(&dir);
    if !file.exists() {
        return Err(Failure::usage(format!(
            "{}: no ledger there: name the gateway's directory with --data-dir",
            file.display()
        )));
    }
    if let Revocation::Token(token) = revocation {
        check_minted(token, &DataDir::key_file(&dir))?;
    }
    let ledger = DataDir::open_ledger(&dir).map_err(Failure::caused)?;
    ledger.revoke(revocation).await.map_err(Failure::caused)?;
    match revocation {
        Revocation::Token(token) => output.line(
            &format!("revoked {token}"),
            &json!({ "revoked": { "token_id": token.to_string() } }),
        ),
        Revocation::MintedBefore(moment) => output.line(
            &format!("revoked every token minted before {}", moment::show(moment)),
            &json!({ "revoked": { "minted_before": moment.as_secs() } }),
        ),
    }
}

fn revocation(args: &RevokeArgs) -> Result<Revocation, Failure> {
    match (&args.token, args.minted_before) {
        (Some(text), None) => token_id(text).map(Revocation::Token),
        (None, Some(moment)) if moment > moment::now()? => Err(Failure::usage(format!(
            "{} is in the future, and no token sold until then could be used: name a moment of \
             the past",
            moment::show(moment)
        ))),
        (None, Some(moment)) => Ok(Revocation::MintedBefore(moment)),
        (None, None) | (Some(_), Some(_)) => {
            Err(Failure::usage("give a token, or --minted-before MOMENT"))
        }
    }
}

/// Refuses a token that no key of this gateway minted: it buys nothing here in any case.
fn check_minted(token: TokenId, key_file: &Path) -> Result<(), Failure> {
    // Revoking does not depend on the keys.
    let Ok(keys) = KeyFile::read(key_file) else {
        return Ok(());
    };
    let id = token.to_string();
    let minted = |key: &KeySummary| id.starts_with(&key.id.to_string());
    if keys.summaries().iter().any(minted) {
        return Ok(());
    }
    Err(Failure::usage(format!(
        "no key in {} minted the token {id}: name its gateway's directory with --data-dir",
        key_file.display()
    )))
}

/// Reads a token id, or the id out of a token, a credential or a challenge.
fn token_id(text: &str) -> Result<TokenId, Failure> {
    // A token id has the form of a hash, as the whole ID of a stored token has.
    if let Ok(bytes) = text.trim().parse::<PaymentHash>()
        && !id::is_stored(text)
    {
        return Ok(TokenId::new(*bytes.as_bytes()));
    }
    let presented = Presented::read(text)?;
    let identifier =
        Identifier::parse(presented.macaroon().identifier()).map_err(Failure::usage)?;
    Ok(identifier.token_id)
}
