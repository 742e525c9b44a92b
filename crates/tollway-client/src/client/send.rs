//! Sends a request: stored credentials first, then a purchase.
//!
//! Carries out what [`decide`](crate::decide) decides, one step after another.

use std::pin::pin;
use std::sync::Arc;

use http::{Response, StatusCode};
use http_body::Body as _;
use hyper::body::Incoming;
use l402::PaymentHash;

use super::Inner;
use super::bought::Bought;
use super::buy::Unbought;
use super::call::Call;
use super::progress::Progress;
use crate::book::{Book, BrakeCause, Ending, FirstUse, StoredCredential, TargetResource, View};
use crate::decide::{self, Next, Returned, Sent, TokenScope};
use crate::delivery::{Confirmation, Delivery};
use crate::error::{Error, TransportError};
use crate::event::{Event, Presented};
use crate::policy::AfterRefusal;
use crate::response::ResponseBody;

impl Inner {
    pub(super) async fn send(
        self: &Arc<Self>,
        call: &mut Call,
    ) -> Result<Response<ResponseBody>, Error> {
        loop {
            let response = match self.respond(call).await {
                Ok(response) => response,
                Err(error) => return Err(self.ended(call, error).await),
            };
            let follows = call.follow(&response, self.policy.redirects_max);
            if !follows.map_err(|error| call.failed(error))? {
                return Ok(self.responded(call, response).await);
            }
            self.emit(&Event::Redirected {
                origin: call.origin().clone(),
                path: call.path().to_owned(),
            });
        }
    }

    /// Returns the response to a call. One without a body is delivered with its head, unless the
    /// caller confirms that.
    async fn responded(
        &self,
        call: &mut Call,
        response: Response<Incoming>,
    ) -> Response<ResponseBody> {
        let delivery = std::mem::replace(&mut call.delivery, self.new_delivery());
        let mut delivery = Some(delivery).filter(Delivery::is_pending);
        if self.confirmation == Confirmation::AtEnd
            && response.body().is_end_stream()
            && let Some(delivery) = delivery.take()
        {
            // Failing to counts the use as lost: nothing is bought in its place unasked.
            let _ = delivery.confirm().await;
        }
        let idle_timeout = self.transport.idle_timeout();
        call.response(response, idle_timeout, delivery)
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
        if credential.is_marked() {
            let marked = self.with_book(move |book| book.present(&hash)).await;
            let marked = marked.and_then(|marked| Ok(marked?));
            call.delivery
                .add(marked.map_err(|error| call.failed(error))?);
        }
        let shown = Some((&credential, Presented::Stored(hash)));
        let answer = match self.attempt(call, shown).await {
            Ok(answer) => answer,
            Err(error) => {
                if matches!(error, TransportError::Connect { .. }) {
                    self.take_no_use(call, &credential).await;
                }
                return Err(call.failed(error));
            }
        };
        match answer.returned() {
            Returned::Bare402 | Returned::Challenge => {
                let reason = answer.reason();
                self.refuse(call, &progress.resource, &credential, &answer)
                    .await;
                progress.refused.push((credential, reason));
            }
            Returned::InUse => self.take_no_use(call, &credential).await,
            Returned::Response => {}
        }
        progress.took(Sent::Stored, answer);
        Ok(())
    }

    /// Ends the presentation of a stored credential that took no use of it.
    pub(super) async fn take_no_use(&self, call: &mut Call, credential: &StoredCredential) {
        if let Some(presentation) = call.delivery.take(&credential.payment_hash()) {
            let end = move |book: &Book| book.end(&[presentation], Ending::Untaken, &[]);
            // Failing to counts the use as lost: nothing is bought in its place unasked.
            let _ = self.with_book(end).await;
        }
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
        mut bought: Bought,
    ) -> Result<(), Error> {
        call.set_receipt(bought.receipt());
        let sent = match progress.last {
            Some((Sent::Bought, _)) => Sent::BoughtAgain,
            Some((Sent::BoughtAgain | Sent::Nothing | Sent::Stored, _)) | None => Sent::Bought,
        };
        let hash = bought.credential.payment_hash();
        progress.shown = Some(hash);
        let shown = bought.credential.clone();
        progress.bought_token = Some(shown.token.clone());
        bought.used(FirstUse::Lost);
        let answer = {
            let attempt = self.attempt(call, Some((&shown, Presented::Bought(hash))));
            let mut attempt = pin!(attempt);
            let patience = self.policy.pauses.first_response;
            match tokio::time::timeout(patience, &mut attempt).await {
                Ok(answer) => answer,
                Err(_elapsed) => {
                    // Others would wait as long as this seller does not respond.
                    if shown.uses_max() != Some(1) {
                        bought.share().await;
                        progress.turn = None;
                    }
                    attempt.await
                }
            }
        };
        // Neither a refusal nor a connection that was not made takes a use.
        if !matches!(&answer, Err(error) if !matches!(error, TransportError::Connect { .. })) {
            bought.used(FirstUse::Untaken);
        }
        progress.took(sent, answer.map_err(|error| call.failed(error))?);
        progress.bought = Some(bought);
        Ok(())
    }

