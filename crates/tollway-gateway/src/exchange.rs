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
use tollway_server::Refusal;
use tollway_server::respond::{self, Form};

use crate::access::AccessLine;
use crate::admit::{Admission, Declined, admit};
use crate::call::Call;
use crate::forward;
use crate::linger;
use crate::reply::{InFlight, Problem, ReplyBody};
use crate::route::{self, Unroutable};
use crate::upgrade::Tunnel;
use crate::upstream::{ResponseBody, Upload};
use crate::visitor::Visitor;
use crate::worker::{LocalService, Worker};

/// Serves one request. There is always an answer.
pub(crate) async fn answer(
    visitor: Rc<Visitor>,
    request: Request<Incoming>,
) -> Response<ReplyBody> {
    let began = Instant::now();
    let (head, body) = request.into_parts();
    let line = AccessLine::begin(&head);
    let form = Form::of(&head);
    let found = find(&visitor.worker, &head);
    let (stats, service) = match &found {
        Ok((local, _)) => (&local.stats, local.service.name.as_str()),
        Err(_) => (&visitor.worker.unrouted, ""),
    };
    let in_flight = InFlight::begin(&visitor.connection, stats);
    let (answer, verdict) = match &found {
        Ok((local, host)) => {
            let host = host.clone();
            serve(
                &visitor,
                local,
                Asked {
                    head,
                    body,
                    host,
                    form,
                },
            )
            .await
        }
        Err(problem) => {
            linger::discard(&head, body);
            own(*problem, form)
        }
    };
    let response = answer.into_response(&visitor.worker, in_flight);
    stats.answered(response.status());
    line.end(response.status(), began, service, verdict);
    response
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
    fn into_response(self, worker: &Worker, in_flight: InFlight) -> Response<ReplyBody> {
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
                // Ends with either side, or when the worker closes all tunnels.
                tokio::task::spawn_local(tunnel.run(worker.tunnels_closing()));
                response.map(|()| ReplyBody::tunnel())
            }
            Self::Upstream(response) => response.map(|body| ReplyBody::upstream(body, in_flight)),
        }
    }
}

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

async fn serve(visitor: &Visitor, local: &LocalService, asked: Asked) -> Judged {
    let admission = match admit(&local.service.price, &asked.head, visitor.client).await {
        Ok(admission) => admission,
        Err(declined) => {
            linger::discard(&asked.head, asked.body);
            return decline(local, asked.form, declined);
        }
    };
    let form = asked.form;
    match forward(visitor, local, &admission, asked).await {
        Ok(answer) => (answer, admission.verdict()),
        Err(problem) => own(problem, form),
    }
}

fn own(problem: Problem, form: Form) -> Judged {
    (Answer::Own(problem.into_response(form)), problem.verdict())
}

/// Answers for the gate what it does not admit.
fn decline(local: &LocalService, form: Form, declined: Declined) -> Judged {
    let (refusal, style) = match declined {
        Declined::Preflight(answer) => return (Answer::Own(answer), "preflight"),
        Declined::Refused { refusal, style } => (refusal, style),
    };
    local.stats.refused(refusal.code());
    if matches!(refusal, Refusal::PaymentRequired(_)) {
        local.stats.challenges.up();
    }
    let response = respond::refuse(&refusal, form, style);
    (Answer::Own(response), refusal.code().as_str())
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
