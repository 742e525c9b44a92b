//! A client of one wallet, as LND's own are: it trusts `tls.cert` and nothing else.

use std::sync::Arc;

use futures_util::StreamExt as _;
use http_body_util::BodyExt as _;
use hyper_util::rt::TokioIo;
use rustls::client::danger::{HandshakeSignatureValid, ServerCertVerified, ServerCertVerifier};
use rustls::crypto::{
    WebPkiSupportedAlgorithms, aws_lc_rs, verify_tls12_signature, verify_tls13_signature,
};
use rustls::pki_types::pem::PemObject as _;
use rustls::pki_types::{CertificateDer, ServerName, UnixTime};
use rustls::{ClientConfig, DigitallySignedStruct, Error, SignatureScheme};
use tokio::net::TcpStream;
use tokio_rustls::TlsConnector;
use tokio_rustls::client::TlsStream;
use tollway_lightning::lnd::proto::lnrpc::lightning_client::LightningClient;
use tollway_lightning::lnd::proto::lnrpc::state_client::StateClient;
use tollway_lightning::lnd::proto::routerrpc::router_client::RouterClient;
use tollway_lightning::lnd::proto::verrpc::versioner_client::VersionerClient;
use tollway_lightning::lnd::proto::{lnrpc, routerrpc, verrpc};
use tollway_sandbox::lnd::server::{LndAccess, LndServer};
use tonic::transport::{Channel, Endpoint};
use tonic::{Request, Status};

use crate::{hex, read};

/// One connection, and the macaroons sent with every call.
#[derive(Clone)]
pub(crate) struct Client {
    channel: Channel,
    macaroons: Vec<String>,
}

/// What a streaming call answered: its messages, and how it ended.
pub(crate) type Streamed<T> = (Vec<T>, Result<(), Status>);

impl Client {
    pub(crate) async fn admin(server: &LndServer) -> Self {
        Self::with(server, "admin").await
    }

    /// A client with the macaroon file called `name`.
    pub(crate) async fn with(server: &LndServer, name: &str) -> Self {
        let macaroon = hex(&read(&server.access().macaroons[name]));
        Self::presenting(server, vec![macaroon]).await
    }

    /// A client with these macaroons, whatever they are.
    pub(crate) async fn presenting(server: &LndServer, macaroons: Vec<String>) -> Self {
        let access = server.access().clone();
        let connector = tower::service_fn(move |_uri| {
            let access = access.clone();
            async move { Ok::<_, std::io::Error>(TokioIo::new(dial(&access, b"h2").await)) }
        });
        let channel = Endpoint::from_static("http://sandbox")
            .connect_with_connector(connector)
            .await
            .unwrap();
        Self { channel, macaroons }
    }

    pub(crate) fn authorized<T>(&self, message: T) -> Request<T> {
        let mut request = Request::new(message);
        for macaroon in &self.macaroons {
            let value = macaroon.parse().unwrap();
            request.metadata_mut().append("macaroon", value);
        }
        request
    }

    pub(crate) fn lightning(&self) -> LightningClient<Channel> {
        LightningClient::new(self.channel.clone())
    }

    pub(crate) fn router(&self) -> RouterClient<Channel> {
        RouterClient::new(self.channel.clone())
    }

    pub(crate) fn channel(&self) -> Channel {
        self.channel.clone()
    }

    pub(crate) async fn get_info(&self) -> Result<lnrpc::GetInfoResponse, Status> {
        let request = self.authorized(lnrpc::GetInfoRequest {});
        Ok(self.lightning().get_info(request).await?.into_inner())
    }

    pub(crate) async fn version(&self) -> Result<verrpc::Version, Status> {
        let request = self.authorized(verrpc::VersionRequest {});
        let mut client = VersionerClient::new(self.channel.clone());
        Ok(client.get_version(request).await?.into_inner())
    }

    pub(crate) fn state(&self) -> StateClient<Channel> {
        StateClient::new(self.channel.clone())
    }

