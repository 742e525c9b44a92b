//! Every rejection as it goes over the wire: status, headers, body.

use std::num::NonZeroU32;
use std::sync::Arc;

use http::{HeaderMap, HeaderName, HeaderValue, Method, Response, StatusCode, header};
use http_body_util::{BodyExt, Full};
use l402::{Credential, LegacyLsat, Preimage};
use tollway_server::ledger::{LedgerError, MemoryLedger};
use tollway_server::respond::{Form, StatusStyle, preflight, refuse};
use tollway_server::{
    GateSettings, Outage, PaymentRequired, Reason, ReasonCode, Rejection, TokenInUse,
    TooManyChallenges, TooManyRequests, UnsellablePath,
};

use crate::support::{
    BACKEND_SECRET, Mood, Shop, TEN_SAT, get, get_with, name, narrowed, paid_get, settings,
    token_id, with_method,
};

#[tokio::test]
async fn a_request_without_a_credential_is_asked_to_pay() {
    let shop = Shop::open().await;
    let rejection = shop.admit(&get("/")).await.unwrap_err();

    let seen = seen(refuse(&rejection, Form::Http, StatusStyle::Lenient402)).await;

    assert_eq!(seen.status, StatusCode::PAYMENT_REQUIRED);
    let [lsat, l402] = &seen.challenges[..] else {
        panic!("{:?}", seen.challenges);
    };
    let token = lsat.split('"').nth(1).unwrap();
    let invoice = lsat.split('"').nth(3).unwrap();
    assert_eq!(
        *lsat,
        format!(r#"LSAT macaroon="{token}", invoice="{invoice}""#)
    );
    assert_eq!(
        *l402,
        format!(r#"L402 macaroon="{token}", invoice="{invoice}", version="0", token="{token}""#)
    );
    assert!(invoice.starts_with("lnbcrt100n1"), "{invoice}");
    assert_eq!(
        seen.headers,
        [
            "access-control-allow-origin: *",
            "access-control-expose-headers: WWW-Authenticate, Retry-After, L402-Reason, Grpc-Status, Grpc-Message",
            "cache-control: no-store",
            "content-type: application/problem+json",
            "l402-reason: no_credential",
        ]
    );
    assert_eq!(
        seen.body,
        r#"{"type":"about:blank","title":"Payment Required","status":402,"detail":"this request needs a paid token","reason":"no_credential","service":"weather","price_msat":10000}"#
    );
}

#[tokio::test]
async fn the_older_line_can_be_left_out() {
    let settings = GateSettings {
        lsat: LegacyLsat::Omit,
        ..settings()
    };
    let shop = Shop::with(Arc::new(MemoryLedger::new()), settings).await;
    let rejection = shop.admit(&get("/")).await.unwrap_err();

    let seen = seen(refuse(&rejection, Form::Http, StatusStyle::Lenient402)).await;

    assert_eq!(seen.challenges.len(), 1);
    assert!(seen.challenges[0].starts_with("L402 "));
}

#[tokio::test]
async fn a_credential_that_fails_gets_the_reason_and_a_challenge() {
    let shop = Shop::open().await;
    let credential = shop.buy().await;
    let revoked = shop.buy().await;
    let revocations = shop.gate.revocations();
    revocations.revoke(token_id(&revoked)).await.unwrap();
    let unpaid = Credential::new(credential.macaroon().clone(), Preimage::new([9; 32]));

    for (parts, reason, detail) in [
        (
            get_with(&["L402 AgEE"]),
            "malformed",
            "the credential cannot be read: no `:` between token and preimage: write `L402 <token>:<preimage>`",
        ),
        (
            paid_get(&unpaid),
            "unpaid",
            "preimage does not match the token's payment hash",
        ),
        (
            paid_get(&narrowed(&credential, "weather_valid_until=1799999990")),
            "expired",
            "token expired 10 s ago",
        ),
        (
            paid_get(&narrowed(&credential, "method=POST")),
            "wrong_method",
            "token is not for method `GET`",
        ),
        (paid_get(&revoked), "revoked", "token was revoked"),
    ] {
        for (style, status, title) in [
            (StatusStyle::Lenient402, 402, "Payment Required"),
            (StatusStyle::Strict401, 401, "Unauthorized"),
        ] {
            let rejection = shop.admit(&parts).await.unwrap_err();

            let seen = seen(refuse(&rejection, Form::Http, style)).await;

            assert_eq!(seen.status, status, "{reason}");
            assert_eq!(seen.challenges.len(), 2, "{reason}");
            assert_eq!(
                seen.body,
                format!(
                    r#"{{"type":"about:blank","title":"{title}","status":{status},"detail":"{detail}","reason":"{reason}","service":"weather","price_msat":10000}}"#
                )
            );
            assert!(seen.headers.contains(&format!("l402-reason: {reason}")));
        }
    }
}

#[tokio::test]
async fn no_credential_at_all_is_402_in_either_style() {
    let shop = Shop::open().await;
    let rejection = shop.admit(&get("/")).await.unwrap_err();

    let response = refuse(&rejection, Form::Http, StatusStyle::Strict401);

    assert_eq!(response.status(), StatusCode::PAYMENT_REQUIRED);
}

#[tokio::test]
async fn a_wallet_that_is_down_is_503_and_keeps_its_words_to_itself() {
    let shop = Shop::open().await;
    shop.wallet.set_mood(Mood::Down);
    let rejection = shop.admit(&get("/")).await.unwrap_err();

    for style in [StatusStyle::Lenient402, StatusStyle::Strict401] {
        let seen = seen(refuse(&rejection, Form::Http, style)).await;

        assert_eq!(seen.status, StatusCode::SERVICE_UNAVAILABLE);
        assert!(seen.challenges.is_empty());
        assert_eq!(
            seen.headers,
            [
                "access-control-allow-origin: *",
                "access-control-expose-headers: WWW-Authenticate, Retry-After, L402-Reason, Grpc-Status, Grpc-Message",
                "cache-control: no-store",
                "content-type: application/problem+json",
                "l402-reason: unavailable",
                "retry-after: 5",
            ]
        );
        assert_eq!(
            seen.body,
            r#"{"type":"about:blank","title":"Service Unavailable","status":503,"detail":"payments cannot be taken at the moment","reason":"unavailable"}"#
        );
    }
    assert!(
        format!("{rejection:?}").contains(BACKEND_SECRET),
        "it is in the log"
    );
}

#[tokio::test]
async fn a_network_over_its_limit_gets_the_time_to_wait() {
    let rejection = Rejection::TooManyChallenges(TooManyChallenges {
        retry_after_secs: 7,
    });

    let seen = seen(refuse(&rejection, Form::Http, StatusStyle::Lenient402)).await;

    assert_eq!(seen.status, StatusCode::TOO_MANY_REQUESTS);
    assert!(seen.challenges.is_empty());
    assert_eq!(
        seen.headers,
        [
            "access-control-allow-origin: *",
            "access-control-expose-headers: WWW-Authenticate, Retry-After, L402-Reason, Grpc-Status, Grpc-Message",
            "cache-control: no-store",
            "content-type: application/problem+json",
            "l402-reason: too_many_challenges",
            "retry-after: 7",
        ]
    );
    assert_eq!(
        seen.body,
        r#"{"type":"about:blank","title":"Too Many Requests","status":429,"detail":"too many challenges for one network: the next is due in 7 s","reason":"too_many_challenges"}"#
    );
}

#[tokio::test]
async fn a_token_in_use_is_503_and_good_again_in_a_moment() {
    let rejection = Rejection::TokenInUse(TokenInUse);

    for style in [StatusStyle::Lenient402, StatusStyle::Strict401] {
        let seen = seen(refuse(&rejection, Form::Http, style)).await;

        assert_eq!(seen.status, StatusCode::SERVICE_UNAVAILABLE);
        assert!(seen.challenges.is_empty());
        assert!(seen.headers.contains(&"retry-after: 1".to_owned()));
        assert_eq!(
            seen.body,
            r#"{"type":"about:blank","title":"Service Unavailable","status":503,"detail":"every use left of the token is held by a request still being served","reason":"token_in_use"}"#
        );
    }
}

#[tokio::test]
async fn a_token_with_too_many_requests_is_429_and_waits_a_second() {
    let rejection = Rejection::TooManyRequests(too_many_requests());

    let seen = seen(refuse(&rejection, Form::Http, StatusStyle::Strict401)).await;

    assert_eq!(seen.status, StatusCode::TOO_MANY_REQUESTS);
    assert!(seen.challenges.is_empty());
    assert!(seen.headers.contains(&"retry-after: 1".to_owned()));
    assert_eq!(
        seen.body,
        r#"{"type":"about:blank","title":"Too Many Requests","status":429,"detail":"too many requests with one token at a time: 5 are being served","reason":"too_many_requests"}"#
    );
}

#[tokio::test]
async fn a_response_to_head_has_the_headers_and_no_body() {
    for rejection in one_of_each() {
        let full = seen(refuse(&rejection, Form::Http, StatusStyle::Lenient402)).await;
        let head = seen(refuse(&rejection, Form::Head, StatusStyle::Lenient402)).await;

        assert_eq!(head.body, "");
        assert_eq!(head.status, full.status);
        let mut expected = full.headers.clone();
        expected.push(format!("content-length: {}", full.body.len()));
        expected.sort();
        assert_eq!(head.headers, expected);
    }
}

#[tokio::test]
async fn a_grpc_client_gets_a_grpc_response() {
    let expected = [
        ("13", "payment required", "exhausted", None),
        ("14", "token in use", "token_in_use", Some(1)),
        ("8", "too many challenges", "too_many_challenges", Some(7)),
        ("8", "too many requests", "too_many_requests", Some(1)),
        ("14", "unavailable", "unavailable", Some(5)),
        ("3", "path cannot be sold", "unsellable_path", None),
    ];
    for (rejection, (status, message, reason, retry_after)) in one_of_each().iter().zip(expected) {
        for style in [StatusStyle::Lenient402, StatusStyle::Strict401] {
            let form = Form::of(&grpc_request("application/grpc+proto"));
            let seen = seen(refuse(rejection, form, style)).await;

            assert_eq!(seen.status, StatusCode::OK);
            assert_eq!(seen.body, "");
            let asked_to_pay = matches!(rejection, Rejection::PaymentRequired(_));
            assert_eq!(!seen.challenges.is_empty(), asked_to_pay);
            let mut headers = vec![
                "access-control-allow-origin: *".to_owned(),
                "access-control-expose-headers: WWW-Authenticate, Retry-After, L402-Reason, Grpc-Status, Grpc-Message".to_owned(),
                "cache-control: no-store".to_owned(),
                "content-type: application/grpc".to_owned(),
                format!("grpc-message: {message}"),
                format!("grpc-status: {status}"),
                format!("l402-reason: {reason}"),
            ];
            headers.extend(retry_after.map(|secs| format!("retry-after: {secs}")));
            assert_eq!(seen.headers, headers);
        }
    }
}

#[test]
fn the_form_is_the_one_the_request_can_read() {
    for (content_type, expected) in [
        ("application/grpc", "application/grpc"),
        ("application/grpc+proto", "application/grpc"),
        ("application/grpc-web", "application/grpc-web"),
        ("application/grpc-web+proto", "application/grpc-web"),
        ("application/grpc-web-text", "application/grpc-web-text"),
    ] {
        let Form::Grpc { content_type: form } = Form::of(&grpc_request(content_type)) else {
            panic!("{content_type}");
        };
        assert_eq!(form, expected);
    }
    assert_eq!(Form::of(&grpc_request("application/json")), Form::Http);
    assert_eq!(Form::of(&grpc_request("text/application/grpc")), Form::Http);
    assert_eq!(Form::of(&with_method(Method::HEAD)), Form::Head);
    assert_eq!(Form::of(&get("/")), Form::Http);
}

#[tokio::test]
async fn a_preflight_is_free_and_no_other_method_is() {
    let seen = seen(preflight(&Method::OPTIONS).unwrap()).await;

    assert_eq!(seen.status, StatusCode::NO_CONTENT);
    assert_eq!(seen.body, "");
    assert_eq!(
        seen.headers,
        [
            "access-control-allow-headers: Authorization, *",
            "access-control-allow-methods: GET, HEAD, POST, PUT, PATCH, DELETE, OPTIONS",
            "access-control-allow-origin: *",
            "access-control-expose-headers: WWW-Authenticate, Retry-After, L402-Reason, Grpc-Status, Grpc-Message",
            "access-control-max-age: 600",
        ]
    );
    for method in [Method::GET, Method::HEAD, Method::POST, Method::TRACE] {
        assert!(preflight(&method).is_none(), "{method}");
    }
}

#[test]
fn a_challenge_does_not_show_in_debug() {
    let text = format!("{:?}", demand(Reason::NoCredential));

    assert!(!text.contains("macaroon"), "{text}");
}

fn one_of_each() -> [Rejection; 6] {
    [
        demand(Reason::Exhausted),
        Rejection::TokenInUse(TokenInUse),
        Rejection::TooManyChallenges(TooManyChallenges {
            retry_after_secs: 7,
        }),
        Rejection::TooManyRequests(too_many_requests()),
        Rejection::Unavailable(Outage::Ledger(LedgerError::Stopped)),
        Rejection::UnsellablePath(UnsellablePath),
    ]
}

fn too_many_requests() -> TooManyRequests {
    TooManyRequests {
        max: NonZeroU32::new(5).unwrap(),
    }
}

fn demand(reason: Reason) -> Rejection {
    let mut line = HeaderValue::from_static(r#"L402 macaroon="AgEE", invoice="lnbc1""#);
    line.set_sensitive(true);
    let rejection = Rejection::PaymentRequired(Box::new(PaymentRequired {
        reason,
        service: name("weather"),
        price: TEN_SAT,
        challenge: vec![line],
    }));
    assert_ne!(rejection.code(), ReasonCode::Unavailable);
    rejection
}

fn grpc_request(content_type: &'static str) -> http::request::Parts {
    let mut parts = with_method(Method::POST);
    let value = HeaderValue::from_static(content_type);
    parts.headers.insert(header::CONTENT_TYPE, value);
    parts
}

/// A response as a client sees it, its challenges apart and the other headers in order.
struct Seen {
    status: StatusCode,
    challenges: Vec<String>,
    headers: Vec<String>,
    body: String,
}

async fn seen(response: Response<Full<bytes::Bytes>>) -> Seen {
    let (parts, body) = response.into_parts();
    let body = body.collect().await.unwrap().to_bytes();
    let (challenges, headers) = lines(&parts.headers);
    Seen {
        status: parts.status,
        challenges,
        headers,
        body: String::from_utf8(body.to_vec()).unwrap(),
    }
}

fn lines(headers: &HeaderMap) -> (Vec<String>, Vec<String>) {
    let text = |value: &HeaderValue| value.to_str().unwrap().to_owned();
    let challenges = headers.get_all(header::WWW_AUTHENTICATE);
    let others = |name: &HeaderName| *name != header::WWW_AUTHENTICATE;
    let mut rest: Vec<_> = headers
        .iter()
        .filter(|(name, _)| others(name))
        .map(|(name, value)| format!("{name}: {}", text(value)))
        .collect();
    rest.sort();
    (challenges.iter().map(text).collect(), rest)
}
