//! Sending of one request to an upstream.
//!
//! A kept connection may die just as it is used. A request is sent again, once, when
//! nothing of it was sent or the upstream stated that it has not processed it, or when the
//! connection had served others and was lost before a byte of the response, and the request is
//! idempotent and has no body. Nothing else is ever sent twice. Payment is not involved: a
//! request is admitted once, before it comes here, however often it is sent.

use std::future::poll_fn;
use std::rc::Rc;
use std::time::Duration;

use http::StatusCode;
use http::request::Parts;
use hyper::ext::ReasonPhrase;

use crate::conn::activity::{ExchangeLimits, StallLimit, WaitsFor};
use crate::conn::registry::ActiveRequest;
use crate::request::admit::Admission;
use crate::request::headers::UpstreamHead;
use crate::request::kind::RequestKind;
use crate::upstream::connect::ConnectError;
use crate::upstream::error::{ExchangeError, Failed, Reach};
use crate::upstream::h1::exchange::Connection;
use crate::upstream::h1::response::ResponseHead;
use crate::upstream::h2::connection::Http2Sender;
use crate::upstream::h2::exchange::{Exchange, http2_form};
use crate::upstream::h2::shared::StreamGuard;
use crate::upstream::pool::{Pool, UpstreamLink};
use crate::upstream::response::{Response, ResponseBody};
use crate::upstream::upload::Upload;

/// Why there is no response from an upstream.
#[derive(Debug, thiserror::Error)]
pub(crate) enum SendError {
    /// The client's request body ended early.
    #[error("{0}")]
    RequestAborted(ExchangeError),
    /// The connection failed, or what arrived on it is no response.
    #[error("{0}")]
    Reset(ExchangeError),
    /// The client stopped sending its request body.
    #[error("client sent no more of its request in time")]
    RequestStalled,
    /// The response did not begin in time.
    #[error("upstream sent no response within {0:?}")]
    Timeout(Duration),
    /// No connection could be opened.
    #[error("upstream {0}")]
    Unreachable(ConnectError),
}

