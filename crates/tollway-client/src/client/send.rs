//! Sends a request: stored credentials first, then a purchase.
//!
//! Carries out what [`decide`](crate::decide) decides, one step after another.

use std::sync::Arc;

use http::{Response, StatusCode};
use hyper::body::Incoming;
use l402::{Msat, PaymentHash};

use super::Inner;
use super::answer::Answer;
use super::bought::Bought;
use super::buy::Unbought;
use super::call::Call;
use super::progress::Progress;
use crate::book::{Book, Brake, StaleCredential, StoredCredential, TargetResource, View};
use crate::decide::{self, Next, Returned, Sent, TokenScope};
use crate::error::{Error, TransportError};
use crate::event::{Event, Presented};
use crate::fit;
use crate::policy::Paying;
use crate::refusal_reason::RefusalReason;
use crate::response::{Delivery, ResponseBody};

impl Inner {
    pub(super) async fn send(
        self: &Arc<Self>,
        call: &mut Call,
    ) -> Result<Response<ResponseBody>, Error> {
        loop {
            let response = self.respond(call).await?;
            let follows = call.follow(&response, self.policy.redirects_max);
            if !follows.map_err(|error| call.failed(error))? {
                let idle_timeout = self.transport.idle_timeout();
                let delivery = |hash| Delivery {
                    book: self.book.clone(),
                    tasks: self.tasks.clone(),
                    payment_hash: hash,
                };
                return Ok(call.response(response, idle_timeout, delivery));
            }
            self.emit(&Event::Redirected {
                origin: call.origin().clone(),
                path: call.path().to_owned(),
            });
        }
    }

    async fn respond(self: &Arc<Self>, call: &mut Call) -> Result<Response<Incoming>, Error> {
        if call.brings_credential() {
            let response = self.exchange(call, None).await;
            return response.map_err(|error| call.failed(error));
        }
        let resource = call.resource();
        let view = self.view(call, &resource).await;
        let view = view.map_err(|error| call.failed(error))?;
        let mut progress = Progress::new(resource, view);
        loop {
            let now = self.now();
            match decide::next(&progress.situation(call, now)) {
                Next::Ask => self.ask(call, &mut progress).await?,
                Next::Buy => self.buy_and_show(call, &mut progress).await?,
                Next::GiveUp => return Err(self.give_up(call, &progress).await),
                Next::Serve => return Ok(self.serve(call, progress).await),
                Next::Show(hash) => self.show(call, &mut progress, hash).await?,
                Next::Wait(wait) => self.wait(call, &mut progress, wait).await?,
            }
        }
    }

    async fn ask(&self, call: &mut Call, progress: &mut Progress) -> Result<(), Error> {
        call.presented = None;
        let answer = self.attempt(call, None).await;
        progress.took(Sent::Nothing, answer.map_err(|error| call.failed(error))?);
        Ok(())
    }

    async fn show(
        &self,
        call: &mut Call,
        progress: &mut Progress,
        hash: PaymentHash,
    ) -> Result<(), Error> {
        let Some(credential) = progress.take(&hash) else {
            return Ok(());
        };
        progress.shown = Some(hash);
        let shown = Some((&credential, Presented::Stored(hash)));
        let answer = self.present(call, hash, shown).await?;
        if answer.returned() != Returned::Response {
            let reason = answer.reason();
            self.refuse(&progress.resource, hash, &reason).await;
            if credential.is_undelivered && reason == RefusalReason::Exhausted {
                let paid = credential.price.checked_add(credential.fee);
                self.set_brake(call, &progress.resource, hash, paid.unwrap_or(Msat::MAX))
                    .await;
            }
            progress.refused.push((hash, reason));
        }
        progress.took(Sent::Stored, answer);
        Ok(())
    }

    async fn buy_and_show(
        self: &Arc<Self>,
        call: &mut Call,
        progress: &mut Progress,
    ) -> Result<(), Error> {
        let Some(challenged) = progress.challenged.clone() else {
            return Ok(());
        };
        self.explain(call, progress).await;
        match self.buy(call, &challenged, progress).await {
            Ok(bought) => self.show_bought(call, progress, bought).await,
            Err(Unbought::Failed(error)) => Err(error),
            Err(Unbought::Changed) => self.look_again(call, progress).await,
        }
    }

