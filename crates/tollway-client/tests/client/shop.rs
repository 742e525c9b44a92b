//! A scripted seller, over real sockets.

use std::collections::HashMap;
use std::num::NonZeroU64;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use bitcoin::hashes::{Hash as _, sha256};
use bitcoin::secp256k1::{Secp256k1, SecretKey};
use bytes::Bytes;
use futures_util::{StreamExt as _, stream};
use http::header::{AUTHORIZATION, LOCATION, WWW_AUTHENTICATE};
use http::{HeaderMap, HeaderValue, Request, Response, StatusCode};
use http_body::Frame;
use http_body_util::combinators::UnsyncBoxBody;
use http_body_util::{BodyExt as _, Full, StreamBody};
use hyper::body::Incoming;
use hyper::service::service_fn;
use hyper_util::rt::{TokioExecutor, TokioIo};
use hyper_util::server::conn::auto;
use l402::{KeyRing, MasterKey, Msat, PaymentHash, Preimage, SchemeName, Services, UnixSeconds};
use lightning_invoice::{Currency, InvoiceBuilder, PaymentSecret};
use rustls::ServerConfig;
use rustls::pki_types::PrivateKeyDer;
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::net::TcpListener;
use tokio::sync::Semaphore;
use tokio_rustls::TlsAcceptor;

use crate::NOON;

/// How the shop sells. Changed at any time through [`Shop::sells`].
#[derive(Clone, Debug)]
pub(crate) struct Terms {
    pub(crate) amount: Option<Msat>,
    pub(crate) currency: Currency,
    pub(crate) created_at: UnixSeconds,
    pub(crate) expiry_secs: u64,
    /// The status of the response to an unpaid request.
    pub(crate) status: StatusCode,
    pub(crate) lines: Lines,
    pub(crate) honours: Honours,
    /// How a paid request is responded to.
    pub(crate) delivers: Delivers,
    /// Sells the same challenge again and again.
    pub(crate) repeats: Option<u8>,
    /// Why it refuses a credential, in `L402-Reason`.
    pub(crate) reason: Option<&'static str>,
    /// How many requests its tokens are good for: more are refused as exhausted.
    pub(crate) max_uses: Option<u64>,
    /// When its tokens expire.
    pub(crate) valid_until: Option<UnixSeconds>,
    /// Another caveat of its tokens.
    pub(crate) caveat: Option<&'static str>,
}

/// Which challenges the shop makes.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(crate) enum Lines {
    Both,
    /// Only the older name, in both directions.
    LsatOnly,
    /// The token belongs to another payment than the invoice.
    Mismatched,
    /// Not a scheme of ours.
    Basic,
    /// Ours, and unreadable.
    Broken,
    /// One that is too dear before the usual one.
    DearFirst,
    /// A status and nothing else.
    None,
    /// As gRPC has it.
    Grpc,
}

/// How the shop sends what was paid for.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(crate) enum Delivers {
    /// The head, then one byte at each [`Shop::drip`].
    Drips,
    /// The head and one byte.
    FirstByte,
    /// Not even a head.
    Nothing,
    /// At once.
    Whole,
}

/// Which credentials the shop accepts.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(crate) enum Honours {
    /// Those sold for the first segment of the path.
    SameService,
    /// Those, once.
    Once,
    /// None: it takes the money and asks again.
    Nothing,
    /// The application behind the seller refuses with this status and asks for a Bearer token.
    OwnRefusal(StatusCode),
    /// Those sold for the first segment of the path, with a redirect.
    Redirected(&'static str),
    /// Those sold for the very method, path and query.
    SameQuery,
    /// Those sold for the first segment of the path, from the second time they are shown.
    SecondTime,
}

/// A request as it arrived.
#[derive(Clone, Debug)]
pub(crate) struct Seen {
    pub(crate) authorization: Vec<String>,
    pub(crate) headers: HeaderMap,
    pub(crate) body: Bytes,
}

