//! Routing: the route a request takes, which names its service and price.
//!
//! The first route whose host and path match. Requests are matched by what an upstream may
//! decode their path to, not by its spelling: `//paid`, `/%70aid` and `/free/../paid` must
//! not reach a paid resource by way of a free service. Paths with dot segments, which no
//! honest client sends, are refused; the path itself is forwarded unchanged.

use std::collections::BTreeMap;
use std::sync::Arc;

use http::header::{self, HeaderValue};
use http::request::Parts;
use l402::path::{self, AmbiguousPath};
use tollway_server::{PriceConflict, PricedRoute, check_prices};

use crate::admin::telemetry::{ServiceStats, Telemetry};
use crate::config::{
    Price, RouteConfig, RoutingConfig, ServiceConfig, UpstreamHost, UpstreamLimits,
};
use crate::conn::tls::TlsError;
use crate::upstream::health::Health;
use crate::upstream::target::Target;

/// One service, checked.
#[derive(Debug)]
pub(crate) struct Service {
    pub(crate) name: String,
    pub(crate) target: Arc<Target>,
    pub(crate) upstream_host: UpstreamHost,
    pub(crate) limits: UpstreamLimits,
    pub(crate) health: Arc<Health>,
    pub(crate) stats: Arc<ServiceStats>,
}

/// One route, checked.
#[derive(Debug)]
pub(crate) struct Route {
    host: Option<String>,
    path_prefix: String,
    pub(crate) service: Arc<Service>,
    pub(crate) price: Price,
}

impl Route {
    /// `host` without port and `path` in canonical form.
    pub(crate) fn matches(&self, host: &str, path: &str) -> bool {
        let host_matches = self
            .host
            .as_ref()
            .is_none_or(|wanted| wanted.eq_ignore_ascii_case(host));
        host_matches && path::is_below(path, &self.path_prefix)
    }
}

/// The routes, in order. Replaced as a whole.
#[derive(Debug, Default)]
pub(crate) struct Routes {
    pub(crate) routes: Vec<Arc<Route>>,
}

/// Why services and routes cannot be used.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum RoutingError {
    /// Two services have one name.
    #[error("two services are named `{service}`: rename one")]
    DuplicateService {
        /// The name.
        service: String,
    },
    /// A token of one route would buy requests to one that costs more.
    #[error(transparent)]
    Price(#[from] PriceConflict),
    /// A path that matches no request.
    #[error(
        "a route to service `{service}` has the path `{path}`: write it from the root, as `/api`"
    )]
    RelativePath {
        /// The service.
        service: String,
        /// Its path.
        path: String,
    },
    /// TLS towards an upstream cannot be set up.
    #[error(transparent)]
    Tls(#[from] TlsError),
    /// A route names a service that does not exist.
    #[error("the route `{path}` names the service `{service}`, which is not configured")]
    UnknownService {
        /// The path of the route.
        path: String,
        /// The name.
        service: String,
    },
}

impl Routes {
    /// Returns the services that have routes, each once.
    pub(crate) fn services(&self) -> Vec<&Arc<Service>> {
        let mut services: Vec<&Arc<Service>> = Vec::new();
        for route in &self.routes {
            let is_listed = |listed: &&Arc<Service>| Arc::ptr_eq(listed, &route.service);
            if !services.iter().any(is_listed) {
                services.push(&route.service);
            }
        }
        services
    }

    /// Checks services and routes.
    ///
    /// # Errors
    ///
    /// [`RoutingError`], naming the service or the route.
    pub(crate) fn new(config: RoutingConfig, telemetry: &Telemetry) -> Result<Self, RoutingError> {
        let mut services = BTreeMap::new();
        for service in config.services {
            let service = Arc::new(checked_service(service, telemetry)?);
            let name = service.name.clone();
            if let Some(first) = services.insert(name, service) {
                let service = first.name.clone();
                return Err(RoutingError::DuplicateService { service });
            }
        }
        check_route_prices(&config.routes)?;
        let routes = config.routes.into_iter();
        let routes: Result<_, _> = routes
            .map(|route| checked_route(route, &services).map(Arc::new))
            .collect();
        Ok(Self { routes: routes? })
    }
}

fn checked_service(config: ServiceConfig, telemetry: &Telemetry) -> Result<Service, TlsError> {
    let target = Target::new(config.upstream, config.upstream_authorities.as_deref())?;
    Ok(Service {
        health: Arc::new(Health::new(&config.name, &target.upstream)),
        stats: telemetry.service(&config.name),
        name: config.name,
        target: Arc::new(target),
        upstream_host: config.upstream_host,
        limits: config.limits,
    })
}

