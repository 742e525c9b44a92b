//! Routing: the service that receives a request, and what a replacement of the routes keeps.

use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use http::Request;
use tokio::io::AsyncWriteExt;
use tollway_gateway::{
    Gateway, GatewayLimits, Price, RouteConfig, RoutingConfig, RoutingError, StartError,
};
use tollway_server::Requirement;

use crate::support::client::{Body, Client, empty, get, read_until};
use crate::support::shop::{Shop, ten_sat, weather};
use crate::support::upstream::Upstream;
use crate::support::{self, upstream};

#[tokio::test]
async fn the_first_route_that_matches_applies() {
    let mut upstreams = [
        Upstream::sunny().await,
        Upstream::sunny().await,
        Upstream::sunny().await,
    ];
    let routing = RoutingConfig {
        services: (0..3)
            .map(|index| named(index, &upstreams[index]))
            .collect(),
        routes: vec![
            route(0, Some("a.example"), "/"),
            route(1, None, "/api"),
            route(2, None, "/"),
            route(0, None, "/api/never"),
        ],
    };
    let running = support::start_with(routing, GatewayLimits::default());

    for (uri, expected) in [
        ("http://a.example/api", 0),
        ("http://A.Example:8402/api", 0),
        ("http://b.example/api/x", 1),
        ("http://b.example/api/never", 1),
        ("http://b.example//%61pi/x", 1),
        ("http://b.example/apis", 2),
        ("http://a.example.evil/", 2),
    ] {
        for mut client in [
            Client::http1(support::http(&running)).await,
            Client::h2c(support::http(&running)).await,
        ] {
            client.ask(Request::get(uri).body(empty()).unwrap()).await;
            let seen: Vec<usize> = upstreams
                .iter_mut()
                .map(|one| one.all_seen().len())
                .collect();
            let wanted: Vec<usize> = (0..3).map(|index| usize::from(index == expected)).collect();
            assert_eq!(seen, wanted, "{uri}");
        }
    }
}

#[tokio::test]
async fn one_service_is_free_and_paid_by_route() {
    let upstream = Upstream::sunny().await;
    let shop = Shop::open().await;
    let mut routing = support::single(Price::Free, upstream.address);
    let mut paid = RouteConfig::new("weather", shop.price());
    paid.path_prefix = "/paid".to_owned();
    routing.routes.insert(0, paid);
    let running = support::start_with(routing, GatewayLimits::default());
    let mut client = Client::http1(support::http(&running)).await;

    for (path, status) in [("/", 200), ("/paid/x", 402), ("/%70aid/x", 402)] {
        let answer = client.ask(plain_get(path)).await;
        assert_eq!(answer.status.as_u16(), status, "{path}");
    }
}

#[tokio::test]
async fn routes_are_replaced_while_serving() {
    let (old, mut new) = (Upstream::sunny().await, Upstream::sunny().await);
    let running = support::start(Price::Free, old.address);
    let mut client = Client::http1(support::http(&running)).await;
    client.ask(plain_get("/")).await;

    running
        .replace_routing(support::single(Price::Free, new.address))
        .unwrap();
    client.ask(plain_get("/")).await;

    assert_eq!(new.all_seen().len(), 1);
}

#[tokio::test]
async fn a_replacement_that_keeps_the_target_keeps_its_connections() {
    let (address, connections) = counting().await;
    let running = support::start(Price::Free, address);
    let mut client = Client::http1(support::http(&running)).await;
    client.ask(plain_get("/")).await;

    let mut renamed = support::single(Price::Free, address);
    renamed.services[0].name = "renamed".to_owned();
    renamed.routes = vec![RouteConfig::new("renamed", Price::Free)];
    running.replace_routing(renamed).unwrap();
    client.ask(plain_get("/")).await;

    assert_eq!(connections.load(Ordering::SeqCst), 1);
}

