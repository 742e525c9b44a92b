//! Settlement of a granted request: whether its use is taken or given back.
//!
//! A use of a counted token is reserved when its request is admitted. The holder of the
//! [`Settlement`] reports how the request went, in this order:
//!
//! | when | call |
//! |---|---|
//! | the request goes to the service | [`forwarded`](Settlement::forwarded) |
//! | the head of the response has arrived, before a byte of it goes to the client | [`commit`](Settlement::commit) |
//! | our side failed before that: refused, reset, 502, 503 or 504 | [`release`](Settlement::release) |
//! | the body of the response has ended | [`finish`](Settlement::finish) |
//!
//! A settlement that is dropped follows the same rule: before `forwarded` the use is released,
//! after it the use is committed, because the client left and the service has done the work. A
//! panic is a failure of our side: the use is released.
//!
//! For a token that is not counted all of this costs nothing: no allocation, no lock. Either way
//! the request counts among those of its token until its settlement is gone.

use std::fmt;
use std::sync::Arc;
use std::thread;

use http::{HeaderMap, HeaderName, HeaderValue, StatusCode, header};
use l402::Grant;

use crate::in_flight::RequestInFlight;
use crate::ledger::{LedgerError, Reservation, Uses};

/// A request that may go on.
#[derive(Debug)]
#[must_use = "the request is admitted, and its use reserved"]
pub struct Admitted {
    /// Proof that it is paid for.
    pub grant: Grant,
    /// Headers to add to the response.
    pub response_headers: HeaderMap,
    /// The use it takes.
    pub settlement: Settlement,
}

/// The use a granted request takes, reserved and not yet settled.
#[derive(Debug)]
#[must_use = "dropping a settlement settles it"]
pub struct Settlement {
    counted: Option<Box<Counted>>,
    /// Counts the request until its response has ended.
    _request: RequestInFlight,
}

/// How the response to a request ended.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
#[non_exhaustive]
pub enum Ending {
    /// The whole body was sent.
    Complete,
    /// The client left before the end of the body.
    ClientLeft,
    /// The service failed before the end of the body.
    ServiceFailed,
}

/// What a request used.
#[derive(Clone, Copy, Debug, Default, Eq, PartialEq)]
#[non_exhaustive]
pub struct Usage {
    /// Bytes of the response body that went to the client.
    pub body_bytes: u64,
}

impl Usage {
    /// Creates the usage of a response body.
    #[must_use]
    pub const fn of_body(bytes: u64) -> Self {
        Self { body_bytes: bytes }
    }
}

impl Settlement {
    /// Creates the settlement of a request that takes no use.
    pub(crate) const fn uncounted(request: RequestInFlight) -> Self {
        Self {
            counted: None,
            _request: request,
        }
    }

    /// Creates the settlement of a request that holds `reservation`.
    pub(crate) fn counted(
        request: RequestInFlight,
        uses: Arc<dyn Uses>,
        reservation: Reservation,
    ) -> Self {
        let counted = Counted {
            uses,
            reservation,
            phase: Phase::Reserved,
        };
        Self {
            counted: Some(Box::new(counted)),
            _request: request,
        }
    }

    /// Returns whether the request takes a use of a counted token.
    #[must_use]
    pub const fn is_counted(&self) -> bool {
        self.counted.is_some()
    }

    /// Marks the request as forwarded: from here on, a client that leaves has used it.
    pub fn forwarded(&mut self) {
        if let Some(counted) = &mut self.counted {
            counted.phase.forward();
        }
    }

    /// Makes the use durable. Call it when the head of the response has arrived and before any
    /// of it goes to the client.
    ///
    /// Dropping the future does not undo it. Committing twice is committing once.
    ///
    /// # Errors
    ///
    /// [`LedgerError`]: the response must not go out. Respond with 503 and [release](Self::release).
    pub async fn commit(&mut self) -> Result<(), LedgerError> {
        match &mut self.counted {
            Some(counted) => counted.commit().await,
            None => Ok(()),
        }
    }

