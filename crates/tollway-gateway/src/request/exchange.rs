//! One request: routed, admitted, forwarded, responded to.
//!
//! Admitting a valid uncounted credential and forwarding do no look-up and take no lock.
//! If the client resets its connection or stream, the future is dropped wherever it is, and
//! the upstream's connection or stream ends with it.

use std::mem;
use std::rc::Rc;
use std::time::Instant;

use bytes::Bytes;
use http::request::Parts;
use http::{HeaderMap, HeaderValue, Method, Request, Response, StatusCode, header};
use http_body_util::Full;
use hyper::body::Incoming;
use hyper::upgrade::OnUpgrade;
use l402::{Grpc, path};
use tollway_server::respond::{self, Form};
use tollway_server::{Rejection, Settlement};

use crate::admin::access_log::Verdict;
use crate::admin::metrics;
use crate::conn::client::ClientConnection;
use crate::conn::registry::ActiveRequest;
use crate::core::{Core, LocalRoute};
use crate::request::admit::{Admission, Declined, admit};
use crate::request::drain;
use crate::request::headers::{self, AddedHeaders, HeaderRules, MethodOverride, UpstreamHead};
use crate::request::in_flight::InFlight;
use crate::request::kind::RequestKind;
use crate::request::problem::Problem;
use crate::request::reply::ReplyBody;
use crate::request::request_id::X_REQUEST_ID;
use crate::request::route::{self, Service, Unroutable};
use crate::request::upgrade::Tunnel;
use crate::upstream::attempt::SendError;
use crate::upstream::response::{ResponseBody, Upgraded};
use crate::upstream::upload::Upload;

/// Serves one request. There is always a response.
pub(crate) async fn handle_request(
    client: Rc<ClientConnection>,
    request: Request<Incoming>,
    active: ActiveRequest,
) -> Response<ReplyBody> {
    let (mut in_flight, form, found) = begin(&client, request, active);
    let source = match found {
        Ok((local, routed)) => serve(&client, &local, &mut in_flight, form, routed).await,
        Err(problem) => fail(&mut in_flight, form, problem),
    };
    in_flight.responded(source.status());
    let request_id = in_flight.request_id().clone();
    let mut response = source.into_response(&client.core, in_flight);
    response.headers_mut().insert(X_REQUEST_ID, request_id);
    response
}

/// A request that has been routed. Boxed: the futures that it is passed to would store it twice.
struct RoutedRequest {
    head: Parts,
    body: Incoming,
    host: HeaderValue,
}

/// The route of a request, and the request.
type Found = Result<(Rc<LocalRoute>, Box<RoutedRequest>), Problem>;

/// Routes a request, and counts it.
fn begin(
    client: &Rc<ClientConnection>,
    request: Request<Incoming>,
    active: ActiveRequest,
) -> (InFlight, Form, Found) {
    let (head, body) = request.into_parts();
    let form = Form::of(&head);
    let proxied = client.proxied(&head.headers);
    let is_excess = match &proxied {
        Some(proxied) => proxied.request.is_excess(),
        None => active.is_excess(),
    };
    let found = match is_excess {
        true => Err(Problem::CLIENT_BUSY),
        false => find(&client.core, &head),
    };
    let (service, stats) = match &found {
        Ok((local, _)) => (local.route.service.name.as_str(), &local.stats),
        Err(_) => (metrics::NO_SERVICE, &client.core.unrouted),
    };
    let mut in_flight = InFlight::begin(client, proxied, active, stats, service, &head);
    let found = match found {
        Ok((local, host)) => Ok((local, Box::new(RoutedRequest { head, body, host }))),
        Err(problem) => {
            drain::drain(&client.connection, &mut in_flight, &head, body);
            Err(problem)
        }
    };
    (in_flight, form, found)
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
    if !headers::has_plain_body(&head.headers) {
        return Err(Problem::UNKNOWN_CODING);
    }
    let host = route::requested_host(head)?;
    let path = path::canonical(head.uri.path()).map_err(Unroutable::from)?;
    let name = route::without_port(host.to_str().unwrap_or_default());
    match core.find(name, &path) {
        Some(local) => Ok((local, host)),
        None => Err(Problem::NO_SERVICE),
    }
}

