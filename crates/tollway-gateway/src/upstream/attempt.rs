//! Sending of one request to an upstream.
//!
//! A kept connection may die just as it is used. The request is sent again, once and on
//! a new connection, when none of it was sent, or when the connection had been idle for a
//! while and the request is idempotent and has no body. Nothing else is ever sent twice.
//! Payment is not involved: a request is admitted once, before it comes here, however
//! often it is sent.

use std::future::ready;
use std::pin::pin;
use std::rc::Rc;
use std::sync::Arc;
use std::time::Duration;

use futures_util::FutureExt;
use futures_util::future::Either;
use http::{Request, StatusCode, Uri, Version, header};
use http_body::Body;
use hyper::client::conn::{TrySendError, http1};

use crate::request::admit::Admission;
use crate::request::kind::RequestKind;
use crate::upstream::connect::{ConnectError, Connected, connect};
use crate::upstream::h2::Http2Sender;
use crate::upstream::lease::Lease;
use crate::upstream::pool::Pool;
use crate::upstream::response::{Response, ResponseBody};
use crate::upstream::tls::Offered;
use crate::upstream::upload::{Progress, Upload};

/// Why there is no response from an upstream.
#[derive(Debug, thiserror::Error)]
pub(crate) enum SendError {
    /// The client's request body ended early.
    #[error("client aborted its request: {0}")]
    RequestAborted(hyper::Error),
    /// The connection was closed after the request may have reached the upstream.
    #[error("upstream closed the connection: {0}")]
    Reset(hyper::Error),
    /// The client stopped sending its request body.
    #[error("client sent no more of its request within {0:?}")]
    RequestStalled(Duration),
    /// The response did not begin in time.
    #[error("upstream sent no response within {0:?}")]
    Timeout(Duration),
    /// No connection could be opened.
    #[error("upstream {0}")]
    Unreachable(ConnectError),
}

impl Pool {
    /// Sends an admitted request, in HTTP/1.1 form, and waits for the head of the response.
    ///
    /// Dropping the future abandons the request and closes its connection or stream.
    pub(crate) fn send<'a>(
        self: &'a Rc<Self>,
        admission: &'a Admission,
        request: Request<Upload>,
        kind: RequestKind,
    ) -> impl Future<Output = Result<Response, SendError>> + use<'a> {
        let progress = request.body().progress();
        let limit = self.limits.response_timeout;
        match (self.offered(kind), kind) {
            // A gRPC call carries its own deadline, and a stream may begin with silence.
            (Offered::Http2, RequestKind::Grpc) => {
                Either::Left(self.exchange_shared(admission, request).boxed_local())
            }
            (Offered::Http2, RequestKind::Http | RequestKind::WebSocket) => {
                let exchange = self.exchange_shared(admission, request);
                Either::Left(with_progress_timeout(limit, progress, exchange).boxed_local())
            }
            (offered @ (Offered::Either | Offered::Http1), _) if progress.is_none() => {
                let exchange = self.exchange_exclusive(admission, request, offered);
                let in_time = tokio::time::timeout(limit, exchange);
                Either::Right(
                    in_time.map(move |ended| ended.unwrap_or(Err(SendError::Timeout(limit)))),
                )
            }
            (offered @ (Offered::Either | Offered::Http1), _) => {
                let exchange = self.exchange_exclusive(admission, request, offered);
                Either::Left(with_progress_timeout(limit, progress, exchange).boxed_local())
            }
        }
    }

    /// Sends on an HTTP/1.1 connection of its own, an idle one if there is one.
    fn exchange_exclusive<'a>(
        self: &'a Rc<Self>,
        admission: &'a Admission,
        request: Request<Upload>,
        offered: Offered,
    ) -> impl Future<Output = Result<Response, SendError>> + use<'a> {
        let Some(kept) = self.idle.take() else {
            return Either::Left(
                self.exchange_on_new(admission, request, offered)
                    .boxed_local(),
            );
        };
        let is_fresh = self.idle.age(&kept) < self.limits.fresh_for;
        let spare = if is_fresh {
            None
        } else {
            clone_if_replayable(&request)
        };
        let attempt = self.try_http1(admission, kept.sender, request);
        Either::Right(attempt.then(move |attempted| {
            let again = match attempted {
                Ok(response) => return Either::Left(ready(Ok(response))),
                Err(Failed::Unsent(unsent)) => *unsent,
                Err(Failed::Sent(error)) => match spare {
                    Some(copy) if !error.is_user() => *copy,
                    _ => return Either::Left(ready(Err(send_failed(error)))),
                },
            };
            Either::Right(
                self.exchange_on_new(admission, again, offered)
                    .boxed_local(),
            )
        }))
    }

    /// Sends on a new connection, over HTTP/2 if the upstream chooses it.
    async fn exchange_on_new(
        self: &Rc<Self>,
        admission: &Admission,
        request: Request<Upload>,
        offered: Offered,
    ) -> Result<Response, SendError> {
        let connected = connect(self.target(), offered, self.limits.connect_timeout).await;
        let sent = match connected.map_err(SendError::Unreachable)? {
            Connected::Http1(sender) => self.try_http1(admission, sender, request).await,
            Connected::Http2(sender) => {
                self.chose_http2.set(true);
                let shared = self.register(sender.clone());
                self.try_http2(admission, sender, Lease::Shared(shared.join()), request)
                    .await
            }
        };
        sent.map_err(Failed::into_error)
    }

    /// Sends on an HTTP/2 connection shared with other requests.
    async fn exchange_shared(
        self: &Rc<Self>,
        admission: &Admission,
        mut request: Request<Upload>,
    ) -> Result<Response, SendError> {
        let mut attempts_left = 2_u8;
        loop {
            attempts_left = attempts_left.saturating_sub(1);
            let shared = self.least_loaded();
            let lease = Lease::Shared(shared.join());
            let sender = match shared.sender().await {
                Ok(sender) => sender,
                Err(error) => {
                    self.remove(&shared);
                    self.chose_http2.set(false);
                    return Err(SendError::Unreachable(error));
                }
            };
            let spare = clone_if_replayable(&request);
            request = match (
                self.try_http2(admission, sender, lease, request).await,
                spare,
            ) {
                (Ok(response), _) => return Ok(response),
                (Err(Failed::Unsent(unsent)), _) if attempts_left > 0 => *unsent,
                (Err(Failed::Sent(error)), Some(copy)) if attempts_left > 0 && !error.is_user() => {
                    *copy
                }
                (Err(failed), _) => return Err(failed.into_error()),
            };
            self.remove(&shared);
        }
    }

    /// Passes the request on at once, so that the future does not hold it.
    fn try_http1<'a>(
        self: &'a Rc<Self>,
        admission: &'a Admission,
        mut sender: http1::SendRequest<Upload>,
        request: Request<Upload>,
    ) -> impl Future<Output = Result<Response, Failed>> + use<'a> {
        admission.mark_forwarded();
        let response = sender.try_send_request(request);
        response.map(move |responded| match responded {
            Ok(response) if response.status() == StatusCode::SWITCHING_PROTOCOLS => {
                Ok(response.map(ResponseBody::upgraded))
            }
            Ok(response) => {
                let lease = Lease::Exclusive {
                    sender,
                    idle: Rc::clone(&self.idle),
                };
                Ok(response.map(|body| ResponseBody::new(body, lease)))
            }
            Err(error) => Err(Failed::of(error, admission)),
        })
    }

    async fn try_http2(
        &self,
        admission: &Admission,
        mut sender: Http2Sender,
        lease: Lease,
        mut request: Request<Upload>,
    ) -> Result<Response, Failed> {
        self.use_http2_form(&mut request);
        admission.mark_forwarded();
        match sender.try_send_request(request).await {
            Ok(response) => Ok(response.map(|body| ResponseBody::new(body, lease))),
            Err(error) => Err(Failed::of(error, admission)),
        }
    }

    /// HTTP/2 names the origin in the request target and has no `Host` line.
    fn use_http2_form(&self, request: &mut Request<Upload>) {
        let mut target = request.uri().clone().into_parts();
        target.scheme = Some(self.target().scheme.clone());
        target.authority = Some(self.target().authority.clone());
        if let Ok(uri) = Uri::from_parts(target) {
            *request.uri_mut() = uri;
        }
        request.headers_mut().remove(header::HOST);
        *request.version_mut() = Version::HTTP_2;
    }
}

