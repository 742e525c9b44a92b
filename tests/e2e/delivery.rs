//! Paid means delivered: one use of a token buys one response, whatever fails.
//!
//! Tokens good for one use are presented while the upstream refuses, resets, is silent, or
//! the gateway is killed, with one and with two gateways on one data directory. Each is then
//! presented twice more to a healthy upstream. A use may be lost only when a gateway is killed
//! after the upstream responded: between the commit of the use and the first byte to the client.
//!
//! `TOLLWAY_DELIVERY_ROUNDS` sets the number of tokens per case; `cargo xtask delivery` sets 200
//! and prints the table.

use std::fmt;
use std::net::SocketAddr;
use std::time::{Duration, Instant};

use futures_util::future::join;
use futures_util::{StreamExt as _, stream};

use crate::support::random::Random;
use crate::support::upstream::{Upstream, request};
use crate::support::{Gateway, Market};

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn no_use_buys_two_responses_and_none_is_lost_while_a_gateway_lives() {
    let rounds =
        std::env::var("TOLLWAY_DELIVERY_ROUNDS").map_or(4, |rounds| rounds.parse().unwrap());
    let market = Market::open().await;
    let mut rows = Vec::new();
    for gateways in [1, 2] {
        for failing in Failing::ALL {
            if failing != Failing::Race || gateways == 2 {
                rows.push(
                    Case::open(&market, failing, gateways, rounds)
                        .await
                        .run()
                        .await,
                );
            }
        }
    }

    println!("{HEAD}");
    for row in &rows {
        println!("{row}");
    }
    for row in &rows {
        assert_eq!(row.twice, 0, "delivered twice for one use: {row}");
        assert!(
            row.lost == 0 || row.failing == Failing::Killed,
            "lost: {row}"
        );
        assert_eq!(row.lost_early, 0, "lost before there was a response: {row}");
    }
}

/// What goes wrong when a token is presented for the first time.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
enum Failing {
    /// The gateway is killed at a random moment.
    Killed,
    /// The gateway is killed while the upstream has the request and has sent nothing.
    KilledWaiting,
    /// Nothing: the token is presented to both gateways at once.
    Race,
    /// The upstream does not listen.
    Refused,
    /// The upstream closes the connection in the middle of the body.
    ResetAfter,
    /// The upstream resets the connection before it responds.
    ResetBefore,
    /// The upstream never responds.
    Silent,
}

impl Failing {
    const ALL: [Self; 7] = [
        Self::Refused,
        Self::ResetBefore,
        Self::ResetAfter,
        Self::Silent,
        Self::Race,
        Self::KilledWaiting,
        Self::Killed,
    ];

    const fn path(self) -> &'static str {
        match self {
            Self::Killed | Self::Race | Self::Refused => "/ok",
            Self::ResetAfter => "/reset-after",
            Self::ResetBefore => "/reset-before",
            Self::KilledWaiting | Self::Silent => "/silent",
        }
    }
}

/// Gateways in front of one upstream, and tokens bought from them.
struct Case<'a> {
    market: &'a Market,
    failing: Failing,
    upstream: Upstream,
    arguments: Vec<String>,
    gateways: Vec<Gateway>,
    tokens: Vec<String>,
}

impl<'a> Case<'a> {
    async fn open(market: &'a Market, failing: Failing, gateways: usize, rounds: usize) -> Self {
        let dir = market.home().join(format!("{failing:?}-{gateways}"));
        let arguments = [
            "--max-uses",
            "1",
            "--challenges-per-minute",
            "1000000",
            "--upstream-timeout",
            "1s",
            "--data-dir",
            dir.to_str().unwrap(),
        ];
        let mut case = Self {
            market,
            failing,
            upstream: Upstream::bind(),
            arguments: arguments.map(str::to_owned).to_vec(),
            gateways: Vec::new(),
            tokens: Vec::new(),
        };
        case.tokens = case.buy(rounds).await;
        for _ in 0..gateways {
            case.gateways.push(case.gateway().await);
        }
        case
    }

    /// Buys tokens from a gateway whose upstream is up: another sells none.
    async fn buy(&self, count: usize) -> Vec<String> {
        let mut upstream = Upstream::bind();
        upstream.listen();
        let seller = self.gateway_of(&upstream).await;
        let tokens = stream::iter(0..count)
            .map(|_| self.market.buy(seller.address()))
            .buffer_unordered(AT_ONCE)
            .collect()
            .await;
        assert_eq!(seller.stop().await, Some(0));
        tokens
    }

    async fn gateway(&self) -> Gateway {
        self.gateway_of(&self.upstream).await
    }

