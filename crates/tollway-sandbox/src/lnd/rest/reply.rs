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
use serde::Serialize;
use tonic::body::Body;
use tonic::{Code, Status, Streaming};

use super::json::printed;

/// Sends one answer or the error in its place.
pub(super) fn unary(answer: Result<DynamicMessage, Status>) -> Response<Body> {
    match answer {
        Ok(message) => {
            let mut reply = whole(StatusCode::OK, &printed(&message));
            let grpc = HeaderValue::from_static("application/grpc");
            reply
                .headers_mut()
                .insert("grpc-metadata-content-type", grpc);
            reply
        }
        Err(status) => error(&status),
    }
}

/// Sends an error.
pub(super) fn error(status: &Status) -> Response<Body> {
    whole(http_status(status.code()), &Failure::of(status))
}

/// Sends answers as they come.
///
/// The first is waited for, because a failure before it decides the status.
pub(super) async fn stream(answers: Result<Streaming<DynamicMessage>, Status>) -> Response<Body> {
    let mut answers = match answers {
        Ok(answers) => answers,
        Err(status) => return failed_stream(&status),
    };
    let first = match answers.message().await {
        Ok(first) => first.map(Ok),
        Err(status) => return failed_stream(&status),
    };
    let lines = stream::iter(first)
        .chain(answers)
        .map(|answer| Ok::<_, Infallible>(Frame::data(line(answer))));
    let mut reply = Response::new(Body::new(StreamBody::new(lines)));
    reply.headers_mut().insert(CONTENT_TYPE, JSON);
    reply
}

fn failed_stream(status: &Status) -> Response<Body> {
    whole(
        http_status(status.code()),
        &Line::Error(Failure::of(status)),
    )
}

fn line(answer: Result<DynamicMessage, Status>) -> Bytes {
    let mut line = match &answer {
        Ok(message) => text(&Line::Result(printed(message))),
        Err(status) => text(&Line::Error(Failure::of(status))),
    };
    line.push(b'\n');
    line.into()
}

fn whole(status: StatusCode, body: &impl Serialize) -> Response<Body> {
    let mut reply = Response::new(Body::new(Full::new(Bytes::from(text(body)))));
    *reply.status_mut() = status;
    reply.headers_mut().insert(CONTENT_TYPE, JSON);
    reply
}

fn text(body: &impl Serialize) -> Vec<u8> {
    // Text keys and no failing values: nothing that serialization could stumble over.
    serde_json::to_vec(body).unwrap_or_default()
}

#[derive(Serialize)]
#[serde(rename_all = "lowercase")]
enum Line<'a> {
    Error(Failure<'a>),
    Result(serde_json::Value),
}

#[derive(Serialize)]
struct Failure<'a> {
    code: i32,
    message: &'a str,
    details: [(); 0],
}

impl<'a> Failure<'a> {
    fn of(status: &'a Status) -> Self {
        Self {
            code: status.code().into(),
            message: status.message(),
            details: [],
        }
    }
}

/// The status LND's proxy sends for a code.
fn http_status(code: Code) -> StatusCode {
    match code {
        Code::Ok => StatusCode::OK,
        Code::Cancelled => StatusCode::from_u16(499).unwrap_or(StatusCode::BAD_REQUEST),
        Code::InvalidArgument | Code::FailedPrecondition | Code::OutOfRange => {
            StatusCode::BAD_REQUEST
        }
        Code::DeadlineExceeded => StatusCode::GATEWAY_TIMEOUT,
        Code::NotFound => StatusCode::NOT_FOUND,
        Code::AlreadyExists | Code::Aborted => StatusCode::CONFLICT,
        Code::PermissionDenied => StatusCode::FORBIDDEN,
        Code::Unauthenticated => StatusCode::UNAUTHORIZED,
        Code::ResourceExhausted => StatusCode::TOO_MANY_REQUESTS,
        Code::Unimplemented => StatusCode::NOT_IMPLEMENTED,
        Code::Unavailable => StatusCode::SERVICE_UNAVAILABLE,
        Code::Unknown | Code::Internal | Code::DataLoss => StatusCode::INTERNAL_SERVER_ERROR,
    }
}

const JSON: HeaderValue = HeaderValue::from_static("application/json");

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_error_carries_code_text_and_empty_details() {
        let status = Status::unknown("permission denied");
        assert_eq!(
            text(&Failure::of(&status)),
            br#"{"code":2,"message":"permission denied","details":[]}"#
        );
        assert_eq!(
            line(Err(status)),
            &b"{\"error\":{\"code\":2,\"message\":\"permission denied\",\"details\":[]}}\n"[..]
        );
    }

    #[test]
    fn codes_have_the_status_lnds_proxy_gives_them() {
        for (code, status) in [
            (Code::Unknown, 500),
            (Code::NotFound, 404),
            (Code::InvalidArgument, 400),
            (Code::Unimplemented, 501),
            (Code::AlreadyExists, 409),
            (Code::Cancelled, 499),
            (Code::Unavailable, 503),
        ] {
            assert_eq!(http_status(code).as_u16(), status, "{code:?}");
        }
    }
}
