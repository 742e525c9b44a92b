//! Credentials that were refused: what is remembered, stopped and reported.

use l402::{Msat, UnixSeconds};

use super::Inner;
use super::answer::Answer;
use super::call::Call;
use super::progress::Progress;
use crate::book::{
    Brake, BrakeCause, BrakeScope, Refused, StaleCredential, StoredCredential, TargetResource,
    WastedPayment,
};
use crate::decide::TokenScope;
use crate::error::Error;
use crate::event::Event;
use crate::fit;
use crate::policy::{AfterRefusal, Paying};
use crate::refusal_reason::RefusalReason;
use crate::verdict::{self, Verdict};

impl Inner {
    /// Ends a request that was paid for and refused.
    pub(super) async fn give_up(&self, call: &Call, progress: &Progress) -> Error {
        let status = progress.last.as_ref().map(|(_, answer)| answer.status());
        let refused = call.receipt().cloned().zip(status);
        let (receipt, status) = refused.expect("`decide::next` gives up only after a payment");
        let (hash, paid) = (receipt.payment.payment_hash, receipt.paid());
        let reason = progress.last.as_ref().map(|(_, answer)| answer.reason());
        let reason = reason.unwrap_or(RefusalReason::Unstated);
        let cause = BrakeCause::Refused(reason.clone());
        self.set_brake(call, progress, paid, cause).await;
        self.emit(&Event::Refused {
            payment_hash: hash,
            reason,
        });
        Error::PaidButRefused {
            receipt: Box::new(receipt),
            status,
            redirected_to: None,
        }
    }

    /// Returns the error of a call. Where its payment has bought a redirect to another demand for
    /// payment, the path that redirects is not bought for a while. The redirect is what the use of
    /// the token has brought: it is not lost.
    pub(super) async fn ended(&self, call: &mut Call, error: Error) -> Error {
        let Some(bought) = call.bought_redirect().cloned() else {
            return error;
        };
        let Error::PaidButRefused {
            receipt,
            status,
            redirected_to: None,
        } = error
        else {
            return error;
        };
        let address = format!("{}{}", call.origin(), call.path());
        let now = self.now();
        let payment = WastedPayment {
            resource: &bought,
            addressed: call.addressed(),
            scope: BrakeScope::Path(bought.path.clone()),
            payment_hash: receipt.payment.payment_hash,
            paid: receipt.paid(),
            cause: BrakeCause::Redirected(address.clone()),
        };
        let brakes = Brake::after(payment, now);
        let _ = self.with_book(move |book| book.brake(&brakes, now)).await;
        let delivery = std::mem::replace(&mut call.delivery, self.new_delivery());
        // Failing to counts the use as lost: nothing is bought in its place unasked.
        let _ = delivery.confirm().await;
        Error::PaidButRefused {
            receipt,
            status,
            redirected_to: Some(address),
        }
    }

    /// Stops buying what was bought just now for a while, from its seller and from where the
    /// request was addressed. Without the brake the next request may buy again, within the limits.
    pub(super) async fn set_brake(
        &self,
        call: &Call,
        progress: &Progress,
        paid: Msat,
        cause: BrakeCause,
    ) {
        // A request that may not buy must not keep a later one from it.
        let Some(bought) = progress.bought_token.as_ref() else {
            return;
        };
        if self.policy.paying == Paying::Off {
            return;
        }
        let Some(payment_hash) = progress.shown else {
            return;
        };
        let now = self.now();
        let payment = WastedPayment {
            resource: &progress.resource,
            addressed: call.addressed(),
            scope: BrakeScope::of(bought, &progress.resource.path),
            payment_hash,
            paid,
            cause,
        };
        let brakes = Brake::after(payment, now);
        let _ = self.with_book(move |book| book.brake(&brakes, now)).await;
    }

