//! gRPC: calls, streams, statuses and trailers.

use std::convert::Infallible;
use std::net::SocketAddr;
use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use bytes::Bytes;
use futures_util::Stream;
use http::{HeaderMap, HeaderValue, Request, Response, StatusCode};
use http_body::Frame;
use http_body_util::{BodyExt, StreamBody};
use hyper::server::conn::http2;
use hyper::service::service_fn;
use hyper_util::rt::{TokioExecutor, TokioIo};
use l402::SchemeName;
use tokio::sync::{Notify, Semaphore, mpsc};
use tokio_stream::StreamExt;
use tokio_stream::wrappers::{ReceiverStream, TcpListenerStream};
use tollway_gateway::Price;
use tonic::transport::{Channel, Endpoint};
use tonic::{Code, Status, Streaming};

use crate::support::client::{Client, empty};
use crate::support::echo::echo_client::EchoClient;
use crate::support::echo::echo_server::{Echo, EchoServer};
use crate::support::echo::{EchoReply, EchoRequest};
use crate::support::shop::Shop;
use crate::support::{self, any_port, upstream};

#[tokio::test]
async fn a_paid_call_gets_its_reply() {
    let (shop, mut client) = site().await;

    let reply = client.unary(paid(&shop, say("hello")).await).await.unwrap();

    assert_eq!(reply.get_ref().text, "hello");
    assert_eq!(reply.metadata().get("x-said").unwrap(), "hello");
}

#[tokio::test]
async fn a_call_may_be_paid_by_metadata() {
    let (shop, mut client) = site().await;
    let bought = shop.buy().await;
    let preimage = format!("preimage={}", bought.preimage().expose_hex());
    let macaroon = bought.macaroon().with_caveat(preimage.as_bytes()).unwrap();
    let mut call = tonic::Request::new(say("hello"));
    call.metadata_mut()
        .insert("macaroon", macaroon.to_hex().parse().unwrap());

    let reply = client.unary(call).await.unwrap();

    assert_eq!(reply.get_ref().text, "hello");
    assert!(
        reply.metadata().get("x-saw-credential").is_none(),
        "it went upstream"
    );
}

#[tokio::test]
async fn an_unpaid_call_gets_a_challenge() {
    let (shop, mut client) = site().await;

    let refused = client.unary(say("hello")).await.unwrap_err();

    assert_eq!(
        (refused.code(), refused.message()),
        (Code::Internal, "payment required")
    );
    let challenge = refused.metadata().clone().into_headers();
    let mut again = tonic::Request::new(say("hello"));
    let line = shop.pay_for(&challenge).authorization(SchemeName::Lsat);
    again
        .metadata_mut()
        .insert("authorization", line.parse().unwrap());
    assert_eq!(client.unary(again).await.unwrap().get_ref().text, "hello");
}

#[tokio::test]
async fn an_upstreams_status_passes_unchanged() {
    let (shop, mut client) = site().await;

    let refused = client
        .unary(paid(&shop, say("fail")).await)
        .await
        .unwrap_err();

    assert_eq!(
        (refused.code(), refused.message()),
        (Code::AlreadyExists, "said before")
    );
    assert_eq!(refused.metadata().get("x-why").unwrap(), "because");
}

#[tokio::test]
async fn each_message_of_a_stream_is_echoed_before_the_next_is_sent() {
    let (shop, mut client) = site().await;
    let (speak, words) = mpsc::channel(1);

    let call = paid(&shop, ReceiverStream::new(words)).await;
    let mut replies = support::soon(client.bidi(call)).await.unwrap().into_inner();

    for word in ["one", "two", "three"] {
        speak.send(say(word)).await.unwrap();
        let reply = support::soon(replies.message()).await.unwrap().unwrap();
        assert_eq!(reply.text, word);
    }
    drop(speak);
    assert_eq!(support::soon(replies.message()).await.unwrap(), None);
    let trailers = replies.trailers().await.unwrap().unwrap();
    assert!(
        trailers
            .get("grpc-status")
            .is_none_or(|status| status == "0")
    );
}

#[tokio::test]
async fn a_stream_that_fails_half_way_ends_with_its_status_in_the_trailers() {
    let (shop, mut client) = site().await;
    let words = tokio_stream::iter([say("one"), say("fail")]);

    let call = paid(&shop, words).await;
    let mut replies = client.bidi(call).await.unwrap().into_inner();

    assert_eq!(replies.message().await.unwrap().unwrap().text, "one");
    let failed = replies.message().await.unwrap_err();
    assert_eq!(
        (failed.code(), failed.message()),
        (Code::AlreadyExists, "said before")
    );
}

