//! A book in memory, for tests and for programs without a disk.

use std::cmp::Reverse;
use std::collections::BTreeMap;
use std::sync::{Mutex, PoisonError};

use l402::{Charged, Msat, PaymentHash, PurchaseState, UnixSeconds};

use super::purchase::is_at_or_below;
use super::rows::{
    ACCEPTANCES_MAX, CANDIDATES_MAX, CredentialRows, PurchaseRows, RECENT_REFUSALS_MAX,
    REFUSALS_MAX, Rows, Storage, Which,
};
use super::{
    BookError, Brake, Purchase, Refusal, SessionId, Spending, StoredCredential, TargetResource,
};
use crate::origin::Origin;

/// A database that ends with its process.
#[derive(Debug, Default)]
pub(super) struct Memory(Mutex<Tables>);

/// The rows themselves.
#[derive(Clone, Debug, Default)]
pub(super) struct Tables {
    purchases: BTreeMap<PaymentHash, Purchase>,
    credentials: BTreeMap<PaymentHash, StoredCredential>,
    refusals: Vec<Refusal>,
    /// Credentials and the paths at which they were accepted, oldest first.
    acceptances: Vec<(PaymentHash, String)>,
    brakes: Vec<Brake>,
    presentations: BTreeMap<u64, (PaymentHash, SessionId)>,
    /// How many presentations there were.
    presented: u64,
}

impl Storage for Memory {
    fn read(
        &self,
        work: &mut dyn FnMut(&dyn Rows) -> Result<(), BookError>,
    ) -> Result<(), BookError> {
        work(&*self.0.lock().unwrap_or_else(PoisonError::into_inner))
    }

    fn write(
        &self,
        work: &mut dyn FnMut(&mut dyn Rows, &SessionId) -> Result<(), BookError>,
    ) -> Result<(), BookError> {
        let mut tables = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let mut changed = tables.clone();
        work(&mut changed, &only_session())?;
        *tables = changed;
        Ok(())
    }

    fn session(&self) -> Option<SessionId> {
        Some(only_session())
    }

    fn is_alive(&self, session: &SessionId) -> Result<bool, BookError> {
        Ok(*session == only_session())
    }
}

fn only_session() -> SessionId {
    SessionId::new("memory".to_owned())
}

impl PurchaseRows for Tables {
    fn purchase(&self, hash: &PaymentHash) -> Result<Option<Purchase>, BookError> {
        Ok(self.purchases.get(hash).cloned())
    }

    fn put_purchase(&mut self, purchase: &Purchase) -> Result<(), BookError> {
        self.purchases
            .insert(purchase.payment_hash(), purchase.clone());
        Ok(())
    }

    fn purchases(&self, which: Which<'_>) -> Result<Vec<Purchase>, BookError> {
        let wanted = |purchase: &&Purchase| match which {
            Which::All => true,
            Which::Open => purchase.state.is_open(),
            Which::OpenAt(origin) => {
                purchase.state.is_open() && purchase.resource.origin == *origin
            }
        };
        let mut found: Vec<Purchase> = self.purchases.values().filter(wanted).cloned().collect();
        found.sort_by_key(|purchase| (purchase.begun_at.as_secs(), purchase.payment_hash()));
        Ok(found)
    }

    fn charged(&self, host: &str, utc_day: u64) -> Result<Charged, BookError> {
        let sum = |wanted: &dyn Fn(&Purchase) -> bool| {
            let charges = self.purchases.values().filter(|purchase| wanted(purchase));
            charges.fold(Msat::ZERO, |sum, purchase| {
                sum.checked_add(purchase.charge()).unwrap_or(Msat::MAX)
            })
        };
        Ok(Charged {
            host: sum(&|purchase| purchase.payable.host() == host),
            today: sum(&|purchase| purchase.begun_at.utc_day() >= utc_day),
            total: sum(&|_purchase| true),
        })
    }

    fn spending(&self) -> Result<Vec<Spending>, BookError> {
        let mut sums: BTreeMap<(u64, &Origin), Spending> = BTreeMap::new();
        for purchase in self.purchases.values() {
            let (day, origin) = (purchase.begun_at.utc_day(), &purchase.resource.origin);
            let sum = sums.entry((day, origin));
            let sum = sum.or_insert_with(|| Spending::none(origin, day));
            match purchase.state {
                PurchaseState::Failed | PurchaseState::Offered => {}
                PurchaseState::Paid { fee, .. } => sum.pay(purchase.payable.price(), fee),
                PurchaseState::Paying | PurchaseState::Reserved | PurchaseState::Unknown => {
                    sum.reserve(purchase.charge());
                }
            }
        }
        let is_some = |sum: &Spending| sum.purchases > 0 || sum.open > 0;
        Ok(sums.into_values().filter(is_some).collect())
    }
}

