//! From a demand for payment to a paid response, or to the reason why not.
//!
//! Refusals come first and in the open; then the purchase waits for its turn, looks at what
//! others bought or left behind meanwhile, and only then is money set aside.

use std::sync::Arc;
use std::time::Duration;

use http::{Response, StatusCode};
use hyper::body::Incoming;
use l402::{Challenge, Msat, Quote, QuoteError};

use super::Inner;
use super::answer::{Answer, Asked};
use super::call::{Bought, Call};
use super::exchange::{Shelf, Shown, Tried};
use super::flight::Flight;
use super::purchase::{Unbought, Wanted};
use super::wallet::Wallet;
use crate::error::{Error, Refusal};
use crate::event::{Event, Presented, Resumption};
use crate::journal::{Entry, EntryState, Owner};
use crate::policy::{Approval, Offer, Paying};
use crate::store::StoredToken;

impl Inner {
    /// Pays for a call, at most once, and answers it.
    pub(super) async fn buy(
        self: &Arc<Self>,
        call: &mut Call,
        mut asked: Asked,
        tried: &mut Tried,
    ) -> Result<Response<Incoming>, Error> {
        self.check(call, &asked)?;
        let flight = self.flights.board(call.origin(), call.path()).await;
        let mut wait = WAIT_FIRST;
        let mut shelf = Shelf::Near;
        loop {
            match self.show_stored(call, tried, shelf).await? {
                Shown::Served(response) => return Ok(response),
                Shown::Refused(Some(newer)) => asked = newer,
                Shown::Refused(None) | Shown::Nothing => {}
            }
            if self.recover(call).await? {
                shelf = Shelf::NearAndFar;
                continue;
            }
            match self.purchase(call, &asked, tried, &flight).await {
                Ok(token) => return self.repeat(call, &token).await,
                Err(Unbought::Blocked(entry)) => self.wait_for(*entry, wait).await?,
                Err(Unbought::Failed(error)) => return Err(error),
                Err(Unbought::SoldMeanwhile) => {}
            }
            wait = wait.saturating_mul(2).min(WAIT_LONGEST);
        }
    }

    /// Everything that can be refused without asking anybody.
    fn check(&self, call: &Call, asked: &Asked) -> Result<(), Error> {
        if let Some(bought) = call.bought() {
            return Err(Error::PaidButRefused {
                payment_hash: bought.payment_hash,
                paid: bought.paid,
                status: asked.status,
            });
        }
        let origin = call.origin().clone();
        let host = origin.host();
        let price = price(asked)?;
        match self.policy.paying {
            Paying::Off => return Err(Refusal::PayingIsOff { origin, price }.into()),
            Paying::On => {}
        }
        if !self.policy.may_expose_to(&origin) {
            return Err(Refusal::ClearText { origin }.into());
        }
        if !self.policy.hosts.allow(host) {
            let host = host.to_owned();
            return Err(Refusal::HostNotAllowed { host }.into());
        }
        if !call.is_where_addressed() && !self.policy.hosts.allow_by_name(host) {
            return Err(Refusal::Redirected { origin }.into());
        }
        if !call.is_replayable() {
            return Err(Refusal::BodyNotReplayable { origin }.into());
        }
        if self.wallet.is_none() {
            return Err(Refusal::NoWallet { origin, price }.into());
        }
        self.check_kill_switch().map_err(Error::from)
    }

    pub(super) fn check_kill_switch(&self) -> Result<(), Refusal> {
        if self.kill_switch.is_pulled() {
            let file = self.kill_switch.file().to_owned();
            return Err(Refusal::Stopped { file });
        }
        Ok(())
    }

    /// Looks up what earlier purchases from this seller left open; true when one of them
    /// turns out to have been paid, so that there is a credential to show first.
    async fn recover(self: &Arc<Self>, call: &Call) -> Result<bool, Error> {
        let origin = call.origin().clone();
        let resumed = self.resume(move |order| order.origin == origin).await?;
        Ok(resumed
            .iter()
            .any(|resumed| resumed.outcome == Resumption::Kept))
    }

