//! Every refusal, to the letter, over HTTP and over gRPC.

use std::num::NonZeroU64;

use http::Request;
use l402::{Credential, Preimage, SchemeName, UnixSeconds};
use tollway_server::Requirement;

use crate::support::client::{Answer, Body, Client, empty, get};
use crate::support::shop::{BACKEND_SECRET, NOON, Shop, ten_sat, weather};
use crate::support::upstream::Upstream;
use crate::support::{self, dead_port};

#[tokio::test]
async fn a_request_without_credential_gets_a_challenge() {
    let site = Site::open().await;

    site.refuses(None, "no_credential", "this request needs a paid token")
        .await;
}

#[tokio::test]
async fn a_malformed_credential_gets_a_fresh_challenge() {
    let site = Site::open().await;
    let detail = "the credential cannot be read: no `:` between token and preimage: \
                  write `L402 <token>:<preimage>`";

    site.refuses(Some("L402 nonsense"), "malformed", detail)
        .await;
}

#[tokio::test]
async fn a_wrong_preimage_gets_a_fresh_challenge() {
    let site = Site::open().await;
    let bought = site.shop.buy().await;
    let unpaid = Credential::new(bought.macaroon().clone(), Preimage::new([9; 32]));

    let detail = "preimage does not match the token's payment hash";
    site.refuses_credential(&unpaid, "unpaid", detail).await;
}

#[tokio::test]
async fn a_forged_token_gets_a_fresh_challenge() {
    let site = Site::open().await;
    let forged = Shop::with(weather(), ten_sat(), 2, || NOON)
        .await
        .buy()
        .await;

    site.refuses_credential(&forged, "forged", "token was not issued here")
        .await;
}

#[tokio::test]
async fn an_expired_token_gets_a_fresh_challenge() {
    let site = Site::open().await;
    let minute = NonZeroU64::new(60).unwrap();
    let short = ten_sat().with_validity_secs(minute);
    let yesterday = Shop::with(weather(), short, 1, a_day_before_noon).await;

    let expired = yesterday.buy().await;

    site.refuses_credential(&expired, "expired", "token expired 86340 s ago")
        .await;
}

#[tokio::test]
async fn a_token_for_another_service_gets_a_fresh_challenge() {
    let site = Site::open().await;
    let tides = Requirement::new("tides".parse().unwrap());
    let other = Shop::with(tides, ten_sat(), 1, || NOON).await.buy().await;

    let detail = "token is for service `tides:0`, request is for `weather`";
    site.refuses_credential(&other, "wrong_service", detail)
        .await;
}

#[tokio::test]
async fn a_revoked_token_gets_a_fresh_challenge() {
    let site = Site::open().await;
    let bought = site.shop.buy().await;
    let identifier = l402::Identifier::parse(bought.macaroon().identifier()).unwrap();
    site.shop
        .gate
        .revocations()
        .revoke(identifier.token_id)
        .await
        .unwrap();

    site.refuses_credential(&bought, "revoked", "token was revoked")
        .await;
}

#[tokio::test]
async fn a_wallet_that_is_down_is_our_failure() {
    let mut site = Site::open().await;
    site.shop.wallet.go_down();

    let answer = site.http(None).await;
    assert_eq!(answer.status.as_u16(), 503);
    assert_eq!(answer.header("l402-reason"), Some("unavailable"));
    assert_eq!(answer.header("www-authenticate"), None);
    assert_eq!(
        answer.body,
        "{\"type\":\"about:blank\",\"title\":\"Service Unavailable\",\"status\":503,\
         \"detail\":\"payments cannot be taken at the moment\",\"reason\":\"unavailable\"}"
    );
    let call = site.grpc(None).await;
    assert_eq!(call.status.as_u16(), 200);
    assert_eq!(call.header("grpc-status"), Some("14"));
    assert_eq!(call.header("grpc-message"), Some("unavailable"));
    for answer in [&answer, &call] {
        assert!(!format!("{answer:?}").contains(BACKEND_SECRET));
        assert_eq!(answer.header("cache-control"), Some("no-store"));
    }
    assert!(site.upstream.all_seen().is_empty());
}