    /// Gives the use back, unless it is committed: our side failed before the first byte of
    /// the response.
    pub fn release(mut self) {
        if let Some(counted) = &mut self.counted {
            counted.release();
        }
    }

    /// Ends the settlement with the body of the response, committing the use if that has not
    /// happened.
    pub fn finish(mut self, _ending: Ending, _usage: Usage) {
        self.forwarded();
    }
}

/// Returns whether a response is the service's own failure to deliver, for which no use is
/// taken: 502, 503, 504, or a gRPC response that begins with status 14 (unavailable).
#[must_use]
pub fn is_undelivered(status: StatusCode, headers: &HeaderMap) -> bool {
    let unavailable = |code: &HeaderValue| code == GRPC_UNAVAILABLE;
    let grpc = |media_type: &HeaderValue| media_type.as_bytes().starts_with(GRPC_MEDIA_TYPE);
    // A status in the head of a gRPC response is its end; anywhere else it means nothing.
    let is_grpc = headers.get(header::CONTENT_TYPE).is_some_and(grpc);
    matches!(
        status,
        StatusCode::BAD_GATEWAY | StatusCode::SERVICE_UNAVAILABLE | StatusCode::GATEWAY_TIMEOUT
    ) || (is_grpc && headers.get(GRPC_STATUS).is_some_and(unavailable))
}

/// A use of a counted token.
struct Counted {
    uses: Arc<dyn Uses>,
    reservation: Reservation,
    phase: Phase,
}

#[derive(Clone, Copy, Debug, Eq, PartialEq)]
enum Phase {
    Reserved,
    Forwarded,
    Settled,
}

impl Phase {
    fn forward(&mut self) {
        if *self == Self::Reserved {
            *self = Self::Forwarded;
        }
    }
}

impl Counted {
    async fn commit(&mut self) -> Result<(), LedgerError> {
        if self.phase == Phase::Settled {
            return Ok(());
        }
        let committed = self.uses.commit(self.reservation);
        // The call has taken effect, whatever happens to this future.
        self.phase = Phase::Settled;
        let outcome = committed.await;
        if outcome.is_err() {
            self.phase = Phase::Forwarded;
        }
        outcome
    }

    fn release(&mut self) {
        if self.phase != Phase::Settled {
            self.phase = Phase::Settled;
            self.uses.release(self.reservation);
        }
    }
}

impl Drop for Counted {
    fn drop(&mut self) {
        match self.phase {
            Phase::Reserved => self.uses.release(self.reservation),
            Phase::Forwarded if thread::panicking() => self.uses.release(self.reservation),
            Phase::Forwarded => drop(self.uses.commit(self.reservation)),
            Phase::Settled => {}
        }
    }
}

impl fmt::Debug for Counted {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Counted")
            .field("reservation", &self.reservation)
            .field("phase", &self.phase)
            .finish_non_exhaustive()
    }
}

const GRPC_STATUS: HeaderName = HeaderName::from_static("grpc-status");
const GRPC_UNAVAILABLE: &str = "14";
const GRPC_MEDIA_TYPE: &[u8] = b"application/grpc";

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_grpc_status_counts_in_a_grpc_response_only() {
        for (media_type, undelivered) in [
            (Some("application/grpc"), true),
            (Some("application/grpc+proto"), true),
            (Some("text/plain"), false),
            (None, false),
        ] {
            let mut headers = HeaderMap::new();
            headers.insert(GRPC_STATUS, HeaderValue::from_static("14"));
            if let Some(media_type) = media_type {
                headers.insert(header::CONTENT_TYPE, HeaderValue::from_static(media_type));
            }

            let found = is_undelivered(StatusCode::OK, &headers);

            assert_eq!(found, undelivered, "{media_type:?}");
        }
    }
}
