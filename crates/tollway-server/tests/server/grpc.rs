//! The layer around a tonic server, as a tonic client sees it, over a real socket.

use std::convert::Infallible;
use std::future::{self, Ready};
use std::task::{Context, Poll};

use futures_util::future::BoxFuture;
use http::uri::PathAndQuery;
use http::{Request, Response};
use l402::SchemeName;
use tokio::net::TcpListener;
use tonic::body::Body;
use tonic::server::{NamedService, UnaryService};
use tonic::transport::server::TcpIncoming;
use tonic::transport::{Channel, Endpoint, Server};
use tonic::{Code, Status};
use tonic_prost::ProstCodec;
use tower::Service;

use crate::support::{BACKEND_SECRET, Mood, Shop, narrowed};

#[tokio::test]
async fn a_call_without_a_token_is_status_13_with_a_challenge_that_buys_it() {
    let shop = Shop::open().await;
    let channel = serve(&shop).await;

    let status = call(&channel, &[]).await.unwrap_err();

    assert_eq!(status.code(), Code::Internal);
    assert_eq!(status.message(), "payment required");
    assert_eq!(
        status.metadata().get("l402-reason").unwrap(),
        "no_credential"
    );
    let lines = status.metadata().get_all("www-authenticate");
    let lines = lines.iter().map(|value| value.as_encoded_bytes());
    let challenges = l402::read_challenges(lines).unwrap();
    assert_eq!(challenges.len(), 2);
}

#[tokio::test]
async fn a_paid_call_passes_whether_the_token_is_in_a_header_or_in_metadata() {
    let shop = Shop::open().await;
    let channel = serve(&shop).await;
    let credential = shop.buy().await;
    let preimage = credential.preimage().expose_hex();
    let inside = narrowed(&credential, &format!("preimage={preimage}"));

    for (name, value) in [
        ("authorization", credential.authorization(SchemeName::L402)),
        ("authorization", credential.authorization(SchemeName::Lsat)),
        ("macaroon", inside.macaroon().to_hex()),
        ("grpc-metadata-macaroon", inside.macaroon().to_hex()),
        ("token", inside.macaroon().to_hex()),
    ] {
        let answer = call(&channel, &[(name, &value)]).await;
        assert!(answer.is_ok(), "{name}: {answer:?}");
    }
}

#[tokio::test]
async fn a_call_with_a_bad_token_gets_the_reason() {
    let shop = Shop::open().await;
    let channel = serve(&shop).await;
    let expired = narrowed(&shop.buy().await, "weather_valid_until=1");
    let value = expired.authorization(SchemeName::L402);

    let status = call(&channel, &[("authorization", &value)]).await;

    let status = status.unwrap_err();
    assert_eq!(status.code(), Code::Internal);
    assert_eq!(status.metadata().get("l402-reason").unwrap(), "expired");
    assert!(status.metadata().contains_key("www-authenticate"));
}

#[tokio::test]
async fn a_wallet_that_is_down_is_status_14() {
    let shop = Shop::open().await;
    let channel = serve(&shop).await;
    shop.wallet.set_mood(Mood::Down);

    let status = call(&channel, &[]).await.unwrap_err();

    assert_eq!(status.code(), Code::Unavailable);
    assert!(!format!("{status:?}").contains(BACKEND_SECRET));
}

async fn serve(shop: &Shop) -> Channel {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    let paywall = shop.paywall();
    let server = Server::builder().layer(paywall).add_service(Weather);
    tokio::spawn(server.serve_with_incoming(TcpIncoming::from(listener)));
    let endpoint = Endpoint::from_shared(format!("http://{address}")).unwrap();
    endpoint.connect().await.unwrap()
}

async fn call(channel: &Channel, metadata: &[(&'static str, &str)]) -> Result<(), Status> {
    let mut request = tonic::Request::new(());
    for (name, value) in metadata {
        request.metadata_mut().insert(*name, value.parse().unwrap());
    }
    let mut client = tonic::client::Grpc::new(channel.clone());
    client.ready().await.unwrap();
    let path = PathAndQuery::from_static("/weather.Weather/Today");
    let codec = ProstCodec::<(), ()>::default();
    client.unary(request, path, codec).await.map(drop)
}

/// A service of one call that takes nothing and returns nothing.
#[derive(Clone, Debug)]
struct Weather;

impl NamedService for Weather {
    const NAME: &'static str = "weather.Weather";
}

impl Service<Request<Body>> for Weather {
    type Response = Response<Body>;
    type Error = Infallible;
    type Future = BoxFuture<'static, Result<Self::Response, Infallible>>;

    fn poll_ready(&mut self, _cx: &mut Context<'_>) -> Poll<Result<(), Infallible>> {
        Poll::Ready(Ok(()))
    }

    fn call(&mut self, request: Request<Body>) -> Self::Future {
        Box::pin(async move {
            let mut grpc = tonic::server::Grpc::new(ProstCodec::<(), ()>::default());
            Ok(grpc.unary(Self, request).await)
        })
    }
}

impl UnaryService<()> for Weather {
    type Response = ();
    type Future = Ready<Result<tonic::Response<()>, Status>>;

    fn call(&mut self, _request: tonic::Request<()>) -> Self::Future {
        future::ready(Ok(tonic::Response::new(())))
    }
}