    /// Returns the last response. What was bought for it may be used by others from here on.
    async fn serve(&self, call: &mut Call, mut progress: Progress) -> Response<Incoming> {
        let last = progress.last.take();
        let (sent, answer) = last.expect("`decide::next` serves what was returned");
        let status = answer.status();
        let is_bought = matches!(sent, Sent::Bought | Sent::BoughtAgain);
        if is_bought
            && is_refusal(status)
            && let Some(receipt) = call.receipt()
        {
            // Before it is published: from then on others may buy from this seller.
            let paid = receipt.paid();
            self.set_brake(call, &progress, paid, BrakeCause::Forbidden)
                .await;
        }
        self.publish(call, &mut progress, sent, status).await;
        let released = self.released(&progress, sent, status);
        call.delivery.of_response(status, released);
        if sent != Sent::Nothing && is_acceptance(status) {
            self.accept(&progress, status).await;
        }
        let response = answer.into_response();
        response.expect("`decide::next` serves a response, never a challenge")
    }

    /// Lets others use what was bought, and ends the presentation of a credential whose response
    /// takes no use.
    async fn publish(
        &self,
        call: &mut Call,
        progress: &mut Progress,
        sent: Sent,
        status: StatusCode,
    ) {
        match (sent, progress.bought.take()) {
            (Sent::Bought | Sent::BoughtAgain, Some(bought)) => {
                let first = if takes_no_use(status) {
                    FirstUse::Untaken
                } else {
                    FirstUse::Arrived
                };
                call.delivery.add(bought.publish(first).await);
            }
            (Sent::Stored, _) if takes_no_use(status) => {
                let shown = progress.shown_credential().cloned();
                if let Some(shown) = shown {
                    self.take_no_use(call, &shown).await;
                }
            }
            (Sent::Bought | Sent::BoughtAgain | Sent::Nothing | Sent::Stored, _) => {}
        }
    }

    /// Returns the payments whose brakes end when a response is delivered: those that it
    /// disproves, and those that its purchase has passed because the buyer insists.
    fn released(&self, progress: &Progress, sent: Sent, status: StatusCode) -> Vec<PaymentHash> {
        let brakes = &progress.view.brakes;
        let Some(shown) = progress.shown.filter(|_shown| sent != Sent::Nothing) else {
            return Vec::new();
        };
        // A redirect disproves nothing: it does not deliver what was paid.
        if !status.is_success() {
            return Vec::new();
        }
        let path = &progress.resource.path;
        let disproved = brakes
            .iter()
            .filter(|brake| brake.is_disproved(&shown, path));
        let mut released: Vec<PaymentHash> = disproved.map(|brake| brake.payment_hash).collect();
        let is_bought = matches!(sent, Sent::Bought | Sent::BoughtAgain);
        if is_bought && self.policy.after_refusal == AfterRefusal::BuyAgain {
            released.extend(progress.passed());
        }
        released
    }

    /// Remembers where a credential was accepted, and takes back the refusal that this disproves.
    /// Failing to costs a round trip and no money.
    async fn accept(&self, progress: &Progress, status: StatusCode) {
        let Some(hash) = progress.shown else {
            return;
        };
        let resource = progress.resource.clone();
        let was_bought_elsewhere = progress
            .shown_credential()
            .is_some_and(|shown| progress.scope(shown) == TokenScope::SameOrigin);
        if was_bought_elsewhere && status.is_success() {
            let resource = resource.clone();
            let _ = self
                .with_book(move |book| book.remember(&hash, &resource))
                .await;
        }
        if progress.view.refused.contains(&hash) {
            let _ = self
                .with_book(move |book| book.accept(&hash, &resource))
                .await;
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

    pub(super) fn may_present_at(&self, call: &Call, resource: &TargetResource) -> bool {
        let is_meant = call.is_where_addressed() || self.policy.hosts.name(resource.origin.host());
        is_meant && self.policy.may_expose_to(&resource.origin)
    }
}

/// Whether the response to a credential bought just now counts as a refusal of it: a challenge
/// does anyway, and never gets here.
fn is_refusal(status: StatusCode) -> bool {
    matches!(status, StatusCode::UNAUTHORIZED | StatusCode::FORBIDDEN)
}

/// Whether a response takes no use: an intermediary's own, because another request holds the last
/// one, say, or the upstream is down.
fn takes_no_use(status: StatusCode) -> bool {
    matches!(
        status,
        StatusCode::BAD_GATEWAY | StatusCode::SERVICE_UNAVAILABLE | StatusCode::GATEWAY_TIMEOUT
    )
}

fn is_acceptance(status: StatusCode) -> bool {
    status.is_success() || status.is_redirection()
}