    /// Presents what was just paid for. Nothing that comes back leads to a second payment.
    pub(super) async fn show_bought(
        &self,
        call: &mut Call,
        progress: &mut Progress,
        bought: Bought,
    ) -> Result<(), Error> {
        call.set_receipt(bought.receipt());
        let sent = match progress.last {
            Some((Sent::Bought, _)) => Sent::BoughtAgain,
            Some((Sent::BoughtAgain | Sent::Nothing | Sent::Stored, _)) | None => Sent::Bought,
        };
        let hash = bought.credential.payment_hash();
        progress.shown = Some(hash);
        let shown = Some((&bought.credential, Presented::Bought(hash)));
        let answer = self.present(call, hash, shown).await?;
        progress.took(sent, answer);
        progress.bought = Some(bought);
        Ok(())
    }

    /// Sends the request with a credential of ours, and remembers when nothing came back.
    async fn present(
        &self,
        call: &mut Call,
        hash: PaymentHash,
        shown: Option<(&StoredCredential, Presented)>,
    ) -> Result<Answer, Error> {
        call.presented = Some(hash);
        match self.attempt(call, shown).await {
            Ok(answer) => Ok(answer),
            Err(error) => {
                if !matches!(error, TransportError::Connect { .. }) {
                    self.set_undelivered(hash, true).await;
                }
                Err(call.failed(error))
            }
        }
    }

    /// Remembers whether the response to a credential was delivered. Failing to may cost money
    /// only where a seller takes a use for an error.
    async fn set_undelivered(&self, hash: PaymentHash, is_undelivered: bool) {
        let set = move |book: &Book| book.set_undelivered(&hash, is_undelivered);
        let _ = self.with_book(set).await;
    }

    /// Returns the last response. What was bought for it may be used by others from here on.
    async fn serve(&self, call: &Call, mut progress: Progress) -> Response<Incoming> {
        if let Some(bought) = progress.bought.take() {
            bought.publish().await;
        }
        match &progress.last {
            Some((Sent::Bought | Sent::BoughtAgain, answer)) if is_refusal(answer.status()) => {
                if let Some(receipt) = call.receipt() {
                    let (hash, paid) = (receipt.payment.payment_hash, receipt.paid());
                    self.set_brake(call, &progress.resource, hash, paid).await;
                }
            }
            Some((Sent::Nothing, _)) | None => {}
            Some((_presented, answer)) if is_acceptance(answer.status()) => {
                self.accept(call, &progress, answer.status()).await;
            }
            Some((_presented, answer)) if is_undelivered(answer.status()) => {
                if let Some(hash) = progress.shown {
                    self.set_undelivered(hash, true).await;
                }
            }
            Some((_presented, _answer)) => {}
        }
        let last = progress.last.and_then(|(_, answer)| answer.into_response());
        last.expect("`decide::next` serves a response, never a challenge")
    }

    /// Remembers where a credential was accepted, and takes back what that has disproved.
    /// Failing to costs a round trip, or leaves a brake or a refusal, and no money.
    async fn accept(&self, call: &Call, progress: &Progress, status: StatusCode) {
        let Some(hash) = progress.shown else {
            return;
        };
        let resource = progress.resource.clone();
        let shown = progress.view.credentials.iter();
        let mut shown = shown.filter(|credential| credential.payment_hash() == hash);
        if shown.clone().any(|shown| shown.is_undelivered) {
            self.set_undelivered(hash, false).await;
        }
        let is_elsewheres = shown.any(|shown| progress.scope(shown) == TokenScope::SameOrigin);
        if is_elsewheres && status.is_success() {
            let resource = resource.clone();
            let _ = self
                .with_book(move |book| book.remember(&hash, &resource))
                .await;
        }
        if progress.view.refused.contains(&hash) {
            let resource = resource.clone();
            let _ = self
                .with_book(move |book| book.accept(&hash, &resource))
                .await;
        }
        // A success elsewhere, or a redirect, disproves nothing: neither delivers what was paid.
        let is_disproved = |brake: &Brake| brake.path == resource.path && status.is_success();
        if progress.view.brake.as_ref().is_some_and(is_disproved) {
            let addressed = call.addressed().clone();
            let release = move |book: &Book| {
                book.release_brake(&resource.origin)?;
                book.release_brake(&addressed)
            };
            let _ = self.with_book(release).await;
        }
    }