#[derive(Clone)]
pub(crate) struct Shop {
    address: String,
    shared: Arc<Shared>,
}

struct Shared {
    terms: Mutex<Terms>,
    redirects: Mutex<HashMap<String, (StatusCode, String)>>,
    /// The service each payment was sold for, and how often its credential was shown.
    sold: Mutex<HashMap<PaymentHash, (String, usize)>>,
    preimages: Arc<Mutex<HashMap<PaymentHash, Preimage>>>,
    seen: Mutex<Vec<Seen>>,
    /// How many paid requests find the connection closed.
    hangs_up: Mutex<usize>,
    /// How many paid requests find every use of their token held.
    in_use: Mutex<usize>,
    drops: Arc<Semaphore>,
    /// How what is free is responded to.
    frees: Mutex<Delivers>,
}

impl Shared {
    fn hangs_up_now(&self) -> bool {
        one_of(&self.hangs_up)
    }

    fn is_in_use_now(&self) -> bool {
        one_of(&self.in_use)
    }
}

/// Takes one of a number of times; returns false when there was none left.
fn one_of(times: &Mutex<usize>) -> bool {
    let mut times = times.lock().unwrap();
    let is_left = *times > 0;
    *times = times.saturating_sub(1);
    is_left
}

impl Shop {
    pub(crate) async fn open() -> Self {
        Self::open_with(Arc::default()).await
    }

