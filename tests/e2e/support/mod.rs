//! A whole market in one test: a real Lightning network, an API worth paying for, and the
//! real `tollway` binary as gateway and as client. Every port is any free one, every file
//! in a folder of the test's own.

pub mod h2;
pub mod random;
pub mod schema;
pub mod upstream;
pub mod wallet;

use std::io::{BufRead as _, BufReader};
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Output, Stdio};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use bytes::Bytes;
use http::{Request, Response};
use http_body_util::{BodyExt as _, Full};
use hyper::body::Incoming;
use hyper::service::service_fn;
use hyper_util::rt::TokioIo;
use l402::{Invoice, Msat};
use tempfile::TempDir;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::{TcpListener, TcpStream};
use tollway_lightning::lnd::{Lnd, LndConnect};
use tollway_lightning::{Payer, PaymentTerms};
use tollway_sandbox::SandboxConfig;
use tollway_sandbox::lnd::{LndSandbox, Ports};
use tollway_sandbox::wallet::{PaymentRecord, PaymentStatus, Wallet};

use self::upstream::request;

/// Two funded wallets behind LND's API, where the binary looks for `sandbox:…`.
#[derive(Debug)]
pub struct Market {
    home: TempDir,
    /// `None` once its wallets are closed.
    sandbox: Option<LndSandbox>,
}

impl Market {
    pub async fn open() -> Self {
        let home = tempfile::tempdir().unwrap();
        let dir = home.path().join("sandbox");
        let config = SandboxConfig::new(dir);
        let sandbox = LndSandbox::start(config, Ports::ANY).await.unwrap();
        Self {
            home,
            sandbox: Some(sandbox),
        }
    }

    fn sandbox(&self) -> &LndSandbox {
        self.sandbox.as_ref().unwrap()
    }

    /// What `TOLLWAY_HOME` is set to.
    pub fn home(&self) -> &Path {
        self.home.path()
    }

    /// Where the paying client keeps its journal and tokens.
    pub fn client_dir(&self) -> PathBuf {
        self.home.path().join("client")
    }

    /// Everything the buyer's wallet has paid.
    pub fn settled_payments(&self) -> Vec<PaymentRecord> {
        let all = self.sandbox().network().buyer().payments(0, usize::MAX);
        all.into_iter()
            .filter(|payment| matches!(payment.status, PaymentStatus::Succeeded { .. }))
            .collect()
    }

    /// Waits until no payment of the buyer's is in flight.
    pub async fn payments_at_rest(&self) {
        let buyer = self.sandbox().network().buyer();
        for payment in buyer.payments(0, usize::MAX) {
            if let Some(watch) = buyer.watch_payment(&payment.hash) {
                watch.ended().await;
            }
        }
    }

    /// The URI of the buyer's wallet.
    pub fn buyer_uri(&self) -> String {
        let buyer = self.sandbox().buyer();
        buyer.access().uri.expose().to_owned()
    }

    /// The wallet of the buyer.
    pub fn buyer(&self) -> Wallet {
        self.sandbox().network().buyer().clone()
    }

    /// The buyer's wallet, as the binary reaches it.
    pub fn payer(&self) -> Arc<dyn Payer> {
        let connect = LndConnect::parse(&self.buyer_uri()).unwrap();
        Arc::new(Lnd::new(&connect).unwrap().payer())
    }

    /// Buys a token from a gateway and returns its `Authorization` value.
    pub async fn buy(&self, seller: SocketAddr) -> String {
        let asked = request(seller, "/", None).await;
        let lines = asked.challenges();
        let challenges = l402::read_challenges(lines.iter().map(|line| line.as_bytes())).unwrap();
        let challenge = challenges.first().unwrap();
        let payer = self.payer();
        let paid = payer.pay(PaymentTerms {
            invoice: Invoice::parse(challenge.invoice()).unwrap(),
            fee_max: Msat::from_msat(10_000),
            timeout: Duration::from_secs(60),
        });
        challenge.authorization(&paid.await.unwrap().preimage)
    }

    /// Takes both wallets away.
    pub async fn close_wallets(&mut self) {
        if let Some(sandbox) = self.sandbox.take() {
            sandbox.stop().await.unwrap();
        }
    }

    /// `tollway` with these arguments, not started yet.
    pub fn command(&self, arguments: &[&str]) -> Command {
        let mut command = Command::new(env!("CARGO_BIN_EXE_tollway"));
        command
            .args(arguments)
            .env("TOLLWAY_HOME", self.home.path())
            .env_remove("TOLLWAY_LOG")
            .env_remove("SSL_CERT_DIR")
            .env_remove("SSL_CERT_FILE");
        command
    }

