//! Payments of one run, gathered from the client's events.
//!
//! What a run paid, or may have paid, is reported however the run ends.

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use http::StatusCode;
use l402::{Msat, PaymentHash, UnixSeconds};
use serde_json::{Value, json};
use tollway_client::{Event, Presented, RefusalReason, Resumption, TokenTerms};

use super::steps;
use crate::moment;
use crate::output::Output;
use crate::payment::{Payment, PaymentState};

/// Records events, and prints those that a person wants to see as they happen.
#[derive(Clone, Debug)]
pub(super) struct Payments {
    output: Output,
    quiet: bool,
    record: Arc<Mutex<Record>>,
}

/// A stored token that does not buy what was asked for any more.
#[derive(Clone, Debug)]
struct Replaced {
    payment_hash: PaymentHash,
    reason: RefusalReason,
    /// Whether it bought this before.
    accepted: bool,
    /// How many of its uses delivered nothing.
    lost: u64,
    /// How many requests it was good for, if it counts them.
    uses_max: Option<u64>,
}

/// A token that was presented and whose response has not been delivered.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(super) struct Undelivered {
    /// How many requests it is good for, if it counts them.
    uses_max: Option<u64>,
}

#[derive(Debug, Default)]
struct Record {
    /// The origin of the latest request: the seller of what is bought next.
    origin: Option<String>,
    /// What it presented.
    token: Option<PaymentHash>,
    /// The latest price that was reserved, and the purchase it belongs to.
    reserved: Option<(PaymentHash, Msat)>,
    made: Vec<Payment>,
    /// What the latest challenge offers.
    terms: Option<TokenTerms>,
    recovered: Vec<(PaymentHash, Msat)>,
    replaced: Vec<Replaced>,
    /// Whether it was shown what is replaced.
    is_explained: bool,
    /// The request to pay, until it is known whether it is paid.
    asked: Option<String>,
    undelivered: Option<Undelivered>,
    warnings: Vec<String>,
}

impl Payments {
    pub(super) fn new(output: Output, quiet: bool) -> Self {
        Self {
            output,
            quiet,
            record: Arc::default(),
        }
    }

    /// Returns the stored tokens that did not buy what was asked for any more, as JSON.
    pub(super) fn replaced(&self) -> Vec<Value> {
        let to_json = |replaced: &Replaced| {
            let stated = Some(replaced.reason.as_str()).filter(|text| !text.is_empty());
            json!({"token": replaced.payment_hash.to_string(), "reason": stated})
        };
        self.record().replaced.iter().map(to_json).collect()
    }

    /// Returns what was paid or may have been, oldest first.
    pub(super) fn made(&self) -> Vec<Payment> {
        self.record().made.clone()
    }

    /// Returns the payments of earlier runs that were found to be made, as JSON.
    pub(super) fn recovered(&self) -> Vec<Value> {
        let to_json = |(hash, price): &(PaymentHash, Msat)| json!({"payment_hash": hash.to_string(), "price_msat": price.as_msat()});
        self.record().recovered.iter().map(to_json).collect()
    }

    /// Returns what the latest challenge offers, as JSON.
    pub(super) fn terms(&self) -> Value {
        self.record().terms.as_ref().map_or(Value::Null, terms_json)
    }

    /// Returns where the latest request went, if one was sent.
    pub(super) fn origin(&self) -> Option<String> {
        self.record().origin.clone()
    }

    /// Returns the ID of the token that the latest request presented: the hash of the payment
    /// that bought it.
    pub(super) fn token(&self) -> Option<String> {
        self.record().token.map(|hash| hash.to_string())
    }

    /// Returns the token that was presented last, while its response is not delivered.
    pub(super) fn undelivered(&self) -> Option<Undelivered> {
        self.record().undelivered
    }

    /// Notes that the response was delivered whole.
    pub(super) fn delivered(&self) {
        self.record().undelivered = None;
    }

    /// Shows, once, which stored tokens do not buy what is asked for, and what follows.
    pub(super) fn explain(&self, then: &str) {
        let mut record = self.record();
        if std::mem::replace(&mut record.is_explained, true) || record.replaced.is_empty() {
            return;
        }
        let line = explanation(&record.replaced);
        drop(record);
        self.note(&format!("{line}{then}"));
    }