/// Waits for a response; the limit restarts whenever a frame of the request leaves.
async fn with_progress_timeout<F>(
    limit: Duration,
    progress: Progress,
    exchange: F,
) -> Result<Response, SendError>
where
    F: Future<Output = Result<Response, SendError>>,
{
    let mut exchange = pin!(exchange);
    loop {
        let frames = progress.frames();
        match tokio::time::timeout(limit, exchange.as_mut()).await {
            Ok(result) => return result,
            Err(_) if progress.frames() != frames => {}
            Err(_) if progress.is_waiting() => return Err(SendError::RequestStalled(limit)),
            Err(_) => return Err(SendError::Timeout(limit)),
        }
    }
}

/// Returns a copy to send if the first is lost, where sending twice has the effect of once.
fn clone_if_replayable(request: &Request<Upload>) -> Option<Box<Request<Upload>>> {
    if !request.method().is_idempotent() || !request.body().is_end_stream() {
        return None;
    }
    let mut copy = Request::new(Upload::empty());
    *copy.method_mut() = request.method().clone();
    *copy.uri_mut() = request.uri().clone();
    *copy.version_mut() = request.version();
    *copy.headers_mut() = request.headers().clone();
    Some(Box::new(copy))
}

/// A failed attempt, by whether the upstream may have received it.
enum Failed {
    Sent(hyper::Error),
    Unsent(Box<Request<Upload>>),
}

impl Failed {
    fn of(mut error: TrySendError<Request<Upload>>, admission: &Admission) -> Self {
        match error.take_message() {
            Some(unsent) => {
                admission.mark_unsent();
                Self::Unsent(Box::new(unsent))
            }
            None => Self::Sent(error.into_error()),
        }
    }

    fn into_error(self) -> SendError {
        match self {
            Self::Sent(error) => send_failed(error),
            // The connection was closed before any of the request was sent.
            Self::Unsent(_) => SendError::Unreachable(ConnectError::Dial(Arc::new(
                std::io::ErrorKind::ConnectionReset.into(),
            ))),
        }
    }
}

fn send_failed(error: hyper::Error) -> SendError {
    match error.is_user() {
        true => SendError::RequestAborted(error),
        false => SendError::Reset(error),
    }
}
