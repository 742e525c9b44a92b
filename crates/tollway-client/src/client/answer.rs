//! Responses, classified by whether they ask to be paid.

use std::time::Duration;

use bytes::Bytes;
use http::header::{RETRY_AFTER, WWW_AUTHENTICATE};
use http::{HeaderMap, Response, StatusCode};
use http_body::Body as _;
use http_body_util::{BodyExt as _, Limited};
use hyper::body::Incoming;
use l402::{Challenge, ChallengeError};

use crate::book::SoldToken;
use crate::decide::Returned;
use crate::fit;
use crate::refusal_reason::{L402_REASON, RefusalReason};

/// What a server returned.
pub(super) enum Answer {
    /// A challenge of ours.
    Challenged(Challenged),
    /// Anything else, payment demands of other kinds included.
    Response(Response<Incoming>),
}

/// A demand for payment that L402 can meet.
#[derive(Clone)]
pub(super) struct Challenged {
    pub(super) status: StatusCode,
    /// At least one when readable.
    pub(super) challenges: Result<Vec<Challenge>, ChallengeError>,
    /// Why what was presented does not do.
    pub(super) reason: RefusalReason,
}

impl Answer {
    /// Reads a response. The body of a challenge is read to its end when it is short, so that
    /// the connection can carry the next request.
    pub(super) async fn read(response: Response<Incoming>) -> Self {
        if !may_challenge(response.status(), response.headers()) {
            return Self::Response(response);
        }
        let lines = response.headers().get_all(WWW_AUTHENTICATE);
        let challenges = l402::read_challenges(lines.iter().map(|line| line.as_bytes()));
        if challenges.as_ref().is_ok_and(Vec::is_empty) {
            return Self::Response(response);
        }
        let status = response.status();
        let (parts, body) = response.into_parts();
        let body = drain(body).await;
        Self::Challenged(Challenged {
            status,
            challenges,
            reason: RefusalReason::of_response(&parts.headers, &body),
        })
    }

    pub(super) fn returned(&self) -> Returned {
        match self {
            Self::Challenged(_) => Returned::Challenge,
            Self::Response(response) if response.status() == StatusCode::PAYMENT_REQUIRED => {
                Returned::Bare402
            }
            Self::Response(response) if is_in_use(response) => Returned::InUse,
            Self::Response(_) => Returned::Response,
        }
    }

    /// Returns how long to wait before the request is sent again, as the server states it in
    /// seconds, up to a limit.
    pub(super) fn retry_after(&self) -> Duration {
        let Self::Response(response) = self else {
            return Duration::ZERO;
        };
        let stated = response.headers().get(RETRY_AFTER);
        let stated = stated.and_then(|value| value.to_str().ok()?.trim().parse().ok());
        Duration::from_secs(stated.unwrap_or_default()).min(RETRY_AFTER_MAX)
    }

    pub(super) fn into_response(self) -> Option<Response<Incoming>> {
        match self {
            Self::Challenged(_) => None,
            Self::Response(response) => Some(response),
        }
    }

    /// Returns why what was presented does not do, as far as the server states it.
    pub(super) fn reason(&self) -> RefusalReason {
        match self {
            Self::Challenged(challenged) => challenged.reason.clone(),
            Self::Response(response) => RefusalReason::of_response(response.headers(), &[]),
        }
    }

    /// Returns true when what is demanded to be paid for is what a token is for.
    pub(super) fn is_for_service(&self, token: &SoldToken) -> bool {
        let Self::Challenged(challenged) = self else {
            return false;
        };
        let challenges = challenged.challenges.as_ref();
        challenges.is_ok_and(|challenges| fit::is_for_service(token, challenges))
    }

    pub(super) fn status(&self) -> StatusCode {
        match self {
            Self::Challenged(challenged) => challenged.status,
            Self::Response(response) => response.status(),
        }
    }
}

/// 402, 401 from servers that keep to the letter, and what gRPC makes of 402: a response
/// that is its own trailers, with status 13.
fn may_challenge(status: StatusCode, headers: &HeaderMap) -> bool {
    let grpc_internal = || headers.get("grpc-status").is_some_and(|code| code == "13");
    matches!(
        status,
        StatusCode::PAYMENT_REQUIRED | StatusCode::UNAUTHORIZED
    ) || (status == StatusCode::OK && grpc_internal())
}

/// Returns true for the response of a gateway to a token whose uses are all held.
fn is_in_use(response: &Response<Incoming>) -> bool {
    let reason = response.headers().get(L402_REASON);
    reason.is_some_and(|reason| reason == "token_in_use")
}

/// Reads a body to its end; empty when that is too far away or takes too long, which costs a
/// connection and nothing else.
async fn drain(body: Incoming) -> Bytes {
    let is_long = body.size_hint().lower() > DRAIN_MAX_BYTES;
    let max = usize::try_from(DRAIN_MAX_BYTES).unwrap_or(usize::MAX);
    if is_long {
        return Bytes::new();
    }
    let read = Limited::new(body, max).collect();
    match tokio::time::timeout(DRAIN_TIMEOUT, read).await {
        Ok(Ok(read)) => read.to_bytes(),
        Ok(Err(_)) | Err(_) => Bytes::new(),
    }
}

const DRAIN_MAX_BYTES: u64 = 64 * 1024;
const DRAIN_TIMEOUT: Duration = Duration::from_secs(1);
const RETRY_AFTER_MAX: Duration = Duration::from_secs(10);
