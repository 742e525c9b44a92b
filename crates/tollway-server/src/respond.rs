//! Responses to requests that are not admitted.
//!
//! | [`ReasonCode`] | HTTP | gRPC | `detail` of the problem body |
//! |---|---|---|---|
//! | `no_credential` | 402 | 13 | `this request needs a paid token` |
//! | `malformed` | 402, strict 401 | 13 | `the credential cannot be read: …` |
//! | `exhausted` | 402, strict 401 | 13 | `every use of the token has been taken` |
//! | any other of a token | 402, strict 401 | 13 | the text of the [`Denial`](l402::Denial) |
//! | `unsellable_path` | 400 | 3 | `no token can be bound to this path: it must start with … ` |
//! | `token_in_use` | 503 | 14 | `every use left of the token is held by a request still being served` |
//! | `too_many_challenges` | 429 | 8 | `too many challenges for one network: the next is due in … s` |
//! | `too_many_requests` | 429 | 8 | `too many requests with one token at a time: … are being served` |
//! | `unavailable` | 503 | 14 | `payments cannot be taken at the moment` |
//!
//! Over HTTP the body is RFC 9457 `application/problem+json`, in this order of members, the
//! last two with 401 and 402 only; after HEAD there is no body:
//!
//! ```json
//! {"type":"about:blank","title":"Payment Required","status":402,"detail":"…","reason":"no_credential","service":"weather","price_msat":10000}
//! ```
//!
//! Over gRPC every response is HTTP 200 without a body and with `grpc-status` and
//! `grpc-message` among its headers ("trailers-only"): `payment required`, `too many
//! challenges`, `too many requests` or `unavailable`. The older code 13 rather than 16 is what deployed clients
//! look for.
//!
//! Every response has `Cache-Control: no-store`, `L402-Reason`, and the CORS headers a page of
//! any origin needs to read it. 401, 402 and 13 carry the challenge, `WWW-Authenticate`; 429,
//! 503, 8 and 14 carry `Retry-After`. No error text of a backend is in any of them.

use bytes::Bytes;
use http::header::{
    ACCESS_CONTROL_ALLOW_HEADERS, ACCESS_CONTROL_ALLOW_METHODS, ACCESS_CONTROL_ALLOW_ORIGIN,
    ACCESS_CONTROL_EXPOSE_HEADERS, ACCESS_CONTROL_MAX_AGE, CACHE_CONTROL, CONTENT_LENGTH,
    CONTENT_TYPE, RETRY_AFTER, WWW_AUTHENTICATE,
};
use http::request::Parts;
use http::{HeaderMap, HeaderName, HeaderValue, Method, Response, StatusCode};
use http_body::Body;
use http_body_util::Full;
use l402::Grpc;
use serde::Serialize;

use crate::reason::ReasonCode;
use crate::rejection::Rejection;

/// The status of a response to a credential that fails.
#[derive(Clone, Copy, Debug, Default, Eq, PartialEq)]
pub enum StatusStyle {
    /// 402 and a fresh challenge: what deployed clients renew on.
    #[default]
    Lenient402,
    /// 401 and a fresh challenge, as the specification has it.
    Strict401,
}

/// The form of response a client can read.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum Form {
    /// A gRPC response of this content type.
    Grpc {
        /// The content type of the response.
        content_type: &'static str,
    },
    /// An HTTP response without a body.
    Head,
    /// An HTTP response with a body.
    Http,
}

impl Form {
    /// Returns the form a request can read.
    #[must_use]
    pub fn of(parts: &Parts) -> Self {
        let asked = parts.headers.get(CONTENT_TYPE).map(HeaderValue::as_bytes);
        match asked.and_then(Grpc::of) {
            Some(framing) => Self::Grpc {
                content_type: framing.content_type(),
            },
            None if parts.method == Method::HEAD => Self::Head,
            None => Self::Http,
        }
    }
}

