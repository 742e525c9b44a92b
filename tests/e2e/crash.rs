//! Crash test of the buyer: nothing paid is lost and nothing is paid twice, wherever it dies.
//!
//! `tollway get` is killed at a random moment, again and again, each time while it buys
//! something new, alone or while a second process buys at the same origin. Most of these
//! things are then requested again, and must be served within five seconds of the kill. In the
//! end the wallet's payments and the tokens in the book must be the same, one for each path.
//! `TOLLWAY_CRASH_ROUNDS` sets the number of kills; `cargo xtask crash` sets 200.

use std::collections::BTreeSet;
use std::process::Stdio;
use std::time::{Duration, Instant};

use l402::{Limits, Msat, PaymentHash};
use tollway_client::book::StoredCredential;
use tollway_client::{Client, Policy, WalletName};

use crate::support::random::Random;
use crate::support::{Gateway, Market, echo_api, stdout};

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_client_killed_anywhere_neither_loses_nor_repeats_a_payment() {
    println!("{}", Crash::open().await.run(Buyers::One).await);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn of_two_clients_at_one_origin_one_may_be_killed_anywhere() {
    println!("{}", Crash::open().await.run(Buyers::Two).await);
}

/// Processes that buy at the same time, of which one is killed.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
enum Buyers {
    One,
    Two,
}

struct Crash {
    market: Market,
    gateway: Gateway,
    /// The shortest time of a purchase that was not killed.
    whole_run: Duration,
    random: Random,
    killed: u64,
    /// The longest time from a kill until the same request was served.
    blocked_max: Duration,
}

impl Crash {
    async fn open() -> Self {
        let market = Market::open().await;
        std::fs::write(
            market.home().join("config.toml"),
            "[get]\nmax_per_day = \"10000000 sat\"\n",
        )
        .unwrap();
        let arguments = ["--challenges-per-minute", "1000000"];
        let gateway = market.serve(echo_api().await, &arguments).await;
        let mut whole_run = Duration::MAX;
        for usual in ["/usual-1", "/usual-2", "/usual-3"] {
            let began = Instant::now();
            stdout(&market.run(&["get", &gateway.url(usual), "-q"]).await);
            whole_run = whole_run.min(began.elapsed());
        }
        Self {
            market,
            gateway,
            whole_run,
            random: Random::new(),
            killed: 0,
            blocked_max: Duration::ZERO,
        }
    }

    /// Returns a line with the number of kills and their effect.
    async fn run(mut self, buyers: Buyers) -> String {
        let rounds: u64 =
            std::env::var("TOLLWAY_CRASH_ROUNDS").map_or(20, |rounds| rounds.parse().unwrap());
        for round in 0..rounds {
            let url = self.gateway.url(&format!("/{round}"));
            match buyers {
                Buyers::One => self.kill_one(&url).await,
                Buyers::Two => self.kill_one_of_two(&url, round).await,
            }
            // The rest is left to be looked up at the end.
            if round % 4 != 0 {
                let killed_at = Instant::now();
                stdout(&self.market.run(&["get", &url, "-q"]).await);
                self.blocked_max = self.blocked_max.max(killed_at.elapsed());
            }
        }
        self.check().await;
        assert!(
            self.killed * 3 > rounds,
            "many runs must die for the test to mean anything"
        );
        assert!(
            self.blocked_max < Duration::from_secs(5),
            "blocked for {:?}",
            self.blocked_max
        );
        format!(
            "{buyers:?}: {} of {rounds} runs were killed before they ended; served at most {} ms after a kill",
            self.killed,
            self.blocked_max.as_millis()
        )
    }

    async fn kill_one(&mut self, url: &str) {
        let after = self.random_moment();
        let ended = kill_after(&self.market, url, after).await;
        self.count(ended, true);
    }

    /// Counts a run by when it ended by itself. Runs become faster when the machine does, and
    /// the moments to kill at follow the fastest purchase.
    fn count(&mut self, ended: Option<Duration>, is_purchase: bool) {
        match ended {
            Some(took) if is_purchase => self.whole_run = self.whole_run.min(took),
            Some(_) => {}
            None => self.killed += 1,
        }
    }

    /// The second process buys the same thing, or something else at the same origin.
    async fn kill_one_of_two(&mut self, url: &str, round: u64) {
        let after = self.random_moment();
        let is_same = round.is_multiple_of(2);
        let others = if is_same {
            url.to_owned()
        } else {
            format!("{url}-other")
        };
        let arguments = ["get", &others, "-q"];
        let (ended, other) = tokio::join!(
            kill_after(&self.market, url, after),
            self.market.run(&arguments)
        );
        stdout(&other);
        // Of the same thing one process may find the other's credential.
        self.count(ended, !is_same);
    }

    fn random_moment(&mut self) -> Duration {
        self.whole_run.mul_f64(self.random.next_fraction() * 1.1)
    }

    /// Compares what the wallet paid with what the book holds.
    async fn check(&self) {
        let paid = settled_when_quiet(&self.market).await;
        let client = client(&self.market);
        let mut known: BTreeSet<PaymentHash> = tokens(&client).into_iter().collect();
        let open = client.book().open_purchases().unwrap();
        known.extend(open.iter().map(|(purchase, _)| purchase.payment_hash()));
        for hash in &paid {
            assert!(known.contains(hash), "payment {hash} is not in the book");
        }

        client.resume().await.unwrap();

        let kept = tokens(&client);
        assert_eq!(
            kept.iter().copied().collect::<BTreeSet<_>>(),
            paid,
            "after resuming, every payment is a token and every token a payment"
        );
        let paths: BTreeSet<String> = credentials(&client)
            .into_iter()
            .map(|credential| credential.resource.path)
            .collect();
        assert_eq!(paths.len(), kept.len(), "a path was paid twice");
    }
}

/// Starts a purchase and kills it after a while. Returns how long it took if it ended by itself.
async fn kill_after(market: &Market, url: &str, after: Duration) -> Option<Duration> {
    let mut command = market.command(&["get", url, "--quiet"]);
    command.stdout(Stdio::null()).stderr(Stdio::null());
    let mut process = tokio::process::Command::from(command).spawn().unwrap();
    let began = Instant::now();
    tokio::select! {
        ended = process.wait() => { ended.unwrap(); Some(began.elapsed()) }
        () = tokio::time::sleep(after) => { process.kill().await.unwrap(); None }
    }
}

/// The hashes of all settled payments, once none is in flight. No hash may appear twice.
async fn settled_when_quiet(market: &Market) -> BTreeSet<PaymentHash> {
    market.payments_at_rest().await;
    let payments = market.settled_payments();
    let hashes: BTreeSet<PaymentHash> = payments.iter().map(|payment| payment.hash).collect();
    assert_eq!(hashes.len(), payments.len(), "an invoice was paid twice");
    hashes
}

fn client(market: &Market) -> Client {
    let nothing = Limits {
        price_max: Msat::ZERO,
        fee_max: Msat::ZERO,
        per_host: None,
        per_day: None,
        total: None,
    };
    Client::builder(market.client_dir(), Policy::new(nothing))
        .wallet(market.payer(), WalletName::new("sandbox:buyer"))
        .build()
}

fn credentials(client: &Client) -> Vec<StoredCredential> {
    client.book().credentials().unwrap()
}

fn tokens(client: &Client) -> Vec<PaymentHash> {
    let credentials = credentials(client);
    credentials
        .iter()
        .map(StoredCredential::payment_hash)
        .collect()
}
