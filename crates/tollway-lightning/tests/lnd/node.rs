//! A node that follows a script: gRPC over TLS, with a certificate of its own.

use std::convert::Infallible;
use std::net::SocketAddr;
use std::sync::{Arc, Mutex};

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use bytes::{BufMut as _, Bytes, BytesMut};
use futures_util::stream;
use http::{HeaderMap, HeaderValue, Request, Response};
use http_body_util::combinators::BoxBody;
use http_body_util::{BodyExt as _, Empty, Full, StreamBody};
use hyper::body::{Frame, Incoming};
use hyper::server::conn::http2;
use hyper::service::service_fn;
use hyper_util::rt::{TokioExecutor, TokioIo};
use l402::{Macaroon, RootKey};
use prost::Message;
use rcgen::{BasicConstraints, CertificateParams, IsCa, KeyPair};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::{Notify, watch};
use tokio::task::JoinHandle;
use tokio_rustls::TlsAcceptor;
use tokio_rustls::rustls::ServerConfig;
use tokio_rustls::rustls::pki_types::{CertificateDer, PrivateKeyDer};
use tollway_lightning::lnd::proto::lnrpc::{Chain, GetInfoResponse, Payment};
use tollway_lightning::lnd::{Lnd, LndConnect};
use tonic::Code;

/// What the node does with one call.
#[derive(Clone)]
pub(crate) enum Reply {
    /// One message, then OK.
    Message(Bytes),
    /// The same frame of the body again and again, without end.
    Endless(Bytes),
    /// A message of a gibibyte, of which little arrives.
    Huge,
    /// Resets the stream of the call.
    Reset(h2::Reason),
    /// No message, then OK.
    Nothing,
    /// An HTTP response of a proxy, with no gRPC status.
    Http(u16),
    /// One message, and then the end of the stream without a gRPC status.
    Truncated(Bytes),
    /// A refusal.
    Refuse(Code, &'static str),
    /// Closes the connection without a response.
    HangUp,
    /// Never responds.
    Silence,
}

impl Reply {
    pub(crate) fn message(message: &impl Message) -> Self {
        Self::Message(message.encode_to_vec().into())
    }

    /// How LND refuses a macaroon that does not allow the call.
    pub(crate) fn denied() -> Self {
        Self::Refuse(Code::Unknown, "permission denied")
    }

    pub(crate) fn network(name: &str) -> Self {
        Self::message(&GetInfoResponse {
            identity_pubkey: hex::encode(NODE_KEY),
            chains: vec![Chain {
                chain: "bitcoin".to_owned(),
                network: name.to_owned(),
            }],
            ..Default::default()
        })
    }
}

/// The reply to each method.
#[derive(Clone)]
pub(crate) struct Script {
    pub(crate) add_invoice: Reply,
    pub(crate) decode: Reply,
    pub(crate) get_info: Reply,
    pub(crate) lookup: Reply,
    pub(crate) send: Reply,
    pub(crate) track: Reply,
}

impl Script {
    /// A healthy node on regtest without payments.
    pub(crate) fn idle() -> Self {
        Self {
            add_invoice: Reply::Refuse(Code::Unknown, "amount cannot be negative"),
            decode: Reply::denied(),
            get_info: Reply::network("regtest"),
            lookup: Reply::Refuse(Code::NotFound, "unable to locate invoice"),
            send: Reply::Refuse(Code::Unimplemented, "not in this test"),
            track: Reply::Refuse(Code::NotFound, "payment isn't initiated"),
        }
    }

    /// A node asked with a macaroon that does not allow `GetInfo`.
    pub(crate) fn without_info() -> Self {
        Self {
            add_invoice: Reply::denied(),
            get_info: Reply::denied(),
            ..Self::idle()
        }
    }

    pub(crate) fn paying(send: Reply, track: Reply) -> Self {
        Self {
            send,
            track,
            ..Self::idle()
        }
    }

