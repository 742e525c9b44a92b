//! Stored tokens: what the paying client of this user has bought.
//!
//! A token is named by the beginning of its payment hash, the same hash that
//! `tollway purchases list` shows, or by the URL that it was bought for. Only `show` prints a
//! credential.

use l402::UnixSeconds;
use serde_json::{Value, json};
use tollway_client::RefusalReason;
use tollway_client::book::{Refusal, StoredCredential};

use super::facts::Facts;
use super::id::{StoredTokens, authorization};
use super::inspect;
use super::presented::Presented;
use crate::cli::{RemoveTokenArgs, ShowTokenArgs};
use crate::exit::Failure;
use crate::moment;
use crate::output::{self, Output};
use crate::table::{Heading, Table, in_sat};

/// Lists what was bought, oldest first.
pub(super) fn list(output: Output) -> Result<(), Failure> {
    let stored = StoredTokens::open()?;
    let mut table = Table::new([
        Heading::Left("ID"),
        Heading::Left("STATE"),
        Heading::Left("URL"),
        Heading::Left("SERVICE"),
        Heading::Right("PRICE"),
        Heading::Right("USES AT MOST"),
        Heading::Left("EXPIRES"),
    ]);
    let mut shown = Vec::new();
    for token in &stored.tokens {
        let description = Description::of(&stored, token)?;
        table.row(description.cells());
        if let Some(note) = description.note() {
            table.note(&note);
        }
        shown.push(description.to_json());
    }
    let text =
        table.or("no stored tokens: `tollway get URL` buys one where a payment is asked for");
    output.line(&text, &json!({ "tokens": shown }))
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
    let description = Description::of(&stored, token)?;
    let mut lines = description.lines();
    let already = |name: &str| lines.iter().any(|(known, _)| known == name);
    let more: Vec<_> = report
        .lines
        .into_iter()
        .filter(|(name, _)| !already(name))
        .collect();
    lines.extend(more);
    let mut json = description.to_json();
    if let Some(object) = json.as_object_mut() {
        object.insert("authorization".to_owned(), Value::from(authorization));
    }
    output.report(&lines, &json)?;
    if output == Output::Human {
        output::print(&header)?;
    }
    Ok(())
}

/// Removes tokens, all that are named or none. What they cost still counts against the limits.
pub(super) fn remove(args: &RemoveTokenArgs, output: Output) -> Result<(), Failure> {
    let stored = StoredTokens::open()?;
    let named: Result<Vec<_>, Failure> = args.ids.iter().map(|id| stored.find(id)).collect();
    let tokens = if args.unusable {
        stored.tokens.iter().collect()
    } else {
        named?
    };
    let (mut lines, mut removed) = (Vec::new(), Vec::new());
    for token in tokens {
        let description = Description::of(&stored, token)?;
        if args.unusable && description.state == State::Usable {
            continue;
        }
        let forgotten = stored.book.forget(&token.payment_hash());
        forgotten.map_err(Failure::caused)?;
        lines.push(format!("removed {} {}", description.id, description.url()));
        removed.push(description.to_json());
    }
    if lines.is_empty() {
        lines.push("every stored token is usable: nothing was removed".to_owned());
    }
    output.line(&lines.join("\n"), &json!({ "removed": removed }))
}

/// A stored token without what makes it usable.
struct Description<'a> {
    token: &'a StoredCredential,
    id: String,
    state: State,
    facts: Facts,
    /// Where it was bought, or everywhere.
    refusal: Option<Refusal>,
}

#[derive(Clone, Copy, Debug, Eq, PartialEq)]
enum State {
    Exhausted,
    Expired,
    Refused,
    Revoked,
    Usable,
}

impl State {
    const fn name(self) -> &'static str {
        match self {
            Self::Exhausted => "exhausted",
            Self::Expired => "expired",
            Self::Refused => "refused",
            Self::Revoked => "revoked",
            Self::Usable => "usable",
        }
    }
}

impl<'a> Description<'a> {
    fn of(stored: &StoredTokens, token: &'a StoredCredential) -> Result<Self, Failure> {
        let facts = Presented::read(&authorization(token))
            .map(|presented| Facts::of(presented.macaroon()))
            .unwrap_or_default();
        let refusal = stored.book.refusal(token).map_err(Failure::caused)?;
        let refusal = refusal.filter(|refusal| stored.now < refusal.until);
        let state = match refusal.as_ref().map(|refusal| &refusal.reason) {
            _ if token.is_expired(stored.now) => State::Expired,
            None => State::Usable,
            Some(RefusalReason::Exhausted) => State::Exhausted,
            Some(RefusalReason::Expired) => State::Expired,
            Some(RefusalReason::Revoked) => State::Revoked,
            Some(_) => State::Refused,
        };
        Ok(Self {
            id: stored.id(token),
            token,
            state,
            facts,
            refusal,
        })
    }

    fn url(&self) -> String {
        let resource = &self.token.resource;
        format!("{}{}", resource.origin, resource.path)
    }

    fn uses(&self) -> String {
        let uses = self.facts.uses_max;
        uses.map_or_else(|| "any".to_owned(), |uses| uses.to_string())
    }

    fn expiry(&self) -> String {
        let deadline = self.token.token.deadline();
        deadline.map_or_else(|| "never".to_owned(), moment::show)
    }

    fn cells(&self) -> [String; 7] {
        [
            self.id.clone(),
            self.state.name().to_owned(),
            self.url(),
            self.facts.services.join(", "),
            in_sat(self.token.price),
            self.uses(),
            self.expiry(),
        ]
    }

    /// Returns what a refusal means.
    fn note(&self) -> Option<String> {
        let refusal = self.refusal.as_ref()?;
        match self.state {
            State::Exhausted | State::Expired | State::Revoked | State::Usable => None,
            State::Refused => Some(format!(
                "refused here ({}): it is tried here again from {}",
                refusal.reason,
                moment::show(refusal.until)
            )),
        }
    }

    /// Returns when it is tried again where it was bought.
    fn retry_at(&self) -> Option<UnixSeconds> {
        let refusal = self.refusal.as_ref();
        let refusal = refusal.filter(|_| self.state == State::Refused);
        refusal.map(|refusal| refusal.until)
    }

    fn lines(&self) -> Vec<(String, String)> {
        let token = self.token;
        let (price, fee) = (token.price, token.fee);
        let mut lines = vec![
            ("id", self.id.clone()),
            ("state", self.state.name().to_owned()),
            (
                "bought with",
                format!("{} {}", token.resource.method, self.url()),
            ),
            ("bought at", moment::show(token.bought_at)),
            ("paid", format!("{price}, fee {fee}")),
        ];
        lines.extend(self.note().map(|note| ("note", note)));
        let lines = lines.into_iter();
        lines.map(|(name, text)| (name.to_owned(), text)).collect()
    }

    fn to_json(&self) -> Value {
        let token = self.token;
        json!({
            "id": self.id,
            "payment_hash": token.payment_hash().to_string(),
            "state": self.state.name(),
            "reason": self.refusal.as_ref().map(|refusal| refusal.reason.to_string()),
            "retry_at": self.retry_at().map(UnixSeconds::as_secs),
            "origin": token.resource.origin.to_string(),
            "path": token.resource.path,
            "method": token.resource.method,
            "services": self.facts.services,
            "expires_at": token.token.deadline().map(UnixSeconds::as_secs),
            "max_uses": self.facts.uses_max,
            "caveats": self.facts.caveats,
            "price_msat": token.price.as_msat(),
            "fee_msat": token.fee.as_msat(),
            "bought_at": token.bought_at.as_secs(),
        })
    }
}
