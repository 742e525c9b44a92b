//! Scenarios of a siege.

use super::upstream::Reached;

/// An attack, or an upstream that fails.
#[derive(Debug)]
pub(super) struct Scenario {
    pub(super) name: &'static str,
    pub(super) what: &'static str,
    /// The attack, as `tollway-bench siege` names it.
    pub(super) attack: &'static str,
    pub(super) count: u32,
    /// How many addresses the attackers have.
    pub(super) addresses: u16,
    /// The longest it goes on.
    pub(super) seconds: f64,
    /// How the upstream fails, flags of `tollway-bench upstream`.
    pub(super) upstream: &'static [&'static str],
    pub(super) reached: Reached,
    /// The descriptors that the proxy may have.
    pub(super) descriptors: Option<u32>,
    pub(super) challenges: Challenges,
}

/// Whether the gateway limits challenges.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(super) enum Challenges {
    Limited,
    /// Each unpaid request has an invoice, as if each client had a network of its own.
    Unlimited,
}

impl Scenario {
    const fn new(name: &'static str, what: &'static str, attack: &'static str, count: u32) -> Self {
        Self {
            name,
            what,
            attack,
            count,
            addresses: 1,
            seconds: 5.0,
            upstream: &[],
            reached: Reached::Plaintext,
            descriptors: None,
            challenges: Challenges::Limited,
        }
    }

    const fn failing(
        name: &'static str,
        what: &'static str,
        upstream: &'static [&'static str],
    ) -> Self {
        Self {
            upstream,
            ..Self::new(name, what, "calm", 1)
        }
    }

    const fn with_descriptors(self, max: u32) -> Self {
        Self {
            descriptors: Some(max),
            ..self
        }
    }

    const fn spread_over(self, addresses: u16) -> Self {
        Self { addresses, ..self }
    }

    const fn reached(self, reached: Reached) -> Self {
        Self { reached, ..self }
    }

    const fn lasting(self, seconds: f64) -> Self {
        Self { seconds, ..self }
    }
}

