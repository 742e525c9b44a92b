//! Sends a request: stored credentials first, then a purchase.
//!
//! Carries out what [`decide`](crate::decide) decides, one step after another.

use std::sync::Arc;

use http::Response;
use hyper::body::Incoming;
use l402::PaymentHash;

use super::Inner;
use super::bought::Bought;
use super::buy::Unbought;
use super::call::Call;
use super::progress::Progress;
use crate::book::{Brake, TargetResource, View};
use crate::decide::{self, Next, Returned, Sent};
use crate::error::Error;
use crate::event::{Event, Presented};
use crate::response::ResponseBody;

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
                return Ok(call.response(response, idle_timeout));
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
                Next::Serve => return Ok(self.serve(progress).await),
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
        let shown = Some((&credential, Presented::Stored(hash)));
        let answer = self.attempt(call, shown).await;
        let answer = answer.map_err(|error| call.failed(error))?;
        if answer.returned() != Returned::Response {
            self.refuse(&progress.resource, hash).await;
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
        let shown = Some((&bought.credential, Presented::Bought(hash)));
        let answer = self.attempt(call, shown).await;
        progress.took(sent, answer.map_err(|error| call.failed(error))?);
        progress.bought = Some(bought);
        Ok(())
    }

    /// Returns the last response. What was bought for it may be used by others from here on.
    async fn serve(&self, mut progress: Progress) -> Response<Incoming> {
        if let Some(bought) = progress.bought.take() {
            bought.publish().await;
        }
        let is_accepted = !matches!(progress.last, Some((Sent::Nothing, _)) | None);
        if is_accepted && progress.view.brake.is_some() {
            let resource = progress.resource.clone();
            // Failing leaves the brake, which costs no money.
            let _ = self
                .with_book(move |book| book.release_brake(&resource))
                .await;
        }
        let last = progress.last.and_then(|(_, answer)| answer.into_response());
        last.expect("`decide::next` serves a response, never a challenge")
    }

    /// Stops buying at this path for a while: what was paid for was refused.
    async fn give_up(&self, call: &Call, progress: &Progress) -> Error {
        let status = progress.last.as_ref().map(|(_, answer)| answer.status());
        let refused = call.receipt().cloned().zip(status);
        let (receipt, status) = refused.expect("`decide::next` gives up only after a payment");
        let payment_hash = receipt.payment.payment_hash;
        let brake = Brake {
            origin: progress.resource.origin.clone(),
            path: progress.resource.path.clone(),
            payment_hash,
            paid: receipt.paid(),
            until: self.now().plus_secs(BRAKE_SECS),
        };
        // Without the brake the next request may buy again, within the limits.
        let _ = self.with_book(move |book| book.brake(&brake)).await;
        self.emit(&Event::Refused { payment_hash });
        Error::PaidButRefused {
            receipt: Box::new(receipt),
            status,
        }
    }

    /// Remembers that a credential was refused. Failing to costs a round trip next time and
    /// nothing else, so it stops nothing.
    async fn refuse(&self, resource: &TargetResource, hash: PaymentHash) {
        let (resource, now) = (resource.clone(), self.now());
        let _ = self
            .with_book(move |book| book.refuse(&hash, &resource, now))
            .await;
        self.emit(&Event::Refused { payment_hash: hash });
    }

    /// Reads what the book holds for a request. Credentials are presented only where the
    /// request was addressed, or where the policy names the host.
    pub(super) async fn view(&self, call: &Call, resource: &TargetResource) -> Result<View, Error> {
        let (wanted, now) = (resource.clone(), self.now());
        let mut view = self
            .with_book(move |book| book.view(&wanted, now))
            .await??;
        let is_meant = call.is_where_addressed() || self.policy.hosts.name(resource.origin.host());
        if !is_meant || !self.policy.may_expose_to(&resource.origin) {
            view.credentials.clear();
        }
        Ok(view)
    }
}

const BRAKE_SECS: u64 = 86_400;
