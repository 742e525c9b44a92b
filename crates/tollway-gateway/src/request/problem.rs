//! Problems: responses that the gateway makes itself.
//!
//! In the form the client can read: an RFC 9457 problem over HTTP, a status over gRPC.
//! [`tollway_server::respond`] makes those of the gate.

use bytes::Bytes;
use http::header::{self, HeaderName, HeaderValue};
use http::{Response, StatusCode};
use http_body_util::Full;
use tollway_server::respond::Form;

use crate::request::route::Unroutable;
use crate::upstream::attempt::SendError;
use crate::upstream::connect::ConnectError;
use crate::upstream::error::ExchangeError;

/// A request the gateway itself refuses or fails, as the client sees it.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(crate) struct Problem {
    status: StatusCode,
    grpc_status: &'static str,
    reason: &'static str,
    detail: &'static str,
    /// When the same request may succeed, if that is likely.
    retry_after_secs: Option<u16>,
}

impl Problem {
    /// No service matches.
    pub(crate) const NO_SERVICE: Self = Self {
        status: StatusCode::NOT_FOUND,
        grpc_status: "12",
        reason: "no_service",
        detail: "no service at this host and path",
        retry_after_secs: None,
    };
    /// The body has a transfer coding besides chunks.
    pub(crate) const UNKNOWN_CODING: Self = Self {
        status: StatusCode::NOT_IMPLEMENTED,
        grpc_status: "12",
        reason: "unknown_coding",
        detail: "the only transfer coding served is `chunked`",
        retry_after_secs: None,
    };
    /// The upstream closed the connection.
    pub(crate) const UPSTREAM_RESET: Self = Self {
        status: StatusCode::BAD_GATEWAY,
        grpc_status: "14",
        reason: "upstream_reset",
        detail: "the upstream closed the connection",
        retry_after_secs: None,
    };
    /// What the upstream sent cannot be forwarded.
    pub(crate) const UPSTREAM_INVALID: Self = Self {
        detail: "the upstream sent no valid response",
        ..Self::UPSTREAM_RESET
    };
    /// The upstream accepts no connection.
    pub(crate) const UPSTREAM_DOWN: Self = Self {
        status: StatusCode::BAD_GATEWAY,
        grpc_status: "14",
        reason: "upstream_down",
        detail: "the upstream cannot be reached",
        retry_after_secs: Some(RETRY_DOWN_SECS),
    };
    /// As many requests are with the upstream as may be.
    const UPSTREAM_BUSY: Self = Self {
        status: StatusCode::SERVICE_UNAVAILABLE,
        grpc_status: "14",
        reason: "upstream_busy",
        detail: "all connections to the upstream are in use",
        retry_after_secs: Some(RETRY_BUSY_SECS),
    };
    /// This machine lacks what another connection needs.
    pub(crate) const SHORTAGE: Self = Self {
        detail: "the gateway has no file descriptors, ports or memory left",
        reason: "gateway_busy",
        ..Self::UPSTREAM_BUSY
    };
    /// Over gRPC: the call may have had its effect, so the status is not `UNAVAILABLE`,
    /// which clients retry.
    const UPSTREAM_TIMEOUT: Self = Self {
        status: StatusCode::GATEWAY_TIMEOUT,
        grpc_status: "4",
        reason: "upstream_timeout",
        detail: "the upstream took too long",
        retry_after_secs: None,
    };
    /// The client has as many requests open as it may.
    pub(crate) const CLIENT_BUSY: Self = Self {
        status: StatusCode::TOO_MANY_REQUESTS,
        grpc_status: "8",
        reason: "too_many_client_requests",
        detail: "too many requests of this client at once: wait for some of them to end",
        retry_after_secs: Some(1),
    };
    const REQUEST_ABORTED: Self = Self {
        status: StatusCode::BAD_REQUEST,
        grpc_status: "13",
        reason: "request_aborted",
        detail: "the request ended early",
        retry_after_secs: None,
    };

    const REQUEST_STALLED: Self = Self {
        status: StatusCode::REQUEST_TIMEOUT,
        grpc_status: "4",
        reason: "request_stalled",
        detail: "the rest of the request did not arrive in time",
        retry_after_secs: None,
    };

