//! Stored tokens: what the paying client of this user has bought.
//!
//! A token is named by the beginning of its payment hash, the same hash that
//! `tollway purchases list` shows. Only `show` prints a credential.

use l402::UnixSeconds;
use serde_json::{Value, json};
use tollway_client::book::StoredCredential;

use super::facts::Facts;
use super::id::{StoredTokens, authorization};
use super::inspect;
use super::presented::Presented;
use crate::cli::{ShowTokenArgs, StoredTokenArgs};
use crate::exit::Failure;
use crate::moment;
use crate::output::{self, Output};

/// Lists what can be presented, oldest first.
pub(super) fn list(output: Output) -> Result<(), Failure> {
    let stored = StoredTokens::open()?;
    let shown: Result<Vec<Value>, Failure> = stored
        .tokens
        .iter()
        .map(|token| describe(&stored, token))
        .collect();
    output.list(&shown?, "no stored tokens", to_line, "tokens")
}

/// Prints one token with its credential.
pub(super) fn show(args: &ShowTokenArgs, output: Output) -> Result<(), Failure> {
    let stored = StoredTokens::open()?;
    let token = stored.find(&args.id)?;
    let authorization = authorization(token);
    let header = format!("Authorization: {authorization}");
    if args.header {
        return output.line(&header, &json!({ "authorization": authorization }));
    }
    let report = inspect::report(&Presented::read(&authorization)?);
    let mut json = describe(&stored, token)?;
    let mut lines = Vec::new();
    for name in ["id", "state", "origin", "path", "method"] {
        let text = json.get(name).and_then(Value::as_str).unwrap_or_default();
        lines.push((name.to_owned(), text.to_owned()));
    }
    let (price, fee) = (token.price, token.fee);
    lines.push(("paid".to_owned(), format!("{price}, fee {fee}")));
    lines.push(("bought at".to_owned(), moment::show(token.bought_at)));
    let already = |name: &str| lines.iter().any(|(known, _)| known == name);
    let more: Vec<_> = report
        .lines
        .into_iter()
        .filter(|(name, _)| !already(name))
        .collect();
    lines.extend(more);
    if let Some(object) = json.as_object_mut() {
        object.insert("authorization".to_owned(), Value::from(authorization));
    }
    output.report(&lines, &json)?;
    if output == Output::Human {
        output::print(&header)?;
    }
    Ok(())
}

/// Removes one token. What it cost still counts against the limits.
pub(super) fn remove(args: &StoredTokenArgs, output: Output) -> Result<(), Failure> {
    let stored = StoredTokens::open()?;
    let token = stored.find(&args.id)?;
    let mut shown = describe(&stored, token)?;
    let forgotten = stored.book.forget(&token.payment_hash());
    if !forgotten.map_err(Failure::general)? {
        return Err(Failure::usage(format!(
            "token `{}` is gone already",
            args.id
        )));
    }
    if let Some(object) = shown.as_object_mut() {
        object.insert("state".to_owned(), Value::from("removed"));
    }
    output.line(&to_line(&shown), &shown)
}

/// Describes a token, without what makes it usable.
fn describe(stored: &StoredTokens, token: &StoredCredential) -> Result<Value, Failure> {
    let facts = Presented::read(&authorization(token))
        .map(|presented| Facts::of(presented.macaroon()))
        .unwrap_or_default();
    let refusal = stored.book.refusal(token).map_err(Failure::general)?;
    let refusal = refusal.filter(|refusal| stored.now < refusal.until);
    let state = if token.is_expired(stored.now) {
        "expired"
    } else if refusal.is_some() {
        "refused"
    } else {
        "usable"
    };
    Ok(json!({
        "id": stored.id(token),
        "payment_hash": token.payment_hash().to_string(),
        "state": state,
        "retry_at": refusal.map(|refusal| refusal.until.as_secs()),
        "origin": token.resource.origin.to_string(),
        "path": token.resource.path,
        "method": token.resource.method,
        "services": facts.services,
        "expires_at": token.token.deadline().map(UnixSeconds::as_secs),
        "max_uses": facts.uses_max,
        "caveats": facts.caveats,
        "price_msat": token.price.as_msat(),
        "fee_msat": token.fee.as_msat(),
        "bought_at": token.bought_at.as_secs(),
    }))
}

fn to_line(shown: &Value) -> String {
    let text = |name: &str| shown.get(name).and_then(Value::as_str).unwrap_or_default();
    let number = |name: &str| shown.get(name).and_then(Value::as_u64);
    let mut line = format!(
        "{}  {:<7}  {}{}",
        text("id"),
        text("state"),
        text("origin"),
        text("path")
    );
    let services: Vec<&str> = shown
        .get("services")
        .and_then(Value::as_array)
        .into_iter()
        .flatten()
        .filter_map(Value::as_str)
        .collect();
    if !services.is_empty() {
        let services = services.join(", ");
        line.push_str(&format!("  service {}", services.escape_debug()));
    }
    if let Some(moment) = number("expires_at") {
        let moment = moment::show(UnixSeconds::new(moment));
        line.push_str(&format!(", expires {moment}"));
    }
    match number("max_uses") {
        Some(1) => line.push_str(", 1 use"),
        Some(uses) => line.push_str(&format!(", {uses} uses")),
        None => {}
    }
    line
}