    pub(crate) async fn add_invoice(
        &self,
        invoice: lnrpc::Invoice,
    ) -> Result<lnrpc::AddInvoiceResponse, Status> {
        let request = self.authorized(invoice);
        Ok(self.lightning().add_invoice(request).await?.into_inner())
    }

    pub(crate) async fn lookup(&self, hash: &[u8]) -> Result<lnrpc::Invoice, Status> {
        let request = self.authorized(lnrpc::PaymentHash {
            r_hash: hash.to_vec(),
            ..lnrpc::PaymentHash::default()
        });
        Ok(self.lightning().lookup_invoice(request).await?.into_inner())
    }

    pub(crate) async fn invoices(
        &self,
        request: lnrpc::ListInvoiceRequest,
    ) -> Result<lnrpc::ListInvoiceResponse, Status> {
        let request = self.authorized(request);
        Ok(self.lightning().list_invoices(request).await?.into_inner())
    }

    pub(crate) async fn decode(&self, pay_req: &str) -> Result<lnrpc::PayReq, Status> {
        let request = self.authorized(lnrpc::PayReqString {
            pay_req: pay_req.to_owned(),
        });
        Ok(self.lightning().decode_pay_req(request).await?.into_inner())
    }

    pub(crate) async fn pay_sync(
        &self,
        request: lnrpc::SendRequest,
    ) -> Result<lnrpc::SendResponse, Status> {
        let request = self.authorized(request);
        Ok(self
            .lightning()
            .send_payment_sync(request)
            .await?
            .into_inner())
    }

    pub(crate) async fn payments(
        &self,
        request: lnrpc::ListPaymentsRequest,
    ) -> Result<lnrpc::ListPaymentsResponse, Status> {
        let request = self.authorized(request);
        Ok(self.lightning().list_payments(request).await?.into_inner())
    }

    pub(crate) async fn estimate(
        &self,
        request: routerrpc::RouteFeeRequest,
    ) -> Result<routerrpc::RouteFeeResponse, Status> {
        let request = self.authorized(request);
        Ok(self
            .router()
            .estimate_route_fee(request)
            .await?
            .into_inner())
    }

    /// Pays, and returns every step.
    pub(crate) async fn pay(
        &self,
        request: routerrpc::SendPaymentRequest,
    ) -> Streamed<lnrpc::Payment> {
        let request = self.authorized(request);
        match self.router().send_payment_v2(request).await {
            Ok(answers) => collected(answers.into_inner()).await,
            Err(status) => (vec![], Err(status)),
        }
    }

    pub(crate) async fn track(&self, hash: &[u8]) -> Streamed<lnrpc::Payment> {
        let request = self.authorized(routerrpc::TrackPaymentRequest {
            payment_hash: hash.to_vec(),
            no_inflight_updates: false,
        });
        match self.router().track_payment_v2(request).await {
            Ok(answers) => collected(answers.into_inner()).await,
            Err(status) => (vec![], Err(status)),
        }
    }
}

async fn collected<T>(mut answers: tonic::Streaming<T>) -> Streamed<T> {
    let mut messages = vec![];
    while let Some(answer) = answers.next().await {
        match answer {
            Ok(message) => messages.push(message),
            Err(status) => return (messages, Err(status)),
        }
    }
    (messages, Ok(()))
}

/// An answer over REST.
pub(crate) struct Reply {
    pub(crate) status: u16,
    pub(crate) content_type: String,
    pub(crate) body: String,
}

impl Reply {
    pub(crate) fn json(&self) -> serde_json::Value {
        serde_json::from_str(&self.body).unwrap()
    }
}

/// A connection for REST over HTTP/1.1, with one macaroon or none.
pub(crate) struct Rest {
    sender: hyper::client::conn::http1::SendRequest<String>,
    macaroon: Option<String>,
}

impl Rest {
    pub(crate) async fn admin(server: &LndServer) -> Self {
        Self::with(server, "admin").await
    }

