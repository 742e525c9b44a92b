//! Uses of credentials: presented, delivered, lost.
//!
//! A credential that is good for a number of requests is marked, durably, before it is presented,
//! and the mark is removed once the response is delivered whole. Whatever ends the process in
//! between, the mark stays, and counts as a use that delivered nothing as soon as its process does
//! not wait for the response any more. Each presentation has a mark of its own, so that none
//! removes another's. A credential that was bought and not published is marked by its holder. One
//! that is not counted is marked until it has delivered something.
//!
//! What delivered nothing stops the next purchase in its place: see [`find_loss`].

use std::collections::HashSet;
use std::sync::Arc;

use l402::{PaymentHash, UnixSeconds};

use super::brake::{self, Brake, BrakeCause, BrakeScope, WastedPayment};
use super::{
    Admission, Book, BookError, Rows, SessionId, Shared, StoredCredential, TargetResource,
    UseCounts, lock,
};
use crate::fit;
use crate::origin::Origin;
use crate::policy::AfterRefusal;

/// A marked credential that a request of this process presents, or whose response it waits for.
/// Dropped before it is [ended](Book::end), its use counts as lost.
#[derive(Debug)]
pub(crate) struct Presentation {
    number: u64,
    payment_hash: PaymentHash,
    _waiting: Waiting,
}

impl Presentation {
    pub(crate) const fn payment_hash(&self) -> PaymentHash {
        self.payment_hash
    }
}

/// What the book has on a refused credential.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Evidence {
    /// How many of its uses this book may have taken, whatever they delivered.
    pub(crate) taken: u64,
    /// Whether it has delivered something.
    pub(crate) is_accepted: bool,
    /// How many other tokens for the same were bought within a day.
    pub(crate) others: usize,
}

/// Keeps a mark from counting as lost.
struct Waiting {
    shared: Arc<Shared>,
    number: u64,
}

/// How a presentation ended.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(crate) enum Ending {
    /// The response was delivered whole.
    Delivered,
    /// The response was delivered whole, and was an error of the request: it used a credential that
    /// counts its uses, and shows nothing of another.
    Declined,
    /// The response was delivered whole, and was an error of the server.
    Failed,
    /// The response was not delivered whole.
    Lost,
    /// It took no use.
    Untaken,
}

/// What happened to a credential that its buyer held.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(crate) enum FirstUse {
    /// A response to it arrived, which is to be delivered.
    Arrived,
    /// It was presented, and no response arrived.
    Lost,
    /// It was not presented, or took no use.
    Untaken,
}

impl Book {
    /// Marks a credential as presented. `None` for one that is not stored.
    pub(crate) fn present(&self, hash: &PaymentHash) -> Result<Option<Presentation>, BookError> {
        self.write(|rows, session| {
            let Some(mut credential) = rows.credential(hash)? else {
                return Ok(None);
            };
            if self.gather(rows, &mut credential)? {
                rows.put_credential(&credential)?;
            }
            self.mark(rows, hash, session).map(Some)
        })
    }

    /// Ends presentations, and removes the brakes of `released` payments, in one transaction.
    pub(crate) fn end(
        &self,
        presentations: &[Presentation],
        ending: Ending,
        released: &[PaymentHash],
    ) -> Result<(), BookError> {
        self.write(|rows, _session| {
            for presentation in presentations {
                end(rows, presentation, ending)?;
            }
            for payment_hash in released {
                rows.remove_brakes(payment_hash)?;
            }
            Ok(())
        })
    }

    /// Lets every request use a credential that its buyer has presented. Returns the mark of its
    /// first use, if a response is to be delivered.
    pub(crate) fn publish(
        &self,
        hash: &PaymentHash,
        first: FirstUse,
    ) -> Result<Option<Presentation>, BookError> {
        let published = self.write(|rows, session| {
            // Within the transaction: in between it would be held by a process without its buyer.
            self.release(hash);
            let found = rows.credential(hash)?;
            let Some(mut credential) = found.filter(|found| found.holder.is_some()) else {
                return Ok(None);
            };
            credential.holder = None;
            if first == FirstUse::Lost {
                credential.uses.lost = credential.uses.lost.saturating_add(1);
            }
            rows.put_credential(&credential)?;
            match first {
                FirstUse::Arrived => self.mark(rows, hash, session).map(Some),
                FirstUse::Lost | FirstUse::Untaken => Ok(None),
            }
        });
        self.release(hash);
        published
    }

