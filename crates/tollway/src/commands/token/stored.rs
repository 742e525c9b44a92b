//! Stored tokens: what the paying client of this user has bought.
//!
//! A token is named by the beginning of its payment hash, the same hash that
//! `tollway purchases list` shows. Only `show` prints a credential.

use l402::UnixSeconds;
use serde_json::{Value, json};
use tollway_client::Book;
use tollway_client::book::StoredCredential;

use super::facts::Facts;
use super::inspect;
use super::presented::Presented;
use crate::cli::{ShowTokenArgs, StoredTokenArgs};
use crate::exit::Failure;
use crate::moment;
use crate::output::{self, Output};
use crate::paths::Dirs;

/// Lists what can be presented, oldest first.
pub(super) fn list(output: Output) -> Result<(), Failure> {
    let stored = StoredTokens::open()?;
    let shown: Result<Vec<Value>, Failure> = stored
        .tokens
        .iter()
        .map(|token| stored.show(token))
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
    let mut json = stored.show(token)?;
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
    let mut shown = stored.show(token)?;
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

/// Returns the credential that an ID names, as an `Authorization` value.
pub(super) fn credential(id: &str) -> Result<String, Failure> {
    Ok(authorization(StoredTokens::open()?.find(id)?))
}

/// Returns true for what could be an ID. Tokens are longer than a payment hash, whatever
/// their encoding.
pub(super) fn is_id(text: &str) -> bool {
    (1..=HASH_LEN).contains(&text.len()) && text.bytes().all(|byte| byte.is_ascii_hexdigit())
}

/// Returns true when a token with exactly this payment hash is stored.
pub(super) fn is_stored(hash: &str) -> bool {
    StoredTokens::open().is_ok_and(|stored| stored.find(hash).is_ok())
}

/// The stored tokens of this user, and the moment by which they are judged.
struct StoredTokens {
    book: Book,
    tokens: Vec<StoredCredential>,
    now: UnixSeconds,
}

impl StoredTokens {
    fn open() -> Result<Self, Failure> {
        let book = Book::open(&Dirs::from_env()?.client());
        let tokens = book.credentials().map_err(Failure::general)?;
        Ok(Self {
            book,
            tokens,
            now: moment::now()?,
        })
    }

    /// Returns the one token whose payment hash begins with `id`.
    fn find(&self, id: &str) -> Result<&StoredCredential, Failure> {
        let wanted = id.trim().to_ascii_lowercase();
        // A preimage looks like an ID and is a secret.
        let shown = match wanted.get(..ID_LEN) {
            Some(start) if wanted.len() > ID_LEN => format!("{start}…"),
            Some(_) | None => wanted.clone(),
        };
        let matches = |token: &&StoredCredential| hash(token).starts_with(&wanted);
        let found: Vec<&StoredCredential> = self.tokens.iter().filter(matches).collect();
        match found.as_slice() {
            [token] => Ok(token),
            [] => Err(Failure::usage(format!(
                "no stored token `{shown}`: `tollway token list` shows the IDs"
            ))),
            several => {
                let ids: Vec<String> = several.iter().map(|token| self.id(token)).collect();
                let ids = ids.join(", ");
                Err(Failure::usage(format!("`{shown}` is ambiguous: {ids}")))
            }
        }
    }

    /// Returns the shortest beginning of the payment hash that names no other token, of 8
    /// digits or more.
    fn id(&self, token: &StoredCredential) -> String {
        let own = hash(token);
        let is_unique = |len: &usize| {
            let start = own.get(..*len).unwrap_or(&own);
            let named = |other: &&StoredCredential| hash(other).starts_with(start);
            self.tokens.iter().filter(named).count() <= 1
        };
        let len = (ID_LEN..HASH_LEN).find(is_unique).unwrap_or(HASH_LEN);
        own.get(..len).unwrap_or(&own).to_owned()
    }

    /// Describes a token, without what makes it usable.
    fn show(&self, token: &StoredCredential) -> Result<Value, Failure> {
        let facts = Presented::read(&authorization(token))
            .map(|presented| Facts::of(presented.macaroon()))
            .unwrap_or_default();
        let refusal = self.book.refusal(token).map_err(Failure::general)?;
        let refusal = refusal.filter(|refusal| self.now < refusal.until);
        let state = if token.is_expired(self.now) {
            "expired"
        } else if refusal.is_some() {
            "refused"
        } else {
            "usable"
        };
        Ok(json!({
            "id": self.id(token),
            "payment_hash": hash(token),
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

fn hash(token: &StoredCredential) -> String {
    token.payment_hash().to_string()
}

fn authorization(token: &StoredCredential) -> String {
    let value = token.authorization();
    let text = value.to_str().expect("it is made of visible ASCII");
    text.to_owned()
}

const ID_LEN: usize = 8;
const HASH_LEN: usize = 64;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_id_is_short_hexadecimal_and_no_token() {
        assert!(is_id("1") && is_id("12ab") && is_id(&"0".repeat(64)));
        for text in ["", "AgEE", &"0".repeat(66), "L402 abcd", "wxyz"] {
            assert!(!is_id(text), "{text}");
        }
    }
}