#[tokio::test]
async fn trailers_pass_both_ways() {
    let address = upstream::serve_h2c(|request| async move {
        let trailers = request
            .into_body()
            .collect()
            .await
            .unwrap()
            .trailers()
            .cloned();
        let frames = [
            Ok(Frame::data(Bytes::from_static(b"body"))),
            Ok(Frame::trailers(trailers.unwrap_or_default())),
        ];
        Response::new(StreamBody::new(tokio_stream::iter(frames)).boxed_unsync())
    })
    .await;
    let running = support::start(Price::Free, address);
    let mut trailers = HeaderMap::new();
    trailers.insert("x-checksum", HeaderValue::from_static("42"));
    let frames = [
        Ok(Frame::data(Bytes::from_static(b"request"))),
        Ok(Frame::trailers(trailers.clone())),
    ];
    let request = Request::post("http://localhost/tollway.test.Echo/Any")
        .header("content-type", "application/grpc")
        .header("te", "trailers")
        .body(StreamBody::new(tokio_stream::iter(frames)).boxed_unsync())
        .unwrap();

    let answer = Client::h2c(support::http(&running))
        .await
        .ask(request)
        .await;

    assert_eq!((answer.status, &answer.body[..]), (StatusCode::OK, "body"));
    assert_eq!(answer.trailers, Some(trailers));
}

#[tokio::test]
async fn trailers_of_a_call_cannot_claim_what_a_gateway_states() {
    let (notify, mut seen) = mpsc::unbounded_channel();
    let address = upstream::serve_h2c(move |request| {
        let notify = notify.clone();
        async move {
            let body = request.into_body().collect().await.unwrap();
            notify.send(body.trailers().cloned()).unwrap();
            Response::new(empty())
        }
    })
    .await;
    let running = support::start(Price::Free, address);
    let names = [
        "x-forwarded-for",
        "x_real_ip",
        "x-request-id",
        "macaroon",
        "x-sum",
    ];
    let trailers = names.map(|name| {
        let name = http::HeaderName::from_static(name);
        (name, HeaderValue::from_static("1"))
    });
    let frames = [Ok(Frame::trailers(HeaderMap::from_iter(trailers)))];
    let request = Request::post("http://localhost/tollway.test.Echo/Any")
        .header("content-type", "application/grpc")
        .body(StreamBody::new(tokio_stream::iter(frames)).boxed_unsync())
        .unwrap();

    Client::h2c(support::http(&running))
        .await
        .ask(request)
        .await;

    let seen = support::soon(seen.recv()).await.unwrap().unwrap();
    assert_eq!(seen.keys().collect::<Vec<_>>(), ["x-sum"]);
}

#[tokio::test]
async fn a_stream_that_is_reset_before_its_end_does_not_look_complete() {
    for (ends, is_complete) in [(false, false), (true, true)] {
        let arrived = Arc::new(Notify::new());
        let has_arrived = Arc::clone(&arrived);
        let address = upstream::accept(move |stream| {
            let has_arrived = Arc::clone(&has_arrived);
            async move {
                let mut connection = h2::server::handshake(stream).await.unwrap();
                let (_request, mut respond) = connection.accept().await.unwrap().unwrap();
                let mut stream = respond.send_response(Response::new(()), false).unwrap();
                stream.send_data(Bytes::from_static(b"part"), ends).unwrap();
                tokio::spawn(async move {
                    // The request has not ended.
                    has_arrived.notified().await;
                    stream.send_reset(h2::Reason::NO_ERROR);
                });
                while connection.accept().await.is_some() {}
            }
        })
        .await;
        let running = support::start(Price::Free, address);
        let request = Request::post("http://localhost/tollway.test.Echo/Any")
            .header("content-type", "application/grpc")
            .body(StreamBody::new(tokio_stream::pending()).boxed_unsync())
            .unwrap();
        let mut client = Client::h2c(support::http(&running)).await;

        let mut body = support::soon(client.send(request)).await.into_body();
        let part = support::soon(body.frame()).await.unwrap().unwrap();
        assert_eq!(part.into_data().unwrap(), "part");
        arrived.notify_one();
        let collected = support::soon(body.collect()).await;

        assert_eq!(collected.is_ok(), is_complete, "END_STREAM: {ends}");
    }
}

#[tokio::test]
async fn many_calls_at_once_all_get_a_reply() {
    let (shop, client) = site().await;
    let line = shop.authorization().await;
    let calls = (0..200).map(|number| {
        let (mut client, line) = (client.clone(), line.clone());
        async move {
            let mut call = tonic::Request::new(say(&number.to_string()));
            call.metadata_mut()
                .insert("authorization", line.parse().unwrap());
            (
                number.to_string(),
                client.unary(call).await.unwrap().into_inner().text,
            )
        }
    });

    let replies = support::soon(futures_util::future::join_all(calls)).await;

    assert!(replies.iter().all(|(said, reply)| said == reply));
}

