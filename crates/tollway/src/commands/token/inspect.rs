//! `tollway token inspect`: the content of a token, in words.

use l402::{Challenge, Identifier, Invoice, Macaroon, Msat, PaymentHash, UnixSeconds};
use serde_json::{Value, json};

use super::facts::Facts;
use super::presented::{Given, Presented};
use crate::cli::InspectArgs;
use crate::exit::Failure;
use crate::moment;
use crate::output::Output;

/// Prints everything that can be read without a key. Nothing in it is verified.
pub(super) fn run(args: &InspectArgs, output: Output) -> Result<(), Failure> {
    let given = Given::read(&args.token)?;
    let report = match given.invoice() {
        Some(text) => Report::of_invoice(&Invoice::parse(text).map_err(Failure::usage)?),
        None => report(&Presented::of(&given)?),
    };
    output.report(&report.lines, &Value::Object(report.json))
}

/// Returns everything that can be read without a key.
pub(super) fn report(presented: &Presented) -> Report {
    let macaroon = presented.macaroon();
    let mut report = Report::of_macaroon(macaroon);
    let payment_hash = Identifier::parse(macaroon.identifier())
        .ok()
        .map(|identifier| identifier.payment_hash);
    match presented {
        Presented::Token(_) => report.add("form", "token", "a token without its payment"),
        Presented::Challenge { challenge, .. } => {
            report.add(
                "form",
                "challenge",
                "a challenge: pay the invoice to make the token valid",
            );
            report.add_invoice(challenge, payment_hash);
        }
        Presented::Credential { credential, .. } => {
            report.add(
                "form",
                "credential",
                "a credential: a token and its preimage, keep it secret",
            );
            let paid = payment_hash.is_some_and(|hash| credential.preimage().matches(&hash));
            let words = if paid {
                "yes, the preimage hashes to the payment hash"
            } else {
                "no, the preimage is for another payment"
            };
            report.add("paid", paid, words);
        }
    }
    report
}

/// The same facts twice: lines for people, JSON for programs.
#[derive(Default)]
pub(super) struct Report {
    pub(super) lines: Vec<(String, String)>,
    json: serde_json::Map<String, Value>,
}

impl Report {
    fn of_macaroon(macaroon: &Macaroon) -> Self {
        let mut report = Self::default();
        let location = String::from_utf8_lossy(macaroon.location());
        report.text("location", &location.escape_debug().to_string());
        match Identifier::parse(macaroon.identifier()) {
            Ok(identifier) => {
                report.add("version", 0, "0");
                report.text("payment_hash", &identifier.payment_hash.to_string());
                report.text("token_id", &identifier.token_id.to_string());
            }
            Err(error) => report.text("identifier", &format!("not an L402 identifier: {error}")),
        }
        let facts = Facts::of(macaroon);
        report.add_terms(&facts, l402::unverified_deadline(macaroon));
        let caveats = facts.caveats;
        let lines = caveats
            .iter()
            .map(|text| ("caveat".to_owned(), text.clone()));
        report.lines.extend(lines);
        report.json.insert("caveats".to_owned(), json!(caveats));
        report.add(
            "size",
            macaroon.as_bytes().len(),
            &format!("{} bytes", macaroon.as_bytes().len()),
        );
        report
    }

    /// The report of an invoice that comes without its token.
    fn of_invoice(invoice: &Invoice) -> Self {
        let mut report = Self::default();
        report.add("form", "invoice", "a BOLT 11 invoice, without a token");
        report.text("payment_hash", &invoice.payment_hash().to_string());
        report.add_price(invoice);
        report
    }

    /// What the caveats come to, in words. A seller's own conditions may mean more.
    fn add_terms(&mut self, facts: &Facts, deadline: Option<UnixSeconds>) {
        if !facts.services.is_empty() {
            let services = facts.services.join(", ");
            self.json
                .insert("services".to_owned(), json!(facts.services));
            self.line("service", &services.escape_debug().to_string());
        }
        let expires = deadline.map_or_else(|| "never".to_owned(), moment::show);
        self.add("expires_at", deadline.map(UnixSeconds::as_secs), &expires);
        let uses = facts.uses_max.map_or_else(
            || "any number".to_owned(),
            |uses| format!("{uses} in all, as its issuer counts them"),
        );
        self.add("max_uses", facts.uses_max, &uses);
    }

    fn add_invoice(&mut self, challenge: &Challenge, token_hash: Option<PaymentHash>) {
        let invoice = match Invoice::parse(challenge.invoice()) {
            Ok(invoice) => invoice,
            Err(error) => return self.text("invoice", &format!("unreadable: {error}")),
        };
        self.add_price(&invoice);
        let matches = token_hash == Some(invoice.payment_hash());
        let words = if matches {
            "yes"
        } else {
            "no: paying would not make the token valid"
        };
        self.add("invoice_pays_for_token", matches, words);
    }

    fn add_price(&mut self, invoice: &Invoice) {
        let amount = invoice.amount().map_or_else(
            || "none: refuse to pay it".to_owned(),
            |amount| amount.to_string(),
        );
        self.add("amount_msat", invoice.amount().map(Msat::as_msat), &amount);
        self.text("network", invoice.network().name());
        let expires_at = invoice.expires_at();
        self.add(
            "invoice_expires_at",
            expires_at.as_secs(),
            &moment::show(expires_at),
        );
    }

    fn text(&mut self, name: &str, text: &str) {
        self.add(name, text, text);
    }

    fn add(&mut self, name: &str, value: impl Into<Value>, words: &str) {
        self.json.insert(name.to_owned(), value.into());
        // The name without its unit, which the words state.
        let label = name.trim_end_matches("_msat").trim_end_matches("_at");
        self.line(&label.replace('_', " "), words);
    }

    fn line(&mut self, label: &str, words: &str) {
        self.lines.push((label.to_owned(), words.to_owned()));
    }
}
