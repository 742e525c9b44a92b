//! What happens to one request?
//!
//! Routed, admitted, forwarded, answered. Admitting a valid credential and forwarding do
//! no look-up and take no lock. If the client goes away, the future is dropped wherever it
//! is, and the upstream's connection or stream ends with it.

use std::future::ready;
use std::rc::Rc;
use std::time::Instant;

use bytes::Bytes;
use futures_util::FutureExt;
use futures_util::future::Either;
use http::request::Parts;
use http::{HeaderValue, Method, Request, Response, StatusCode};
use http_body_util::Full;
use hyper::body::Incoming;
use hyper::upgrade::OnUpgrade;
use tollway_server::Rejection;
use tollway_server::respond::{self, Form};

use crate::admin::access_log::AccessLine;
use crate::conn::client::Visitor;
use crate::core::{Core, LocalService};
use crate::request::admit::{Admission, Declined, admit};
use crate::request::drain;
use crate::request::headers;
use crate::request::kind::Call;
use crate::request::reply::{InFlight, Problem, ReplyBody};
use crate::request::route::{self, Unroutable};
use crate::request::upgrade::Tunnel;
use crate::upstream::response::ResponseBody;
use crate::upstream::upload::Upload;

/// Serves one request. There is always an answer.
///
/// What need not wait happens before the future is made, here and below: a future is moved
/// as a whole, and an `async` block has room for all it was given besides what that became.
pub(crate) fn answer(
    visitor: Rc<Visitor>,
    request: Request<Incoming>,
) -> impl Future<Output = Response<ReplyBody>> {
    let (head, body) = request.into_parts();
    let form = Form::of(&head);
    let core = Rc::clone(&visitor.core);
    let found = find(&core, &head);
    let (service, stats) = match &found {
        Ok((local, _)) => (local.service.name.as_str(), &local.stats),
        Err(_) => ("", &core.unrouted),
    };
    let line = AccessLine::begin(&head, service);
    let in_flight = InFlight::begin(&visitor.connection, stats);
    let judged = match found {
        Ok((local, host)) => {
            let asked = Asked {
                head,
                body,
                host,
                form,
            };
            Either::Left(serve(visitor, local, asked))
        }
        Err(problem) => {
            drain::discard(&head, body);
            Either::Right(ready(own(problem, form)))
        }
    };
    judged.map(move |(answer, verdict)| {
        let status = answer.status();
        in_flight.answered(status);
        line.end(status, verdict);
        answer.into_response(&core, in_flight)
    })
}

/// A request that has been routed.
struct Asked {
    head: Parts,
    body: Incoming,
    host: HeaderValue,
    form: Form,
}

/// An answer, and what the access log calls it.
type Judged = (Answer, &'static str);

/// Where an answer comes from.
enum Answer {
    Own(Response<Full<Bytes>>),
    Tunnel {
        response: Response<()>,
        client: OnUpgrade,
        upstream: OnUpgrade,
    },
    Upstream(Response<ResponseBody>),
}

impl Answer {
    fn status(&self) -> StatusCode {
        match self {
            Self::Own(response) => response.status(),
            Self::Tunnel { response, .. } => response.status(),
            Self::Upstream(response) => response.status(),
        }
    }

    fn into_response(self, core: &Core, in_flight: InFlight) -> Response<ReplyBody> {
        match self {
            Self::Own(response) => response.map(|body| ReplyBody::own(body, in_flight)),
            Self::Tunnel {
                response,
                client,
                upstream,
            } => {
                let tunnel = Tunnel {
                    client,
                    upstream,
                    in_flight,
                };
                // Ends with either side, or when the core closes all tunnels.
                tokio::task::spawn_local(tunnel.run(core.tunnels_closing()));
                response.map(|()| ReplyBody::tunnel())
            }
            Self::Upstream(response) => response.map(|body| ReplyBody::upstream(body, in_flight)),
        }
    }
}

fn find(core: &Core, head: &Parts) -> Result<(Rc<LocalService>, HeaderValue), Problem> {
    if head.method == Method::CONNECT {
        return Err(Unroutable::Tunnel.into());
    }
    let host = route::requested_host(head)?;
    let path = route::canonical_path(head.uri.path())?;
    let name = route::without_port(host.to_str().unwrap_or_default());
    match core.find(name, &path) {
        Some(local) => Ok((local, host)),
        None => Err(Problem::NO_SERVICE),
    }
}

#[expect(
    clippy::manual_async_fn,
    reason = "an `async fn` keeps what it was called with twice"
)]
fn serve(
    visitor: Rc<Visitor>,
    local: Rc<LocalService>,
    asked: Asked,
) -> impl Future<Output = Judged> {
    async move {
        let admission = match admit(&local.service.price, &asked.head, visitor.peer).await {
            Ok(admission) => admission,
            Err(declined) => {
                drain::discard(&asked.head, asked.body);
                return decline(&local, asked.form, declined);
            }
        };
        let form = asked.form;
        match forward(&visitor, &local, &admission, asked).await {
            Ok(answer) => (answer, admission.verdict()),
            Err(problem) => own(problem, form),
        }
    }
}

