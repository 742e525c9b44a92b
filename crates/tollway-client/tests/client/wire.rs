//! Protocol versions, gRPC, and what may not come over the wire.

use std::time::Duration;

use http::{Request, StatusCode, Version};
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpListener;
use tollway_client::{Body, Client, Connections, Error, Event, Presented, TransportError};

use crate::shop::Lines;
use crate::{World, policy, text};

#[tokio::test]
async fn a_grpc_call_is_paid_for_over_http_2() {
    let world = World::new().await;
    world.shop.sells(|terms| terms.lines = Lines::Grpc);
    let request = Request::post(world.shop.url("/svc/Method"))
        .version(Version::HTTP_2)
        .header("content-type", "application/grpc")
        .body(Body::from("frame"))
        .unwrap();

    let response = world.client().send(request).await.unwrap();

    assert_eq!(response.version(), Version::HTTP_2);
    assert_eq!(response.status(), StatusCode::OK);
    assert!(!response.headers().contains_key("grpc-status"));
    assert_eq!(world.wallet.asked().len(), 1);
}

#[tokio::test]
async fn a_purchase_over_tls_is_used_over_tls_only() {
    let world = World::new().await;
    let (client, url) = tls(&world).await;

    for _again in 0..2 {
        let response = client.send(get(format!("{url}/a"))).await.unwrap();
        assert_eq!(response.version(), Version::HTTP_2);
        assert_eq!(response.status(), StatusCode::OK);
    }
    assert_eq!(world.wallet.asked().len(), 1);

    let clear = url.replace("https://", "http://");
    let _garbled = client.send(get(format!("{clear}/a"))).await;
    let events = world.events();
    let last = events
        .iter()
        .rev()
        .find(|event| matches!(event, Event::Sending { .. }));
    assert!(
        matches!(
            last,
            Some(Event::Sending {
                presented: Presented::Nothing,
                ..
            })
        ),
        "{last:?}"
    );
}

#[tokio::test]
async fn a_server_with_an_untrusted_certificate_is_sent_nothing() {
    let world = World::new().await;
    let (url, _certificate) = world.shop.open_tls().await;
    let request = get(format!("{url}/a"));

    let refused = world.client().send(request).await;

    assert!(
        matches!(
            refused,
            Err(Error::Transport(TransportError::Connect { .. }))
        ),
        "{refused:?}"
    );
    assert!(world.shop.seen().is_empty());
}

#[tokio::test]
async fn a_redirect_from_tls_to_clear_text_is_not_followed() {
    let world = World::new().await;
    let (client, url) = tls(&world).await;
    world.shop.redirects("/a", 302, &world.shop.url("/free"));
    let request = get(format!("{url}/a"));

    let refused = client.send(request).await;

    assert!(
        matches!(
            refused,
            Err(Error::Transport(TransportError::Redirect { .. }))
        ),
        "{refused:?}"
    );
}

#[tokio::test]
async fn a_redirect_from_clear_text_to_tls_at_the_same_host_is_paid_for() {
    let world = World::new().await;
    let (client, url) = tls(&world).await;
    world.shop.redirects("/start", 308, &format!("{url}/a"));

    assert_eq!(
        text(client.send(world.get("/start")).await).await,
        "paid /a"
    );
}

#[tokio::test]
async fn a_401_with_a_challenge_of_ours_is_a_demand() {
    let world = World::new().await;
    world
        .shop
        .sells(|terms| terms.status = StatusCode::UNAUTHORIZED);

    assert_eq!(
        text(world.client().send(world.get("/a")).await).await,
        "paid /a"
    );
}

#[tokio::test]
async fn a_server_without_a_response_is_given_up_on() {
    let world = World::new().await;
    let silent = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let url = format!("http://{}/", silent.local_addr().unwrap());
    let connections = Connections {
        head_timeout: Duration::from_millis(1),
        ..Connections::default()
    };
    let client = world.builder(policy()).connections(connections).build();

    let timeout = client.send(get(url)).await;

    assert!(matches!(
        timeout,
        Err(Error::Transport(TransportError::Timeout { .. }))
    ));
}

#[tokio::test]
async fn a_head_without_end_is_an_error() {
    let world = World::new().await;
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let url = format!("http://{}/", listener.local_addr().unwrap());
    tokio::spawn(async move {
        let (mut stream, _) = listener.accept().await.unwrap();
        let mut request = [0; 1_024];
        let _ = stream.read(&mut request).await;
        let _ = stream.write_all(b"HTTP/1.1 402 Pay\r\nx: ").await;
        while stream.write_all(&[b'x'; 4_096]).await.is_ok() {}
    });

    let refused = world.client().send(get(url)).await;

    assert!(
        matches!(
            refused,
            Err(Error::Transport(TransportError::Exchange { .. }))
        ),
        "{refused:?}"
    );
}

#[tokio::test]
async fn a_closed_port_is_a_transport_error_and_nothing_is_paid() {
    let world = World::new().await;
    let closed = TcpListener::bind("127.0.0.1:0")
        .await
        .unwrap()
        .local_addr()
        .unwrap();
    let request = get(format!("http://{closed}/"));

    let refused = world.client().send(request).await;

    assert!(
        matches!(
            refused,
            Err(Error::Transport(TransportError::Connect { .. }))
        ),
        "{refused:?}"
    );
}

#[tokio::test]
async fn an_address_that_is_none_is_refused() {
    let world = World::new().await;
    for address in ["/relative", "ftp://example.com/"] {
        let request = get(address);
        let refused = world.client().send(request).await;
        assert!(matches!(
            refused,
            Err(Error::Transport(TransportError::Address(_)))
        ));
    }
}

#[tokio::test]
async fn certificates_that_cannot_be_read_are_named() {
    let world = World::new().await;
    let path = world.path().join("ca.pem");
    std::fs::write(&path, "not a certificate").unwrap();
    let connections = Connections {
        extra_certificates: Some(path.clone()),
        ..Connections::default()
    };
    let client = world.builder(policy()).connections(connections).build();
    let request = Request::get("https://127.0.0.1:1/")
        .body(Body::empty())
        .unwrap();

    let refused = client.send(request).await.unwrap_err();

    assert!(refused.to_string().contains("ca.pem"), "{refused}");
}

/// Opens the shop's TLS side; returns a client that trusts it, and its address.
async fn tls(world: &World) -> (Client, String) {
    let (url, certificate) = world.shop.open_tls().await;
    let path = world.path().join("ca.pem");
    std::fs::write(&path, certificate).unwrap();
    let connections = Connections {
        extra_certificates: Some(path),
        ..Connections::default()
    };
    let client = world.builder(policy()).connections(connections).build();
    (client, url)
}

fn get(url: impl AsRef<str>) -> Request<Body> {
    Request::get(url.as_ref()).body(Body::empty()).unwrap()
}