    /// A second shop whose invoices the same wallet can pay.
    pub(crate) async fn open_with(preimages: Arc<Mutex<HashMap<PaymentHash, Preimage>>>) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap().to_string();
        let shared = Arc::new(Shared {
            terms: Mutex::new(Terms {
                amount: Some(Msat::from_msat(10_000)),
                currency: Currency::Regtest,
                created_at: NOON,
                expiry_secs: 600,
                status: StatusCode::PAYMENT_REQUIRED,
                lines: Lines::Both,
                honours: Honours::SameService,
                delivers: Delivers::Whole,
                repeats: None,
                reason: None,
                max_uses: None,
                valid_until: None,
                caveat: None,
            }),
            redirects: Mutex::default(),
            sold: Mutex::default(),
            preimages,
            seen: Mutex::default(),
            hangs_up: Mutex::default(),
            in_use: Mutex::default(),
            drops: Arc::new(Semaphore::new(0)),
            frees: Mutex::new(Delivers::Whole),
        });
        let shop = Self { address, shared };
        tokio::spawn(shop.clone().serve(listener));
        shop
    }

    pub(crate) fn preimages(&self) -> Arc<Mutex<HashMap<PaymentHash, Preimage>>> {
        Arc::clone(&self.shared.preimages)
    }

    pub(crate) fn url(&self, path: &str) -> String {
        format!("http://{}{path}", self.address)
    }

    pub(crate) fn sells(&self, change: impl FnOnce(&mut Terms)) {
        change(&mut self.shared.terms.lock().unwrap());
    }

    pub(crate) fn redirects(&self, path: &str, status: u16, location: &str) {
        let to = (StatusCode::from_u16(status).unwrap(), location.to_owned());
        self.shared
            .redirects
            .lock()
            .unwrap()
            .insert(path.to_owned(), to);
    }

    /// Closes the connection on as many of the next requests that show a credential.
    pub(crate) fn hangs_up_once_paid(&self, times: usize) {
        *self.shared.hangs_up.lock().unwrap() = times;
    }

    /// Holds every use of a token for as many of the next requests that show a credential.
    pub(crate) fn holds_uses(&self, times: usize) {
        *self.shared.in_use.lock().unwrap() = times;
    }

    /// Responds like this where nothing is to be paid.
    pub(crate) fn frees(&self, delivers: Delivers) {
        *self.shared.frees.lock().unwrap() = delivers;
    }

    /// Sends one byte of a body that drips.
    pub(crate) fn drip(&self) {
        self.shared.drops.add_permits(1);
    }

    pub(crate) fn seen(&self) -> Vec<Seen> {
        self.shared.seen.lock().unwrap().clone()
    }

    /// Honours what was sold for one thing for another from here on.
    pub(crate) fn resells(&self, sold_for: &str, good_for: &str) {
        for (sold, _shown) in self.shared.sold.lock().unwrap().values_mut() {
            if sold == sold_for {
                good_for.clone_into(sold);
            }
        }
    }

    /// The payments it has asked for.
    pub(crate) fn invoices(&self) -> usize {
        self.shared.sold.lock().unwrap().len()
    }

    async fn serve(self, listener: TcpListener) {
        loop {
            let (stream, _) = listener.accept().await.unwrap();
            tokio::spawn(self.clone().converse(stream));
        }
    }

    /// Sells over TLS as well; returns the address and the certificate to trust.
    pub(crate) async fn open_tls(&self) -> (String, String) {
        let signed = rcgen::generate_simple_self_signed(["127.0.0.1".to_owned()]).unwrap();
        let key = PrivateKeyDer::try_from(signed.signing_key.serialize_der()).unwrap();
        let provider = Arc::new(rustls::crypto::aws_lc_rs::default_provider());
        let mut config = ServerConfig::builder_with_provider(provider)
            .with_safe_default_protocol_versions()
            .unwrap()
            .with_no_client_auth()
            .with_single_cert(vec![signed.cert.der().clone()], key)
            .unwrap();
        config.alpn_protocols = vec![b"h2".to_vec()];
        let acceptor = TlsAcceptor::from(Arc::new(config));
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let url = format!("https://{}", listener.local_addr().unwrap());
        let shop = self.clone();
        tokio::spawn(async move {
            loop {
                let (stream, _) = listener.accept().await.unwrap();
                if let Ok(stream) = acceptor.accept(stream).await {
                    tokio::spawn(shop.clone().converse(stream));
                }
            }
        });
        (url, signed.cert.pem())
    }

    async fn converse(self, stream: impl AsyncRead + AsyncWrite + Unpin + Send + 'static) {
        let service = service_fn(move |request| self.clone().respond(request));
        // A client that goes away is no concern of the shop's.
        let _ = auto::Builder::new(TokioExecutor::new())
            .serve_connection(TokioIo::new(stream), service)
            .await;
    }

    async fn respond(
        self,
        request: Request<Incoming>,
    ) -> Result<Response<ShopBody>, std::io::Error> {
        let (parts, body) = request.into_parts();
        let body = body
            .collect()
            .await
            .map_err(std::io::Error::other)?
            .to_bytes();
        let lines = parts.headers.get_all(AUTHORIZATION);
        let lines: Vec<String> = lines
            .iter()
            .map(|line| line.to_str().unwrap().to_owned())
            .collect();
        let path = parts.uri.path().to_owned();
        let target = format!("{} {}", parts.method, parts.uri);
        self.shared.seen.lock().unwrap().push(Seen {
            authorization: lines.clone(),
            headers: parts.headers,
            body,
        });
        if let Some((status, location)) = self.shared.redirects.lock().unwrap().get(&path) {
            let response = Response::builder()
                .status(*status)
                .header(LOCATION, location);
            return Ok(response.body(whole("")).unwrap());
        }
        if path.starts_with("/free") {
            let delivers = *self.shared.frees.lock().unwrap();
            if delivers != Delivers::Whole {
                let drops = Arc::clone(&self.shared.drops);
                return Ok(Response::new(deliver(delivers, &path, drops).await));
            }
            return Ok(Response::new(whole("free")));
        }
        let terms = self.shared.terms.lock().unwrap().clone();
        let sale = if terms.honours == Honours::SameQuery {
            target
        } else {
            service(&path).to_owned()
        };
        let shows = lines
            .iter()
            .any(|line| l402::is_credential_line(line.as_bytes()));
        if shows && self.shared.hangs_up_now() {
            return Err(std::io::Error::other("hangs up"));
        }
        if shows && self.shared.is_in_use_now() {
            return Ok(in_use());
        }
        if self.honours(&terms, &lines, &sale) {
            let drops = Arc::clone(&self.shared.drops);
            if let Honours::Redirected(location) = terms.honours {
                let response = Response::builder().status(StatusCode::SEE_OTHER);
                return Ok(response.header(LOCATION, location).body(whole("")).unwrap());
            }
            return Ok(Response::new(deliver(terms.delivers, &path, drops).await));
        }
        if let (true, Honours::OwnRefusal(status)) = (shows, terms.honours) {
            let response = Response::builder()
                .status(status)
                .header(WWW_AUTHENTICATE, "Bearer realm=\"app\"");
            return Ok(response.body(whole("")).unwrap());
        }
        let mut response = self.ask(&terms, &path, &sale);
        let exhausted = terms.max_uses.map(|_uses| "exhausted");
        if let Some(reason) = terms.reason.or(exhausted).filter(|_| shows) {
            let reason = HeaderValue::from_static(reason);
            response.headers_mut().insert("l402-reason", reason);
        }
        Ok(response)
    }

    fn honours(&self, terms: &Terms, lines: &[String], sale: &str) -> bool {
        if terms.lines == Lines::LsatOnly && lines.iter().any(|line| !line.starts_with("LSAT ")) {
            return false;
        }
        let read = l402::read_credentials(lines.iter().map(String::as_bytes), []);
        let mut sold = self.shared.sold.lock().unwrap();
        read.unwrap_or_default().iter().any(|credential| {
            let hash = credential.preimage().payment_hash();
            let Some((sold_for, shown)) = sold.get_mut(&hash) else {
                return false;
            };
            *shown += 1;
            if terms.max_uses.is_some_and(|uses| *shown as u64 > uses) {
                return false;
            }
            match terms.honours {
                Honours::Redirected(_) | Honours::SameService => sold_for == sale,
                Honours::Once => sold_for == sale && *shown == 1,
                Honours::Nothing | Honours::OwnRefusal(_) => false,
                Honours::SameQuery => sold_for == sale,
                Honours::SecondTime => sold_for == sale && *shown > 1,
            }
        })
    }

    fn ask(&self, terms: &Terms, path: &str, sale: &str) -> Response<ShopBody> {
        let mut sold = self.shared.sold.lock().unwrap();
        let number = terms
            .repeats
            .unwrap_or(u8::try_from(sold.len() + 1).unwrap());
        let preimage = preimage(&self.address, number);
        let hash = preimage.payment_hash();
        sold.entry(hash).or_insert((sale.to_owned(), 0));
        self.shared.preimages.lock().unwrap().insert(hash, preimage);
        let mut response = Response::builder().status(terms.status);
        for line in challenge_lines(terms, hash, service(path)) {
            response = response.header(WWW_AUTHENTICATE, line);
        }
        if terms.lines == Lines::Grpc {
            response = response
                .status(StatusCode::OK)
                .header("content-type", "application/grpc")
                .header("grpc-status", "13")
                .header("grpc-message", "payment required");
        }
        response.body(whole("payment required")).unwrap()
    }
}

