//! Does this response ask to be paid?

use std::time::Duration;

use http::header::WWW_AUTHENTICATE;
use http::{HeaderMap, Response, StatusCode};
use http_body::Body as _;
use http_body_util::BodyExt as _;
use hyper::body::Incoming;
use l402::{Challenge, ChallengeError};

/// What a server answered.
pub(super) enum Answer {
    /// It asks to be paid, or refuses the credential it was shown.
    Asked(Asked),
    /// Anything else, payment demands of other kinds included.
    Served(Response<Incoming>),
}

/// A demand for payment.
pub(super) struct Asked {
    pub(super) status: StatusCode,
    /// At least one when readable.
    pub(super) challenges: Result<Vec<Challenge>, ChallengeError>,
}

impl Answer {
    /// Reads a response. The body of a demand is read to its end when it is short, so that
    /// the connection can carry the next request.
    pub(super) async fn read(response: Response<Incoming>) -> Self {
        if !may_ask(response.status(), response.headers()) {
            return Self::Served(response);
        }
        let lines = response.headers().get_all(WWW_AUTHENTICATE);
        let challenges = l402::read_challenges(lines.iter().map(|line| line.as_bytes()));
        if challenges.as_ref().is_ok_and(Vec::is_empty) {
            return Self::Served(response);
        }
        let status = response.status();
        drain(response.into_body()).await;
        Self::Asked(Asked { status, challenges })
    }
}

/// 402, 401 from servers that keep to the letter, and what gRPC makes of 402: a response
/// that is its own trailers, with status 13.
fn may_ask(status: StatusCode, headers: &HeaderMap) -> bool {
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