    /// Ends a request that was paid for and refused.
    async fn give_up(&self, call: &Call, progress: &Progress) -> Error {
        let status = progress.last.as_ref().map(|(_, answer)| answer.status());
        let refused = call.receipt().cloned().zip(status);
        let (receipt, status) = refused.expect("`decide::next` gives up only after a payment");
        let (hash, paid) = (receipt.payment.payment_hash, receipt.paid());
        self.set_brake(call, &progress.resource, hash, paid).await;
        let reason = progress.last.as_ref().map(|(_, answer)| answer.reason());
        self.emit(&Event::Refused {
            payment_hash: receipt.payment.payment_hash,
            reason: reason.unwrap_or(RefusalReason::Unstated),
        });
        Error::PaidButRefused {
            receipt: Box::new(receipt),
            status,
        }
    }

    /// Stops buying from a seller for a while, and from where the request was addressed. Without
    /// the brake the next request may buy again, within the limits.
    async fn set_brake(
        &self,
        call: &Call,
        resource: &TargetResource,
        payment_hash: PaymentHash,
        paid: Msat,
    ) {
        // A request that may not buy must not keep a later one from it.
        if self.policy.paying == Paying::Off {
            return;
        }
        let brake = Brake {
            origin: resource.origin.clone(),
            path: resource.path.clone(),
            payment_hash,
            paid,
            until: self.now().plus_secs(BRAKE_SECS),
        };
        let addressed = Brake {
            origin: call.addressed().clone(),
            ..brake.clone()
        };
        let set = move |book: &Book| {
            book.brake(&brake)?;
            book.brake(&addressed)
        };
        let _ = self.with_book(set).await;
    }

    /// Remembers that a credential was refused. Failing to costs a round trip next time and
    /// nothing else, so it stops nothing.
    async fn refuse(&self, resource: &TargetResource, hash: PaymentHash, reason: &RefusalReason) {
        let (resource, stated, now) = (resource.clone(), reason.clone(), self.now());
        // A request that may not buy must not make a later one buy what is there.
        if self.policy.paying == Paying::On {
            let _ = self
                .with_book(move |book| book.refuse(&hash, &resource, &stated, now))
                .await;
        }
        self.emit(&Event::Refused {
            payment_hash: hash,
            reason: reason.clone(),
        });
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
        for (payment_hash, reason) in replaced {
            self.emit(&Event::Replacing {
                payment_hash,
                reason,
            });
        }
    }

    /// Reads what the book holds for a request. Credentials are presented only where the
    /// request was addressed, or where the policy names the host.
    pub(super) async fn view(&self, call: &Call, resource: &TargetResource) -> Result<View, Error> {
        let (wanted, now) = (resource.clone(), self.now());
        let mut view = self
            .with_book(move |book| book.view(&wanted, now))
            .await??;
        if !self.may_present_at(call, resource) {
            view.credentials.clear();
        }
        Ok(view)
    }

    fn may_present_at(&self, call: &Call, resource: &TargetResource) -> bool {
        let is_meant = call.is_where_addressed() || self.policy.hosts.name(resource.origin.host());
        is_meant && self.policy.may_expose_to(&resource.origin)
    }
}

/// Returns the newest of the credentials that would be presented if they were not expired or
/// refused, or if their caveats fitted.
fn newest(
    progress: &Progress,
    stale: Vec<StaleCredential>,
) -> Option<(PaymentHash, RefusalReason)> {
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
    Some((newest.credential.payment_hash(), newest.reason))
}

/// Whether the response to a credential bought just now counts as a refusal of it: a challenge
/// does anyway, and never gets here.
fn is_refusal(status: StatusCode) -> bool {
    matches!(status, StatusCode::UNAUTHORIZED | StatusCode::FORBIDDEN)
}

/// Whether a response may have taken a use and delivered nothing for it. An intermediary's own
/// 502, 503 or 504 takes none: another request holds the last one, say, or the upstream is down.
fn is_undelivered(status: StatusCode) -> bool {
    let takes_none = matches!(
        status,
        StatusCode::BAD_GATEWAY | StatusCode::SERVICE_UNAVAILABLE | StatusCode::GATEWAY_TIMEOUT
    );
    status.is_server_error() && !takes_none
}

fn is_acceptance(status: StatusCode) -> bool {
    status.is_success() || status.is_redirection()
}

const BRAKE_SECS: u64 = 86_400;
