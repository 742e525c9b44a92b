//! The layer around an axum service.

use std::net::SocketAddr;
use std::num::NonZeroU32;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};
use std::{future, io};

use axum::body::Body;
use axum::extract::ConnectInfo;
use axum::routing::{any, get};
use axum::{Extension, Router};
use http::{HeaderMap, Request, Response, StatusCode, header};
use http_body_util::BodyExt;
use l402::{Credential, Grant, Msat, SchemeName};
use tollway_server::ledger::MemoryLedger;
use tollway_server::paywall::PaywallLayer;
use tollway_server::{ChallengeLimit, GateSettings, Loopback, Peer, Reason, ReasonCode, Terms};
use tower::{Layer, ServiceExt, service_fn};

use crate::support::{FailingCommits, Shop, narrowed, paid_get, settings, token_id, uses, weather};

#[tokio::test]
async fn an_unpaid_request_does_not_reach_the_service() {
    let shop = Shop::open().await;
    let never = |_headers: HeaderMap| async { panic!("reached") as &'static str };
    let app = priced(&shop, any(never));

    let response = app.oneshot(request("GET", None)).await.unwrap();

    assert_eq!(response.status(), StatusCode::PAYMENT_REQUIRED);
    assert_eq!(shop.wallet.invoices(), 1);
}

#[tokio::test]
async fn a_paid_request_reaches_the_service_with_its_grant_and_its_body() {
    let shop = Shop::open().await;
    let credential = shop.buy().await;
    let echo = |Extension(grant): Extension<Grant>, body: String| async move {
        format!("{} {body}", grant.identifier().token_id)
    };
    let app = priced(&shop, any(echo));

    let request = request("POST", Some(&credential));
    let response = app.oneshot(request).await.unwrap();

    assert_eq!(response.status(), StatusCode::OK);
    let expected = format!("{} the body", token_id(&credential));
    assert_eq!(text(response).await, expected);
}

#[tokio::test]
async fn the_credential_does_not_reach_the_service() {
    let shop = Shop::open().await;
    let credential = shop.buy().await;
    let headers = |headers: HeaderMap| async move { format!("{headers:?}") };
    let app = priced(&shop, any(headers));
    let inside = narrowed(
        &credential,
        &format!("preimage={}", credential.preimage().expose_hex()),
    );
    let request = Request::get("/weather")
        .header(
            header::AUTHORIZATION,
            credential.authorization(SchemeName::L402),
        )
        .header(
            header::AUTHORIZATION,
            credential.authorization(SchemeName::Lsat),
        )
        .header(header::AUTHORIZATION, "Basic dTpw")
        .header("macaroon", inside.macaroon().to_hex())
        .header("grpc-metadata-macaroon", inside.macaroon().to_hex())
        .header("token", inside.macaroon().to_base64())
        .body(Body::empty())
        .unwrap();

    let response = app.oneshot(request).await.unwrap();

    let headers = text(response).await;
    assert_eq!(headers, r#"{"authorization": "Basic dTpw"}"#);
}

#[tokio::test]
async fn a_preflight_neither_costs_anything_nor_reaches_the_service() {
    let shop = Shop::open().await;
    let never = |_headers: HeaderMap| async { panic!("reached") as &'static str };
    let app = priced(&shop, any(never));

    let response = app.oneshot(request("OPTIONS", None)).await.unwrap();

    assert_eq!(response.status(), StatusCode::NO_CONTENT);
    assert_eq!(shop.wallet.invoices(), 0);
}

#[tokio::test]
async fn a_route_beside_the_priced_one_stays_free() {
    let shop = Shop::open().await;
    let app = priced(&shop, get(|| async { "priced" })).route("/", get(|| async { "free" }));

    let request = Request::get("/").body(Body::empty()).unwrap();
    let response = app.oneshot(request).await.unwrap();

    assert_eq!(text(response).await, "free");
}

#[tokio::test]
async fn clients_are_distinguished_when_the_server_knows_them() {
    let settings = GateSettings {
        challenge_limit: ChallengeLimit {
            per_minute: NonZeroU32::MIN,
            burst: NonZeroU32::MIN,
            loopback: Loopback::Limited,
        },
        ..settings()
    };
    let shop = Shop::with(Arc::new(MemoryLedger::new()), settings).await;
    let paywall = shop.paywall();
    let paywall = paywall.with_peer_of(|extensions| {
        let peer = extensions.get::<ConnectInfo<SocketAddr>>();
        peer.map_or_else(Peer::default, |peer| Peer::at(peer.0.ip()))
    });
    let app = Router::new().route("/weather", get(|| async { "" }).layer(paywall));

    for (peer, status) in [
        ("192.0.2.1:1", StatusCode::PAYMENT_REQUIRED),
        ("192.0.2.2:2", StatusCode::TOO_MANY_REQUESTS),
        ("198.51.100.1:3", StatusCode::PAYMENT_REQUIRED),
    ] {
        let mut request = request("GET", None);
        let peer: SocketAddr = peer.parse().unwrap();
        request.extensions_mut().insert(ConnectInfo(peer));
        let response = app.clone().oneshot(request).await.unwrap();
        assert_eq!(response.status(), status, "{peer}");
    }
}

#[tokio::test]
async fn a_client_among_the_extensions_is_found_by_itself() {
    let shop = Shop::open().await;
    let credential = narrowed(&shop.buy().await, "ip=192.0.2.1");
    let app = priced(&shop, get(|| async { "" }));

    for (address, status) in [
        ("192.0.2.1", StatusCode::OK),
        ("192.0.2.2", StatusCode::PAYMENT_REQUIRED),
    ] {
        let mut request = request("GET", Some(&credential));
        let client = Peer::at(address.parse().unwrap());
        request.extensions_mut().insert(client);
        let response = app.clone().oneshot(request).await.unwrap();
        assert_eq!(response.status(), status, "{address}");
    }
}

#[tokio::test]
async fn a_request_that_the_service_fails_to_serve_takes_no_use() {
    let shop = counted_shop().await;
    let credential = shop.buy().await;
    let answers = [
        StatusCode::BAD_GATEWAY,
        StatusCode::SERVICE_UNAVAILABLE,
        StatusCode::GATEWAY_TIMEOUT,
        StatusCode::OK,
        StatusCode::OK,
    ];
    let served = Arc::new(AtomicUsize::new(0));
    let counter = Arc::clone(&served);
    let answer = move || {
        let answer = answers[counter.fetch_add(1, Ordering::Relaxed)];
        future::ready(answer)
    };
    let app = priced(&shop, get(answer));

    for status in [
        StatusCode::BAD_GATEWAY,
        StatusCode::SERVICE_UNAVAILABLE,
        StatusCode::GATEWAY_TIMEOUT,
        StatusCode::OK,
        StatusCode::PAYMENT_REQUIRED,
    ] {
        let request = request("GET", Some(&credential));
        let response = app.clone().oneshot(request).await.unwrap();
        assert_eq!(response.status(), status);
    }
    assert_eq!(served.load(Ordering::Relaxed), 4);
}

#[tokio::test]
async fn an_error_of_the_service_takes_no_use_and_any_other_response_does() {
    let shop = counted_shop().await;
    let credential = shop.buy().await;
    let fails = service_fn(|_: Request<Body>| {
        future::ready(Err::<Response<Body>, _>(io::Error::other("reset")))
    });
    let answers = service_fn(|_: Request<Body>| {
        let mut response = Response::new(Body::empty());
        *response.status_mut() = StatusCode::INTERNAL_SERVER_ERROR;
        future::ready(Ok::<_, io::Error>(response))
    });

    let failed = shop.paywall().layer(fails);
    let failed = failed.oneshot(request("GET", Some(&credential))).await;
    assert!(failed.is_err());
    let answered = shop.paywall().layer(answers);
    for status in [
        StatusCode::INTERNAL_SERVER_ERROR,
        StatusCode::PAYMENT_REQUIRED,
    ] {
        let request = request("GET", Some(&credential));
        let response = answered.clone().oneshot(request).await.unwrap();
        assert_eq!(response.status(), status);
    }
}

#[tokio::test]
async fn a_client_that_leaves_while_its_request_is_served_has_used_it() {
    let shop = counted_shop().await;
    let credential = shop.buy().await;
    let app = priced(&shop, get(future::pending::<()>));

    let mut left = Box::pin(app.oneshot(request("GET", Some(&credential))));
    assert!(futures_util::poll!(&mut left).is_pending());
    let waiting = shop.reserve(&paid_get(&credential)).await.unwrap_err();
    assert_eq!(waiting.code(), ReasonCode::TokenInUse);
    drop(left);

    let reason = shop.reason(&paid_get(&credential)).await;
    assert_eq!(reason, Reason::Exhausted);
}

#[tokio::test]
async fn a_service_that_panics_takes_no_use() {
    let shop = counted_shop().await;
    let credential = shop.buy().await;
    for is_late in [false, true] {
        let panics = service_fn(move |_: Request<Body>| {
            assert!(is_late, "at once");
            async { panic!("later") as io::Result<Response<Body>> }
        });
        let served = shop.paywall().layer(panics);
        let served = tokio::spawn(served.oneshot(request("GET", Some(&credential))));
        assert!(served.await.unwrap_err().is_panic());
    }

    let app = priced(&shop, get(|| async { "the weather" }));
    let response = app
        .oneshot(request("GET", Some(&credential)))
        .await
        .unwrap();
    assert_eq!(response.status(), StatusCode::OK);
}

#[tokio::test]
async fn a_response_takes_the_use_with_or_without_a_body() {
    for (method, head, is_taken) in [
        ("HEAD", Response::builder().status(200), true),
        ("GET", Response::builder().status(204), true),
        ("GET", Response::builder().status(304), true),
        ("HEAD", Response::builder().status(503), false),
        (
            "POST",
            Response::builder()
                .header("content-type", "application/grpc")
                .header("grpc-status", "14"),
            false,
        ),
        (
            "POST",
            Response::builder().header("grpc-status", "14"),
            true,
        ),
        ("POST", Response::builder().header("grpc-status", "5"), true),
    ] {
        let shop = counted_shop().await;
        let credential = shop.buy().await;
        let response = Arc::new(Mutex::new(Some(head.body(Body::empty()).unwrap())));
        let answers = service_fn(move |_: Request<Body>| {
            let response = response.lock().unwrap().take().unwrap();
            future::ready(Ok::<_, io::Error>(response))
        });

        let served = shop.paywall().layer(answers);
        let response = served.oneshot(request(method, Some(&credential))).await;
        assert!(!response.unwrap().headers().contains_key("l402-reason"));

        let app = priced(&shop, any(|| async { "the weather" }));
        let next = app
            .oneshot(request("GET", Some(&credential)))
            .await
            .unwrap();
        assert_eq!(next.status() == StatusCode::OK, !is_taken, "{method}");
    }
}

#[tokio::test]
async fn a_body_that_fails_is_pending_before_so_that_what_came_first_is_written() {
    let shop = counted_shop().await;
    let credential = shop.buy().await;
    let answers = service_fn(|_: Request<Body>| {
        let frames = [Ok("half"), Err(io::Error::other("reset"))];
        let body = Body::from_stream(futures_util::stream::iter(frames));
        future::ready(Ok::<_, io::Error>(Response::new(body)))
    });

    let served = shop.paywall().layer(answers);
    let response = served.oneshot(request("GET", Some(&credential))).await;

    let mut body = response.unwrap().into_body();
    let first = body.frame().await.unwrap().unwrap();
    assert_eq!(first.into_data().unwrap(), "half");
    let mut failure = body.frame();
    assert!(futures_util::poll!(&mut failure).is_pending());
    assert!(failure.await.unwrap().is_err());
}

#[tokio::test]
async fn a_response_whose_use_cannot_be_committed_does_not_go_out() {
    let shop = Shop::with(Arc::new(FailingCommits::default()), settings()).await;
    let terms = shop.terms.clone().with_uses_max(uses(1));
    let credential = shop.buy_for(&shop.requirement, &terms).await;
    let app = priced(&shop, get(|| async { "the weather" }));

    let response = app
        .oneshot(request("GET", Some(&credential)))
        .await
        .unwrap();

    assert_eq!(response.status(), StatusCode::SERVICE_UNAVAILABLE);
    assert!(!text(response).await.contains("the weather"));
}

#[test]
fn layers_whose_tokens_are_interchangeable_cost_the_same() {
    let runtime = tokio::runtime::Builder::new_current_thread()
        .build()
        .unwrap();
    let shop = runtime.block_on(Shop::open());
    let cheap = shop.paywall();
    let dear = Terms::new(Msat::from_msat(99_000)).unwrap();
    let layer = |requirement| PaywallLayer::new(Arc::clone(&shop.gate), requirement, dear.clone());

    let conflict = PaywallLayer::check(&[("/", &cheap), ("/dear", &layer(weather()))]);
    let told_apart =
        PaywallLayer::check(&[("/", &cheap), ("/dear", &layer(weather().with_tier(1)))]);

    assert!(conflict.unwrap_err().to_string().contains("`/dear`"));
    assert_eq!(told_apart, Ok(()));
}

/// A shop whose tokens are good for one request.
async fn counted_shop() -> Shop {
    let mut shop = Shop::open().await;
    shop.terms = shop.terms.with_uses_max(uses(1));
    shop
}

fn priced(shop: &Shop, route: axum::routing::MethodRouter) -> Router {
    let paywall = shop.paywall();
    Router::new().route("/weather", route.layer(paywall))
}

fn request(method: &str, credential: Option<&Credential>) -> Request<Body> {
    let mut request = Request::builder().method(method).uri("/weather");
    if let Some(credential) = credential {
        let value = credential.authorization(SchemeName::L402);
        request = request.header(header::AUTHORIZATION, value);
    }
    request.body(Body::from("the body")).unwrap()
}

async fn text(response: Response<Body>) -> String {
    let body = response.into_body().collect().await.unwrap().to_bytes();
    String::from_utf8(body.to_vec()).unwrap()
}
