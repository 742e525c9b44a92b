//! A use that was not delivered whole is not bought again silently, whatever ended the run.

use std::fs;
use std::io::{BufRead as _, BufReader, Read as _};
use std::net::SocketAddr;
use std::process::{Child, Output, Stdio};
use std::sync::Arc;

use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::Semaphore;

use crate::support::{Gateway, Market, PathProxy, signal, stderr, stdout};

/// What ends a run.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
enum Ended {
    /// The disk is full.
    DiskFull,
    /// The time is up.
    OutOfTime,
    /// The reader of its output has left.
    ReaderLeft,
    /// A signal.
    Signal(&'static str),
}

#[tokio::test(flavor = "multi_thread")]
async fn whatever_ends_a_run_its_use_is_bought_once() {
    let market = Market::open().await;
    let api = Api::start().await;
    let gateway = market.serve(api.address, &["--max-uses", "1"]).await;
    let mut paid = 0;
    for (path, ended) in [
        ("/silent", Ended::OutOfTime),
        ("/drip", Ended::OutOfTime),
        ("/silent", Ended::Signal("INT")),
        ("/drip", Ended::Signal("INT")),
        ("/silent", Ended::Signal("TERM")),
        ("/drip", Ended::Signal("TERM")),
        ("/silent", Ended::Signal("KILL")),
        ("/drip", Ended::Signal("KILL")),
        ("/ok", Ended::DiskFull),
        ("/ok", Ended::ReaderLeft),
    ] {
        let run = Run {
            market: &market,
            api: &api,
            url: gateway.url(path),
            ended,
        };
        fs::remove_dir_all(market.client_dir()).unwrap_or_default();
        let first = run.end().await;
        paid += 1;
        assert_eq!(market.settled_payments().len(), paid, "{path} {ended:?}");
        if !matches!(ended, Ended::Signal("KILL")) {
            assert!(first.contains("the only use of its token"), "{first}");
        }

        for flag in ["-q", "--json"] {
            let again = run.until_taken(&["get", flag, &gateway.url("/ok")]).await;
            let shown = stderr(&again);
            assert_eq!(again.status.code(), Some(10), "{path} {ended:?}: {shown}");
            assert!(shown.contains("not delivered"), "{shown}");
            assert!(shown.contains("--buy-after-refusal"), "{shown}");
        }
        assert_eq!(market.settled_payments().len(), paid, "{path} {ended:?}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_run_that_delivers_is_followed_by_a_purchase_and_ends_a_stop() {
    let market = Market::open().await;
    let api = Api::start().await;
    let gateway = market.serve(api.address, &["--max-uses", "1"]).await;
    let url = gateway.url("/ok");
    let file = market.home().join("body");
    let get = async |more: &[&str]| {
        let arguments = [&["get", url.as_str()], more].concat();
        market.run(&arguments).await
    };
    for more in [
        &[][..],
        &["--json"],
        &["-o", file.to_str().unwrap()],
        &["-X", "HEAD"],
    ] {
        stdout(&get(more).await);
    }
    assert_eq!(market.settled_payments().len(), 4);

    let run = Run {
        market: &market,
        api: &api,
        url: url.clone(),
        ended: Ended::DiskFull,
    };
    run.end().await;
    let stopped = get(&[]).await;
    assert_eq!(stopped.status.code(), Some(10), "{}", stderr(&stopped));
    assert!(!stderr(&stopped).contains("buying another"));
    stdout(&get(&["--buy-after-refusal"]).await);
    for _again in 0..2 {
        stdout(&get(&[]).await);
    }
    assert_eq!(market.settled_payments().len(), 8);
}

#[tokio::test(flavor = "multi_thread")]
async fn an_error_of_one_service_stops_no_other_at_the_origin() {
    let market = Market::open().await;
    let api = Api::start().await;
    let once = ["--service", "a", "--max-uses", "1"];
    let a = market.serve(api.address, &once).await;
    let b = market.serve(api.address, &["--service", "b"]).await;
    let c = market
        .serve(api.address, &["--service", "c", "--max-uses", "3"])
        .await;
    let routes = [
        ("/a", a.address()),
        ("/b", b.address()),
        ("/c", c.address()),
    ];
    let proxy = PathProxy::start(&routes).await;
    let code = async |path| {
        let ended = market.run(&["get", "-q", &proxy.url(path)]).await;
        ended.status.code()
    };

    assert_eq!(code("/a/e500").await, Some(8));
    assert_eq!(code("/a/next").await, Some(10), "its only use was an error");
    assert_eq!(code("/b/page").await, Some(0));
    for path in ["/c/x", "/c/y"] {
        assert_eq!(code(path).await, Some(0));
    }
    assert_eq!(code("/c/e500").await, Some(8));
    assert_eq!(code("/c/z").await, Some(0), "its token has delivered");
    assert_eq!(market.settled_payments().len(), 4);
}

#[tokio::test(flavor = "multi_thread")]
async fn uses_that_are_taken_at_once_are_not_lost() {
    let market = Market::open().await;
    let api = Api::start().await;
    let gateway: Gateway = market.serve(api.address, &["--max-uses", "3"]).await;
    for _round in 0..3 {
        let urls: Vec<String> = (0..6).map(|n| gateway.url(&format!("/{n}"))).collect();
        let arguments: Vec<[&str; 2]> = urls.iter().map(|url| ["get", url.as_str()]).collect();
        let runs = arguments.iter().map(|arguments| market.run(arguments));
        for ended in futures_util::future::join_all(runs).await {
            let code = ended.status.code();
            assert_eq!(code, Some(0), "{}", stderr(&ended));
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_run_that_finds_every_use_held_waits_for_one() {
    let market = Market::open().await;
    let api = Api::start().await;
    let gateway = market.serve(api.address, &["--max-uses", "2"]).await;
    let (silent, ok) = (gateway.url("/silent"), gateway.url("/ok"));
    stdout(&market.run(&["get", &ok]).await);

    let waiting = async {
        api.responding().await;
        let mut command = market.command(&["get", &ok]);
        command.stderr(Stdio::piped()).stdout(Stdio::piped());
        let waiting = tokio::task::spawn_blocking(move || {
            let mut process = command.spawn().unwrap();
            let mut lines = BufReader::new(process.stderr.take().unwrap()).lines();
            let found = lines.any(|line| line.unwrap().contains("waiting for a use"));
            (process, lines, found)
        });
        let (process, _lines, found) = waiting.await.unwrap();
        api.releases.add_permits(1);
        let ended = tokio::task::spawn_blocking(move || process.wait_with_output().unwrap());
        (ended.await.unwrap(), found)
    };
    let holds = ["get", silent.as_str()];
    let (held, (waited, found)) = tokio::join!(market.run(&holds), waiting);

    assert!(found, "it waits");
    assert_eq!(
        (stdout(&held), stdout(&waited)),
        ("late".into(), "paid".into())
    );
    assert_eq!(market.settled_payments().len(), 2);
}

/// A run that does not deliver what it requests.
struct Run<'a> {
    market: &'a Market,
    api: &'a Api,
    url: String,
    ended: Ended,
}

impl Run<'_> {
    /// Runs it to its end and returns what it printed on standard error.
    async fn end(&self) -> String {
        let full = fs::OpenOptions::new().write(true).open("/dev/full");
        let arguments = match self.ended {
            Ended::DiskFull => vec!["get", &self.url, "-o", "/dev/full"],
            Ended::OutOfTime => vec!["get", &self.url, "--max-time", "8s"],
            Ended::ReaderLeft | Ended::Signal(_) => vec!["get", &self.url],
        };
        assert!(full.is_ok(), "there is no /dev/full");
        let mut command = self.market.command(&arguments);
        command.stderr(Stdio::piped()).stdout(Stdio::piped());
        if self.ended == Ended::ReaderLeft {
            let (reader, writer) = std::io::pipe().unwrap();
            drop(reader);
            command.stdout(writer);
        }
        let mut process = command.spawn().unwrap();
        drop(command);
        if !self.url.ends_with("/ok") {
            self.api.responding().await;
        }
        if let Ended::Signal(name) = self.ended {
            process = self.arrived(process).await;
            signal(process.id(), name);
        }
        let ended = tokio::task::spawn_blocking(move || process.wait_with_output().unwrap());
        let ended: Output = ended.await.unwrap();
        assert!(!ended.status.success());
        if !self.url.ends_with("/ok") {
            self.api.releases.add_permits(1);
        }
        stderr(&ended)
    }

    /// Runs a command until the gateway has seen that the client of this run has left.
    async fn until_taken(&self, arguments: &[&str]) -> Output {
        loop {
            let ended = self.market.run(arguments).await;
            if !stderr(&ended).contains("503 ") {
                return ended;
            }
        }
    }

    /// Waits for the first byte of a body that drips.
    async fn arrived(&self, mut process: Child) -> Child {
        if !self.url.ends_with("/drip") {
            return process;
        }
        let reading = tokio::task::spawn_blocking(move || {
            let mut byte = [0];
            process
                .stdout
                .as_mut()
                .unwrap()
                .read_exact(&mut byte)
                .unwrap();
            process
        });
        reading.await.unwrap()
    }
}

/// An API that is silent, drips or fails where the path states it.
#[derive(Debug)]
struct Api {
    address: SocketAddr,
    requests: Arc<Semaphore>,
    /// How many of them may go on.
    releases: Arc<Semaphore>,
}

impl Api {
    async fn start() -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        let requests = Arc::new(Semaphore::new(0));
        let releases = Arc::new(Semaphore::new(0));
        let held = (Arc::clone(&requests), Arc::clone(&releases));
        tokio::spawn(async move {
            while let Ok((stream, _)) = listener.accept().await {
                tokio::spawn(respond(stream, held.clone()));
            }
        });
        Self {
            address,
            requests,
            releases,
        }
    }

    /// Waits until a request to a path that is silent or drips has arrived.
    async fn responding(&self) {
        self.requests.acquire().await.unwrap().forget();
    }
}

async fn respond(mut stream: TcpStream, (requests, releases): (Arc<Semaphore>, Arc<Semaphore>)) {
    let mut head = Vec::new();
    while !head.ends_with(b"\r\n\r\n") {
        match stream.read_u8().await {
            Ok(byte) => head.push(byte),
            Err(_probe_or_closed) => return,
        }
    }
    let head = String::from_utf8(head).unwrap();
    let path = head.split(' ').nth(1).unwrap();
    let (response, is_held): (&[u8], bool) = if path.ends_with("/silent") {
        (b"", true)
    } else if path.ends_with("/drip") {
        (b"HTTP/1.1 200 OK\r\ncontent-length: 100\r\n\r\nx", true)
    } else if path.ends_with("/e500") {
        (
            b"HTTP/1.1 500 Oops\r\ncontent-length: 4\r\nconnection: close\r\n\r\noops",
            false,
        )
    } else if head.starts_with("HEAD ") {
        (
            b"HTTP/1.1 200 OK\r\ncontent-length: 4\r\nconnection: close\r\n\r\n",
            false,
        )
    } else {
        (
            b"HTTP/1.1 200 OK\r\ncontent-length: 4\r\nconnection: close\r\n\r\npaid",
            false,
        )
    };
    // A gateway that has stopped waiting closes first.
    let _closed = stream.write_all(response).await;
    if is_held {
        requests.add_permits(1);
        releases.acquire().await.unwrap().forget();
        let late = b"HTTP/1.1 200 OK\r\ncontent-length: 4\r\nconnection: close\r\n\r\nlate";
        let _closed = stream.write_all(late).await;
    }
}