fn own(problem: Problem, form: Form) -> Judged {
    (Answer::Own(problem.into_response(form)), problem.verdict())
}

/// Answers for the gate what it does not admit.
fn decline(local: &LocalService, form: Form, declined: Declined) -> Judged {
    let (rejection, style) = match declined {
        Declined::Preflight(answer) => return (Answer::Own(answer), "preflight"),
        Declined::Refused { rejection, style } => (rejection, style),
    };
    local.stats.refused(rejection.code());
    if matches!(rejection, Rejection::PaymentRequired(_)) {
        local.stats.challenges.up();
    }
    let response = respond::refuse(&rejection, form, style);
    (Answer::Own(response), rejection.code().as_str())
}

/// Sends an admitted request to the service's upstream.
fn forward(
    visitor: &Visitor,
    local: &LocalService,
    admission: &Admission,
    asked: Asked,
) -> impl Future<Output = Result<Answer, Problem>> {
    let Asked {
        mut head,
        body,
        host,
        ..
    } = asked;
    let call = Call::of(&head);
    let client_side = head.extensions.remove::<OnUpgrade>();
    headers::outbound(
        &mut head,
        call,
        &visitor.introduction,
        host,
        local.pool.target(),
    );
    let request = Request::from_parts(head, Upload::new(body));

    let sent = Instant::now();
    let exchange = local.pool.send(admission, request, call);
    exchange.map(move |exchanged| {
        let response = exchanged.map_err(|error| {
            let service = local.service.name.as_str();
            tracing::debug!(service, %error, "no response");
            Problem::from(&error)
        })?;
        local.stats.upstream_answered(sent.elapsed());
        match response.status() {
            StatusCode::SWITCHING_PROTOCOLS => {
                // Nobody asked for another protocol: what follows could not be understood.
                let client = client_side.filter(|_| call == Call::WebSocket);
                let client = client.ok_or(Problem::UPSTREAM_BROKE_OFF)?;
                Ok(switch(response, client))
            }
            _ => {
                let (mut head, body) = response.into_parts();
                headers::inbound(&mut head);
                Ok(Answer::Upstream(Response::from_parts(head, body)))
            }
        }
    })
}

/// The upstream has agreed to leave HTTP.
fn switch(mut response: Response<ResponseBody>, client: OnUpgrade) -> Answer {
    let upstream = hyper::upgrade::on(&mut response);
    let (mut head, _) = response.into_parts();
    headers::inbound(&mut head);
    Answer::Tunnel {
        response: Response::from_parts(head, ()),
        client,
        upstream,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A future is moved into place for every request, with room for its largest branch.
    #[test]
    fn serving_a_request_moves_little_memory() {
        fn size_of_future<A, B, F: Future>(_: impl Fn(A, B) -> F) -> usize {
            size_of::<F>()
        }

        let bytes = size_of_future(answer);

        assert!(
            bytes <= 2048,
            "{bytes} bytes: box the branches that are rarely taken"
        );
    }
}
