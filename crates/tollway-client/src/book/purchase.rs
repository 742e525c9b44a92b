//! What the book holds about one purchase and one credential.

use std::fmt;

use http::HeaderValue;
use l402::{
    Challenge, Macaroon, Msat, Payable, PaymentHash, Preimage, PurchaseState, SchemeName, Token,
    UnixSeconds,
};
use sha2::{Digest as _, Sha256};
use tollway_lightning::{LookupByHash, WalletIdentity};

use crate::caveats::{items, last};
use crate::origin::Origin;
use crate::refusal_reason::RefusalReason;

/// What a request is for, as far as credentials care: one refused here may do elsewhere.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct TargetResource {
    /// The seller. A credential is never sent anywhere else.
    pub origin: Origin,
    /// The request method.
    pub method: String,
    /// The path. Never the query.
    pub path: String,
    /// The query, hashed: it may hold secrets.
    pub query: QueryHash,
}

/// SHA-256 of a query, shortened; empty without a query.
#[derive(Clone, Debug, Eq, Ord, PartialEq, PartialOrd)]
pub struct QueryHash(String);

impl QueryHash {
    /// Hashes a query.
    #[must_use]
    pub fn new(query: Option<&str>) -> Self {
        let digest = |query: &str| hex::encode(Sha256::digest(query)).split_off(32);
        Self(query.map(digest).unwrap_or_default())
    }

    pub(super) const fn from_stored(text: String) -> Self {
        Self(text)
    }

    pub(super) fn as_str(&self) -> &str {
        &self.0
    }
}

/// What a person calls a wallet.
///
/// It is stored and shown in errors: never an address that holds a secret.
#[derive(Clone, Debug, Eq, Hash, PartialEq)]
pub struct WalletName(String);

impl WalletName {
    /// Creates the name of a wallet.
    #[must_use]
    pub fn new(name: impl Into<String>) -> Self {
        Self(name.into())
    }

    /// Returns the name.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl fmt::Display for WalletName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

/// Names one process that shares a book.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct SessionId(String);

impl SessionId {
    pub(super) const fn new(id: String) -> Self {
        Self(id)
    }

    pub(super) fn as_str(&self) -> &str {
        &self.0
    }
}

/// What a payment turns into a credential, by payment scheme.
#[derive(Clone, Debug, Eq, PartialEq)]
#[non_exhaustive]
pub enum SoldToken {
    /// A macaroon, presented with the preimage.
    L402 {
        /// The name under which the seller offered the scheme, and expects it back.
        name: SchemeName,
        /// The token as received.
        token: Token,
    },
}

impl SoldToken {
    /// Returns what a challenge offers.
    pub(crate) fn offered(challenge: &Challenge) -> Self {
        Self::L402 {
            name: challenge.name(),
            token: challenge.token().clone(),
        }
    }

    /// Returns the `Authorization` value to present: the token as it was sold, under the
    /// scheme name it was sold under. Marked sensitive, so its `Debug` is empty.
    fn authorization(&self, preimage: &Preimage) -> HeaderValue {
        let Self::L402 { name, token } = self;
        let value = HeaderValue::try_from(token.authorization(*name, preimage));
        let mut value = value.expect("a scheme name, base64 and hexadecimal are visible ASCII");
        value.set_sensitive(true);
        value
    }

    /// Returns the deadline that the token names, if it is of use only until then.
    #[must_use]
    pub fn deadline(&self) -> Option<UnixSeconds> {
        l402::unverified_deadline(&self.macaroon()?)
    }

    /// Returns how many requests the token is good for, if it counts them. A number that cannot
    /// be read is one, and so is none: what it loses is counted.
    pub(crate) fn uses_max(&self) -> Option<u64> {
        let uses = last(&self.macaroon()?, "max_uses")?;
        Some(uses.parse().unwrap_or(1).max(1))
    }

    /// Returns the names of the token's services, without tiers and paths; empty when it names
    /// none.
    pub(crate) fn service_names(&self) -> Vec<String> {
        let services = self.macaroon().and_then(|token| last(&token, "services"));
        let services = services.unwrap_or_default();
        let name = |item: &str| item.split('/').next().unwrap_or_default().to_owned();
        let names = items(&services).map(|(item, _tier)| name(item));
        names.filter(|name| !name.is_empty()).collect()
    }