    fn reply(&self, method: &str) -> Reply {
        match method {
            "/lnrpc.Lightning/AddInvoice" => self.add_invoice.clone(),
            "/lnrpc.Lightning/DecodePayReq" => self.decode.clone(),
            "/lnrpc.Lightning/GetInfo" => self.get_info.clone(),
            "/lnrpc.Lightning/LookupInvoice" => self.lookup.clone(),
            "/routerrpc.Router/SendPaymentV2" => self.send.clone(),
            "/routerrpc.Router/TrackPaymentV2" => self.track.clone(),
            _ => Reply::Refuse(Code::Unimplemented, "not in this test"),
        }
    }
}

/// A certificate and its key.
pub(crate) struct Identity {
    certificate: CertificateDer<'static>,
    key: KeyPair,
}

impl Identity {
    /// Self-signed and its own authority, as LND makes them.
    pub(crate) fn of(name: &str) -> Self {
        let mut params = CertificateParams::new([name.to_owned()]).unwrap();
        params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
        let key = KeyPair::generate().unwrap();
        let certificate = params.self_signed(&key).unwrap().der().clone();
        Self { certificate, key }
    }

    fn acceptor(&self) -> TlsAcceptor {
        let key = PrivateKeyDer::try_from(self.key.serialize_der()).unwrap();
        let mut config = ServerConfig::builder()
            .with_no_client_auth()
            .with_single_cert(vec![self.certificate.clone()], key)
            .unwrap();
        config.alpn_protocols.push(b"h2".to_vec());
        TlsAcceptor::from(Arc::new(config))
    }
}

/// A running node. Dropping it stops it.
pub(crate) struct Node {
    address: SocketAddr,
    shared: Arc<Shared>,
    accepting: JoinHandle<()>,
}

struct Shared {
    script: Script,
    acceptor: Mutex<TlsAcceptor>,
    hang_up: Notify,
    calls: Mutex<Vec<Call>>,
    /// Frames sent by [`Reply::Endless`].
    frames: watch::Sender<usize>,
}

/// A call the node received.
#[derive(Clone, Debug)]
pub(crate) struct Call {
    pub(crate) method: String,
    pub(crate) macaroon: String,
}

impl Node {
    pub(crate) async fn start(identity: &Identity, script: Script) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        let shared = Arc::new(Shared {
            script,
            acceptor: Mutex::new(identity.acceptor()),
            hang_up: Notify::new(),
            calls: Mutex::default(),
            frames: watch::Sender::default(),
        });
        let for_connections = Arc::clone(&shared);
        let accepting = tokio::spawn(async move {
            while let Ok((stream, _)) = listener.accept().await {
                tokio::spawn(serve(stream, Arc::clone(&for_connections)));
            }
        });
        Self {
            address,
            shared,
            accepting,
        }
    }

    /// A wallet that expects the node to be `localhost` and to show `identity`'s certificate.
    pub(crate) fn wallet(&self, identity: &Identity) -> Lnd {
        let cert = URL_SAFE_NO_PAD.encode(&identity.certificate);
        self.connect(&format!("cert={cert}&"))
    }

    /// A wallet that expects the node to have a certificate of the web's authorities.
    pub(crate) fn wallet_without_certificate(&self) -> Lnd {
        self.connect("")
    }

    pub(crate) fn calls(&self) -> Vec<Call> {
        self.shared.calls.lock().unwrap().clone()
    }

    pub(crate) fn methods(&self) -> Vec<String> {
        let methods = self.calls().into_iter().map(|call| call.method);
        methods
            .map(|method| method.rsplit('/').next().unwrap().to_owned())
            .collect()
    }

    /// Shows another certificate to each later connection.
    pub(crate) fn renew(&self, identity: &Identity) {
        *self.shared.acceptor.lock().unwrap() = identity.acceptor();
    }

    /// Resolves when an endless reply has sent `count` frames.
    pub(crate) async fn sent_frames(&self, count: usize) {
        let mut frames = self.shared.frames.subscribe();
        frames.wait_for(|sent| *sent >= count).await.unwrap();
    }

    /// Closes every connection.
    pub(crate) fn hang_up(&self) {
        self.shared.hang_up.notify_waiters();
    }

    /// Closes every connection and takes no more.
    pub(crate) async fn stop(mut self) {
        self.accepting.abort();
        (&mut self.accepting).await.unwrap_err();
        self.hang_up();
    }