    /// Remembers that a stored credential was refused. Failing to costs a round trip next time,
    /// and may leave its mark; it stops nothing.
    pub(super) async fn refuse(
        &self,
        call: &mut Call,
        resource: &TargetResource,
        credential: &StoredCredential,
        answer: &Answer,
    ) {
        let reason = answer.reason();
        let now = self.now();
        let payment_hash = credential.payment_hash();
        // A request that may not buy must not make a later one buy what is there.
        if self.policy.paying == Paying::Off {
            self.take_no_use(call, credential).await;
        } else {
            let refusal = verdict::Refusal {
                credential,
                resource,
                reason: &reason,
                is_its_service: answer.is_for_service(&credential.token),
            };
            let verdict = self.verdict(&refusal, now).await;
            let mut brakes = Vec::new();
            if let Verdict::Contradicted(cause) = &verdict
                && self.policy.after_refusal == AfterRefusal::Wait
            {
                let payment = WastedPayment {
                    resource,
                    addressed: call.addressed(),
                    scope: BrakeScope::of(&credential.token, &resource.path),
                    payment_hash,
                    paid: credential.paid(),
                    cause: cause.clone(),
                };
                brakes = Brake::after(payment, now).to_vec();
            }
            let refused = Refused {
                payment_hash,
                resource: resource.clone(),
                reason: reason.clone(),
                presentation: call.delivery.take(&payment_hash),
                brakes,
                verdict,
            };
            let _ = self.with_book(move |book| book.refuse(&refused, now)).await;
        }
        self.emit(&Event::Refused {
            payment_hash,
            reason,
        });
    }

    /// Returns what a refusal means. What cannot be read is not held against the seller.
    async fn verdict(&self, refusal: &verdict::Refusal<'_>, now: UnixSeconds) -> Verdict {
        let refused = refusal.credential.clone();
        let evidence = self.with_book(move |book| book.evidence(&refused, now));
        match evidence.await {
            Ok(Ok(evidence)) => verdict::of(refusal, &evidence, now),
            Ok(Err(_)) | Err(_) => Verdict::Plausible,
        }
    }

    /// Emits, once, which stored credentials no longer buy this, and why: those that were
    /// presented, or else the newest that was not.
    pub(super) async fn explain(&self, call: &Call, progress: &mut Progress) {
        if std::mem::replace(&mut progress.is_explained, true) {
            return;
        }
        let mut replaced = progress.refused.clone();
        if replaced.is_empty() && self.may_present_at(call, &progress.resource) {
            let (resource, now) = (progress.resource.clone(), self.now());
            let stale = self.with_book(move |book| book.stale(&resource, now)).await;
            // What cannot be read is not explained, and is bought all the same.
            let stale = stale.ok().and_then(Result::ok).unwrap_or_default();
            replaced.extend(newest(progress, stale));
        }
        for (credential, reason) in replaced {
            let hash = credential.payment_hash();
            let read = self.with_book(move |book| book.lost(&hash)).await;
            self.emit(&Event::Replacing {
                payment_hash: hash,
                reason,
                accepted: progress.was_accepted(&credential),
                lost: read.ok().and_then(Result::ok).unwrap_or_default(),
                uses_max: credential.uses_max(),
            });
        }
    }
}

/// Returns the newest of the credentials that would be presented if they were not expired or
/// refused, or if their caveats fitted.
fn newest(
    progress: &Progress,
    stale: Vec<StaleCredential>,
) -> Option<(StoredCredential, RefusalReason)> {
    let misfits = progress.view.credentials.iter().filter_map(|credential| {
        let reason = fit::misfit(&credential.token, &progress.resource)?;
        let credential = credential.clone();
        Some(StaleCredential { credential, reason })
    });
    let all = stale.into_iter().chain(misfits);
    let would_be_presented = |stale: &StaleCredential| {
        let is_near = progress.scope(&stale.credential) == TokenScope::SamePath;
        is_near || progress.may_be_for_service(&stale.credential)
    };
    let newest = all
        .filter(would_be_presented)
        .max_by_key(|stale| stale.credential.bought_at.as_secs())?;
    Some((newest.credential, newest.reason))
}
