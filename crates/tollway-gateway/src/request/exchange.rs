//! One request: routed, admitted, forwarded, responded to.
//!
//! Admitting a valid uncounted credential and forwarding do no look-up and take no lock.
//! If the client resets its connection or stream, the future is dropped wherever it is, and
//! the upstream's connection or stream ends with it.

use std::future::ready;
use std::rc::Rc;
use std::time::{Duration, Instant};

use bytes::Bytes;
use futures_util::FutureExt;
use futures_util::future::Either;
use http::request::Parts;
use http::{HeaderMap, HeaderValue, Method, Request, Response, StatusCode, header};
use http_body_util::Full;
use hyper::body::Incoming;
use hyper::upgrade::OnUpgrade;
use l402::path;
use tollway_server::respond::{self, Form};
use tollway_server::{Rejection, Settlement};

use crate::admin::access_log::{AccessLine, Verdict};
use crate::admin::metrics;
use crate::conn::activity::Activity;
use crate::conn::client::ClientConnection;
use crate::conn::registry::ActiveRequest;
use crate::core::{Core, LocalRoute};
use crate::request::admit::{Admission, Declined, admit, admit_paid};
use crate::request::drain;
use crate::request::headers;
use crate::request::kind::RequestKind;
use crate::request::problem::Problem;
use crate::request::reply::{InFlight, ReplyBody};
use crate::request::route::{self, Unroutable};
use crate::request::upgrade::Tunnel;
use crate::upstream::attempt::SendError;
use crate::upstream::connect::probe;
use crate::upstream::response::{ResponseBody, Upgraded};
use crate::upstream::upload::Upload;

/// Serves one request. There is always a response.
///
/// Synchronous work is done before the future is created, here and below: an `async` block
/// stores all captured arguments, which makes it larger to move.
pub(crate) fn handle_request(
    client: Rc<ClientConnection>,
    request: Request<Incoming>,
    active: ActiveRequest,
) -> impl Future<Output = Response<ReplyBody>> {
    let (head, body) = request.into_parts();
    let form = Form::of(&head);
    let core = Rc::clone(&client.core);
    let found = match active.is_excess() {
        true => Err(Problem::CLIENT_BUSY),
        false => find(&core, &head),
    };
    let (service, stats) = match &found {
        Ok((local, _)) => (local.route.service.name.as_str(), &local.stats),
        Err(_) => (metrics::NO_SERVICE, &core.unrouted),
    };
    let line = AccessLine::begin(&head, service, client.peer.address);
    let activity = Rc::clone(active.activity());
    let in_flight = InFlight::begin(active, stats);
    let handled = match found {
        Ok((local, host)) => {
            let routed = RoutedRequest {
                head,
                body,
                host,
                form,
                activity,
            };
            Either::Left(serve(client, local, routed))
        }
        Err(problem) => {
            drain::drain(&client.connection, &head, body);
            Either::Right(ready(local_response(problem, form)))
        }
    };
    handled.map(move |(source, verdict)| {
        let status = source.status();
        in_flight.responded(status);
        line.end(status, verdict);
        source.into_response(&core, in_flight)
    })
}

/// A request that has been routed.
struct RoutedRequest {
    head: Parts,
    body: Incoming,
    host: HeaderValue,
    form: Form,
    activity: Rc<Activity>,
}

/// Where a response comes from.
enum ResponseSource {
    Local(Response<Full<Bytes>>),
    Tunnel {
        response: Response<()>,
        client: OnUpgrade,
        upstream: Upgraded,
        settlement: Option<Settlement>,
    },
    Upstream {
        response: Response<ResponseBody>,
        settlement: Option<Settlement>,
    },
}

impl ResponseSource {
    fn status(&self) -> StatusCode {
        match self {
            Self::Local(response) => response.status(),
            Self::Tunnel { response, .. } => response.status(),
            Self::Upstream { response, .. } => response.status(),
        }
    }

