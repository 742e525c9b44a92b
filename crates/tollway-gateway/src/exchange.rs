//! What happens to one request?
//!
//! Routed, admitted, forwarded, answered. Admitting a valid credential and forwarding do
//! no look-up and take no lock. If the client goes away, the future is dropped wherever it
//! is, and the upstream's connection or stream ends with it.

use std::rc::Rc;
use std::time::Instant;

use bytes::Bytes;
use http::request::Parts;
use http::{HeaderValue, Method, Request, Response, StatusCode};
use http_body_util::Full;
use hyper::body::Incoming;
use hyper::upgrade::OnUpgrade;
use tollway_server::respond::{self, Form};
use tollway_server::{Client, Refusal};

use crate::admit::{Admission, Declined, admit};
use crate::call::Call;
use crate::connections::Connection;
use crate::forward::{self, Introduction};
use crate::linger;
use crate::reply::{InFlight, Problem, ReplyBody};
use crate::route::{self, Unroutable};
use crate::telemetry::AccessLine;
use crate::upgrade::Tunnel;
use crate::upstream::{ResponseBody, Upload};
use crate::worker::{LocalService, Worker};

/// The client at the other end of one connection.
#[derive(Debug)]
pub(crate) struct Visitor {
    pub(crate) client: Client,
    pub(crate) introduction: Introduction,
    pub(crate) connection: Rc<Connection>,
    pub(crate) worker: Rc<Worker>,
}

/// Serves one request. There is always an answer.
pub(crate) async fn answer(
    visitor: Rc<Visitor>,
    request: Request<Incoming>,
) -> Response<ReplyBody> {
    let began = Instant::now();
    let (head, body) = request.into_parts();
    let line = AccessLine::begin(&head);
    let (local, host) = match find(&visitor.worker, &head) {
        Ok(found) => found,
        Err(problem) => {
            let stats = &visitor.worker.unrouted;
            let in_flight = InFlight::begin(&visitor.connection, stats);
            linger::discard(&head, body);
            let response = problem.into_response(Form::of(&head));
            stats.answered(response.status());
            line.end(response.status(), began, "", problem.verdict());
            return response.map(|body| ReplyBody::own(body, in_flight));
        }
    };
    let in_flight = InFlight::begin(&visitor.connection, &local.stats);
    let form = Form::of(&head);
    let asked = Asked {
        head,
        body,
        host,
        form,
    };
    let (response, verdict) = match serve(&visitor, &local, asked).await {
        Ok((Answer::Upstream(response), verdict)) => (
            response.map(|body| ReplyBody::upstream(body, in_flight)),
            verdict,
        ),
        Ok((
            Answer::Tunnel {
                response,
                client,
                upstream,
            },
            verdict,
        )) => {
            let tunnel = Tunnel {
                client,
                upstream,
                in_flight,
            };
            tokio::task::spawn_local(tunnel.run(visitor.worker.tunnels_closing()));
            (response.map(|()| ReplyBody::tunnel()), verdict)
        }
        Err((response, verdict)) => (
            response.map(|body| ReplyBody::own(body, in_flight)),
            verdict,
        ),
    };
    local.stats.answered(response.status());
    line.end(response.status(), began, &local.service.name, verdict);
    response
}

/// A request that has been routed.
struct Asked {
    head: Parts,
    body: Incoming,
    host: HeaderValue,
    form: Form,
}

/// What an upstream answered.
enum Answer {
    Upstream(Response<ResponseBody>),
    Tunnel {
        response: Response<()>,
        client: OnUpgrade,
        upstream: OnUpgrade,
    },
}

/// An answer of our own, and what the access log calls it.
type OwnAnswer = (Response<Full<Bytes>>, &'static str);

fn find(worker: &Worker, head: &Parts) -> Result<(Rc<LocalService>, HeaderValue), Problem> {
    if head.method == Method::CONNECT {
        return Err(Unroutable::Tunnel.into());
    }
    let host = route::requested_host(head)?;
    let path = route::canonical_path(head.uri.path())?;
    let name = route::without_port(host.to_str().unwrap_or_default());
    match worker.find(name, &path) {
        Some(local) => Ok((local, host)),
        None => Err(Problem::NO_SERVICE),
    }
}

async fn serve(
    visitor: &Visitor,
    local: &LocalService,
    asked: Asked,
) -> Result<(Answer, &'static str), OwnAnswer> {
    let admission = match admit(&local.service.price, &asked.head, visitor.client).await {
        Ok(admission) => admission,
        Err(declined) => {
            linger::discard(&asked.head, asked.body);
            return Err(decline(local, asked.form, declined));
        }
    };
    let form = asked.form;
    let verdict = admission.verdict();
    match forward(visitor, local, &admission, asked).await {
        Ok(answer) => Ok((answer, verdict)),
        Err(problem) => Err((problem.into_response(form), problem.verdict())),
    }
}

/// Answers for the gate what it does not admit.
fn decline(local: &LocalService, form: Form, declined: Declined) -> OwnAnswer {
    let (refusal, style) = match declined {
        Declined::Preflight(answer) => return (answer, "preflight"),
        Declined::Refused { refusal, style } => (refusal, style),
    };
    local.stats.refused(refusal.code());
    if matches!(refusal, Refusal::PaymentRequired(_)) {
        local.stats.challenges.up();
    }
    (
        respond::refuse(&refusal, form, style),
        refusal.code().as_str(),
    )
}

/// Sends an admitted request to the service's upstream.
async fn forward(
    visitor: &Visitor,
    local: &LocalService,
    admission: &Admission,
    asked: Asked,
) -> Result<Answer, Problem> {
    let Asked {
        mut head,
        body,
        host,
        ..
    } = asked;
    let call = Call::of(&head);
    let client_side = head.extensions.remove::<OnUpgrade>();
    forward::outbound(
        &mut head,
        call,
        &visitor.introduction,
        host,
        local.pool.target(),
    );
    let request = Request::from_parts(head, Upload::new(body));

    let sent = Instant::now();
    let mut response = local
        .pool
        .send(admission, request, call)
        .await
        .map_err(|error| {
            let service = local.service.name.as_str();
            tracing::debug!(service, %error, "no response");
            Problem::from(&error)
        })?;
    local.stats.upstream_answered(sent.elapsed());

    if response.status() == StatusCode::SWITCHING_PROTOCOLS {
        let upstream = hyper::upgrade::on(&mut response);
        let client = client_side.filter(|_| call == Call::WebSocket);
        let (mut head, _) = response.into_parts();
        forward::inbound(&mut head);
        let response = Response::from_parts(head, ());
        // Nobody asked for another protocol: what follows could not be understood.
        let client = client.ok_or(Problem::UPSTREAM_BROKE_OFF)?;
        return Ok(Answer::Tunnel {
            response,
            client,
            upstream,
        });
    }
    let (mut head, body) = response.into_parts();
    forward::inbound(&mut head);
    Ok(Answer::Upstream(Response::from_parts(head, body)))
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
            bytes <= 4096,
            "{bytes} bytes: box the branches that are rarely taken"
        );
    }
}