#[tokio::test]
async fn a_replacement_that_changes_limits_opens_new_connections() {
    let (address, connections) = counting().await;
    let running = support::start(Price::Free, address);
    let mut client = Client::http1(support::http(&running)).await;
    client.ask(plain_get("/")).await;

    let mut stricter = support::single(Price::Free, address);
    stricter.services[0].limits.idle_max = 1;
    running.replace_routing(stricter).unwrap();
    client.ask(plain_get("/")).await;

    assert_eq!(connections.load(Ordering::SeqCst), 2);
}

#[tokio::test]
async fn two_prices_for_one_token_are_refused() {
    let shop = Shop::open().await;
    let dearer = Shop {
        terms: tollway_server::Terms::new(l402::Msat::from_msat(1_000_000)).unwrap(),
        ..shop.clone()
    };
    let routing = |dearer: &Shop| {
        let mut routing = support::single(shop.price(), support::any_port());
        let mut dear = RouteConfig::new("weather", dearer.price());
        dear.path_prefix = "/dear".to_owned();
        routing.routes.insert(0, dear);
        routing
    };

    let refused = start(routing(&dearer)).unwrap_err();
    assert!(matches!(
        refused,
        StartError::Routing(RoutingError::Price(_))
    ));
    let text = refused.to_string();
    assert!(text.contains("`/dear`"), "{text}");

    let tiered = Shop {
        requirement: weather().with_tier(1),
        ..dearer
    };
    assert!(start(routing(&tiered)).is_ok());
}

#[tokio::test]
async fn one_price_on_two_routes_is_fine() {
    let shop = Shop::open().await;
    let mut routing = support::single(shop.price(), support::any_port());
    routing
        .routes
        .push(RouteConfig::new("weather", shop.price()));
    let other = Shop {
        requirement: Requirement::new("tides".parse().unwrap()),
        terms: ten_sat(),
        ..shop
    };
    routing
        .routes
        .push(RouteConfig::new("weather", other.price()));

    assert!(start(routing).is_ok());
}

#[tokio::test]
async fn a_route_to_a_service_that_does_not_exist_is_refused() {
    let mut routing = support::single(Price::Free, support::any_port());
    routing.routes.push(RouteConfig::new("tides", Price::Free));

    assert!(matches!(
        start(routing),
        Err(StartError::Routing(RoutingError::UnknownService { .. }))
    ));
}

#[tokio::test]
async fn two_services_of_one_name_are_refused() {
    let mut routing = support::single(Price::Free, support::any_port());
    routing.services.push(support::service(support::any_port()));

    assert!(matches!(
        start(routing),
        Err(StartError::Routing(RoutingError::DuplicateService { .. }))
    ));
}

fn start(routing: RoutingConfig) -> Result<tollway_gateway::Running, StartError> {
    Gateway::start(support::config(routing, GatewayLimits::default()))
}

fn named(index: usize, upstream: &Upstream) -> tollway_gateway::ServiceConfig {
    let mut service = support::service(upstream.address);
    service.name = index.to_string();
    service
}

fn route(service: usize, host: Option<&str>, path: &str) -> RouteConfig {
    RouteConfig {
        host: host.map(str::to_owned),
        path_prefix: path.to_owned(),
        service: service.to_string(),
        price: Price::Free,
    }
}

/// An upstream that counts its connections.
async fn counting() -> (SocketAddr, Arc<AtomicUsize>) {
    let connections = Arc::new(AtomicUsize::new(0));
    let counted = Arc::clone(&connections);
    let address = upstream::accept(move |mut stream| {
        counted.fetch_add(1, Ordering::SeqCst);
        async move {
            loop {
                read_until(&mut stream, "\r\n\r\n").await;
                let sunny = b"HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\nsunny";
                stream.write_all(sunny).await.unwrap();
            }
        }
    })
    .await;
    (address, connections)
}

fn plain_get(path: &str) -> Request<Body> {
    get(path).body(empty()).unwrap()
}