/// Creates the response to a CORS preflight, which is free of charge.
///
/// `None` for all methods but OPTIONS.
#[must_use]
pub fn preflight(method: &Method) -> Option<Response<Full<Bytes>>> {
    if method != Method::OPTIONS {
        return None;
    }
    let mut response = Response::new(Full::default());
    *response.status_mut() = StatusCode::NO_CONTENT;
    let headers = response.headers_mut();
    allow_any_origin(headers);
    for (name, value) in [
        // Fetch standard: the wildcard does not cover `Authorization`.
        (ACCESS_CONTROL_ALLOW_HEADERS, "Authorization, *"),
        (
            ACCESS_CONTROL_ALLOW_METHODS,
            "GET, HEAD, POST, PUT, PATCH, DELETE, OPTIONS",
        ),
        (ACCESS_CONTROL_MAX_AGE, "600"),
    ] {
        headers.insert(name, HeaderValue::from_static(value));
    }
    Some(response)
}

/// Creates the response to a rejection, in the form the client can read.
#[must_use]
pub fn refuse(rejection: &Rejection, form: Form, style: StatusStyle) -> Response<Full<Bytes>> {
    let statuses = statuses_of(rejection.code(), style);
    let mut response = match form {
        Form::Grpc { content_type } => grpc(&statuses, content_type),
        Form::Head => without_body(problem(&statuses, rejection)),
        Form::Http => problem(&statuses, rejection),
    };
    let headers = response.headers_mut();
    allow_any_origin(headers);
    headers.insert(CACHE_CONTROL, HeaderValue::from_static("no-store"));
    headers.insert(
        L402_REASON,
        HeaderValue::from_static(rejection.code().as_str()),
    );
    match rejection {
        Rejection::PaymentRequired(demand) => {
            for line in &demand.challenge {
                headers.append(WWW_AUTHENTICATE, line.clone());
            }
        }
        Rejection::TooManyChallenges(over) => {
            headers.insert(RETRY_AFTER, HeaderValue::from(over.retry_after_secs));
        }
        Rejection::TokenInUse(_) | Rejection::TooManyRequests(_) => {
            headers.insert(RETRY_AFTER, HeaderValue::from(RETRY_IN_USE_SECS));
        }
        Rejection::Unavailable(_) => {
            headers.insert(RETRY_AFTER, HeaderValue::from(RETRY_UNAVAILABLE_SECS));
        }
        Rejection::UnsellablePath(_) => {}
    }
    response
}

/// The status of a rejection in the two protocols.
struct Statuses {
    status: StatusCode,
    grpc_status: &'static str,
    grpc_message: &'static str,
}

/// The only place that decides which status a reason gets.
fn statuses_of(code: ReasonCode, style: StatusStyle) -> Statuses {
    match code {
        ReasonCode::NoCredential => PAYMENT_REQUIRED,
        ReasonCode::Denied(_) | ReasonCode::Exhausted | ReasonCode::Malformed => match style {
            StatusStyle::Lenient402 => PAYMENT_REQUIRED,
            StatusStyle::Strict401 => Statuses {
                status: StatusCode::UNAUTHORIZED,
                ..PAYMENT_REQUIRED
            },
        },
        ReasonCode::UnsellablePath => Statuses {
            status: StatusCode::BAD_REQUEST,
            grpc_status: "3",
            grpc_message: "path cannot be sold",
        },
        ReasonCode::TokenInUse => Statuses {
            status: StatusCode::SERVICE_UNAVAILABLE,
            grpc_status: "14",
            grpc_message: "token in use",
        },
        ReasonCode::TooManyChallenges => Statuses {
            status: StatusCode::TOO_MANY_REQUESTS,
            grpc_status: "8",
            grpc_message: "too many challenges",
        },
        ReasonCode::TooManyRequests => Statuses {
            status: StatusCode::TOO_MANY_REQUESTS,
            grpc_status: "8",
            grpc_message: "too many requests",
        },
        ReasonCode::Unavailable => Statuses {
            status: StatusCode::SERVICE_UNAVAILABLE,
            grpc_status: "14",
            grpc_message: "unavailable",
        },
    }
}