impl Pool {
    /// Sends an admitted request, in HTTP/1.1 form, and waits for the head of the response, while
    /// the request moves.
    ///
    /// Dropping the future abandons the request and closes its connection or stream.
    pub(crate) fn send<'a>(
        self: &'a Rc<Self>,
        admission: &'a Admission,
        active: &'a ActiveRequest,
        mut head: UpstreamHead<'a>,
        mut upload: Upload,
    ) -> impl Future<Output = Result<Response, SendError>> + use<'a> {
        // An `async fn` would store the arguments twice.
        let kind = head.kind;
        async move {
            let mut is_repeated = false;
            loop {
                // Idle connections often die together.
                let idle = match is_repeated {
                    false => self.take_idle(kind),
                    true => None,
                };
                let link = match idle {
                    Some(link) => link,
                    // Boxed, because it is large and rare.
                    None => Box::pin(self.link(kind))
                        .await
                        .map_err(SendError::Unreachable)?,
                };
                admission.mark_forwarded();
                let mut lost = match link {
                    UpstreamLink::Http1(connection) => {
                        match self
                            .over_http1(connection, active, &mut head, upload)
                            .await?
                        {
                            Ok(response) => return Ok(response),
                            Err(lost) => lost,
                        }
                    }
                    UpstreamLink::Http2(sender, guard) => {
                        let attempt = self.over_http2(sender, guard, active, &head, upload);
                        match Box::pin(attempt).await? {
                            Ok(response) => return Ok(response),
                            Err(lost) => lost,
                        }
                    }
                };
                if matches!(lost.reach, Reach::NotSent | Reach::Refused) {
                    admission.mark_unsent();
                }
                if is_repeated || !lost.may_be_repeated(head.parts) {
                    return Err(lost.error.into());
                }
                upload = lost.upload;
                is_repeated = true;
            }
        }
    }

    /// Begins at once, so that the future does not hold the body.
    fn over_http1<'a>(
        &'a self,
        mut connection: Box<Connection>,
        active: &'a ActiveRequest,
        head: &'a mut UpstreamHead<'_>,
        upload: Upload,
    ) -> impl Future<Output = Result<Result<Response, Lost>, SendError>> + use<'a> {
        connection.begin(head.parts, head.added, upload);
        let headers = &mut head.parts.headers;
        async move {
            let response = poll_fn(|cx| connection.poll_head(headers, cx));
            let limit = StallLimit::of(self.limits.response_timeout);
            let response = self.within(limit, active, response).await?;
            Ok(match response {
                Ok(head) => Ok(self.http1_response(head, connection)),
                Err(failed) => Err(Lost {
                    reach: failed.reach,
                    error: failed.error,
                    is_reused: connection.is_reused,
                    upload: connection.take_back(),
                }),
            })
        }
    }

    fn http1_response(&self, head: ResponseHead, connection: Box<Connection>) -> Response {
        let body = match head.status {
            StatusCode::SWITCHING_PROTOCOLS => ResponseBody::switched(connection, &self.idle),
            _ => ResponseBody::http1(connection, &self.idle),
        };
        let mut response = Response::new(body);
        *response.status_mut() = head.status;
        *response.headers_mut() = head.headers;
        if let Some(reason) = head.reason
            && let Ok(reason) = ReasonPhrase::try_from(reason)
        {
            response.extensions_mut().insert(reason);
        }
        response
    }

    async fn over_http2(
        &self,
        sender: Http2Sender,
        guard: StreamGuard,
        active: &ActiveRequest,
        head: &UpstreamHead<'_>,
        upload: Upload,
    ) -> Result<Result<Response, Lost>, SendError> {
        let request = http2_form(head.parts, head.added, &upload, self.target());
        let limit = self.limits.connect_timeout;
        let mut exchange = match Exchange::open(sender, guard, request, upload, limit).await {
            Ok(exchange) => exchange,
            Err((failed, upload)) => return Ok(Err(Lost::unopened(failed, upload))),
        };
        let limit = match head.kind {
            // A gRPC call carries its own deadline, and a stream may begin with silence.
            RequestKind::Grpc => StallLimit::NONE,
            RequestKind::Http | RequestKind::WebSocket => {
                StallLimit::of(self.limits.response_timeout)
            }
        };
        let response = poll_fn(|cx| exchange.poll_head(cx));
        let response = self.within(limit, active, response).await?;
        Ok(match response {
            Ok(response) => {
                let (head, body) = response.into_parts();
                let body = exchange.into_body(body, &head.headers);
                Ok(Response::from_parts(head, ResponseBody::http2(body)))
            }
            Err(failed) => Err(Lost {
                reach: failed.reach,
                error: failed.error,
                is_reused: exchange.is_reused(),
                upload: exchange.into_upload(),
            }),
        })
    }

    /// Waits for the head of a response. `limit` is that of the upstream; without one, the client
    /// may be silent, too.
    async fn within<T>(
        &self,
        limit: StallLimit,
        active: &ActiveRequest,
        response: impl Future<Output = T>,
    ) -> Result<T, SendError> {
        let limits = ExchangeLimits {
            client: match limit == StallLimit::NONE {
                true => StallLimit::NONE,
                false => active.limits().read,
            },
            upstream: limit,
        };
        let response = active.activity().watch(limits, response).await;
        response.map_err(|stalled| match stalled {
            WaitsFor::Client => SendError::RequestStalled,
            WaitsFor::Upstream => SendError::Timeout(self.limits.response_timeout),
        })
    }
}

/// An attempt without a response.
struct Lost {
    reach: Reach,
    error: ExchangeError,
    is_reused: bool,
    upload: Upload,
}

impl Lost {
    /// Of a request for which no stream was opened.
    fn unopened(failed: Failed, upload: Upload) -> Self {
        Self {
            reach: failed.reach,
            error: failed.error,
            is_reused: false,
            upload,
        }
    }

    /// Returns whether the request may be sent again. Its body then begins again.
    fn may_be_repeated(&mut self, head: &Parts) -> bool {
        let is_final = self.error.is_of_client() || matches!(self.error, ExchangeError::Busy);
        match self.reach {
            _ if is_final => false,
            Reach::NotSent | Reach::Refused => self.upload.restart(),
            Reach::LostBeforeByte => {
                self.is_reused && head.method.is_idempotent() && self.upload.is_none()
            }
            Reach::Other => false,
        }
    }
}

impl From<ExchangeError> for SendError {
    fn from(error: ExchangeError) -> Self {
        if matches!(error, ExchangeError::Busy) {
            Self::Unreachable(ConnectError::Busy)
        } else if error.is_of_client() {
            Self::RequestAborted(error)
        } else {
            Self::Reset(error)
        }
    }
}