    /// Returns the token's caveats and identifier, if it can be read. Nothing is verified.
    pub(crate) fn macaroon(&self) -> Option<Macaroon> {
        let Self::L402 { token, .. } = self;
        token.macaroon().ok()
    }
}

/// One purchase.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct Purchase {
    /// What the request was for.
    pub resource: TargetResource,
    /// What is paid.
    pub payable: Payable,
    /// The fee ceiling, in millisatoshis.
    pub fee_max: Msat,
    /// What the payment turns into a credential.
    pub token: SoldToken,
    /// The wallet that pays. No other is asked about the payment.
    pub wallet: WalletIdentity,
    /// What that wallet was called.
    pub wallet_name: WalletName,
    /// When it was begun, or its invoice last offered again; its UTC day is the day it counts
    /// against.
    pub begun_at: UnixSeconds,
    /// How far it has come.
    pub state: PurchaseState,
    /// What the wallet reported, if the payment did not simply settle.
    pub reason: String,
    /// The process that began it, or took it over.
    pub session: SessionId,
    /// How often the wallet was, or may have been, asked to pay it.
    pub requests: u32,
}

impl Purchase {
    /// Returns the hash that names it.
    #[must_use]
    pub const fn payment_hash(&self) -> PaymentHash {
        self.payable.payment_hash()
    }

    /// Returns what it counts against every limit, in millisatoshis.
    pub fn charge(&self) -> Msat {
        self.state.charge(self.payable.price(), self.fee_max)
    }

    /// Returns true while nothing else may be bought at its path, its outcome being unknown:
    /// for as long as `wallet` can look it up, otherwise [for a while](Self::blocks_until).
    pub(crate) fn is_blocking(
        &self,
        wallet: &WalletIdentity,
        lookup: LookupByHash,
        now: UnixSeconds,
    ) -> bool {
        let can_be_looked_up = self.wallet == *wallet && lookup == LookupByHash::Supported;
        can_be_looked_up || now < self.blocks_until()
    }

    /// Returns the moment from which no wallet pays its invoice any more: it has expired, with a
    /// margin for the wallet's clock. From then on something else may be bought at its path
    /// although its outcome cannot be found out.
    #[must_use]
    pub fn blocks_until(&self) -> UnixSeconds {
        self.payable.expires_at().plus_secs(CLOCK_MARGIN_SECS)
    }

    /// Returns the credential, once paid.
    #[must_use]
    pub fn credential(&self) -> Option<StoredCredential> {
        match &self.state {
            PurchaseState::Paid { preimage, fee } => Some(StoredCredential {
                resource: self.resource.clone(),
                token: self.token.clone(),
                preimage: preimage.clone(),
                price: self.payable.price(),
                fee: *fee,
                bought_at: self.begun_at,
                holder: None,
                uses: UseCounts::default(),
            }),
            PurchaseState::Failed
            | PurchaseState::Offered
            | PurchaseState::Paying
            | PurchaseState::Reserved
            | PurchaseState::Unknown => None,
        }
    }
}

/// A credential that was paid for.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct StoredCredential {
    /// What it was bought for.
    pub resource: TargetResource,
    /// The token as received.
    pub token: SoldToken,
    /// The proof of payment.
    pub preimage: Preimage,
    /// The price, in millisatoshis.
    pub price: Msat,
    /// The routing fee, in millisatoshis.
    pub fee: Msat,
    /// When it was bought.
    pub bought_at: UnixSeconds,
    /// The process that paid for it and has not presented it yet. A credential that is good
    /// for one request must not be used by another.
    pub holder: Option<SessionId>,
    /// What its uses have delivered.
    pub uses: UseCounts,
}

/// What the uses of a credential have delivered, as far as this book has presented it.
///
/// Counted for a credential that is good for a number of requests. Of any other it is only known
/// whether it has delivered anything, and what it has lost until then.
#[derive(Clone, Copy, Debug, Default, Eq, PartialEq)]
pub struct UseCounts {
    /// Responses that were delivered whole.
    pub delivered: u64,
    /// Those that were an error of the server, or forbidden, and are not among the delivered ones.
    pub failed: u64,
    /// Requests without a response that was delivered whole.
    pub lost: u64,
}

impl UseCounts {
    /// Returns how many uses of a credential that is good for `max` may have been taken and have
    /// delivered nothing. Errors of a server that has delivered something are its application's.
    #[must_use]
    pub fn undelivered(&self, max: u64) -> u64 {
        let failed = if self.delivered == 0 { self.failed } else { 0 };
        let claimed = self.lost.saturating_add(failed);
        claimed.min(max.saturating_sub(self.delivered))
    }
}