    fn into_response(self, core: &Core, in_flight: InFlight) -> Response<ReplyBody> {
        match self {
            Self::Local(response) => response.map(|body| ReplyBody::local(body, in_flight)),
            Self::Tunnel {
                response,
                client,
                upstream,
                settlement,
            } => {
                let tunnel = Tunnel {
                    client,
                    upstream,
                    settlement,
                    in_flight,
                };
                // Ends with its two sides, or when all tunnels are closed.
                tokio::task::spawn_local(tunnel.run(core.tunnels_closing()));
                response.map(|()| ReplyBody::tunnel())
            }
            Self::Upstream {
                response,
                settlement,
            } => response.map(|body| ReplyBody::upstream(body, settlement, in_flight)),
        }
    }
}

fn find(core: &Core, head: &Parts) -> Result<(Rc<LocalRoute>, HeaderValue), Problem> {
    if head.method == Method::CONNECT {
        return Err(Unroutable::Tunnel.into());
    }
    let host = route::requested_host(head)?;
    let path = path::canonical(head.uri.path()).map_err(Unroutable::from)?;
    let name = route::without_port(host.to_str().unwrap_or_default());
    match core.find(name, &path) {
        Some(local) => Ok((local, host)),
        None => Err(Problem::NO_SERVICE),
    }
}

#[expect(
    clippy::manual_async_fn,
    reason = "an `async fn` stores its arguments twice"
)]
fn serve(
    client: Rc<ClientConnection>,
    local: Rc<LocalRoute>,
    routed: RoutedRequest,
) -> impl Future<Output = (ResponseSource, Verdict)> {
    async move {
        let admission = match admit_or_probe(&client, &local, &routed.head).await {
            Ok(admission) => admission,
            Err(declined) => {
                drain::drain(&client.connection, &routed.head, routed.body);
                return decline(&local, routed.form, declined);
            }
        };
        let (form, verdict) = (routed.form, admission.verdict());
        let forwarded = match forward(&client, &local, &admission, routed).await {
            Ok(forwarded) => forwarded,
            Err(problem) => {
                if problem.releases_use() {
                    admission.release();
                }
                return local_response(problem, form);
            }
        };
        match deliver(admission, forwarded).await {
            Ok(source) => (source, verdict),
            Err(declined) => decline(&local, form, declined),
        }
    }
}

/// Admits a request. The rare case is boxed.
fn admit_or_probe<'a>(
    client: &'a ClientConnection,
    local: &'a LocalRoute,
    head: &'a Parts,
) -> impl Future<Output = Result<Admission, Declined>> + use<'a> {
    if local.route.service.health.is_down() {
        Either::Left(Box::pin(admit_while_down(client, local, head)))
    } else {
        let cut_off = &client.core.cut_off;
        Either::Right(admit(&local.route.price, head, client.peer, cut_off))
    }
}

/// Admits a request whose upstream is known to be down, if it is paid for. Before any other is
/// refused, this looks whether the upstream accepts connections again.
async fn admit_while_down(
    client: &ClientConnection,
    local: &LocalRoute,
    head: &Parts,
) -> Result<Admission, Declined> {
    let (cut_off, price) = (&client.core.cut_off, &local.route.price);
    let service = &local.route.service;
    let admitted = admit_paid(price, head, client.peer, cut_off).await;
    let is_refused = matches!(admitted, Err(Declined::UpstreamDown));
    if is_refused && probe(&service.target, &service.health, PROBE_GAP).await {
        return admit(price, head, client.peer, cut_off).await;
    }
    admitted
}

/// Settles the use a request takes, and passes the response on.
async fn deliver(admission: Admission, forwarded: Forwarded) -> Result<ResponseSource, Declined> {
    let Forwarded {
        mut response,
        upgrade,
    } = forwarded;
    let status = response.status();
    let settlement = admission.settle(status, response.headers_mut()).await?;
    Ok(match upgrade {
        Some(client) => match switch(response, client, settlement) {
            Some(tunnel) => tunnel,
            None => return Err(Declined::UpstreamDown),
        },
        None => ResponseSource::Upstream {
            response,
            settlement,
        },
    })
}

fn local_response(problem: Problem, form: Form) -> (ResponseSource, Verdict) {
    (
        ResponseSource::Local(problem.into_response(form)),
        Verdict::of(problem.verdict()),
    )
}