    /// Returns its name in the access log.
    pub(crate) const fn verdict(self) -> &'static str {
        self.reason
    }

    /// Returns whether a use is given back: no response can be delivered, through no fault of
    /// the client.
    pub(crate) fn releases_use(self) -> bool {
        self != Self::REQUEST_ABORTED && self != Self::REQUEST_STALLED
    }

    /// Creates the response, in a form the client can read.
    pub(crate) fn into_response(self, form: Form) -> Response<Full<Bytes>> {
        let mut response = match form {
            Form::Grpc { content_type } => self.over_grpc(content_type),
            Form::Head => self.over_http(Bytes::new()),
            Form::Http => self.over_http(self.body()),
        };
        let no_store = HeaderValue::from_static("no-store");
        let headers = response.headers_mut();
        headers.insert(header::CACHE_CONTROL, no_store);
        if let Some(secs) = self.retry_after_secs {
            headers.insert(header::RETRY_AFTER, HeaderValue::from(secs));
        }
        response
    }

    fn over_http(self, body: Bytes) -> Response<Full<Bytes>> {
        let mut response = Response::new(Full::new(body));
        *response.status_mut() = self.status;
        let headers = response.headers_mut();
        headers.insert(
            header::CONTENT_TYPE,
            HeaderValue::from_static("application/problem+json"),
        );
        headers.insert(header::CONTENT_LENGTH, HeaderValue::from(self.body().len()));
        response
    }

    fn over_grpc(self, content_type: &'static str) -> Response<Full<Bytes>> {
        let mut response = Response::new(Full::default());
        for (name, value) in [
            (header::CONTENT_TYPE, content_type),
            (GRPC_STATUS, self.grpc_status),
            (GRPC_MESSAGE, self.detail),
        ] {
            response
                .headers_mut()
                .insert(name, HeaderValue::from_static(value));
        }
        response
    }

    fn body(self) -> Bytes {
        let body = serde_json::json!({
            "type": "about:blank",
            "title": self.status.canonical_reason(),
            "status": self.status.as_u16(),
            "detail": self.detail,
            "reason": self.reason,
        });
        Bytes::from(body.to_string())
    }
}

impl From<Unroutable> for Problem {
    fn from(unroutable: Unroutable) -> Self {
        let (status, reason, detail) = match unroutable {
            Unroutable::Host => (
                StatusCode::BAD_REQUEST,
                "unreadable_host",
                "the request names no host, several, or one that cannot be read",
            ),
            Unroutable::Path => (
                StatusCode::BAD_REQUEST,
                "unreadable_path",
                "the path has `.` or `..` segments, or escapes that cannot be read",
            ),
            Unroutable::Tunnel => (
                StatusCode::NOT_IMPLEMENTED,
                "no_tunnels",
                "CONNECT is not served: this is no forward proxy",
            ),
        };
        Self {
            status,
            grpc_status: "13",
            reason,
            detail,
            retry_after_secs: None,
        }
    }
}

impl From<&SendError> for Problem {
    fn from(error: &SendError) -> Self {
        match error {
            SendError::Reset(ExchangeError::Invalid(_)) => Self::UPSTREAM_INVALID,
            SendError::Reset(_) => Self::UPSTREAM_RESET,
            SendError::RequestAborted(_) => Self::REQUEST_ABORTED,
            SendError::RequestStalled => Self::REQUEST_STALLED,
            SendError::Unreachable(ConnectError::Timeout(_)) => Self::CONNECT_TIMEOUT,
            SendError::Unreachable(ConnectError::Busy) => Self::UPSTREAM_BUSY,
            SendError::Unreachable(ConnectError::Shortage(_)) => Self::SHORTAGE,
            SendError::Unreachable(
                ConnectError::Dial(_)
                | ConnectError::Http(_)
                | ConnectError::Tls(_)
                | ConnectError::WrongProtocol,
            ) => Self::UPSTREAM_DOWN,
            SendError::Timeout(_) => Self::UPSTREAM_TIMEOUT,
        }
    }
}

impl Problem {
    /// Nothing was sent: over gRPC, a retry is safe.
    const CONNECT_TIMEOUT: Self = Self {
        grpc_status: "14",
        ..Self::UPSTREAM_TIMEOUT
    };
}

/// A restart of most services takes no longer.
const RETRY_DOWN_SECS: u16 = 5;
const RETRY_BUSY_SECS: u16 = 1;
const GRPC_STATUS: HeaderName = HeaderName::from_static("grpc-status");
const GRPC_MESSAGE: HeaderName = HeaderName::from_static("grpc-message");