    /// Shows what is bought, and warns of uses that have delivered nothing.
    fn buying(&self) {
        self.explain("; buying another");
        let (asked, lost) = {
            let mut record = self.record();
            let lost = record.replaced.iter().filter(|replaced| replaced.lost > 0);
            let lost: Vec<Replaced> = lost.cloned().collect();
            (record.asked.take(), lost)
        };
        for replaced in lost {
            let uses = replaced.uses_max.unwrap_or_default();
            self.warn(format!(
                "{} of the {uses} uses of the token {:.8} delivered nothing",
                replaced.lost,
                replaced.payment_hash.to_string()
            ));
        }
        if let Some(asked) = asked {
            self.note(&asked);
        }
    }

    /// Returns what went wrong without ending the run.
    pub(super) fn warnings(&self) -> Vec<String> {
        self.record().warnings.clone()
    }

    /// Takes in one step of the client.
    pub(super) fn observe(&self, event: &Event) {
        self.record().take(event);
        steps::log(event);
        match event {
            Event::NotKept { reason, .. } => self.warn(format!(
                "the paid credential could not be saved ({reason}); it can be recovered"
            )),
            Event::SecondAuthorization { origin } => self.warn(format!(
                "the token for {origin} is sent in a second Authorization header, which some servers do not read: leave out the first"
            )),
            Event::Resumed {
                payment_hash,
                outcome: Resumption::Open { reason },
                ..
            } => self.warn(format!(
                "the earlier payment {payment_hash} is not settled yet: {reason}"
            )),
            Event::Resumed {
                payment_hash,
                price,
                outcome: Resumption::Kept,
            } => self.note(&format!(
                "the earlier payment {:.8} of {price} was made: its token is used",
                payment_hash.to_string()
            )),
            Event::Quoted {
                price,
                network,
                terms,
                ..
            } => {
                let asked = format!("asked to pay {price} on {network}{}", bought(terms));
                self.record().asked = Some(asked);
            }
            Event::Reserved { .. } => self.buying(),
            Event::Paid { price, fee, .. } => self.note(&format!("paid {price}, fee {fee}")),
            Event::Redirected { origin, path } => {
                self.note(&format!("redirected to {origin}{path}"));
            }
            Event::BookBusy { file } => self.note(&format!(
                "waiting for another process that uses {}",
                file.display()
            )),
            Event::Waiting { origin, path } => self.note(&format!(
                "waiting for another process that buys {origin}{path}"
            )),
            Event::InUse { payment_hash } => self.note(&format!(
                "waiting for a use of the token {:.8}, all of which are held by other requests",
                payment_hash.to_string()
            )),
            Event::Challenged { .. }
            | Event::Kept { .. }
            | Event::Paying { .. }
            | Event::Refused { .. }
            | Event::Reoffered { .. }
            | Event::Replacing { .. }
            | Event::Responded { .. }
            | Event::Resumed { .. }
            | Event::Retrying { .. }
            | Event::Sending { .. } => {}
        }
    }

    /// Progress, which `-q` hides.
    fn note(&self, text: &str) {
        if !self.quiet {
            self.output.note(text);
        }
    }

    /// A warning, which nothing hides.
    pub(super) fn warn(&self, text: String) {
        self.output.note(&format!("tollway: warning: {text}"));
        self.record().warnings.push(text);
    }