    pub(crate) async fn with(server: &LndServer, name: &str) -> Self {
        let macaroon = hex(&read(&server.access().macaroons[name]));
        Self::presenting(server, Some(macaroon)).await
    }

    pub(crate) async fn presenting(server: &LndServer, macaroon: Option<String>) -> Self {
        let stream = TokioIo::new(dial(server.access(), b"http/1.1").await);
        let (sender, connection) = hyper::client::conn::http1::handshake(stream).await.unwrap();
        tokio::spawn(connection);
        Self { sender, macaroon }
    }

    /// Sends a request and returns the answer as it arrives.
    pub(crate) async fn send(
        &mut self,
        verb: &str,
        path: &str,
        body: &str,
    ) -> http::Response<hyper::body::Incoming> {
        let mut request = http::Request::builder()
            .method(verb)
            .uri(path)
            .header("host", "localhost");
        if let Some(macaroon) = &self.macaroon {
            request = request.header("Grpc-Metadata-macaroon", macaroon);
        }
        let request = request.body(body.to_owned()).unwrap();
        self.sender.send_request(request).await.unwrap()
    }

    pub(crate) async fn get(&mut self, path: &str) -> Reply {
        whole(self.send("GET", path, "").await).await
    }

    pub(crate) async fn post(&mut self, path: &str, body: &str) -> Reply {
        whole(self.send("POST", path, body).await).await
    }
}

pub(crate) async fn whole(answer: http::Response<hyper::body::Incoming>) -> Reply {
    let status = answer.status().as_u16();
    let content_type = answer.headers()["content-type"]
        .to_str()
        .unwrap()
        .to_owned();
    let body = answer.into_body().collect().await.unwrap().to_bytes();
    Reply {
        status,
        content_type,
        body: String::from_utf8(body.to_vec()).unwrap(),
    }
}

/// Connects over TLS, expecting the certificate in the wallet's file.
pub(crate) async fn dial(access: &LndAccess, protocol: &[u8]) -> TlsStream<TcpStream> {
    let expected = CertificateDer::from_pem_slice(&read(&access.tls_cert)).unwrap();
    let provider = Arc::new(aws_lc_rs::default_provider());
    let mut config = ClientConfig::builder_with_provider(Arc::clone(&provider))
        .with_safe_default_protocol_versions()
        .unwrap()
        .dangerous()
        .with_custom_certificate_verifier(Arc::new(Pinned {
            expected,
            algorithms: provider.signature_verification_algorithms,
        }))
        .with_no_client_auth();
    config.alpn_protocols = vec![protocol.to_vec()];
    let stream = TcpStream::connect(access.address).await.unwrap();
    stream.set_nodelay(true).unwrap();
    let name = ServerName::try_from("localhost").unwrap();
    let stream = TlsConnector::from(Arc::new(config))
        .connect(name, stream)
        .await
        .unwrap();
    assert_eq!(stream.get_ref().1.alpn_protocol(), Some(protocol));
    stream
}

#[derive(Debug)]
struct Pinned {
    expected: CertificateDer<'static>,
    algorithms: WebPkiSupportedAlgorithms,
}

impl ServerCertVerifier for Pinned {
    fn verify_server_cert(
        &self,
        presented: &CertificateDer<'_>,
        _chain: &[CertificateDer<'_>],
        _name: &ServerName<'_>,
        _ocsp: &[u8],
        _now: UnixTime,
    ) -> Result<ServerCertVerified, Error> {
        assert_eq!(*presented, self.expected, "not the certificate in the file");
        Ok(ServerCertVerified::assertion())
    }

    fn verify_tls12_signature(
        &self,
        message: &[u8],
        cert: &CertificateDer<'_>,
        signature: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, Error> {
        verify_tls12_signature(message, cert, signature, &self.algorithms)
    }

    fn verify_tls13_signature(
        &self,
        message: &[u8],
        cert: &CertificateDer<'_>,
        signature: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, Error> {
        verify_tls13_signature(message, cert, signature, &self.algorithms)
    }

    fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
        self.algorithms.supported_schemes()
    }
}