    /// Returns how many uses of a counted credential may have been taken and have delivered
    /// nothing.
    pub(crate) fn lost(&self, hash: &PaymentHash) -> Result<u64, BookError> {
        self.read(|rows| {
            let credential = rows.credential(hash)?;
            let counted = credential.filter(|credential| credential.uses_max().is_some());
            counted.map_or(Ok(0), |credential| self.undelivered(rows, &credential))
        })
    }

    /// Returns what is known of a credential that is refused, and of those for the same that were
    /// bought within a day.
    pub(crate) fn evidence(
        &self,
        refused: &StoredCredential,
        now: UnixSeconds,
    ) -> Result<Evidence, BookError> {
        let hash = refused.payment_hash();
        self.read(|rows| {
            let uses = rows
                .credential(&hash)?
                .unwrap_or_else(|| refused.clone())
                .uses;
            let marks = rows.presentations(&hash)?.len() as u64;
            // The mark of the presentation that was refused is one of them.
            let marks = marks.saturating_sub(u64::from(refused.is_marked()));
            let known = [uses.delivered, uses.failed, uses.lost, marks];
            let all = rows.credentials()?;
            let is_other = |other: &StoredCredential| {
                other.payment_hash() != hash
                    && other.resource.origin == refused.resource.origin
                    && now.secs_since(other.bought_at) < brake::BRAKE_SECS
                    && other.is_bought()
                    && fit::is_replaced_by(&other.token, &refused.token, &refused.resource)
            };
            Ok(Evidence {
                taken: known.iter().fold(0, |sum, count| count.saturating_add(sum)),
                is_accepted: uses.delivered > 0,
                others: all.iter().filter(|other| is_other(other)).count(),
            })
        })
    }

    fn mark(
        &self,
        rows: &mut dyn Rows,
        hash: &PaymentHash,
        session: &SessionId,
    ) -> Result<Presentation, BookError> {
        let number = rows.put_presentation(hash, session)?;
        lock(&self.shared.presenting).insert(number);
        Ok(Presentation {
            number,
            payment_hash: *hash,
            _waiting: Waiting {
                shared: Arc::clone(&self.shared),
                number,
            },
        })
    }

    /// Counts the marks that no process waits for as lost, and removes them; returns true when
    /// there were any.
    fn gather(
        &self,
        rows: &mut dyn Rows,
        credential: &mut StoredCredential,
    ) -> Result<bool, BookError> {
        let mut lost: u64 = 0;
        for number in self.abandoned(rows, &credential.payment_hash())? {
            rows.remove_presentation(number)?;
            lost = lost.saturating_add(1);
        }
        if credential.holder.is_some() && !self.is_held(credential)? {
            credential.holder = None;
            lost = lost.saturating_add(1);
        }
        credential.uses.lost = credential.uses.lost.saturating_add(lost);
        Ok(lost > 0)
    }

    /// Returns the marks of a credential that no process waits for.
    fn abandoned(&self, rows: &dyn Rows, hash: &PaymentHash) -> Result<Vec<u64>, BookError> {
        let mut abandoned = Vec::new();
        for (number, session) in rows.presentations(hash)? {
            let is_waited_for = if self.is_own(&session) {
                lock(&self.shared.presenting).contains(&number)
            } else {
                self.shared.storage.is_alive(&session)?
            };
            if !is_waited_for {
                abandoned.push(number);
            }
        }
        Ok(abandoned)
    }

    /// Returns how many uses of a credential delivered nothing. Of one that is not counted this is
    /// one until it has delivered something, and none from then on.
    pub(super) fn undelivered(
        &self,
        rows: &dyn Rows,
        credential: &StoredCredential,
    ) -> Result<u64, BookError> {
        let max = credential.uses_max().unwrap_or(1);
        let marks = self.abandoned(rows, &credential.payment_hash())?.len();
        let is_holder_gone = credential.holder.is_some() && !self.is_held(credential)?;
        let lost = (marks as u64).saturating_add(u64::from(is_holder_gone));
        let uses = UseCounts {
            lost: credential.uses.lost.saturating_add(lost),
            ..credential.uses
        };
        Ok(uses.undelivered(max))
    }