fn checked_route(
    config: RouteConfig,
    services: &BTreeMap<String, Arc<Service>>,
) -> Result<Route, RoutingError> {
    let (path, service) = (config.path_prefix, config.service);
    if !path.starts_with('/') {
        return Err(RoutingError::RelativePath { service, path });
    }
    match services.get(&service) {
        Some(found) => Ok(Route {
            host: config.host,
            path_prefix: path,
            service: Arc::clone(found),
            price: config.price,
        }),
        None => Err(RoutingError::UnknownService { path, service }),
    }
}

fn check_route_prices(routes: &[RouteConfig]) -> Result<(), PriceConflict> {
    let priced = routes.iter().filter_map(|route| match &route.price {
        Price::Free => None,
        Price::Paid {
            requirement,
            pricer,
            gate: _,
        } => Some(PricedRoute {
            name: &route.path_prefix,
            requirement,
            pricer: pricer.as_ref(),
        }),
    });
    check_prices(&priced.collect::<Vec<_>>())
}

/// A request that cannot be routed, through the client's fault.
#[derive(Clone, Copy, Debug, Eq, PartialEq, thiserror::Error)]
pub(crate) enum Unroutable {
    /// The host is missing, repeated or unreadable.
    #[error("the request names no host, several, or one that cannot be read")]
    Host,
    /// The path has dot segments or unreadable escapes.
    #[error("the path has `.` or `..` segments, or escapes that cannot be read")]
    Path,
    /// The method asks for a tunnel.
    #[error("this is no forward proxy: CONNECT is not served")]
    Tunnel,
}

impl From<AmbiguousPath> for Unroutable {
    fn from(_: AmbiguousPath) -> Self {
        Self::Path
    }
}

/// Returns the host a client asked for, as it is sent to the upstream.
///
/// The request target wins over the `Host` line, as RFC 9112 section 3.2.2 requires.
pub(crate) fn requested_host(head: &Parts) -> Result<HeaderValue, Unroutable> {
    let host = match head.uri.authority() {
        Some(authority) => {
            HeaderValue::from_str(authority.as_str()).map_err(|_| Unroutable::Host)?
        }
        None => host_line(head)?,
    };
    if is_host(host.as_bytes()) {
        Ok(host)
    } else {
        Err(Unroutable::Host)
    }
}

/// Removes the port from a host, and the dot of a fully qualified name.
pub(crate) fn without_port(host: &str) -> &str {
    let name = match host.rsplit_once(':') {
        Some((name, port)) if port.bytes().all(|byte| byte.is_ascii_digit()) => name,
        _ => host,
    };
    name.strip_suffix('.').unwrap_or(name)
}

fn host_line(head: &Parts) -> Result<HeaderValue, Unroutable> {
    let mut lines = head.headers.get_all(header::HOST).iter();
    match (lines.next(), lines.next()) {
        (Some(host), None) => Ok(host.clone()),
        (None, _) if head.version < http::Version::HTTP_11 => Ok(HeaderValue::from_static("")),
        _ => Err(Unroutable::Host),
    }
}

/// Returns whether nothing is in it but a name, an address or an address in brackets, and a port.
pub(crate) fn is_host(text: &[u8]) -> bool {
    let is_part = |byte: &u8| {
        byte.is_ascii_alphanumeric() || matches!(byte, b'.' | b'-' | b'_' | b':' | b'[' | b']')
    };
    text.iter().all(is_part)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn head(uri: &str, hosts: &[&'static str]) -> Parts {
        let (mut head, ()) = http::Request::new(()).into_parts();
        head.uri = uri.parse().unwrap();
        for host in hosts {
            head.headers
                .append(header::HOST, HeaderValue::from_static(host));
        }
        head
    }

    #[test]
    fn exactly_one_readable_host_is_needed() {
        assert_eq!(
            requested_host(&head("/", &["a.example:80"])).unwrap(),
            "a.example:80"
        );
        for hosts in [&[][..], &["a", "b"], &["a/b"], &["user@a"], &["a b"]] {
            assert_eq!(
                requested_host(&head("/", hosts)),
                Err(Unroutable::Host),
                "{hosts:?}"
            );
        }
    }

    #[test]
    fn the_request_target_wins_over_the_host_line() {
        let host = requested_host(&head("http://a.example/x", &["b.example"])).unwrap();

        assert_eq!(host, "a.example");
    }

    #[test]
    fn ports_and_final_dots_do_not_matter() {
        for (host, name) in [
            ("a", "a"),
            ("a:80", "a"),
            ("a.", "a"),
            ("a.:80", "a"),
            ("[::1]:80", "[::1]"),
            ("[::1]", "[::1]"),
        ] {
            assert_eq!(without_port(host), name);
        }
    }
}