/// An RFC 9457 problem. With `about:blank` the status is the type; `reason` is more precise.
#[derive(Serialize)]
struct Problem<'a> {
    r#type: &'static str,
    title: &'static str,
    status: u16,
    detail: String,
    reason: &'static str,
    #[serde(skip_serializing_if = "Option::is_none")]
    service: Option<&'a str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    price_msat: Option<u64>,
}

fn problem(statuses: &Statuses, rejection: &Rejection) -> Response<Full<Bytes>> {
    let (detail, demand) = match rejection {
        Rejection::PaymentRequired(demand) => (demand.reason.to_string(), Some(demand)),
        Rejection::UnsellablePath(unsellable) => (unsellable.to_string(), None),
        Rejection::TokenInUse(in_use) => (in_use.to_string(), None),
        Rejection::TooManyChallenges(over) => (over.to_string(), None),
        Rejection::TooManyRequests(over) => (over.to_string(), None),
        Rejection::Unavailable(_for_the_log) => (UNAVAILABLE.to_owned(), None),
    };
    let problem = Problem {
        r#type: "about:blank",
        title: statuses.status.canonical_reason().unwrap_or_default(),
        status: statuses.status.as_u16(),
        detail,
        reason: rejection.code().as_str(),
        service: demand.map(|demand| demand.service.as_str()),
        price_msat: demand.map(|demand| demand.price.as_msat()),
    };
    let body = serde_json::to_vec(&problem).expect("numbers and texts are always JSON");
    let mut response = Response::new(Full::from(body));
    *response.status_mut() = statuses.status;
    let content_type = HeaderValue::from_static("application/problem+json");
    response.headers_mut().insert(CONTENT_TYPE, content_type);
    response
}

/// Keeps the length the body would have had, as HEAD wants it.
fn without_body(response: Response<Full<Bytes>>) -> Response<Full<Bytes>> {
    let (mut parts, body) = response.into_parts();
    if let Some(len) = body.size_hint().exact() {
        parts.headers.insert(CONTENT_LENGTH, HeaderValue::from(len));
    }
    Response::from_parts(parts, Full::default())
}

fn grpc(statuses: &Statuses, content_type: &'static str) -> Response<Full<Bytes>> {
    let mut response = Response::new(Full::default());
    for (name, value) in [
        (CONTENT_TYPE, content_type),
        (GRPC_STATUS, statuses.grpc_status),
        (GRPC_MESSAGE, statuses.grpc_message),
    ] {
        response
            .headers_mut()
            .insert(name, HeaderValue::from_static(value));
    }
    response
}

fn allow_any_origin(headers: &mut HeaderMap) {
    let any = HeaderValue::from_static("*");
    headers.insert(ACCESS_CONTROL_ALLOW_ORIGIN, any);
    let exposed = HeaderValue::from_static(EXPOSED);
    headers.insert(ACCESS_CONTROL_EXPOSE_HEADERS, exposed);
}

const PAYMENT_REQUIRED: Statuses = Statuses {
    status: StatusCode::PAYMENT_REQUIRED,
    grpc_status: "13",
    grpc_message: "payment required",
};
/// Long enough for a request to end, short enough for its client to wait.
const RETRY_IN_USE_SECS: u64 = 1;
/// Restarting a wallet or freeing a disk takes longer; asking more often does not help.
const RETRY_UNAVAILABLE_SECS: u64 = 5;
const UNAVAILABLE: &str = "payments cannot be taken at the moment";
const L402_REASON: HeaderName = HeaderName::from_static("l402-reason");
const GRPC_STATUS: HeaderName = HeaderName::from_static("grpc-status");
const GRPC_MESSAGE: HeaderName = HeaderName::from_static("grpc-message");
const EXPOSED: &str = "WWW-Authenticate, Retry-After, L402-Reason, Grpc-Status, Grpc-Message";