async fn serve(
    client: &ClientConnection,
    local: &LocalRoute,
    in_flight: &mut InFlight,
    form: Form,
    routed: Box<RoutedRequest>,
) -> ResponseSource {
    let core = &client.core;
    let peer = in_flight.peer();
    let admission = match admit(&local.route, &routed.head, peer, &core.cut_off).await {
        Ok(admission) => admission,
        Err(declined) => {
            drain::drain(&client.connection, in_flight, &routed.head, routed.body);
            return decline(local, in_flight, form, declined);
        }
    };
    in_flight.decided(admission.verdict());
    let forwarded = match forward(local, in_flight, &admission, routed).await {
        Ok(forwarded) => forwarded,
        Err(problem) => {
            if problem.releases_use() {
                admission.release();
            }
            return fail(in_flight, form, problem);
        }
    };
    match deliver(admission, forwarded).await {
        Ok(source) => source,
        Err(declined) => decline(local, in_flight, form, declined),
    }
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

/// Creates the response to a request that the gateway fails.
fn fail(in_flight: &mut InFlight, form: Form, problem: Problem) -> ResponseSource {
    in_flight.decided(Verdict::of(problem.verdict()));
    ResponseSource::Local(problem.into_response(form))
}

/// Creates the response to a request that is not admitted.
fn decline(
    local: &LocalRoute,
    in_flight: &mut InFlight,
    form: Form,
    declined: Declined,
) -> ResponseSource {
    let (rejection, style) = match declined {
        Declined::Preflight(response) => {
            in_flight.decided(Verdict::of("preflight"));
            return ResponseSource::Local(response);
        }
        Declined::UpstreamDown => return fail(in_flight, form, Problem::UPSTREAM_DOWN),
        Declined::Shortage => return fail(in_flight, form, Problem::SHORTAGE),
        Declined::Refused { rejection, style } => (rejection, style),
    };
    local.stats.refused(rejection.code());
    if matches!(rejection, Rejection::PaymentRequired(_)) {
        local.stats.challenges.up();
    }
    in_flight.decided(Verdict::of(rejection.code().as_str()));
    ResponseSource::Local(respond::refuse(&rejection, form, style))
}

/// A response whose head has arrived.
struct Forwarded {
    response: Response<ResponseBody>,
    /// The client's connection, when it becomes a tunnel.
    upgrade: Option<OnUpgrade>,
}

/// Sends an admitted request to the service's upstream.
async fn forward(
    local: &LocalRoute,
    in_flight: &mut InFlight,
    admission: &Admission,
    mut routed: Box<RoutedRequest>,
) -> Result<Forwarded, Problem> {
    let kind = RequestKind::of(&routed.head);
    let client_side = routed.head.extensions.remove::<OnUpgrade>();
    let added = prepare(local, in_flight, kind, &mut routed);
    let upload = Upload::new(routed.body, Rc::clone(in_flight.active().activity()));
    in_flight.uploads(upload.progress());
    let head = UpstreamHead {
        parts: &mut routed.head,
        added: &added,
        kind,
    };
    let sent = Instant::now();
    let service = &local.route.service;
    let active = in_flight.active();
    let response = match local.pool.send(admission, active, head, upload).await {
        Ok(response) => response,
        Err(error) => return Err(no_response(service, &error)),
    };
    service.health.mark_up();
    local.stats.upstream_responded(sent.elapsed());
    in_flight.upstream_responded();
    let upgrade = match response.status() {
        // A client that did not ask for an upgrade could not understand what follows.
        StatusCode::SWITCHING_PROTOCOLS => Some(
            client_side
                .filter(|_| kind == RequestKind::WebSocket)
                .ok_or(Problem::UPSTREAM_INVALID)?,
        ),
        _ => None,
    };
    if !is_stream(kind, response.headers()) {
        let limit = service.limits.body_timeout.into();
        in_flight.active().activity().limit_body(limit);
    }
    let (mut head, body) = response.into_parts();
    headers::prepare_response(&mut head);
    let response = Response::from_parts(head, body);
    Ok(Forwarded { response, upgrade })
}

/// Prepares the head of a request for the upstream.
fn prepare(
    local: &LocalRoute,
    in_flight: &InFlight,
    kind: RequestKind,
    routed: &mut RoutedRequest,
) -> AddedHeaders {
    let rules = HeaderRules {
        target: local.pool.target(),
        upstream_host: &local.route.service.upstream_host,
        method_override: MethodOverride::at(&local.route.price),
    };
    headers::prepare_request(&mut routed.head, kind, rules);
    let host = mem::replace(&mut routed.host, HeaderValue::from_static(""));
    let request_id = in_flight.request_id().clone();
    AddedHeaders::new(rules, in_flight.forwarded(), host, request_id)
}

/// Returns what the client receives when an upstream has not responded.
fn no_response(service: &Service, error: &SendError) -> Problem {
    tracing::debug!(service = service.name, %error, "no response from upstream");
    if let SendError::Unreachable(error) = error
        && error.is_down()
    {
        service.health.mark_down(error);
    }
    Problem::from(error)
}

/// Returns whether a response may be silent for any time between its parts.
fn is_stream(kind: RequestKind, response: &HeaderMap) -> bool {
    kind == RequestKind::Grpc || has_streaming_type(response)
}

fn has_streaming_type(response: &HeaderMap) -> bool {
    let Some(value) = response.get(header::CONTENT_TYPE) else {
        return false;
    };
    let value = value.as_bytes();
    let mut pieces = value.split(|byte| *byte == b';');
    let essence = pieces.next().unwrap_or_default().trim_ascii();
    let is_listed = |one: &&str| essence.eq_ignore_ascii_case(one.as_bytes());
    STREAMING_TYPES.iter().any(is_listed) || Grpc::of(value).is_some()
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

/// Media types whose parts are sent as they come to be, besides those of gRPC.
const STREAMING_TYPES: [&str; 7] = [
    "text/event-stream",
    "application/x-ndjson",
    "application/ndjson",
    "application/jsonl",
    "application/stream+json",
    "application/json-seq",
    "multipart/x-mixed-replace",
];

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn streams_are_known_by_their_media_type() {
        for (value, is_one) in [
            ("text/event-stream", true),
            ("Text/Event-Stream; charset=utf-8", true),
            ("application/x-ndjson", true),
            ("multipart/x-mixed-replace;boundary=frame", true),
            ("application/grpc-web+proto", true),
            ("application/json", false),
            ("application/json-seq-not", false),
            ("text/event-streams", false),
            ("", false),
        ] {
            let value = HeaderValue::from_static(value);
            let headers = HeaderMap::from_iter([(header::CONTENT_TYPE, value)]);
            assert_eq!(
                is_stream(RequestKind::Http, &headers),
                is_one,
                "{headers:?}"
            );
        }
        assert!(is_stream(RequestKind::Grpc, &HeaderMap::new()));
        assert!(!is_stream(RequestKind::Http, &HeaderMap::new()));
    }

    /// The future of every request is moved, with room for its largest branch.
    #[test]
    fn serving_a_request_moves_little_memory() {
        fn size_of_future<A, B, C, F: Future>(_: impl Fn(A, B, C) -> F) -> usize {
            size_of::<F>()
        }

        let bytes = size_of_future(handle_request);

        assert!(
            bytes <= 2048,
            "{bytes} bytes: box the branches that are rarely taken"
        );
    }
}
