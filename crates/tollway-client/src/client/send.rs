//! Sends a request: stored credentials first, then a purchase.
//!
//! Carries out what [`decide`](crate::decide) decides, one step after another.

use std::sync::Arc;
use std::time::Duration;

use http::Response;
use hyper::body::Incoming;
use l402::PaymentHash;
use tokio::time::Instant;

use super::Inner;
use super::answer::Answer;
use super::bought::Bought;
use super::buy::Unbought;
use super::call::Call;
use super::progress::{Progress, TRIES_FIRST};
use crate::book::{Brake, Owner, StoredCredential, TargetResource, View};
use crate::decide::{self, Next, Returned, Sent, Wait};
use crate::error::{Error, TransportError};
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
                return Ok(response.map(|incoming| call.body(incoming, idle_timeout)));
            }
            self.tell(&Event::Redirected {
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
    async fn show_bought(
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

    async fn wait(
        self: &Arc<Self>,
        call: &mut Call,
        progress: &mut Progress,
        wait: Wait,
    ) -> Result<(), Error> {
        match wait {
            Wait::Turn => self.take_turn(call, progress).await,
            Wait::Others => {
                self.wait_for_others(call, progress).await?;
                self.look_again(call, progress).await
            }
            Wait::LookUp => {
                let open = std::mem::take(&mut progress.view.open);
                let abandoned = open.into_iter().find(|(_, owner)| *owner == Owner::Gone);
                let bought = match abandoned {
                    Some((purchase, _gone)) => self.recover(call, purchase).await?,
                    None => None,
                };
                match bought {
                    Some(bought) => self.show_bought(call, progress, bought).await,
                    None => self.look_again(call, progress).await,
                }
            }
            Wait::Settlement => {
                let Some(bought) = progress.bought.take() else {
                    return Ok(());
                };
                self.tell(&Event::Retrying {
                    payment_hash: bought.credential.payment_hash(),
                });
                tokio::time::sleep(self.policy.pauses.settlement).await;
                self.show_bought(call, progress, bought).await
            }
        }
    }

    /// Takes the turn to buy, after everything that can be refused without it, and looks up
    /// what earlier purchases from this seller left open.
    async fn take_turn(
        self: &Arc<Self>,
        call: &mut Call,
        progress: &mut Progress,
    ) -> Result<(), Error> {
        if let Some(challenged) = &progress.challenged {
            self.check(call, challenged)?;
        }
        let TargetResource { origin, path, .. } = &progress.resource;
        progress.turn = Some(self.flights.acquire(origin, path).await);
        progress.wallet = match &self.wallet {
            Some(wallet) => Some(wallet.facts().await?),
            None => None,
        };
        let recovered = self.look_up_near(&progress.resource).await?;
        self.look_again(call, progress).await?;
        if recovered {
            progress.tries.same_origin = TRIES_FIRST.same_origin;
        }
        Ok(())
    }

    /// Waits a little for another process that buys the same thing, but not for ever.
    async fn wait_for_others(&self, call: &Call, progress: &mut Progress) -> Result<(), Error> {
        let TargetResource { origin, path, .. } = &progress.resource;
        let since = match progress.waiting_since {
            Some(since) => since,
            None => {
                let (origin, path) = (origin.clone(), path.clone());
                self.tell(&Event::Waiting { origin, path });
                *progress.waiting_since.insert(Instant::now())
            }
        };
        let patience = self.policy.pay_timeout.saturating_add(OTHERS_MARGIN);
        if since.elapsed() > patience {
            return Err(self.still_busy(call, progress));
        }
        tokio::time::sleep(progress.pause).await;
        progress.pause = progress.pause.saturating_mul(2).min(PAUSE_LONGEST);
        Ok(())
    }

    fn still_busy(&self, call: &Call, progress: &Progress) -> Error {
        let busy = Error::Busy {
            origin: progress.resource.origin.clone(),
            path: progress.resource.path.clone(),
        };
        match progress.view.open.first() {
            Some((purchase, _)) => super::buy::unknown(purchase, busy.to_string(), None),
            None => call.failed(busy),
        }
    }

    /// Reads the book again: others may have changed it.
    async fn look_again(&self, call: &Call, progress: &mut Progress) -> Result<(), Error> {
        progress.view = self.view(call, &progress.resource).await?;
        progress.tries.same_path = TRIES_FIRST.same_path;
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
        self.tell(&Event::Refused { payment_hash });
        Error::PaidButRefused {
            receipt: Box::new(receipt),
            status,
        }
    }

    /// Sends the request once, and reads whether the server asks to be paid.
    async fn attempt(
        &self,
        call: &mut Call,
        shown: Option<(&StoredCredential, Presented)>,
    ) -> Result<Answer, TransportError> {
        let response = self.exchange(call, shown).await?;
        let answer = Answer::read(response).await;
        if let Answer::Challenged(challenged) = &answer {
            self.tell(&Event::Challenged {
                status: challenged.status,
                challenges: challenged.challenges.as_ref().map_or(0, Vec::len),
            });
        }
        Ok(answer)
    }

    async fn exchange(
        &self,
        call: &mut Call,
        shown: Option<(&StoredCredential, Presented)>,
    ) -> Result<Response<Incoming>, TransportError> {
        let credential = shown.map(|(credential, _)| credential.authorization());
        let request = call.outgoing(credential).await?;
        self.tell(&Event::Sending {
            origin: call.origin().clone(),
            path: call.path().to_owned(),
            presented: shown.map_or(Presented::Nothing, |(_, presented)| presented),
        });
        let response = self.transport.send(call.origin(), request).await?;
        self.tell(&Event::Responded {
            status: response.status(),
        });
        Ok(response)
    }

    /// Remembers that a credential was refused. Failing to costs a round trip next time and
    /// nothing else, so it stops nothing.
    async fn refuse(&self, resource: &TargetResource, hash: PaymentHash) {
        let (resource, now) = (resource.clone(), self.now());
        let _ = self
            .with_book(move |book| book.refuse(&hash, &resource, now))
            .await;
        self.tell(&Event::Refused { payment_hash: hash });
    }

    /// Reads what the book holds for a request. Credentials are presented only where the
    /// request was addressed, or where the policy names the host.
    async fn view(&self, call: &Call, resource: &TargetResource) -> Result<View, Error> {
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

const PAUSE_LONGEST: Duration = Duration::from_millis(500);
/// How much longer than a payment another process may take to present what it bought.
const OTHERS_MARGIN: Duration = Duration::from_secs(90);
const BRAKE_SECS: u64 = 86_400;
