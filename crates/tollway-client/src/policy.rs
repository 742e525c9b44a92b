//! The rules for a buyer's money and credentials.
//!
//! They are below the caller: nothing in a request can loosen them.

use std::fmt;
use std::path::PathBuf;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use futures_util::future::BoxFuture;
use l402::{Limits, Msat, PaymentHash};
use tollway_lightning::{FeeCap, PayerPromises};

use crate::origin::Origin;

/// The rules of one client.
#[derive(Clone, Debug)]
pub struct Policy {
    /// How much may be spent, fees included.
    pub limits: Limits,
    /// Where it may be spent.
    pub hosts: Hosts,
    /// Whether it may be spent at all.
    pub paying: Paying,
    /// What may travel in clear text.
    pub clear_text: ClearText,
    /// How many redirects are followed for one request.
    pub redirects_max: usize,
    /// How long the wallet may try to pay before it reports failure.
    pub pay_timeout: Duration,
    /// Whether anything is bought at a path where a paid credential was just refused.
    pub after_refusal: AfterRefusal,
    /// Whether a wallet may pay that cannot limit routing fees.
    pub uncapped_fees: UncappedFees,
    /// Pauses between two attempts.
    pub pauses: Pauses,
}

/// Whether a wallet may pay that cannot limit routing fees
/// ([`FeeCap::NotEnforced`](tollway_lightning::FeeCap::NotEnforced)).
#[derive(Clone, Copy, Debug, Default, Eq, PartialEq)]
pub enum UncappedFees {
    /// Pays with it. One payment may then cost more than any limit allows; what it did cost
    /// counts in full against the limits of later purchases.
    Allow,
    /// Buys nothing with it: no limit is passed by any payment.
    #[default]
    Refuse,
}

/// Whether anything is bought where what was paid for brought nothing.
#[derive(Clone, Copy, Debug, Default, Eq, PartialEq)]
pub enum AfterRefusal {
    /// Buys again at once. What is delivered then ends the brake for later requests too.
    BuyAgain,
    /// Buys nothing of the kind there for a day: see [`Brake`](crate::book::Brake). So does a use
    /// that delivered nothing.
    #[default]
    Wait,
}

/// Pauses between two attempts.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub struct Pauses {
    /// How long after its refusal a credential bought just now is presented once more: the
    /// seller may verify against a node that has not settled the payment yet.
    pub settlement: Duration,
    /// How long others wait for the first response to a credential that was bought just now. From
    /// then on they present it as well, if it is good for more than one request.
    pub first_response: Duration,
}

impl Pauses {
    const USUAL: Self = Self {
        settlement: Duration::from_millis(750),
        first_response: Duration::from_secs(2),
    };
}

impl Default for Pauses {
    /// 750 ms before a second presentation, 2 s for the first response.
    fn default() -> Self {
        Self::USUAL
    }
}

/// The limits of a buyer that sets none: 1,000 sat for one request, 10 sat for routing it,
/// 10,000 sat in one UTC day.
pub const DEFAULT_LIMITS: Limits = Limits {
    price_max: Msat::from_msat(1_000_000),
    fee_max: Msat::from_msat(10_000),
    per_host: None,
    per_day: Some(Msat::from_msat(10_000_000)),
    total: None,
};

impl Default for Policy {
    /// Pays anywhere within [`DEFAULT_LIMITS`].
    fn default() -> Self {
        Self::new(DEFAULT_LIMITS)
    }
}

impl Policy {
    /// Pays anywhere, within `limits`, and keeps money and credentials out of clear text.
    #[must_use]
    pub const fn new(limits: Limits) -> Self {
        Self {
            limits,
            hosts: Hosts::Any,
            paying: Paying::On,
            clear_text: ClearText::ThisMachine,
            redirects_max: 10,
            pay_timeout: Duration::from_secs(60),
            after_refusal: AfterRefusal::Wait,
            uncapped_fees: UncappedFees::Refuse,
            pauses: Pauses::USUAL,
        }
    }

    /// Returns true when the limits hold with a wallet that promises this, or need not.
    pub(crate) fn may_pay_with(&self, promises: PayerPromises) -> bool {
        match (promises.fee_cap, self.uncapped_fees) {
            (FeeCap::Enforced, _) | (FeeCap::NotEnforced, UncappedFees::Allow) => true,
            (FeeCap::NotEnforced, UncappedFees::Refuse) => false,
        }
    }

    pub(crate) fn may_expose_to(&self, origin: &Origin) -> bool {
        match self.clear_text {
            ClearText::Anywhere => true,
            ClearText::ThisMachine => origin.is_confidential(),
        }
    }
}

/// Where money may be spent.
#[derive(Clone, Debug, Default, Eq, PartialEq)]
pub enum Hosts {
    /// Anywhere the request was addressed to. Never at the far end of a redirect.
    #[default]
    Any,
    /// At these hosts, redirects to them included. `example.com` is that host alone,
    /// `*.example.com` every host below it.
    Only(Vec<String>),
}

impl Hosts {
    pub(crate) fn allow(&self, host: &str) -> bool {
        match self {
            Self::Any => true,
            Self::Only(_) => self.name(host),
        }
    }

