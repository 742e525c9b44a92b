//! Responses, classified by whether they ask to be paid.

use std::time::Duration;

use http::header::WWW_AUTHENTICATE;
use http::{HeaderMap, Response, StatusCode};
use http_body::Body as _;
use http_body_util::BodyExt as _;
use hyper::body::Incoming;
use l402::{Challenge, ChallengeError};

use crate::decide::Returned;

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
        drain(response.into_body()).await;
        Self::Challenged(Challenged { status, challenges })
    }

    pub(super) fn returned(&self) -> Returned {
        match self {
            Self::Challenged(_) => Returned::Challenge,
            Self::Response(response) if response.status() == StatusCode::PAYMENT_REQUIRED => {
                Returned::Bare402
            }
            Self::Response(_) => Returned::Response,
        }
    }

    pub(super) fn into_response(self) -> Option<Response<Incoming>> {
        match self {
            Self::Challenged(_) => None,
            Self::Response(response) => Some(response),
        }
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

async fn drain(body: Incoming) {
    let is_short = body
        .size_hint()
        .upper()
        .is_some_and(|len| len <= DRAIN_MAX_BYTES);
    if is_short {
        // Failing costs a connection and nothing else.
        let _ = tokio::time::timeout(DRAIN_TIMEOUT, body.collect()).await;
    }
}

const DRAIN_MAX_BYTES: u64 = 64 * 1024;
const DRAIN_TIMEOUT: Duration = Duration::from_secs(1);