#[tokio::test]
async fn an_upstream_that_is_down_is_a_bad_gateway_after_paying() {
    let shop = Shop::open().await;
    let running = support::start(shop.price(), dead_port());
    let line = shop.authorization().await;
    let mut client = Client::http1(support::http(&running)).await;

    let answer = client
        .ask(
            get("/")
                .header("authorization", &line)
                .body(empty())
                .unwrap(),
        )
        .await;
    assert_eq!(answer.status.as_u16(), 502);
    assert_eq!(
        answer.header("www-authenticate"),
        None,
        "nothing is to be paid twice"
    );
    let call = client.ask(call(Some(&line))).await;
    assert_eq!(
        (call.status.as_u16(), call.header("grpc-status")),
        (200, Some("14"))
    );
}

/// A gateway selling `weather`, and the upstream that must not be reached.
struct Site {
    shop: Shop,
    upstream: Upstream,
    running: tollway_gateway::Running,
}

impl Site {
    async fn open() -> Self {
        let shop = Shop::open().await;
        let upstream = Upstream::sunny().await;
        let running = support::start(shop.price(), upstream.address);
        Self {
            shop,
            upstream,
            running,
        }
    }

    async fn refuses_credential(self, credential: &Credential, reason: &str, detail: &str) {
        let line = credential.authorization(SchemeName::L402);
        self.refuses(Some(&line), reason, detail).await;
    }

    /// Checks every part of the refusal, and that what it asks for can be paid and used.
    async fn refuses(mut self, line: Option<&str>, reason: &str, detail: &str) {
        let answer = self.http(line).await;
        assert_eq!(answer.status.as_u16(), 402);
        assert_eq!(
            answer.header("content-type"),
            Some("application/problem+json")
        );
        assert_eq!(
            answer.body,
            format!(
                "{{\"type\":\"about:blank\",\"title\":\"Payment Required\",\"status\":402,\
                 \"detail\":\"{detail}\",\"reason\":\"{reason}\",\"service\":\"weather\",\
                 \"price_msat\":10000}}"
            )
        );
        let head = self.head(line).await;
        assert_eq!((head.status.as_u16(), &head.body[..]), (402, ""));
        assert_eq!(
            head.header("content-length"),
            answer.header("content-length")
        );
        let call = self.grpc(line).await;
        assert_eq!((call.status.as_u16(), &call.body[..]), (200, ""));
        assert_eq!(call.header("content-type"), Some("application/grpc"));
        assert_eq!(call.header("grpc-status"), Some("13"));
        assert_eq!(call.header("grpc-message"), Some("payment required"));
        for answer in [&answer, &head, &call] {
            self.challenges(answer, reason);
        }
        assert!(self.upstream.all_seen().is_empty(), "it went upstream");

        let paid = self
            .shop
            .pay_for(&answer.headers)
            .authorization(SchemeName::L402);
        assert_eq!(self.http(Some(&paid)).await.body, "sunny");
    }

    fn challenges(&self, answer: &Answer, reason: &str) {
        let lines: Vec<&str> = answer
            .headers
            .get_all("www-authenticate")
            .iter()
            .map(|line| line.to_str().unwrap())
            .collect();
        let [lsat, l402] = lines[..] else {
            panic!("two lines are expected, not {lines:?}");
        };
        assert!(lsat.starts_with("LSAT macaroon=\""), "{lsat}");
        assert!(l402.starts_with("L402 macaroon=\""), "{l402}");
        assert_eq!(answer.header("l402-reason"), Some(reason));
        assert_eq!(answer.header("cache-control"), Some("no-store"));
        assert_eq!(answer.header("access-control-allow-origin"), Some("*"));
    }

    async fn http(&self, line: Option<&str>) -> Answer {
        let mut client = Client::http1(support::http(&self.running)).await;
        client
            .ask(authorized(get("/"), line).body(empty()).unwrap())
            .await
    }

    async fn head(&self, line: Option<&str>) -> Answer {
        let mut client = Client::http1(support::http(&self.running)).await;
        let head = Request::head("http://localhost/");
        client
            .ask(authorized(head, line).body(empty()).unwrap())
            .await
    }

    async fn grpc(&self, line: Option<&str>) -> Answer {
        Client::h2c(support::http(&self.running))
            .await
            .ask(call(line))
            .await
    }
}

fn call(line: Option<&str>) -> Request<Body> {
    let call = Request::post("http://localhost/tollway.test.Echo/Unary")
        .header("content-type", "application/grpc")
        .header("te", "trailers");
    authorized(call, line).body(empty()).unwrap()
}

fn authorized(request: http::request::Builder, line: Option<&str>) -> http::request::Builder {
    match line {
        Some(line) => request.header("authorization", line),
        None => request,
    }
}

fn a_day_before_noon() -> UnixSeconds {
    UnixSeconds::new(NOON.as_secs() - 86_400)
}