    async fn purchase(
        self: &Arc<Self>,
        call: &Call,
        asked: &Asked,
        tried: &Tried,
        flight: &Arc<Flight>,
    ) -> Result<StoredToken, Unbought> {
        let Some(wallet) = &self.wallet else {
            let (origin, price) = (call.origin().clone(), price(asked)?);
            return Err(Error::from(Refusal::NoWallet { origin, price }).into());
        };
        let quote = self.quote(wallet, asked).await?;
        self.tell(&Event::Quoted {
            payment_hash: quote.payment_hash(),
            price: quote.price(),
            network: quote.invoice().network(),
            expires_at: quote.invoice().expires_at(),
            scheme: quote.challenge().name,
        });
        let quote = self.approved(wallet, call, quote).await?;
        let mut known = self.flights.held_back();
        known.extend(tried.shown());
        let wanted = Wanted {
            quote,
            wallet: Arc::clone(wallet),
            known,
            flight: Arc::clone(flight),
        };
        self.pay_for(call.origin(), call.path(), wanted).await
    }

    /// The first challenge that is fit to be paid. Only that one is ever paid.
    async fn quote(&self, wallet: &Wallet, asked: &Asked) -> Result<Quote, Error> {
        let network = wallet.network().await?;
        let now = self.now();
        first_quote(asked, |challenge| Quote::read(challenge, network, now))
    }

    /// Asks whoever is to be asked. That may take time, and what has expired meanwhile is
    /// not paid.
    async fn approved(&self, wallet: &Wallet, call: &Call, quote: Quote) -> Result<Quote, Error> {
        let Some(approve) = &self.approve else {
            return Ok(quote);
        };
        let offer = Offer {
            origin: call.origin().clone(),
            path: call.path().to_owned(),
            payment_hash: quote.payment_hash(),
            price: quote.price(),
            fee_max: self.policy.limits.fee_max,
        };
        match approve.approve(&offer).await {
            Approval::Approved => {}
            Approval::Declined => {
                let (origin, price) = (offer.origin, offer.price);
                return Err(Refusal::Declined { origin, price }.into());
            }
        }
        let network = wallet.network().await?;
        let quote = Quote::read(quote.challenge(), network, self.now());
        quote.map_err(|error| Refusal::Quote(error).into())
    }

    /// Gives another process that is buying the same thing time to finish.
    async fn wait_for(&self, entry: Entry, wait: Duration) -> Result<(), Error> {
        if matches!(entry.state, EntryState::Paid(_)) {
            // Recovering it, which comes next, puts its credential in the store.
            return Ok(());
        }
        if entry.owner == Owner::Working && self.now() < entry.order.pay_until {
            tokio::time::sleep(wait).await;
            return Ok(());
        }
        Err(Error::MoneyInDoubt {
            payment_hash: entry.order.payment_hash,
            origin: entry.order.origin,
            price: entry.order.price,
            reason: "an earlier payment for the same thing is not settled".to_owned(),
        })
    }

    /// Sends the paid request. Nothing that comes back leads to a second payment.
    async fn repeat(
        &self,
        call: &mut Call,
        token: &StoredToken,
    ) -> Result<Response<Incoming>, Error> {
        let hash = token.payment_hash();
        let paid = token.price.checked_add(token.fee).unwrap_or(Msat::MAX);
        call.has_bought(Bought {
            payment_hash: hash,
            paid,
        });
        let shown = Some((token, Presented::Bought(hash)));
        let status = match self
            .attempt(call, shown)
            .await
            .map_err(|error| call.failed(error))?
        {
            Answer::Served(response) if response.status() != StatusCode::PAYMENT_REQUIRED => {
                return Ok(response);
            }
            Answer::Served(response) => response.status(),
            Answer::Asked(asked) => asked.status,
        };
        self.refuse(call, hash).await;
        Err(Error::PaidButRefused {
            payment_hash: hash,
            paid,
            status,
        })
    }
}

/// What is asked for, as far as it can be told without a wallet.
fn price(asked: &Asked) -> Result<Msat, Error> {
    first_quote(asked, Quote::read_recorded).map(|quote| quote.price())
}

fn first_quote(
    asked: &Asked,
    read: impl Fn(&Challenge) -> Result<Quote, QuoteError>,
) -> Result<Quote, Error> {
    let challenges = asked.challenges.as_ref();
    let challenges = challenges.map_err(|error| Refusal::Challenge(error.clone()))?;
    let mut first_error = None;
    for challenge in challenges {
        match read(challenge) {
            Ok(quote) => return Ok(quote),
            Err(error) => first_error = first_error.or(Some(error)),
        }
    }
    Err(first_error
        .map_or(Refusal::NoChallenge, Refusal::Quote)
        .into())
}

const WAIT_FIRST: Duration = Duration::from_millis(5);
const WAIT_LONGEST: Duration = Duration::from_millis(500);