type ShopBody = UnsyncBoxBody<Bytes, std::io::Error>;

fn whole(text: impl Into<Bytes>) -> ShopBody {
    Full::new(text.into())
        .map_err(|never| match never {})
        .boxed_unsync()
}

/// As a gateway responds whose token has no use left but those of other requests.
fn in_use() -> Response<ShopBody> {
    let response = Response::builder()
        .status(StatusCode::SERVICE_UNAVAILABLE)
        .header("retry-after", "0")
        .header("l402-reason", "token_in_use");
    response.body(whole("")).unwrap()
}

async fn deliver(delivers: Delivers, path: &str, drops: Arc<Semaphore>) -> ShopBody {
    let byte = || Ok(Frame::data(Bytes::from("p")));
    match delivers {
        Delivers::Drips => {
            let next = move |drops: Arc<Semaphore>| async move {
                drops.acquire().await.unwrap().forget();
                Some((byte(), drops))
            };
            StreamBody::new(stream::unfold(drops, next)).boxed_unsync()
        }
        Delivers::FirstByte => {
            let first = stream::once(async move { byte() });
            StreamBody::new(first.chain(stream::pending())).boxed_unsync()
        }
        Delivers::Nothing => std::future::pending().await,
        Delivers::Whole => whole(format!("paid {path}")),
    }
}