/// A stored credential that does not buy a resource any more.
#[derive(Clone, Debug, Eq, PartialEq)]
pub(crate) struct StaleCredential {
    pub(crate) credential: StoredCredential,
    pub(crate) reason: RefusalReason,
}

impl StoredCredential {
    /// Returns the hash of the payment that bought it, which names it.
    #[must_use]
    pub fn payment_hash(&self) -> PaymentHash {
        self.preimage.payment_hash()
    }

    /// Returns price and fee together, in millisatoshis.
    pub fn paid(&self) -> Msat {
        self.price.checked_add(self.fee).unwrap_or(Msat::MAX)
    }

    /// Returns false for one that was imported: nothing was paid for it here.
    #[must_use]
    pub fn is_bought(&self) -> bool {
        self.price > Msat::ZERO
    }

    /// Returns the value of the `Authorization` line to present.
    #[must_use]
    pub fn authorization(&self) -> HeaderValue {
        self.token.authorization(&self.preimage)
    }

    /// Returns true when it was bought for this path or one above it.
    #[must_use]
    pub fn covers(&self, path: &str) -> bool {
        is_at_or_below(path, &self.resource.path)
    }

    /// Returns how many requests it is good for by its own text, if it counts them. A
    /// number that cannot be read is one.
    #[must_use]
    pub fn uses_max(&self) -> Option<u64> {
        self.token.uses_max()
    }

    /// Returns true while each of its presentations is marked: it counts its uses, or has delivered
    /// nothing yet.
    pub(crate) fn is_marked(&self) -> bool {
        self.uses_max().is_some() || self.uses.delivered == 0
    }

    /// Returns true when its own text names a deadline that is past.
    #[must_use]
    pub fn is_expired(&self, now: UnixSeconds) -> bool {
        self.token
            .deadline()
            .is_some_and(|deadline| now >= deadline)
    }
}

/// Returns true when `path` is `above` or lies below it.
pub(super) fn is_at_or_below(path: &str, above: &str) -> bool {
    path.strip_prefix(path_prefix(above))
        .is_some_and(|rest| rest.is_empty() || rest.starts_with('/'))
}

/// Returns a path up to its last `/`.
pub(super) fn folder(path: &str) -> &str {
    let end = path.rfind('/').map_or(0, |slash| slash.saturating_add(1));
    path.get(..end).unwrap_or(path)
}

/// The part of a path that every path below it starts with.
pub(super) fn path_prefix(path: &str) -> &str {
    path.strip_suffix('/').unwrap_or(path)
}

/// A credential that was refused at one resource of its origin, or is of use nowhere.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct Refusal {
    /// The credential.
    pub payment_hash: PaymentHash,
    /// Where it was refused. The method [`ANYWHERE`](Self::ANYWHERE) stands for every resource.
    pub resource: TargetResource,
    /// How often in a row.
    pub times: u32,
    /// When it is tried there again.
    pub until: UnixSeconds,
    /// What the server stated.
    pub reason: RefusalReason,
}

impl Refusal {
    /// The method of a refusal that holds at every resource: the credential is used up or expired,
    /// or was revoked.
    pub const ANYWHERE: &str = "*";

    /// Returns true for a refusal at the resource, or everywhere.
    pub(super) fn is_about(&self, resource: &TargetResource) -> bool {
        self.resource == *resource || self.resource.method == Self::ANYWHERE
    }

    /// Returns true while the credential is not tried there. One that was written by a clock
    /// far ahead ends when the clock is set right.
    pub(super) fn is_in_force(&self, now: UnixSeconds) -> bool {
        now < self.until && self.until <= now.plus_secs(refusal_secs(self.times))
    }
}

/// For how long a credential is not tried where it was refused this many times in a row.
pub(super) const fn refusal_secs(times: u32) -> u64 {
    match times {
        0 | 1 => 600,
        2 => 6 * 3_600,
        FINAL => 365 * 86_400,
        _ => 7 * 86_400,
    }
}

/// The number of refusals that one for good counts as.
pub(super) const FINAL: u32 = u32::MAX;

/// Whether the process that began a purchase is still working on it.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum Owner {
    /// Finished with it, or dead.
    Gone,
    /// About to ask the wallet, or waiting for its reply.
    Working,
}

/// How far the wallet's clock may be from ours.
const CLOCK_MARGIN_SECS: u64 = 60;