pub(super) const SCENARIOS: &[Scenario] = &[
    Scenario::new(
        "silent",
        "2,000 connections that send nothing, with `ulimit -n 1024`",
        "silent",
        2000,
    )
    .with_descriptors(1024)
    .lasting(8.0),
    Scenario::new(
        "silent-spread",
        "the same from 500 addresses",
        "silent",
        2000,
    )
    .with_descriptors(1024)
    .spread_over(500)
    .lasting(8.0),
    Scenario::new(
        "silent-tls",
        "the same where TLS is spoken",
        "silent-tls",
        2000,
    )
    .with_descriptors(1024)
    .spread_over(500)
    .lasting(8.0),
    Scenario::new(
        "window-0",
        "500 HTTP/2 clients that are refused and give no window, with `ulimit -n 512`",
        "window",
        500,
    )
    .with_descriptors(512)
    .lasting(12.0),
    Scenario::new(
        "window-0-spread",
        "the same from 250 addresses",
        "window",
        500,
    )
    .with_descriptors(512)
    .spread_over(250)
    .lasting(12.0),
    Scenario::new(
        "unread-h1-12",
        "12 responses of 8 MiB over HTTP/1.1 that are not read",
        "unread-http1",
        12,
    ),
    Scenario::new("unread-h1-200", "200 of them", "unread-http1", 200),
    Scenario::new(
        "unread-h1-tls-12",
        "12 of them from an HTTP/1.1 upstream with TLS",
        "unread-http1",
        12,
    )
    .reached(Reached::TlsHttp1),
    Scenario::new("unread-h1-tls-200", "200 of them", "unread-http1", 200)
        .reached(Reached::TlsHttp1),
    Scenario::new(
        "unread-streams-200",
        "200 from an HTTP/1.1 upstream on one HTTP/2 connection",
        "unread-http2",
        200,
    ),
    Scenario::new(
        "unread-streams-tls",
        "200 of them on one HTTP/2 connection with TLS",
        "unread-tls",
        200,
    ),
    Scenario::new(
        "unread-h2-12",
        "12 gRPC responses of 8 MiB on one connection that are not read",
        "unread-grpc",
        12,
    ),
    Scenario::new("unread-h2-200", "200 of them", "unread-grpc", 200),
    Scenario::new(
        "unread-h2-tls-12",
        "12 responses of 8 MiB on one connection from an HTTP/2 upstream with TLS",
        "unread-http2",
        12,
    )
    .reached(Reached::Tls),
    Scenario::new("unread-h2-tls-200", "200 of them", "unread-http2", 200).reached(Reached::Tls),
    Scenario::new(
        "unread-shared-200",
        "200 of them, each client with an HTTP/1.1 connection of its own",
        "unread-http1",
        200,
    )
    .reached(Reached::Tls),
    Scenario::new(
        "slow-heads",
        "400 request heads at two bytes a second",
        "slow-heads",
        400,
    ),
    Scenario::new(
        "slow-handshakes",
        "400 TLS handshakes at two bytes a second",
        "slow-handshakes",
        400,
    ),
    Scenario::new(
        "slow-bodies",
        "400 paid uploads at two bytes a second",
        "slow-bodies",
        400,
    ),
    Scenario::new(
        "slow-readers",
        "150 paid downloads at 128 bytes a second",
        "slow-readers",
        150,
    ),
    Scenario::new(
        "resets",
        "4 clients that reset 2,000 paid requests a second each",
        "resets",
        4,
    ),
    Scenario::new(
        "continuation",
        "4 clients with heads that never end",
        "continuation",
        4,
    ),
    Scenario::new(
        "pings",
        "4 clients with 20,000 PING frames a second each",
        "pings",
        4,
    ),
    Scenario::new(
        "settings",
        "4 clients with 20,000 SETTINGS frames a second each",
        "settings",
        4,
    ),
    Scenario::failing(
        "upstream-closes",
        "an upstream that closes with its third response",
        &["--ends=closes"],
    ),
    Scenario::failing(
        "upstream-closes-1ms",
        "an upstream that closes a millisecond after its third response",
        &["--ends=closes", "--delay-ms=1"],
    ),
    Scenario::failing(
        "upstream-resets",
        "an upstream that resets with its third response",
        &["--ends=resets"],
    ),
    Scenario::failing(
        "upstream-resets-1ms",
        "an upstream that resets a millisecond after its third response",
        &["--ends=resets", "--delay-ms=1"],
    ),
    Scenario::new(
        "upstream-stalls",
        "200 paid responses that the upstream does not finish",
        "stalled",
        200,
    ),
    Scenario::new(
        "upstream-stalls-h2",
        "200 of them from an HTTP/2 upstream with TLS",
        "stalled",
        200,
    )
    .reached(Reached::Tls),
    Scenario::new("unpaid", "100,000 unpaid requests", "unpaid", 100_000).lasting(UNPAID_SECS),
    Scenario {
        challenges: Challenges::Unlimited,
        ..Scenario::new(
            "challenges",
            "100,000 unpaid requests that each have an invoice",
            "unpaid",
            100_000,
        )
        .lasting(UNPAID_SECS)
    },
];

/// What 100,000 requests may take; the attack ends with the last of them.
const UNPAID_SECS: f64 = 45.0;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn all_scenarios_on_two_proxies_take_less_than_a_quarter_of_an_hour() {
        // Starting and stopping a proxy takes a second.
        let around = 2.0 * super::super::AROUND_SECS + 2.0;
        let seconds: f64 = SCENARIOS
            .iter()
            .map(|scenario| 2.0 * (scenario.seconds + around))
            .sum();

        assert!(seconds < 900.0, "{seconds}");
    }

    #[test]
    fn each_scenario_has_a_name_of_its_own() {
        let mut names: Vec<_> = SCENARIOS.iter().map(|scenario| scenario.name).collect();
        names.sort_unstable();
        names.dedup();

        assert_eq!(names.len(), SCENARIOS.len());
    }
}
