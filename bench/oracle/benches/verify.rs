//! The cost of verification: from a header, again from the same header, and from a parsed token,
//! next to another library.
//!
//! Prints one line per measurement: what, number of caveats, median nanoseconds. The
//! `macaroon` crate is measured in the same run, batch by batch in turns, so that whatever
//! else the machine does disturbs both alike. `cargo xtask bench verify` prints the ratios.
#![expect(
    clippy::expect_used,
    clippy::indexing_slicing,
    clippy::print_stdout,
    clippy::disallowed_methods,
    reason = "a measurement: it reads the clock, and stops when something is wrong"
)]

use std::hint::black_box;
use std::sync::Arc;
use std::time::Instant;

use futures_util::FutureExt as _;
use futures_util::future::{self, BoxFuture};
use http::Request;
use l402::{
    Credential, Invoice, KeyRing, Macaroon, MasterKey, Network, PaymentHash, Preimage,
    RequestContext, RevocationSet, RootKeys, SchemeName, Services, UnixSeconds, caveat, mint,
    read_credentials, verify,
};
use tollway_lightning::{InvoiceState, InvoiceTerms, Invoicer, WalletError};
use tollway_server::ledger::MemoryLedger;
use tollway_server::{Gate, GateSettings, Peeked, Peer, RequestInfo, Requirement};

/// One thing to measure: its name and one run of it.
type Contender = (&'static str, Box<dyn Fn()>);

fn main() {
    for caveats in [1, 5, 20] {
        let contenders = contenders(caveats);
        let mut times = vec![Vec::with_capacity(BATCHES); contenders.len()];
        for _ in 0..BATCHES {
            for ((_, run), times) in contenders.iter().zip(&mut times) {
                times.push(batch(run));
            }
        }
        for ((name, _), mut times) in contenders.into_iter().zip(times) {
            times.sort_unstable();
            let median = times[BATCHES / 2] as f64 / f64::from(RUNS);
            println!("{name}\t{caveats}\t{median:.0}");
        }
    }
}

/// Nanoseconds of one batch.
fn batch(run: &dyn Fn()) -> u128 {
    let start = Instant::now();
    for _ in 0..RUNS {
        run();
    }
    start.elapsed().as_nanos()
}

fn contenders(caveats: usize) -> Vec<Contender> {
    let token = token(caveats);
    let credential = Credential::new(token.clone(), preimage());
    let line = credential.authorization(SchemeName::L402);
    let root = ring().root_key(token.identifier()).expect("minted here");
    vec![
        ("ours: header to grant", ours_from_header(line.clone())),
        ("ours: header to grant, again", ours_again(&line)),
        ("ours: parsed token to grant", ours_parsed(credential)),
        (
            "macaroon crate: text to verdict",
            theirs_from_text(&token, *root.expose()),
        ),
        (
            "macaroon crate: parsed token to verdict",
            theirs_parsed(&token, *root.expose()),
        ),
    ]
}

fn ours_from_header(line: String) -> Box<dyn Fn()> {
    let (ring, revoked) = (ring(), RevocationSet::default());
    Box::new(move || {
        let read = read_credentials([black_box(line.as_bytes())], []);
        for credential in read.expect("a good line") {
            let _ = black_box(verify(&ring, &revoked, &credential, &request()));
        }
    })
}

/// By the gate of a server, which remembers what it verified.
fn ours_again(line: &str) -> Box<dyn Fn()> {
    let gate = ready(Gate::open(
        ring(),
        Arc::new(NoWallet),
        Arc::new(MemoryLedger::new()),
        GateSettings {
            clock: || NOW,
            ..GateSettings::default()
        },
    ));
    let gate = gate.expect("an empty ledger");
    let requirement = Requirement::new("weather".parse().expect("a service name"))
        .with_capability("read".parse().expect("a capability"));
    let request = Request::get("/v1/today")
        .header("host", "api.example")
        .header("user-agent", "bench")
        .header("accept", "*/*")
        .header("authorization", line)
        .body(())
        .expect("a request");
    let (parts, ()) = request.into_parts();
    Box::new(move || {
        let info = RequestInfo::of(black_box(&parts), Peer::default());
        let peeked = ready(gate.peek(&requirement, &info)).expect("no keys are looked up");
        assert!(matches!(black_box(peeked), Peeked::Granted { .. }));
    })
}

/// The result of a future that does not wait.
fn ready<T>(future: impl Future<Output = T>) -> T {
    future.now_or_never().expect("nothing is waited for")
}

/// Nothing is sold here.
#[derive(Debug)]
struct NoWallet;

impl Invoicer for NoWallet {
    fn network(&self) -> BoxFuture<'_, Result<Network, WalletError>> {
        Box::pin(future::pending())
    }

    fn invoice(&self, _terms: InvoiceTerms) -> BoxFuture<'_, Result<Invoice, WalletError>> {
        Box::pin(future::pending())
    }

    fn lookup(&self, _: PaymentHash) -> BoxFuture<'_, Result<Option<InvoiceState>, WalletError>> {
        Box::pin(future::pending())
    }
}