    fn record(&self) -> MutexGuard<'_, Record> {
        self.record.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Record {
    fn take(&mut self, event: &Event) {
        match event {
            Event::Sending {
                origin,
                presented,
                uses_max,
                ..
            } => {
                self.origin = Some(origin.to_string());
                if *presented != Presented::Nothing {
                    let uses_max = *uses_max;
                    self.undelivered = Some(Undelivered { uses_max });
                }
                self.token = match presented {
                    Presented::Bought(hash) | Presented::Stored(hash) => Some(*hash),
                    Presented::Nothing => None,
                };
            }
            Event::Reserved {
                payment_hash,
                price,
                ..
            }
            | Event::Reoffered {
                payment_hash,
                price,
            } => self.reserved = Some((*payment_hash, *price)),
            Event::Paying { payment_hash } => self.begin(*payment_hash),
            Event::Paid {
                payment_hash,
                price,
                fee,
                ..
            } => self.settle(*payment_hash, *price, *fee),
            Event::Quoted { terms, .. } => self.terms = Some(terms.clone()),
            Event::Resumed {
                payment_hash,
                price,
                outcome: Resumption::Kept,
            } => self.recovered.push((*payment_hash, *price)),
            Event::Replacing {
                payment_hash,
                reason,
                accepted,
                lost,
                uses_max,
            } => self.replaced.push(Replaced {
                payment_hash: *payment_hash,
                reason: reason.clone(),
                accepted: *accepted,
                lost: *lost,
                uses_max: *uses_max,
            }),
            // What is refused takes no use, nor does what an intermediary responds itself.
            Event::Challenged { .. } | Event::Refused { .. } => self.undelivered = None,
            Event::Responded { status } if takes_no_use(*status) => self.undelivered = None,
            Event::BookBusy { .. }
            | Event::InUse { .. }
            | Event::Kept { .. }
            | Event::NotKept { .. }
            | Event::Redirected { .. }
            | Event::Responded { .. }
            | Event::Resumed { .. }
            | Event::Retrying { .. }
            | Event::SecondAuthorization { .. }
            | Event::Waiting { .. } => {}
        }
    }

    /// From here on money may move.
    fn begin(&mut self, payment_hash: PaymentHash) {
        let price = match self.reserved {
            Some((reserved, price)) if reserved == payment_hash => price,
            Some(_) | None => Msat::ZERO,
        };
        self.made.push(Payment {
            state: PaymentState::Unknown,
            price,
            fee: None,
            payment_hash,
            origin: self.origin.clone(),
        });
    }

    fn settle(&mut self, payment_hash: PaymentHash, price: Msat, fee: Msat) {
        self.made
            .retain(|payment| payment.payment_hash != payment_hash);
        self.made.push(Payment {
            state: PaymentState::Settled,
            price,
            fee: Some(fee),
            payment_hash,
            origin: self.origin.clone(),
        });
    }
}

fn takes_no_use(status: StatusCode) -> bool {
    [
        StatusCode::BAD_GATEWAY,
        StatusCode::SERVICE_UNAVAILABLE,
        StatusCode::GATEWAY_TIMEOUT,
    ]
    .contains(&status)
}

impl Undelivered {
    /// Returns what is true of the token, and what to do.
    pub(super) fn advice(self) -> String {
        match self.uses_max {
            None => KEPT.to_owned(),
            Some(1) => "the only use of its token may be spent: sent again, the token is presented, and only --buy-after-refusal buys another in its place".to_owned(),
            Some(uses) => format!(
                "one of the {uses} uses of its token may be spent: sent again, the token is presented, and only --buy-after-refusal buys another in its place"
            ),
        }
    }