impl Tables {
    fn accepts(&self, hash: &PaymentHash, path: &str) -> bool {
        let mut paths = self.acceptances.iter();
        paths.any(|(accepted, above)| accepted == hash && is_at_or_below(path, above))
    }
}

impl CredentialRows for Tables {
    fn credential(&self, hash: &PaymentHash) -> Result<Option<StoredCredential>, BookError> {
        Ok(self.credentials.get(hash).cloned())
    }

    fn credentials(&self) -> Result<Vec<StoredCredential>, BookError> {
        let mut all: Vec<_> = self.credentials.values().cloned().collect();
        all.sort_by_key(|credential| (credential.bought_at.as_secs(), credential.payment_hash()));
        Ok(all)
    }

    fn candidates(
        &self,
        resource: &TargetResource,
        now: UnixSeconds,
    ) -> Result<Vec<StoredCredential>, BookError> {
        let is_tried = |credential: &&StoredCredential| {
            let hash = credential.payment_hash();
            let refusals = || self.refusals.iter().filter(|r| r.payment_hash == hash);
            let is_meant = credential.covers(&resource.path) || self.accepts(&hash, &resource.path);
            credential.resource.origin == resource.origin
                && !refusals().any(|refusal| refusal.is_about(resource) && refusal.is_in_force(now))
                && (is_meant || refusals().count() < REFUSALS_MAX)
        };
        let mut found: Vec<_> = self
            .credentials
            .values()
            .filter(is_tried)
            .cloned()
            .collect();
        found.sort_by_key(|credential| {
            let covers = credential.covers(&resource.path);
            let matched = covers.then_some(credential.resource.path.len());
            let is_accepted = self.accepts(&credential.payment_hash(), &resource.path);
            Reverse((matched, is_accepted, credential.bought_at.as_secs()))
        });
        found.truncate(CANDIDATES_MAX);
        Ok(found)
    }

    fn put_credential(&mut self, credential: &StoredCredential) -> Result<(), BookError> {
        self.credentials
            .insert(credential.payment_hash(), credential.clone());
        Ok(())
    }

    fn remove_credential(&mut self, hash: &PaymentHash) -> Result<bool, BookError> {
        self.remove_refusals(hash)?;
        self.acceptances.retain(|(accepted, _)| accepted != hash);
        self.presentations.retain(|_number, (of, _)| of != hash);
        Ok(self.credentials.remove(hash).is_some())
    }

    fn refusal(
        &self,
        hash: &PaymentHash,
        resource: &TargetResource,
    ) -> Result<Option<Refusal>, BookError> {
        let mut refusals = self.refusals.iter();
        Ok(refusals
            .find(|refusal| refusal.payment_hash == *hash && refusal.resource == *resource)
            .cloned())
    }

    fn refusals_at(
        &self,
        resource: &TargetResource,
        now: UnixSeconds,
    ) -> Result<Vec<Refusal>, BookError> {
        let in_force = |refusal: &&Refusal| {
            refusal.is_about(resource)
                && refusal.resource.origin == resource.origin
                && refusal.is_in_force(now)
        };
        let latest = self.refusals.iter().rev().filter(in_force);
        Ok(latest.take(RECENT_REFUSALS_MAX).cloned().collect())
    }

    fn put_refusal(&mut self, refusal: &Refusal) -> Result<(), BookError> {
        self.remove_refusal(&refusal.payment_hash, &refusal.resource)?;
        self.refusals.push(refusal.clone());
        Ok(())
    }

    fn remove_refusal(
        &mut self,
        hash: &PaymentHash,
        resource: &TargetResource,
    ) -> Result<(), BookError> {
        self.refusals
            .retain(|refusal| refusal.payment_hash != *hash || refusal.resource != *resource);
        Ok(())
    }

    fn remove_refusals(&mut self, hash: &PaymentHash) -> Result<(), BookError> {
        self.refusals
            .retain(|refusal| refusal.payment_hash != *hash);
        Ok(())
    }