    async fn gateway_of(&self, upstream: &Upstream) -> Gateway {
        let arguments: Vec<&str> = self.arguments.iter().map(String::as_str).collect();
        self.market.serve(upstream.address(), &arguments).await
    }

    async fn run(mut self) -> Row {
        let mut row = Row {
            failing: self.failing,
            gateways: self.gateways.len(),
            rounds: self.tokens.len(),
            first: 0,
            later: 0,
            twice: 0,
            lost: 0,
            lost_early: 0,
        };
        match self.failing {
            Failing::Killed | Failing::KilledWaiting => self.kill_each(&mut row).await,
            Failing::Race
            | Failing::Refused
            | Failing::ResetAfter
            | Failing::ResetBefore
            | Failing::Silent => self.present_all(&mut row).await,
        }
        row
    }

    async fn present_all(&mut self, row: &mut Row) {
        if self.failing != Failing::Refused {
            self.upstream.listen();
        }
        let (one, other) = (self.gateways[0].address(), self.last());
        let (failing, path) = (self.failing, self.failing.path());
        let firsts: Vec<(String, u64)> = stream::iter(self.tokens.clone())
            .map(async |token| {
                let delivered = if failing == Failing::Race {
                    let race = join(
                        request(one, path, Some(&token)),
                        request(other, path, Some(&token)),
                    );
                    let (left, right) = race.await;
                    left.delivered() + right.delivered()
                } else {
                    request(one, path, Some(&token)).await.delivered()
                };
                (token, delivered)
            })
            .buffer_unordered(AT_ONCE)
            .collect()
            .await;
        self.upstream.listen();
        for (token, first) in firsts {
            row.count(first, self.present_twice(&token).await);
        }
    }

    /// Kills the first gateway while it serves, once per token.
    async fn kill_each(&mut self, row: &mut Row) {
        self.upstream.listen();
        let mut random = Random::new();
        let whole = self.usual_time().await;
        for token in self.tokens.clone() {
            let address = self.gateways[0].address();
            let path = self.failing.path();
            let responses = self.upstream.responses();
            let asking = {
                let token = token.clone();
                tokio::spawn(async move { request(address, path, Some(&token)).await })
            };
            if self.failing == Failing::KilledWaiting {
                self.upstream.waiting().await;
            } else {
                tokio::time::sleep(whole.mul_f64(random.next_fraction())).await;
            }
            self.gateways[0].kill();
            let had_response = self.upstream.responses() > responses;
            let first = asking.await.unwrap().delivered();
            let is_alone = self.gateways.len() == 1;
            if is_alone {
                self.gateways[0] = self.gateway().await;
            }
            let later = self.present_twice(&token).await;
            row.count(first, later);
            row.lost_early += u64::from(first + later == 0 && !had_response);
            if !is_alone {
                self.gateways[0] = self.gateway().await;
            }
        }
    }

    /// How long a paid request takes when nothing fails.
    async fn usual_time(&self) -> Duration {
        let address = self.gateways[0].address();
        let token = self.market.buy(address).await;
        let began = Instant::now();
        request(address, "/ok", Some(&token)).await;
        began.elapsed()
    }

    /// Presents a token two times, and counts the responses it buys.
    async fn present_twice(&self, token: &str) -> u64 {
        let address = self.last();
        let again = request(address, "/ok", Some(token)).await.delivered();
        again + request(address, "/ok", Some(token)).await.delivered()
    }

    fn last(&self) -> SocketAddr {
        self.gateways.last().unwrap().address()
    }
}

/// The outcomes of one case.
#[derive(Debug)]
struct Row {
    failing: Failing,
    gateways: usize,
    rounds: usize,
    /// Delivered at the first presentation.
    first: u64,
    /// Delivered at a later one: the use was given back.
    later: u64,
    twice: u64,
    lost: u64,
    /// Of the lost ones, those whose gateway died before the upstream had responded.
    lost_early: u64,
}

impl Row {
    fn count(&mut self, first: u64, later: u64) {
        match (first, later) {
            (0, 0) => self.lost += 1,
            (1, 0) => self.first += 1,
            (0, 1) => self.later += 1,
            (_, _) => self.twice += 1,
        }
    }
}

impl fmt::Display for Row {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self {
            gateways,
            rounds,
            first,
            later,
            twice,
            lost,
            lost_early,
            ..
        } = self;
        let failing = format!("{:?}", self.failing);
        write!(
            f,
            "{failing:<14} {gateways:>8} {rounds:>6} {first:>8} {later:>8} {twice:>8} {lost:>8} {lost_early:>8}"
        )
    }
}

const HEAD: &str = "failing        gateways tokens at first    later    twice     lost    early";
const AT_ONCE: usize = 8;