    /// Runs `tollway` to its end.
    pub async fn run(&self, arguments: &[&str]) -> Output {
        let mut command = self.command(arguments);
        tokio::task::spawn_blocking(move || command.output().unwrap())
            .await
            .unwrap()
    }

    /// Starts `tollway serve` in front of an upstream.
    pub async fn serve(&self, upstream: SocketAddr, arguments: &[&str]) -> Gateway {
        self.serve_logging_to(Stdio::null(), upstream, arguments)
            .await
    }

    /// Starts `tollway serve` with a standard error of the test's choice.
    pub async fn serve_logging_to(
        &self,
        log: Stdio,
        upstream: SocketAddr,
        arguments: &[&str],
    ) -> Gateway {
        let upstream = format!("http://{upstream}");
        let usual = [
            "serve",
            "--json",
            "--listen",
            "127.0.0.1:0",
            "--upstream",
            &upstream,
            "--price",
            "10sat",
        ];
        let mut command = self.command(&[&usual, arguments].concat());
        tokio::task::spawn_blocking(move || Gateway::start(&mut command, log))
            .await
            .unwrap()
    }
}

/// A running `tollway serve`, killed when dropped.
#[derive(Debug)]
pub struct Gateway {
    process: Child,
    address: SocketAddr,
    tls: Option<SocketAddr>,
}

impl Gateway {
    pub fn start(command: &mut Command, log: Stdio) -> Self {
        let mut process = command.stdout(Stdio::piped()).stderr(log).spawn().unwrap();
        let mut line = String::new();
        BufReader::new(process.stdout.take().unwrap())
            .read_line(&mut line)
            .unwrap();
        let said: serde_json::Value = serde_json::from_str(&line).unwrap();
        let address = said["http"].as_str().unwrap().parse().unwrap();
        let tls = said["https"].as_str().map(|tls| tls.parse().unwrap());
        Self {
            process,
            address,
            tls,
        }
    }

    /// Its address with TLS, by a name.
    pub fn tls_url(&self, host: &str, path: &str) -> String {
        format!("https://{host}:{}{path}", self.tls.unwrap().port())
    }

    pub const fn address(&self) -> SocketAddr {
        self.address
    }

    /// Ends it with SIGKILL and waits until it is gone.
    pub fn kill(&mut self) {
        self.process.kill().unwrap();
        self.process.wait().unwrap();
    }

    pub fn url(&self, path: &str) -> String {
        format!("http://{}{path}", self.address)
    }

    /// Asks it to stop and returns its exit code.
    pub async fn stop(self) -> Option<i32> {
        signal(self.process.id(), "TERM");
        self.ended().await
    }

    /// Waits until it has ended and returns its exit code.
    pub async fn ended(mut self) -> Option<i32> {
        tokio::task::spawn_blocking(move || self.process.wait().unwrap().code())
            .await
            .unwrap()
    }
}

impl Drop for Gateway {
    fn drop(&mut self) {
        // Gone already when the test stopped it.
        let _gone = self.process.kill();
        let _gone = self.process.wait();
    }
}

/// An API that responds to every request with its method, path, body and headers, as JSON.
pub async fn echo_api() -> SocketAddr {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    tokio::spawn(async move {
        while let Ok((stream, _)) = listener.accept().await {
            tokio::spawn(async move {
                // A client that goes away is none of the API's business.
                let _closed = hyper::server::conn::http1::Builder::new()
                    .serve_connection(TokioIo::new(stream), service_fn(echo))
                    .await;
            });
        }
    });
    address
}

async fn echo(request: Request<Incoming>) -> Result<Response<Full<Bytes>>, hyper::Error> {
    let (parts, body) = request.into_parts();
    let body = body.collect().await?.to_bytes();
    let headers: Vec<String> = parts
        .headers
        .iter()
        .map(|(name, value)| format!("{name}: {}", String::from_utf8_lossy(value.as_bytes())))
        .collect();
    let seen = serde_json::json!({
        "method": parts.method.as_str(),
        "path": parts.uri.path(),
        "body": String::from_utf8_lossy(&body),
        "headers": headers,
    });
    Ok(Response::new(Full::from(seen.to_string())))
}

/// Sends a signal to a process.
pub fn signal(process: u32, name: &str) {
    let sent = Command::new("kill")
        .args([format!("-{name}"), process.to_string()])
        .status();
    assert!(sent.unwrap().success());
}

/// An API that sends the same bytes to every request and closes the connection.
pub async fn raw_api(response: Vec<u8>) -> SocketAddr {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    let response = Arc::new(response);
    tokio::spawn(async move {
        while let Ok((mut stream, _)) = listener.accept().await {
            let response = Arc::clone(&response);
            tokio::spawn(async move {
                let mut head = Vec::new();
                while !head.ends_with(b"\r\n\r\n") {
                    match stream.read_u8().await {
                        Ok(byte) => head.push(byte),
                        Err(_closed) => return,
                    }
                }
                // A client that has read enough closes first.
                let _closed = stream.write_all(&response).await;
                let _closed = stream.shutdown().await;
            });
        }
    });
    address
}