    fn is_accepted(&self, hash: &PaymentHash, path: &str) -> Result<bool, BookError> {
        Ok(self.accepts(hash, path))
    }

    fn put_acceptance(&mut self, hash: &PaymentHash, path: &str) -> Result<(), BookError> {
        self.acceptances
            .retain(|(accepted, at)| accepted != hash || at != path);
        let of_hash = |(accepted, _): &&(PaymentHash, String)| accepted == hash;
        if self.acceptances.iter().filter(of_hash).count() >= ACCEPTANCES_MAX {
            let oldest = self.acceptances.iter().find(of_hash).cloned();
            self.acceptances
                .retain(|acceptance| Some(acceptance) != oldest.as_ref());
        }
        self.acceptances.push((*hash, path.to_owned()));
        Ok(())
    }

    fn acceptances(&self, hash: &PaymentHash) -> Result<Vec<String>, BookError> {
        let of_hash = self.acceptances.iter().filter(|(of, _)| of == hash);
        Ok(of_hash.map(|(_, path)| path.clone()).collect())
    }

    fn is_refused_below(&self, hash: &PaymentHash, path: &str) -> Result<bool, BookError> {
        let mut refusals = self.refusals.iter();
        Ok(refusals.any(|refusal| {
            refusal.payment_hash == *hash && is_at_or_below(&refusal.resource.path, path)
        }))
    }

    fn remove_acceptances(&mut self, hash: &PaymentHash, path: &str) -> Result<(), BookError> {
        self.acceptances
            .retain(|(accepted, at)| accepted != hash || !is_at_or_below(path, at));
        Ok(())
    }

    fn unsettled(&self, origin: &Origin) -> Result<Vec<StoredCredential>, BookError> {
        let is_unsettled = |credential: &&StoredCredential| {
            let hash = credential.payment_hash();
            let mut marks = self.presentations.values();
            credential.resource.origin == *origin
                && (credential.uses.lost > 0
                    || credential.uses.failed > 0
                    || credential.holder.is_some()
                    || marks.any(|(marked, _session)| *marked == hash))
        };
        let all = self.credentials.values();
        Ok(all.filter(is_unsettled).cloned().collect())
    }

    fn delivered_since(&self, origin: &Origin, moment: UnixSeconds) -> Result<u64, BookError> {
        let has_delivered = |credential: &&StoredCredential| {
            credential.resource.origin == *origin
                && credential.bought_at >= moment
                && credential.is_bought()
                && credential.uses.delivered > 0
        };
        Ok(self.credentials.values().filter(has_delivered).count() as u64)
    }

    fn put_presentation(
        &mut self,
        hash: &PaymentHash,
        session: &SessionId,
    ) -> Result<u64, BookError> {
        self.presented = self.presented.saturating_add(1);
        let mark = (*hash, session.clone());
        self.presentations.insert(self.presented, mark);
        Ok(self.presented)
    }

    fn presentations(&self, hash: &PaymentHash) -> Result<Vec<(u64, SessionId)>, BookError> {
        let of_hash = self.presentations.iter();
        let of_hash = of_hash.filter(|(_number, (of, _session))| of == hash);
        Ok(of_hash
            .map(|(number, (_of, session))| (*number, session.clone()))
            .collect())
    }

    fn remove_presentation(&mut self, number: u64) -> Result<bool, BookError> {
        Ok(self.presentations.remove(&number).is_some())
    }

    fn brakes(&self, origin: &Origin) -> Result<Vec<Brake>, BookError> {
        let at_origin = self.brakes.iter().filter(|brake| brake.origin == *origin);
        Ok(at_origin.cloned().collect())
    }

    fn put_brake(&mut self, brake: &Brake) -> Result<(), BookError> {
        self.brakes
            .retain(|other| other.origin != brake.origin || other.scope != brake.scope);
        self.brakes.push(brake.clone());
        Ok(())
    }

    fn remove_brakes(&mut self, hash: &PaymentHash) -> Result<(), BookError> {
        self.brakes.retain(|brake| brake.payment_hash != *hash);
        Ok(())
    }

    fn remove_brakes_until(&mut self, origin: &Origin, now: UnixSeconds) -> Result<(), BookError> {
        self.brakes
            .retain(|brake| brake.origin != *origin || now < brake.until);
        Ok(())
    }
}