fn challenge_lines(terms: &Terms, hash: PaymentHash, service: &str) -> Vec<String> {
    let token_hash = if terms.lines == Lines::Mismatched {
        PaymentHash::new([7; 32])
    } else {
        hash
    };
    let ring = KeyRing::new(MasterKey::new([5; 32]));
    let service = if service.is_empty() { "root" } else { service };
    let services = Services::new(service, 0).unwrap();
    let deadline = terms.valid_until;
    let deadline = deadline.map(|until| l402::caveat::valid_until(service, until).unwrap());
    let uses = terms.max_uses.and_then(NonZeroU64::new);
    let caveats: Vec<_> = deadline
        .into_iter()
        .chain(uses.map(l402::caveat::max_uses))
        .collect();
    let token = l402::mint(&ring, token_hash, &services, &caveats, NOON, [0; 20]).unwrap();
    let token = match terms.caveat {
        Some(caveat) => token.with_caveat(caveat.as_bytes()).unwrap(),
        None => token,
    };
    let (token, invoice) = (token.to_base64(), invoice(terms, hash));
    let line = |scheme| format!(r#"{scheme} macaroon="{token}", invoice="{invoice}""#);
    let mut lines = vec![line(SchemeName::Lsat), line(SchemeName::L402)];
    match terms.lines {
        Lines::Both | Lines::Mismatched | Lines::Grpc => lines,
        Lines::DearFirst => {
            let dear = Terms {
                amount: Some(Msat::from_sat(1_000).unwrap()),
                lines: Lines::Both,
                ..terms.clone()
            };
            let mut dear = challenge_lines(&dear, PaymentHash::new([9; 32]), service);
            dear.append(&mut lines);
            dear
        }
        Lines::LsatOnly => {
            lines.truncate(1);
            lines
        }
        Lines::Basic => vec!["Basic realm=\"shop\"".to_owned()],
        Lines::Broken => vec!["L402 macaroon=\"AgE=\"".to_owned()],
        Lines::None => Vec::new(),
    }
}

pub(crate) fn invoice(terms: &Terms, hash: PaymentHash) -> String {
    let key = SecretKey::from_slice(&[7; 32]).unwrap();
    let builder = InvoiceBuilder::new(terms.currency.clone())
        .description("a test".to_owned())
        .payment_hash(sha256::Hash::from_byte_array(*hash.as_bytes()))
        .payment_secret(PaymentSecret([3; 32]))
        .duration_since_epoch(Duration::from_secs(terms.created_at.as_secs()))
        .expiry_time(Duration::from_secs(terms.expiry_secs))
        .min_final_cltv_expiry_delta(80);
    let builder = match terms.amount {
        Some(amount) => builder.amount_milli_satoshis(amount.as_msat()),
        None => builder,
    };
    let signed = builder
        .build_signed(|message| Secp256k1::new().sign_ecdsa_recoverable(message, &key))
        .unwrap();
    signed.to_string()
}

/// Different for each shop and each sale, and reproducible.
fn preimage(address: &str, number: u8) -> Preimage {
    let digest = sha256::Hash::hash(format!("{address} {number}").as_bytes());
    Preimage::new(digest.to_byte_array())
}

fn service(path: &str) -> &str {
    path.split('/').nth(1).unwrap_or_default()
}