    /// Returns true when the list names the host; [`Any`](Self::Any) names none.
    pub(crate) fn name(&self, host: &str) -> bool {
        match self {
            Self::Any => false,
            Self::Only(patterns) => patterns.iter().any(|pattern| names(pattern, host)),
        }
    }
}

fn names(pattern: &str, host: &str) -> bool {
    match pattern.strip_prefix('*') {
        Some(suffix) => {
            let host = host.to_ascii_lowercase();
            suffix.starts_with('.') && host.ends_with(&suffix.to_ascii_lowercase())
        }
        None => host.eq_ignore_ascii_case(pattern),
    }
}

/// Whether money may be spent at all.
#[derive(Clone, Copy, Debug, Default, Eq, PartialEq)]
pub enum Paying {
    /// Never: a challenge is an error that names the price.
    Off,
    /// Within the limits.
    #[default]
    On,
}

/// Where credentials may be sent, and bought, without TLS.
#[derive(Clone, Copy, Debug, Default, Eq, PartialEq)]
pub enum ClearText {
    /// Anywhere. Everyone on the way can take the credential and use it.
    Anywhere,
    /// To this machine alone.
    #[default]
    ThisMachine,
}

/// A purchase that is to be approved.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct PurchaseRequest {
    /// The seller.
    pub origin: Origin,
    /// The path asked for.
    pub path: String,
    /// The payment's hash.
    pub payment_hash: PaymentHash,
    /// The price, in millisatoshis.
    pub price: Msat,
    /// The most routing may cost beyond it, in millisatoshis. A wallet that is used because of
    /// [`UncappedFees::Allow`] may exceed it.
    pub fee_max: Msat,
}

/// The decision about a [`PurchaseRequest`].
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum Approval {
    /// Buy it, if it is within the limits.
    Approved,
    /// Do not buy it.
    Declined,
}

/// Decides about each purchase: a person, or a program with its own rules.
///
/// Approval cannot loosen a limit, only add one.
pub trait Approve: fmt::Debug + Send + Sync {
    /// Decides. Dropping the future declines.
    fn approve(&self, request: &PurchaseRequest) -> BoxFuture<'_, Approval>;
}

/// Stops all spending at once, in this process and, through its file, in every other.
///
/// Purchases whose payment has begun are finished, because money may have moved.
#[derive(Clone, Debug)]
pub struct KillSwitch {
    file: PathBuf,
    /// Another file that stops spending as well.
    other: Option<PathBuf>,
    pulled: Arc<AtomicBool>,
}

impl KillSwitch {
    pub(crate) fn new(file: PathBuf, other: Option<PathBuf>) -> Self {
        Self {
            file,
            other,
            pulled: Arc::default(),
        }
    }

    /// Stops spending through every clone of the client, for good.
    pub fn pull(&self) {
        self.pulled.store(true, Ordering::Release);
    }

    /// Returns the file whose existence stops spending. `touch` is enough to create it. Where
    /// [`ClientBuilder::stop_file`](crate::ClientBuilder::stop_file) names a second one and only
    /// that exists, it is the second one.
    #[must_use]
    pub fn file(&self) -> &std::path::Path {
        match &self.other {
            Some(other) if !exists(&self.file) && exists(other) => other,
            Some(_) | None => &self.file,
        }
    }

    /// True while spending is stopped. A file that cannot be examined counts as there.
    #[must_use]
    pub fn is_pulled(&self) -> bool {
        self.pulled.load(Ordering::Acquire)
            || exists(&self.file)
            || self.other.as_deref().is_some_and(exists)
    }
}

fn exists(file: &std::path::Path) -> bool {
    file.try_exists().unwrap_or(true)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_allow_list_names_hosts_and_not_their_neighbours() {
        let hosts = Hosts::Only(vec!["api.example.com".to_owned(), "*.shop.com".to_owned()]);

        for allowed in [
            "api.example.com",
            "API.example.com",
            "a.shop.com",
            "a.b.shop.com",
        ] {
            assert!(hosts.allow(allowed), "{allowed}");
        }
        for other in [
            "example.com",
            "xapi.example.com",
            "api.example.com.evil.com",
            "shop.com",
            "myshop.com",
            "",
        ] {
            assert!(!hosts.allow(other), "{other}");
        }
        assert!(
            !Hosts::Only(vec!["*".to_owned()]).allow("example.com"),
            "a lone star is no name"
        );
    }

    #[test]
    fn a_buyer_that_sets_no_limits_has_a_daily_one() {
        let per_day = Policy::default().limits.per_day;

        assert_eq!(per_day, Msat::from_sat(10_000));
    }

    #[test]
    fn the_kill_switch_is_a_file_or_a_call() {
        let dir = tempfile::tempdir().unwrap();
        let switch = KillSwitch::new(dir.path().join("stop"), None);
        assert!(!switch.is_pulled());

        std::fs::write(switch.file(), "").unwrap();
        assert!(switch.is_pulled());
        std::fs::remove_file(switch.file()).unwrap();
        assert!(!switch.is_pulled());
        switch.clone().pull();
        assert!(switch.is_pulled());
    }
}
