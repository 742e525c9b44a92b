//! The state of one request at one address, as a [`Situation`] for the next decision.

use std::collections::HashSet;
use std::time::Duration;

use l402::PaymentHash;
use tokio::time::Instant;

use super::answer::{Answer, Challenged};
use super::bought::Bought;
use super::call::Call;
use super::single_flight::Guard;
use super::wallet::WalletFacts;
use crate::book::{self, Owner, Purchase, SoldToken, StoredCredential, TargetResource, View};
use crate::decide::{Others, Replay, Returned, Sent, Situation, TokenScope, Tries, Turn, Untried};
use crate::fit;
use crate::refusal_reason::RefusalReason;

/// How far a request has come at one address.
pub(super) struct Progress {
    pub(super) resource: TargetResource,
    /// The stored credentials that were presented.
    pub(super) presented: HashSet<PaymentHash>,
    /// Those of them that were refused, and why.
    pub(super) refused: Vec<(StoredCredential, RefusalReason)>,
    /// Whether it was emitted what the purchase replaces.
    pub(super) is_explained: bool,
    pub(super) challenged: Option<Challenged>,
    pub(super) view: View,
    pub(super) tries: Tries,
    pub(super) last: Option<(Sent, Answer)>,
    /// The credential that was presented last.
    pub(super) shown: Option<PaymentHash>,
    pub(super) bought: Option<Bought>,
    /// The token that was bought, published or not.
    pub(super) bought_token: Option<SoldToken>,
    pub(super) turn: Option<Guard>,
    /// Known once the turn is taken.
    pub(super) wallet: Option<WalletFacts>,
    pub(super) pause: Duration,
    pub(super) waiting_since: Option<Instant>,
    /// Since when a use of a stored credential is waited for.
    pub(super) in_use_since: Option<Instant>,
}

impl Progress {
    pub(super) fn new(resource: TargetResource, view: View) -> Self {
        Self {
            resource,
            presented: HashSet::new(),
            refused: Vec::new(),
            is_explained: false,
            challenged: None,
            view,
            tries: TRIES_FIRST,
            last: None,
            shown: None,
            bought: None,
            bought_token: None,
            turn: None,
            wallet: None,
            pause: PAUSE_FIRST,
            waiting_since: None,
            in_use_since: None,
        }
    }

    pub(super) fn situation(&self, call: &Call, now: l402::UnixSeconds) -> Situation {
        let untried = self.view.credentials.iter();
        let untried = untried
            .filter(|credential| !self.presented.contains(&credential.payment_hash()))
            .filter(|credential| self.may_fit(credential))
            .map(|credential| Untried {
                payment_hash: credential.payment_hash(),
                scope: self.scope(credential),
            });
        let returned = match self.last.as_ref().map(|(_, answer)| answer.returned()) {
            Some(Returned::InUse) if self.has_waited_for_use() => Some(Returned::Response),
            returned => returned,
        };
        Situation {
            sent: self.last.as_ref().map(|(sent, _)| *sent),
            returned: returned.unwrap_or(Returned::Response),
            untried: untried.collect(),
            tries: self.tries,
            replay: if call.is_replayable() {
                Replay::Possible
            } else {
                Replay::Impossible
            },
            turn: match self.turn {
                Some(_) => Turn::Taken,
                None => Turn::NotTaken,
            },
            others: self.others(now),
        }
    }

    /// Returns true when a use of a stored credential was waited for as long as that is done.
    fn has_waited_for_use(&self) -> bool {
        let since = self.in_use_since;
        since.is_some_and(|since| since.elapsed() > IN_USE_MAX)
    }

    /// Returns how long to wait for a use of the credential that was presented last.
    pub(super) fn pause_for_use(&mut self) -> Duration {
        let stated = self.last.as_ref().map(|(_, answer)| answer.retry_after());
        self.next_pause().max(stated.unwrap_or_default())
    }

    /// Returns a pause, longer each time.
    pub(super) fn next_pause(&mut self) -> Duration {
        let longer = self.pause.saturating_mul(2).min(PAUSE_LONGEST);
        std::mem::replace(&mut self.pause, longer)
    }

    /// Forgets what was sent, so that the credential that was presented last is presented again.
    pub(super) fn begin_again(&mut self) {
        if let Some(shown) = self.shown.take() {
            self.presented.remove(&shown);
        }
        self.last = None;
        self.tries = TRIES_FIRST;
    }

    /// Returns the stored credential that was presented last.
    pub(super) fn shown_credential(&self) -> Option<&StoredCredential> {
        let mut stored = self.view.credentials.iter();
        stored.find(|credential| Some(credential.payment_hash()) == self.shown)
    }

    /// Returns true for a credential that was accepted at the path of the request before.
    pub(super) fn was_accepted(&self, credential: &StoredCredential) -> bool {
        let covers_path = credential.covers(&self.resource.path);
        (covers_path && credential.uses.delivered > 0)
            || self.view.accepted.contains(&credential.payment_hash())
    }

    /// Returns the payments whose brakes the purchase has passed.
    pub(super) fn passed(&self) -> Vec<PaymentHash> {
        let path = &self.resource.path;
        let token = self.bought_token.as_ref();
        token.map_or_else(Vec::new, |token| {
            book::passed(&self.view.brakes, token, path)
        })
    }