fn ours_parsed(credential: Credential) -> Box<dyn Fn()> {
    let (ring, revoked) = (ring(), RevocationSet::default());
    Box::new(move || {
        let _ = black_box(verify(&ring, &revoked, black_box(&credential), &request()));
    })
}

/// The root key is given, and the verifier made beforehand: what that crate does best.
fn theirs_from_text(token: &Macaroon, root: [u8; 32]) -> Box<dyn Fn()> {
    let (text, verifier) = (token.to_base64(), verifier_of(token));
    Box::new(move || {
        let read = macaroon::Macaroon::deserialize(black_box(&text)).expect("a good token");
        let key = macaroon::MacaroonKey::generate(&root);
        verifier
            .verify(&read, &key, Vec::new())
            .expect("a good token");
    })
}

fn theirs_parsed(token: &Macaroon, root: [u8; 32]) -> Box<dyn Fn()> {
    let read = macaroon::Macaroon::deserialize(token.to_base64()).expect("a good token");
    let verifier = verifier_of(token);
    Box::new(move || {
        let key = macaroon::MacaroonKey::generate(&root);
        verifier
            .verify(black_box(&read), &key, Vec::new())
            .expect("a good token");
    })
}

fn verifier_of(token: &Macaroon) -> macaroon::Verifier {
    let mut verifier = macaroon::Verifier::default();
    for caveat in token.unverified_caveats() {
        verifier.satisfy_exact(macaroon::ByteString(caveat.id().to_vec()));
    }
    verifier
}

fn ring() -> KeyRing {
    KeyRing::new(MasterKey::new([1; 32]))
}

fn preimage() -> Preimage {
    Preimage::new([9; 32])
}

/// A token with what issuers write, and then what holders add.
fn token(caveats: usize) -> Macaroon {
    let issued = [
        caveat::capabilities("weather", &["read", "history"]),
        caveat::valid_until("weather", NOW.plus_secs(3_600)),
        caveat::methods(&["GET", "HEAD"]),
        caveat::path_prefix("/v1"),
    ];
    let issued: Vec<_> = issued.into_iter().take(caveats - 1).flatten().collect();
    let services = Services::new("weather", 0).expect("a service name");
    let token = mint(
        &ring(),
        preimage().payment_hash(),
        &services,
        &issued,
        NOW,
        [7; 20],
    );
    let added = (issued.len() + 1..caveats).map(|n| format!("note_{n}=added by a holder"));
    added.fold(token.expect("it fits"), |token, caveat| {
        token.with_caveat(caveat.as_bytes()).expect("it fits")
    })
}

const NOW: UnixSeconds = UnixSeconds::new(1_800_000_000);

fn request() -> RequestContext<'static> {
    RequestContext::new("weather", "GET", "/v1/today", NOW).with_capability("read")
}

/// Short enough that most batches run undisturbed on a busy machine, and the median is one of them.
const BATCHES: usize = 1_001;
const RUNS: u32 = 100;