/// A proxy in front of a gateway that closes its first connection when the second request on it
/// has arrived, before any of it is passed on.
pub async fn closing_proxy(gateway: SocketAddr) -> SocketAddr {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    tokio::spawn(async move {
        let (first, _) = listener.accept().await.unwrap();
        tokio::spawn(async move {
            let (mut client, mut replies) = first.into_split();
            let (mut back, mut forth) = TcpStream::connect(gateway).await.unwrap().into_split();
            tokio::spawn(async move { tokio::io::copy(&mut back, &mut replies).await });
            let mut request = vec![0; 65_536];
            let len = client.read(&mut request).await.unwrap();
            forth.write_all(&request[..len]).await.unwrap();
            let _second = client.read(&mut request).await;
        });
        while let Ok((mut client, _)) = listener.accept().await {
            tokio::spawn(async move {
                let mut server = TcpStream::connect(gateway).await.unwrap();
                let _closed = tokio::io::copy_bidirectional(&mut client, &mut server).await;
            });
        }
    });
    address
}

/// A proxy that passes requests on by the start of their path, one on each connection.
#[derive(Clone, Debug)]
pub struct PathProxy {
    address: SocketAddr,
    heads: Arc<Mutex<Vec<String>>>,
}

impl PathProxy {
    pub async fn start(routes: &[(&'static str, SocketAddr)]) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        let heads: Arc<Mutex<Vec<String>>> = Arc::default();
        let (seen, routes) = (Arc::clone(&heads), routes.to_vec());
        tokio::spawn(async move {
            while let Ok((mut client, _)) = listener.accept().await {
                let (seen, routes) = (Arc::clone(&seen), routes.clone());
                tokio::spawn(async move {
                    let mut head = Vec::new();
                    while !head.ends_with(b"\r\n\r\n") {
                        match client.read_u8().await {
                            Ok(byte) => head.push(byte),
                            Err(_closed) => return,
                        }
                    }
                    let head = String::from_utf8(head).unwrap();
                    let path = head.split(' ').nth(1).unwrap();
                    let to = routes.iter().find(|(start, _)| path.starts_with(start));
                    let mut server = TcpStream::connect(to.unwrap().1).await.unwrap();
                    let closing = head.replacen("\r\n", "\r\nconnection: close\r\n", 1);
                    server.write_all(closing.as_bytes()).await.unwrap();
                    seen.lock().unwrap().push(head);
                    let _closed = tokio::io::copy(&mut server, &mut client).await;
                });
            }
        });
        Self { address, heads }
    }

    pub fn url(&self, path: &str) -> String {
        format!("http://{}{path}", self.address)
    }

    /// The `Authorization` values that were sent to paths that start so.
    pub fn credentials(&self, start: &str) -> Vec<String> {
        let heads = self.heads.lock().unwrap();
        let there = heads.iter().filter(|head| {
            let path = head.split(' ').nth(1);
            path.is_some_and(|path| path.starts_with(start))
        });
        let lines = there.flat_map(|head| head.lines());
        let values = lines.filter_map(|line| line.strip_prefix("authorization: "));
        values.map(str::to_owned).collect()
    }
}

/// An API that sends one byte every 10 ms to every request, without end.
pub async fn dripping_api() -> SocketAddr {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    tokio::spawn(async move {
        while let Ok((mut stream, _)) = listener.accept().await {
            tokio::spawn(async move {
                let mut head = [0; 4_096];
                let _request = stream.read(&mut head).await;
                let head = b"HTTP/1.1 200 OK\r\ncontent-length: 1000000\r\n\r\n";
                let mut sent = stream.write_all(head).await;
                while sent.is_ok() {
                    tokio::time::sleep(Duration::from_millis(10)).await;
                    sent = stream.write_all(b".").await;
                }
            });
        }
    });
    address
}

/// Standard output of a command that succeeded.
pub fn stdout(output: &Output) -> String {
    assert!(output.status.success(), "{}", stderr(output));
    String::from_utf8_lossy(&output.stdout).into_owned()
}

/// The error of a command that failed under `--json`, as its schema describes it.
pub fn failure(output: &Output) -> serde_json::Value {
    assert!(!output.status.success(), "it succeeded");
    let text = stderr(output);
    let last = text.lines().last().unwrap_or_default();
    let failure = serde_json::from_str(last).unwrap_or_else(|error| panic!("{error}: {text}"));
    schema::check_failure(&failure);
    failure
}

pub fn stderr(output: &Output) -> String {
    String::from_utf8_lossy(&output.stderr).into_owned()
}