/// Creates the response to a request that is not admitted.
fn decline(local: &LocalRoute, form: Form, declined: Declined) -> (ResponseSource, Verdict) {
    let (rejection, style) = match declined {
        Declined::Preflight(response) => {
            return (ResponseSource::Local(response), Verdict::of("preflight"));
        }
        Declined::UpstreamDown => return local_response(Problem::UPSTREAM_DOWN, form),
        Declined::Refused { rejection, style } => (rejection, style),
    };
    local.stats.refused(rejection.code());
    if matches!(rejection, Rejection::PaymentRequired(_)) {
        local.stats.challenges.up();
    }
    let response = respond::refuse(&rejection, form, style);
    let verdict = Verdict::of(rejection.code().as_str());
    (ResponseSource::Local(response), verdict)
}

/// A response whose head has arrived.
struct Forwarded {
    response: Response<ResponseBody>,
    /// The client's connection, when it becomes a tunnel.
    upgrade: Option<OnUpgrade>,
}

/// Sends an admitted request to the service's upstream.
fn forward<'a>(
    client: &ClientConnection,
    local: &'a LocalRoute,
    admission: &'a Admission,
    routed: RoutedRequest,
) -> impl Future<Output = Result<Forwarded, Problem>> + use<'a> {
    let RoutedRequest {
        mut head,
        body,
        host,
        activity,
        ..
    } = routed;
    let kind = RequestKind::of(&head);
    let client_side = head.extensions.remove::<OnUpgrade>();
    headers::prepare_request(
        &mut head,
        kind,
        &client.forwarded,
        host,
        local.pool.target(),
    );
    let request = Request::from_parts(head, Upload::new(body, Rc::clone(&activity)));

    let sent = Instant::now();
    let exchange = local.pool.send(admission, request, kind);
    exchange.map(move |exchanged| {
        let mut response = exchanged.map_err(|error| {
            let service = &local.route.service;
            tracing::debug!(service = service.name, %error, "no response from upstream");
            if let SendError::Unreachable(error) = &error
                && error.is_down()
            {
                service.health.mark_down(error);
            }
            Problem::from(&error)
        })?;
        local.route.service.health.mark_up();
        local.stats.upstream_responded(sent.elapsed());
        let upgrade = match response.status() {
            // A client that did not ask for an upgrade could not understand what follows.
            StatusCode::SWITCHING_PROTOCOLS => Some(
                client_side
                    .filter(|_| kind == RequestKind::WebSocket)
                    .ok_or(Problem::UPSTREAM_RESET)?,
            ),
            _ => None,
        };
        if !is_stream(kind, response.headers()) {
            activity.limit_body(local.route.service.limits.body_timeout.into());
        }
        let (mut head, body) = response.into_parts();
        headers::prepare_response(&mut head);
        response = Response::from_parts(head, body);
        Ok(Forwarded { response, upgrade })
    })
}

/// Returns whether a response may be silent for any time between its parts.
fn is_stream(kind: RequestKind, response: &HeaderMap) -> bool {
    let media_type = response.get(header::CONTENT_TYPE);
    let media_type = media_type.and_then(|value| value.to_str().ok());
    let is_events = media_type.is_some_and(|value| value.starts_with("text/event-stream"));
    kind == RequestKind::Grpc || is_events
}

/// Prepares the tunnel of an upgraded connection; `None` if it cannot leave HTTP.
fn switch(
    response: Response<ResponseBody>,
    client: OnUpgrade,
    settlement: Option<Settlement>,
) -> Option<ResponseSource> {
    let (head, body) = response.into_parts();
    Some(ResponseSource::Tunnel {
        upstream: body.into_upgraded()?,
        response: Response::from_parts(head, ()),
        client,
        settlement,
    })
}

/// The least time between two looks at an upstream that is down.
const PROBE_GAP: Duration = Duration::from_secs(1);

#[cfg(test)]
mod tests {
    use super::*;

    /// The future of every request is moved, with room for its largest branch.
    #[test]
    fn serving_a_request_moves_little_memory() {
        fn size_of_future<A, B, C, F: Future>(_: impl Fn(A, B, C) -> F) -> usize {
            size_of::<F>()
        }

        let bytes = size_of_future(handle_request);

        assert!(
            bytes <= 2112,
            "{bytes} bytes: box the branches that are rarely taken"
        );
    }
}
