//! Errors of an exchange with an upstream whose connection was open.

use std::io;

/// Why an exchange failed after its connection was open.
#[derive(Debug, thiserror::Error)]
pub(crate) enum ExchangeError {
    /// The upstream allowed no stream in time.
    #[error("upstream has no stream free")]
    Busy,
    /// The client's request body ended early.
    #[error("client aborted its request: {0}")]
    ClientBody(hyper::Error),
    /// The client's request body is longer or shorter than its head states.
    #[error("client sent a body of another length than its request states")]
    ClientLength,
    /// The connection ended within the response.
    #[error("upstream closed the connection")]
    Closed,
    /// The connection or stream failed.
    #[error("upstream failed over HTTP/2: {0}")]
    Http2(h2::Error),
    /// The response violates HTTP, or is more than is accepted.
    #[error("upstream sent an invalid response: {0}")]
    Invalid(&'static str),
    /// The connection failed.
    #[error("connection to the upstream failed: {0}")]
    Io(io::Error),
}

impl ExchangeError {
    /// Returns whether the client caused it.
    pub(crate) const fn is_of_client(&self) -> bool {
        matches!(self, Self::ClientBody(_) | Self::ClientLength)
    }
}

/// A failed attempt: there is no response.
#[derive(Debug)]
pub(crate) struct Failed {
    pub(crate) reach: Reach,
    pub(crate) error: ExchangeError,
}

/// How far a failed attempt came.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(crate) enum Reach {
    /// Nothing of the request left the gateway.
    NotSent,
    /// The upstream stated that it has not processed the request.
    Refused,
    /// The connection was lost before a byte of the response.
    LostBeforeByte,
    /// Further, or it failed in another way.
    Other,
}
