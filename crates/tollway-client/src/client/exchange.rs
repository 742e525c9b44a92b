//! From a request to a response: credentials first, then money.

use std::collections::HashSet;
use std::sync::Arc;

use http::{Response, StatusCode};
use hyper::body::Incoming;
use l402::PaymentHash;

use super::answer::{Answer, Asked};
use super::call::Call;
use super::{Inner, on_disk};
use crate::error::{Error, StorageError, TransportError};
use crate::event::{Event, Presented};
use crate::store::StoredToken;

/// What came of showing the credentials in the store.
pub(super) enum Shown {
    /// There was none left to show.
    Nothing,
    /// All that were shown were refused; the last demand, if the server made one.
    Refused(Option<Asked>),
    /// The request was answered.
    Served(Response<Incoming>),
}

/// Which credentials are shown.
#[derive(Clone, Copy)]
pub(super) enum Shelf {
    /// A few of those bought for the path or above it.
    Near,
    /// Those, and the newest of the others, in case one service has several paths.
    NearAndFar,
}

/// The credentials a call has shown.
#[derive(Default)]
pub(super) struct Tried {
    shown: HashSet<PaymentHash>,
    /// Shown, and answered with 401 or 402 but no challenge. Refused only if the server,
    /// asked without a credential, turns out to sell this.
    suspects: Vec<PaymentHash>,
}

impl Tried {
    /// The credentials shown.
    pub(super) const fn shown(&self) -> &HashSet<PaymentHash> {
        &self.shown
    }
}

impl Inner {
    pub(super) async fn send(
        self: &Arc<Self>,
        mut call: Call,
    ) -> Result<Response<Incoming>, Error> {
        loop {
            let response = self.respond(&mut call).await?;
            let follows = call.follow(&response, self.policy.redirects_max);
            if !follows.map_err(|error| call.failed(error))? {
                return Ok(response);
            }
            self.tell(&Event::Redirected {
                origin: call.origin().clone(),
                path: call.path().to_owned(),
            });
        }
    }

    async fn respond(self: &Arc<Self>, call: &mut Call) -> Result<Response<Incoming>, Error> {
        if call.brings_credential() {
            let answer = self.exchange(call, None).await;
            return answer.map_err(|error| call.failed(error));
        }
        let mut tried = Tried::default();
        let asked = match self
            .show_stored(call, &mut tried, Shelf::NearAndFar)
            .await?
        {
            Shown::Served(response) => return Ok(response),
            Shown::Refused(Some(asked)) => asked,
            Shown::Refused(None) | Shown::Nothing => {
                match self
                    .attempt(call, None)
                    .await
                    .map_err(|error| call.failed(error))?
                {
                    Answer::Served(response) => return Ok(response),
                    Answer::Asked(asked) => asked,
                }
            }
        };
        for hash in std::mem::take(&mut tried.suspects) {
            self.refuse(call, hash).await;
        }
        self.buy(call, asked, &mut tried).await
    }

    /// Shows credentials from the store that this call has not shown yet. Each costs a round
    /// trip, and makes the server write an invoice for nothing when it does not fit.
    pub(super) async fn show_stored(
        &self,
        call: &mut Call,
        tried: &mut Tried,
        shelf: Shelf,
    ) -> Result<Shown, Error> {
        if !self.policy.may_expose_to(call.origin()) {
            return Ok(Shown::Nothing);
        }
        let candidates = self.candidates(call).await;
        let mut tokens = candidates.map_err(|error| call.failed(error))?;
        tokens.retain(|token| {
            let hash = token.payment_hash();
            !tried.shown.contains(&hash) && !self.flights.is_held_back(&hash)
        });
        let mut outcome = Shown::Nothing;
        let (near, far): (Vec<_>, Vec<_>) =
            tokens.iter().partition(|token| token.covers(call.path()));
        let far_max = match shelf {
            Shelf::Near => 0,
            Shelf::NearAndFar => FAR_MAX,
        };
        let near = near.into_iter().take(NEAR_MAX);
        for token in near.chain(far.into_iter().take(far_max)) {
            let hash = token.payment_hash();
            tried.shown.insert(hash);
            let shown = Some((token, Presented::Stored(hash)));
            match self
                .attempt(call, shown)
                .await
                .map_err(|error| call.failed(error))?
            {
                Answer::Served(response) if is_denial(response.status()) => {
                    tried.suspects.push(hash);
                    outcome = Shown::Refused(None);
                }
                Answer::Served(response) => return Ok(Shown::Served(response)),
                Answer::Asked(asked) => {
                    self.refuse(call, hash).await;
                    outcome = Shown::Refused(Some(asked));
                }
            }
            if !call.is_replayable() {
                break;
            }
        }
        Ok(outcome)
    }

    /// Sends the request once, and says whether the server asks to be paid.
    pub(super) async fn attempt(
        &self,
        call: &mut Call,
        shown: Option<(&StoredToken, Presented)>,
    ) -> Result<Answer, TransportError> {
        let response = self.exchange(call, shown).await?;
        let answer = Answer::read(response).await;
        if let Answer::Asked(asked) = &answer {
            self.tell(&Event::Challenged {
                status: asked.status,
                challenges: asked.challenges.as_ref().map_or(0, Vec::len),
            });
        }
        Ok(answer)
    }

    /// Remembers that a credential is refused here. Failing to costs a round trip next time
    /// and nothing else, so it stops nothing.
    pub(super) async fn refuse(&self, call: &Call, hash: PaymentHash) {
        let (store, origin, path) = (
            self.store.clone(),
            call.origin().clone(),
            call.path().to_owned(),
        );
        let _ = on_disk(move || store.refuse(&origin, &hash, &path)).await;
        self.tell(&Event::Refused { payment_hash: hash });
    }

    async fn exchange(
        &self,
        call: &mut Call,
        shown: Option<(&StoredToken, Presented)>,
    ) -> Result<Response<Incoming>, TransportError> {
        let credential = shown.map(|(token, _)| token.authorization());
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

    async fn candidates(&self, call: &Call) -> Result<Vec<StoredToken>, StorageError> {
        let (store, origin, path) = (
            self.store.clone(),
            call.origin().clone(),
            call.path().to_owned(),
        );
        on_disk(move || store.candidates(&origin, &path)).await
    }
}

fn is_denial(status: StatusCode) -> bool {
    matches!(
        status,
        StatusCode::UNAUTHORIZED | StatusCode::PAYMENT_REQUIRED
    )
}

const NEAR_MAX: usize = 3;
const FAR_MAX: usize = 1;