#[tokio::test]
async fn calls_share_connections_until_there_are_many() {
    for (calls, connections_expected) in [(20, 1), (33, 2), (300, 4)] {
        let (connections, arrived) = (Arc::new(AtomicUsize::new(0)), Arc::new(Semaphore::new(0)));
        let running = support::start(
            Price::Free,
            silent(Arc::clone(&connections), &arrived).await,
        );
        // A client of its own for every few calls: each may only have so many at once.
        let mut open = Vec::new();
        for call in 0..calls {
            if call % 100 == 0 {
                open.push((Client::h2c(support::http(&running)).await, Vec::new()));
            }
            let (client, sent) = open.last_mut().unwrap();
            let Client::Http2(sender) = client else {
                unreachable!("it was opened as HTTP/2");
            };
            let request = Request::post("http://localhost/tollway.test.Echo/Any")
                .header("content-type", "application/grpc");
            sent.push(sender.send_request(request.body(empty()).unwrap()));
        }
        let waiting = open.into_iter().flat_map(|(_, sent)| sent);
        let waiting = tokio::spawn(futures_util::future::join_all(waiting));

        let all = support::soon(arrived.acquire_many(calls)).await.unwrap();

        assert_eq!(
            connections.load(Ordering::SeqCst),
            connections_expected,
            "{calls} calls"
        );
        drop(all);
        waiting.abort();
    }
}

/// An upstream that counts its connections, announces each call, and responds to none.
async fn silent(connections: Arc<AtomicUsize>, arrived: &Arc<Semaphore>) -> SocketAddr {
    let arrived = Arc::clone(arrived);
    upstream::accept(move |stream| {
        connections.fetch_add(1, Ordering::SeqCst);
        let arrived = Arc::clone(&arrived);
        async move {
            let service = service_fn(move |_| {
                arrived.add_permits(1);
                std::future::pending::<Result<Response<upstream::Body>, Infallible>>()
            });
            let _ended = http2::Builder::new(TokioExecutor::new())
                .serve_connection(TokioIo::new(stream), service)
                .await;
        }
    })
    .await
}

/// A gateway selling an echo, and a client of it.
async fn site() -> (Shop, EchoClient<Channel>) {
    let shop = Shop::open().await;
    let listener = tokio::net::TcpListener::bind(any_port()).await.unwrap();
    let address = listener.local_addr().unwrap();
    let server = tonic::transport::Server::builder().add_service(EchoServer::new(Parrot));
    tokio::spawn(server.serve_with_incoming(TcpListenerStream::new(listener)));
    let running = support::start(shop.price(), address);
    let endpoint = Endpoint::try_from(format!("http://{}", support::http(&running))).unwrap();
    let client = EchoClient::new(endpoint.connect().await.unwrap());
    // The gateway lives as long as the test's process.
    std::mem::forget(running);
    (shop, client)
}

async fn paid<T>(shop: &Shop, message: T) -> tonic::Request<T> {
    let mut call = tonic::Request::new(message);
    let line = shop.authorization().await;
    call.metadata_mut()
        .insert("authorization", line.parse().unwrap());
    call
}

fn say(text: &str) -> EchoRequest {
    EchoRequest {
        text: text.to_owned(),
    }
}

struct Parrot;

#[tonic::async_trait]
impl Echo for Parrot {
    type BidiStream = Pin<Box<dyn Stream<Item = Result<EchoReply, Status>> + Send>>;

    async fn unary(
        &self,
        request: tonic::Request<EchoRequest>,
    ) -> Result<tonic::Response<EchoReply>, Status> {
        let saw_credential = ["authorization", "macaroon"]
            .iter()
            .any(|name| request.metadata().get(*name).is_some());
        let reply = echo(request.into_inner())?;
        let said = reply.text.parse().unwrap();
        let mut response = tonic::Response::new(reply);
        response.metadata_mut().insert("x-said", said);
        if saw_credential {
            response
                .metadata_mut()
                .insert("x-saw-credential", "yes".parse().unwrap());
        }
        Ok(response)
    }

    async fn bidi(
        &self,
        request: tonic::Request<Streaming<EchoRequest>>,
    ) -> Result<tonic::Response<Self::BidiStream>, Status> {
        let replies = request.into_inner().map(|word| echo(word?));
        Ok(tonic::Response::new(Box::pin(replies)))
    }
}

fn echo(request: EchoRequest) -> Result<EchoReply, Status> {
    if request.text == "fail" {
        let mut status = Status::already_exists("said before");
        status
            .metadata_mut()
            .insert("x-why", "because".parse().unwrap());
        return Err(status);
    }
    Ok(EchoReply { text: request.text })
}