    /// Returns true for a token that counts its uses.
    pub(super) const fn is_counted(self) -> bool {
        self.uses_max.is_some()
    }
}

/// Returns, in one line, why stored tokens do not buy what is asked for.
fn explanation(replaced: &[Replaced]) -> String {
    let mut reasons: Vec<String> = Vec::new();
    for replaced in replaced {
        let reason = replaced.reason.to_string();
        if !reasons.contains(&reason) {
            reasons.push(reason);
        }
    }
    let shown = replaced.iter().take(SHOWN_MAX);
    let ids: Vec<String> = shown
        .map(|replaced| format!("{:.8}", replaced.payment_hash.to_string()))
        .collect();
    let more = replaced.len().saturating_sub(SHOWN_MAX);
    let more = match more {
        0 => String::new(),
        more => format!(" and {more} more"),
    };
    let (ids, reasons) = (ids.join(", "), reasons.join(", "));
    let did = replaced.iter().all(|replaced| replaced.accepted);
    match (replaced.len(), did) {
        (1, true) => format!("the stored token {ids} no longer buys this: {reasons}"),
        (1, false) => format!("the stored token {ids} does not buy this: {reasons}"),
        (_, true) => format!("the stored tokens {ids}{more} no longer buy this: {reasons}"),
        (_, false) => format!("the stored tokens {ids}{more} do not buy this: {reasons}"),
    }
}

/// What to do about a response that was paid for and did not arrive.
pub(super) const KEPT: &str = "its token is stored: sent again, it presents it and pays nothing";
/// How many tokens an explanation names.
const SHOWN_MAX: usize = 3;

/// Returns what a token is good for, after a price; empty where nothing is known.
pub(super) fn bought(terms: &TokenTerms) -> String {
    let mut parts = Vec::new();
    if !terms.services.is_empty() {
        parts.push(format!("service {}", terms.services.join(", ")));
    }
    match terms.uses_max {
        Some(1) => parts.push("1 use".to_owned()),
        Some(uses) => parts.push(format!("{uses} uses")),
        None => {}
    }
    if let Some(deadline) = terms.deadline {
        parts.push(format!("until {}", moment::show(deadline)));
    }
    if parts.is_empty() {
        return String::new();
    }
    format!(" for {}", parts.join(", "))
}

/// Returns what a token is good for, as an addition to a sentence; empty where nothing is known.
pub(super) fn offer(terms: &TokenTerms) -> String {
    let bought = bought(terms);
    if bought.is_empty() {
        return bought;
    }
    format!("; it would buy a token{bought}")
}

/// Returns what a token is good for, as JSON.
pub(super) fn terms_json(terms: &TokenTerms) -> Value {
    json!({
        "services": terms.services,
        "max_uses": terms.uses_max,
        "valid_until": terms.deadline.map(UnixSeconds::as_secs),
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    const HASH: PaymentHash = PaymentHash::new([7; 32]);

    #[test]
    fn a_credential_that_was_not_saved_is_a_warning_even_when_quiet_or_json() {
        for output in [Output::Human, Output::Json] {
            let payments = Payments::new(output, true);

            payments.observe(&Event::NotKept {
                payment_hash: HASH,
                reason: "no space left".to_owned(),
            });

            let warnings = payments.warnings();
            assert!(warnings[0].contains("no space left"), "{warnings:?}");
        }
    }

    #[test]
    fn several_tokens_are_explained_in_one_line_and_only_former_ones_no_longer_do() {
        let replaced = |number: u8, reason, accepted| Replaced {
            payment_hash: PaymentHash::new([number; 32]),
            reason,
            accepted,
            lost: 0,
            uses_max: None,
        };
        let exhausted = |number| replaced(number, RefusalReason::Exhausted, true);
        let imported = replaced(9, RefusalReason::WrongPath, false);

        let six: Vec<Replaced> = (1..=6).map(exhausted).collect();

        assert_eq!(
            explanation(&six),
            "the stored tokens 01010101, 02020202, 03030303 and 3 more no longer buy this: exhausted"
        );
        assert_eq!(
            explanation(&[imported]),
            "the stored token 09090909 does not buy this: wrong_path"
        );
    }

    #[test]
    fn what_may_be_spent_is_not_called_paid() {
        let advice = |uses_max| Undelivered { uses_max }.advice();

        assert!(advice(None).contains("pays nothing"));
        for uses in [1, 3] {
            let shown = advice(Some(uses));
            assert!(!shown.contains("pays nothing"), "{shown}");
            assert!(shown.contains("--buy-after-refusal"), "{shown}");
        }
    }

    #[test]
    fn an_invoice_that_is_offered_again_has_its_price() {
        let payments = Payments::new(Output::Json, true);

        payments.observe(&Event::Reoffered {
            payment_hash: HASH,
            price: Msat::from_msat(5),
        });
        payments.observe(&Event::Paying { payment_hash: HASH });

        assert_eq!(payments.made()[0].price, Msat::from_msat(5));
    }

    #[test]
    fn a_payment_is_unknown_from_the_moment_it_is_sent_until_it_settles() {
        let payments = Payments::new(Output::Json, true);
        payments.observe(&Event::Reserved {
            payment_hash: HASH,
            price: Msat::from_msat(5),
            fee_max: Msat::ZERO,
        });
        assert!(payments.made().is_empty());

        payments.observe(&Event::Paying { payment_hash: HASH });
        assert_eq!(payments.made()[0].state, PaymentState::Unknown);
        assert_eq!(payments.made()[0].price, Msat::from_msat(5));

        payments.observe(&Event::Paid {
            payment_hash: HASH,
            price: Msat::from_msat(5),
            fee: Msat::from_msat(1),
            fee_max: Msat::from_msat(1),
        });
        assert_eq!(payments.made()[0].state, PaymentState::Settled);
        assert_eq!(payments.made().len(), 1);
    }
}
