//! HTTP responses, as LND's proxy sends them.
//!
//! An error has its code in the body and a matching status; the messages of a stream come one
//! to a line, each under `result`, a failure under `error`.

use std::convert::Infallible;

use bytes::Bytes;
use futures_util::{StreamExt as _, stream};
use http::header::{CONTENT_TYPE, HeaderValue};
use http::{Response, StatusCode};
use http_body::Frame;
use http_body_util::{Full, StreamBody};
use prost_reflect::DynamicMessage;
use serde_json::{Value, json};
use tonic::body::Body;
use tonic::{Code, Status, Streaming};

use super::json::printed;

/// Responds with the one message of a call, or the error in its place.
pub(super) async fn unary(messages: Result<Messages, Status>) -> Response<Body> {
    match first(messages).await {
        Ok((Some(message), _rest)) => whole(StatusCode::OK, &printed(&message)),
        Ok((None, _rest)) => error(&Status::internal("a call without a message")),
        Err(status) => error(&status),
    }
}

/// Responds with an error.
pub(super) fn error(status: &Status) -> Response<Body> {
    whole(http_status(status.code()), &failure(status))
}

/// Responds with messages as they come.
///
/// The first is waited for, because a failure before it decides the status.
pub(super) async fn stream(messages: Result<Messages, Status>) -> Response<Body> {
    let (first, rest) = match first(messages).await {
        Ok(messages) => messages,
        Err(status) => {
            let line = json!({ "error": failure(&status) });
            return whole(http_status(status.code()), &line);
        }
    };
    let lines = stream::iter(first.map(Ok))
        .chain(rest)
        .map(|message| Ok::<_, Infallible>(Frame::data(line(message))));
    let mut reply = Response::new(Body::new(StreamBody::new(lines)));
    reply.headers_mut().insert(CONTENT_TYPE, JSON);
    reply
}

type Messages = Streaming<DynamicMessage>;

async fn first(
    messages: Result<Messages, Status>,
) -> Result<(Option<DynamicMessage>, Messages), Status> {
    let mut messages = messages?;
    Ok((messages.message().await?, messages))
}

fn line(message: Result<DynamicMessage, Status>) -> Bytes {
    let line = match &message {
        Ok(message) => json!({ "result": printed(message) }),
        Err(status) => json!({ "error": failure(status) }),
    };
    format!("{line}\n").into()
}

fn whole(status: StatusCode, body: &Value) -> Response<Body> {
    let mut reply = Response::new(Body::new(Full::new(Bytes::from(body.to_string()))));
    *reply.status_mut() = status;
    reply.headers_mut().insert(CONTENT_TYPE, JSON);
    reply
}

fn failure(status: &Status) -> Value {
    json!({ "code": i32::from(status.code()), "message": status.message(), "details": [] })
}

/// The status LND's proxy sends for a code.
fn http_status(code: Code) -> StatusCode {
    match code {
        Code::Ok => StatusCode::OK,
        Code::InvalidArgument | Code::FailedPrecondition | Code::OutOfRange => {
            StatusCode::BAD_REQUEST
        }
        Code::DeadlineExceeded => StatusCode::GATEWAY_TIMEOUT,
        Code::NotFound => StatusCode::NOT_FOUND,
        Code::AlreadyExists | Code::Aborted => StatusCode::CONFLICT,
        Code::Unimplemented => StatusCode::NOT_IMPLEMENTED,
        Code::Unavailable => StatusCode::SERVICE_UNAVAILABLE,
        // The sandbox sends none of these but the first two.
        Code::Unknown
        | Code::Internal
        | Code::Cancelled
        | Code::DataLoss
        | Code::PermissionDenied
        | Code::ResourceExhausted
        | Code::Unauthenticated => StatusCode::INTERNAL_SERVER_ERROR,
    }
}

const JSON: HeaderValue = HeaderValue::from_static("application/json");

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn codes_have_the_status_lnds_proxy_gives_them() {
        for (code, status) in [
            (Code::Unknown, 500),
            (Code::NotFound, 404),
            (Code::InvalidArgument, 400),
            (Code::Unimplemented, 501),
            (Code::AlreadyExists, 409),
            (Code::Unavailable, 503),
        ] {
            assert_eq!(http_status(code).as_u16(), status, "{code:?}");
        }
    }
}