    /// Finds a counted credential in whose place a purchase would be made although its uses
    /// delivered nothing, unless they are few for a token that is good for many requests. It is
    /// found once: the brake that is written with this, or a buyer who insists, settles it. A seller
    /// could name another service in each challenge, so two tokens that were bought within a day and
    /// have delivered nothing stop the whole origin, counted or not.
    pub(super) fn find_loss(
        &self,
        new: &Admission<'_>,
        rows: &mut dyn Rows,
        now: UnixSeconds,
    ) -> Result<Option<Brake>, BookError> {
        let TargetResource { origin, path, .. } = new.resource;
        let unsettled = rows.unsettled(origin)?;
        let is_second = self.are_several_undelivered(rows, &unsettled, origin, now)?;
        let mut found = None;
        for mut credential in unsettled {
            let uses_max = credential.uses_max();
            let is_replaced = credential.resource.path == *path
                || fit::is_replaced_by(&credential.token, new.token, new.resource);
            let is_one_of_several =
                is_second && self.has_delivered_nothing(rows, &credential, now)?;
            let is_meant = (is_replaced && uses_max.is_some()) || is_one_of_several;
            let lost = self.undelivered(rows, &credential)?;
            let is_tolerated = lost.saturating_mul(TOLERATED_ONE_IN) <= uses_max.unwrap_or(1);
            if !is_meant || (is_tolerated && !is_one_of_several) {
                continue;
            }
            self.gather(rows, &mut credential)?;
            credential.uses = UseCounts {
                delivered: credential.uses.delivered,
                ..UseCounts::default()
            };
            rows.put_credential(&credential)?;
            found = found.or(Some(credential));
        }
        let Some(credential) = found else {
            return Ok(None);
        };
        if new.rules.after_refusal == AfterRefusal::BuyAgain {
            return Ok(None);
        }
        let scope = if is_second {
            BrakeScope::Origin
        } else {
            BrakeScope::of(&credential.token, path)
        };
        let payment = WastedPayment {
            // Its delivery ends the brake.
            resource: &credential.resource,
            addressed: new.addressed,
            scope,
            payment_hash: credential.payment_hash(),
            paid: credential.paid(),
            cause: BrakeCause::Undelivered,
        };
        let brakes = Brake::after(payment, now);
        brake::put(rows, &brakes, now)?;
        let [brake, _addressed] = brakes;
        Ok(Some(brake))
    }
}

impl Book {
    /// Returns true when several tokens of one origin were bought within a day and have
    /// delivered nothing, those with a brake included.
    fn are_several_undelivered(
        &self,
        rows: &dyn Rows,
        unsettled: &[StoredCredential],
        origin: &Origin,
        now: UnixSeconds,
    ) -> Result<bool, BookError> {
        let brakes = brake::in_force(rows, origin, now)?;
        let mut undelivered: HashSet<PaymentHash> =
            brakes.iter().map(|brake| brake.payment_hash).collect();
        let braked = undelivered.len();
        for credential in unsettled {
            if self.has_delivered_nothing(rows, credential, now)? {
                undelivered.insert(credential.payment_hash());
            }
        }
        Ok(undelivered.len() > braked && undelivered.len() > 1)
    }

    /// Returns true for a token that was bought within a day, and whose uses that may have
    /// been taken delivered nothing.
    fn has_delivered_nothing(
        &self,
        rows: &dyn Rows,
        credential: &StoredCredential,
        now: UnixSeconds,
    ) -> Result<bool, BookError> {
        let is_recent = now.secs_since(credential.bought_at) < brake::BRAKE_SECS;
        let has_delivered = credential.uses.delivered > 0;
        let may_be = is_recent && credential.is_bought() && !has_delivered;
        Ok(may_be && self.undelivered(rows, credential)? > 0)
    }
}

/// Ends one presentation.
pub(super) fn end(
    rows: &mut dyn Rows,
    presentation: &Presentation,
    ending: Ending,
) -> Result<(), BookError> {
    // Another process may have counted it as lost.
    let is_marked = rows.remove_presentation(presentation.number)?;
    let Some(mut credential) = rows
        .credential(&presentation.payment_hash)?
        .filter(|_credential| is_marked)
    else {
        return Ok(());
    };
    let is_counted = credential.uses_max().is_some();
    let uses = &mut credential.uses;
    let count = match ending {
        Ending::Delivered => &mut uses.delivered,
        Ending::Declined if is_counted => &mut uses.delivered,
        Ending::Declined => return Ok(()),
        Ending::Failed => &mut uses.failed,
        Ending::Lost => &mut uses.lost,
        Ending::Untaken => return Ok(()),
    };
    *count = count.saturating_add(1);
    rows.put_credential(&credential)
}

impl Drop for Waiting {
    fn drop(&mut self) {
        lock(&self.shared.presenting).remove(&self.number);
    }
}

impl std::fmt::Debug for Waiting {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "Waiting({})", self.number)
    }
}

/// Of how many uses one may deliver nothing without a stop: connections do break.
const TOLERATED_ONE_IN: u64 = 10;