    fn connect(&self, cert: &str) -> Lnd {
        let macaroon = URL_SAFE_NO_PAD.encode(macaroon().as_bytes());
        let uri = format!(
            "lndconnect://localhost:{}?{cert}macaroon={macaroon}",
            self.address.port()
        );
        Lnd::new(&LndConnect::parse(&uri).unwrap()).unwrap()
    }
}

impl Drop for Node {
    fn drop(&mut self) {
        self.accepting.abort();
        self.hang_up();
    }
}

pub(crate) const NODE_KEY: [u8; 33] = [2; 33];

pub(crate) fn macaroon() -> Macaroon {
    Macaroon::mint(&RootKey::new([7; 32]), "lnd", b"id").unwrap()
}

/// A payment as SendPaymentV2 and TrackPaymentV2 return it.
pub(crate) fn payment(status: i32, preimage: String) -> Reply {
    Reply::message(&Payment {
        status,
        payment_preimage: preimage,
        fee_msat: 5,
        ..Default::default()
    })
}

async fn serve(stream: TcpStream, shared: Arc<Shared>) {
    let acceptor = shared.acceptor.lock().unwrap().clone();
    let Ok(stream) = acceptor.accept(stream).await else {
        return;
    };
    let hang_up = shared.hang_up.notified();
    let respond = service_fn(|request| respond(request, Arc::clone(&shared)));
    let connection =
        http2::Builder::new(TokioExecutor::new()).serve_connection(TokioIo::new(stream), respond);
    tokio::select! {
        _ = connection => {}
        () = hang_up => {}
    }
}

async fn respond(
    request: Request<Incoming>,
    shared: Arc<Shared>,
) -> Result<Response<BoxBody<Bytes, Infallible>>, h2::Error> {
    let method = request.uri().path().to_owned();
    let reply = shared.script.reply(&method);
    shared.calls.lock().unwrap().push(Call {
        method,
        macaroon: header(request.headers(), "macaroon"),
    });
    let response = Response::builder().header("content-type", "application/grpc");
    Ok(match reply {
        Reply::Message(message) => response.body(with_status(frame(&message))).unwrap(),
        Reply::Http(status) => Response::builder()
            .status(status)
            .body(Full::new(Bytes::from_static(b"<html>")).boxed())
            .unwrap(),
        Reply::Truncated(message) => response.body(Full::new(frame(&message)).boxed()).unwrap(),
        Reply::Nothing => response.body(with_status(Bytes::new())).unwrap(),
        Reply::Refuse(code, message) => response
            .header("grpc-status", i32::from(code))
            .header("grpc-message", message)
            .body(Empty::new().boxed())
            .unwrap(),
        Reply::Endless(frame) => {
            let frames = stream::unfold((shared, frame), |(shared, frame)| async {
                // An empty frame takes no window that the sender could wait for.
                tokio::task::yield_now().await;
                shared
                    .frames
                    .send_modify(|sent| *sent = sent.saturating_add(1));
                Some((Ok(Frame::data(frame.clone())), (shared, frame)))
            });
            response.body(StreamBody::new(frames).boxed()).unwrap()
        }
        Reply::Huge => {
            let mut start = BytesMut::from(&[0, 0x40, 0, 0, 0][..]);
            start.resize(64 * 1024, 0);
            response.body(with_status(start.freeze())).unwrap()
        }
        Reply::Reset(reason) => return Err(reason.into()),
        Reply::HangUp => {
            shared.hang_up.notify_waiters();
            std::future::pending().await
        }
        Reply::Silence => std::future::pending().await,
    })
}

fn with_status(body: Bytes) -> BoxBody<Bytes, Infallible> {
    let mut trailers = HeaderMap::new();
    trailers.insert("grpc-status", HeaderValue::from_static("0"));
    Full::new(body)
        .with_trailers(std::future::ready(Some(Ok(trailers))))
        .boxed()
}

/// gRPC's framing: not compressed, length, message.
pub(crate) fn frame(message: &[u8]) -> Bytes {
    let mut framed = BytesMut::new();
    framed.put_u8(0);
    framed.put_u32(u32::try_from(message.len()).unwrap());
    framed.put_slice(message);
    framed.freeze()
}

fn header(headers: &HeaderMap, name: &str) -> String {
    let value = headers.get(name).map(|value| value.to_str().unwrap());
    value.unwrap_or_default().to_owned()
}