    /// Returns whether a credential was bought for, or accepted at, the path or one above it.
    pub(super) fn scope(&self, credential: &StoredCredential) -> TokenScope {
        let is_accepted = self.view.accepted.contains(&credential.payment_hash());
        if is_accepted || credential.covers(&self.resource.path) {
            TokenScope::SamePath
        } else {
            TokenScope::SameOrigin
        }
    }

    /// Returns false for a credential that cannot be for this request, or for what its last
    /// challenge sells.
    fn may_fit(&self, credential: &StoredCredential) -> bool {
        fit::misfit(&credential.token, &self.resource).is_none()
            && self.may_be_for_service(credential)
    }

    /// Returns false for a credential that cannot be for what the last challenge sells.
    pub(super) fn may_be_for_service(&self, credential: &StoredCredential) -> bool {
        let challenged = self.challenged.as_ref();
        let challenges = challenged.and_then(|challenged| challenged.challenges.as_ref().ok());
        challenges.is_none_or(|challenges| fit::is_for_service(&credential.token, challenges))
    }

    /// Returns the stored credentials that need no further look once it is decided to buy: they
    /// were presented, or are not going to be.
    pub(super) fn considered(&self) -> HashSet<PaymentHash> {
        let seen = self.view.credentials.iter();
        let seen = seen.map(StoredCredential::payment_hash);
        self.presented.iter().copied().chain(seen).collect()
    }

    /// Returns the name of what is bought once for all who ask for it.
    pub(super) fn purchase_key(&self) -> String {
        let challenged = self.challenged.as_ref();
        let challenges = challenged.and_then(|challenged| challenged.challenges.as_ref().ok());
        let path = &self.resource.path;
        challenges.map_or_else(
            || path.clone(),
            |challenges| fit::purchase_key(challenges, path),
        )
    }

    /// Returns true when what is, or was just, bought at a resource with a token is good for
    /// this request too.
    fn is_same_purchase(&self, at: &TargetResource, token: &SoldToken) -> bool {
        let challenged = self.challenged.as_ref();
        let challenges = challenged.and_then(|challenged| challenged.challenges.as_ref().ok());
        let mut offered = challenges.into_iter().flatten();
        at.path == self.resource.path
            || offered.any(|challenge| {
                let offered = SoldToken::offered(challenge);
                fit::is_shared(token, &offered, &self.resource)
            })
    }

    fn others(&self, now: l402::UnixSeconds) -> Others {
        let is_presenting =
            |held: &StoredCredential| self.is_same_purchase(&held.resource, &held.token);
        if self.working().is_some() || self.view.held.iter().any(is_presenting) {
            return Others::Busy;
        }
        if self.abandoned(now).is_some() {
            return Others::Abandoned;
        }
        if self.view.is_at_capacity {
            return Others::Busy;
        }
        Others::Idle
    }

    /// Returns the first purchase of this that a process is making.
    pub(super) fn working(&self) -> Option<&Purchase> {
        let mut open = self.view.open.iter();
        let found = open.find(|(purchase, owner)| {
            *owner == Owner::Working && self.is_same_purchase(&purchase.resource, &purchase.token)
        });
        found.map(|(purchase, _working)| purchase)
    }

    /// Returns the first purchase at the path whose process is gone and that nothing else may be
    /// bought before.
    pub(super) fn abandoned(&self, now: l402::UnixSeconds) -> Option<&Purchase> {
        let wallet = self.wallet?;
        let is_blocking = |purchase: &Purchase| {
            purchase.resource.path == self.resource.path
                && purchase.is_blocking(&wallet.identity, wallet.promises.lookup, now)
        };
        let mut open = self.view.open.iter();
        let found = open.find(|(purchase, owner)| *owner == Owner::Gone && is_blocking(purchase));
        found.map(|(purchase, _gone)| purchase)
    }

    /// Takes a credential out of those that have not been presented.
    pub(super) fn take(&mut self, hash: &PaymentHash) -> Option<StoredCredential> {
        self.presented.insert(*hash);
        let credential = self
            .view
            .credentials
            .iter()
            .find(|credential| credential.payment_hash() == *hash)?;
        let left = match self.scope(credential) {
            TokenScope::SamePath => &mut self.tries.same_path,
            TokenScope::SameOrigin => &mut self.tries.same_origin,
        };
        *left = left.saturating_sub(1);
        Some(credential.clone())
    }

    pub(super) fn took(&mut self, sent: Sent, answer: Answer) {
        if let Answer::Challenged(challenged) = &answer {
            self.challenged = Some(challenged.clone());
        }
        self.last = Some((sent, answer));
    }
}

/// How many stored credentials are presented before anything is bought. All that could fit, but
/// for a store of so many that a seller refuses all of: it must not cost a request each, for ever.
pub(super) const TRIES_FIRST: Tries = Tries {
    same_path: 16,
    same_origin: 16,
};
const PAUSE_FIRST: Duration = Duration::from_millis(5);
const PAUSE_LONGEST: Duration = Duration::from_millis(500);
/// How long a request waits for a use of a credential.
const IN_USE_MAX: Duration = Duration::from_secs(150);
