//! `tollway token`, through the real binary.

use std::process::{Command, Output};

const VECTORS: &str = include_str!("../../vectors/l402-macaroon-vectors.json");

fn vector(name: &str) -> serde_json::Value {
    let all: Vec<serde_json::Value> = serde_json::from_str(VECTORS).unwrap();
    all.into_iter()
        .find(|vector| vector["name"] == name)
        .unwrap()
}

fn text(value: &serde_json::Value) -> &str {
    value.as_str().unwrap()
}

fn token(arguments: &[&str]) -> Output {
    Command::new(env!("CARGO_BIN_EXE_tollway"))
        .arg("token")
        .args(arguments)
        .output()
        .unwrap()
}

fn stdout(output: &Output) -> String {
    assert!(
        output.status.success(),
        "{}",
        String::from_utf8_lossy(&output.stderr)
    );
    String::from_utf8(output.stdout.clone()).unwrap()
}

fn json(arguments: &[&str]) -> serde_json::Value {
    serde_json::from_str(&stdout(&token(&[arguments, &["--json"]].concat()))).unwrap()
}

#[test]
fn inspect_explains_base64_hex_and_headers_alike() {
    let paid = vector("paid-http");
    let header = format!("Authorization: {}", text(&paid["authorization"]));
    for given in [text(&paid["v2_base64"]), text(&paid["v2_hex"]), &header] {
        let said = json(&["inspect", given]);
        assert_eq!(said["payment_hash"], paid["payment_hash"], "{given}");
        assert_eq!(said["caveats"], paid["caveats"], "{given}");
    }
    assert_eq!(json(&["inspect", &header])["paid"], true);
}

#[test]
fn inspect_never_repeats_the_preimage() {
    let paid = vector("paid-http");
    for given in [
        text(&paid["authorization"]),
        text(&paid["paid_macaroon_hex_for_grpc_metadata"]),
    ] {
        let said = stdout(&token(&["inspect", given]));
        assert!(!said.contains(text(&paid["preimage"])), "{said}");
    }
}

#[test]
fn inspect_says_when_a_challenge_would_buy_nothing() {
    let token_text = vector("paid-http")["v2_base64"].clone();
    let coffee = include_str!("../../vectors/bolt11-coffee.txt").trim();
    let challenge = format!(
        r#"WWW-Authenticate: L402 macaroon="{}", invoice="{coffee}""#,
        text(&token_text)
    );

    let said = json(&["inspect", &challenge]);

    assert_eq!(said["amount_msat"], 250_000_000);
    assert_eq!(said["network"], "mainnet");
    assert_eq!(said["invoice_pays_for_token"], false);
}

#[test]
fn a_narrowed_token_does_less_and_still_verifies() {
    let paid = vector("paid-http");
    let narrowed = stdout(&token(&[
        "attenuate",
        text(&paid["authorization"]),
        "path_prefix=/v1",
        "method=GET",
    ]));
    let narrowed = narrowed.trim();
    let key = [
        "--root-key",
        text(&paid["root_key"]),
        "--service",
        "weather",
        "--at",
        "1800000000",
    ];

    assert_eq!(
        json(&[&["verify", narrowed, "--path", "/v1/today"], &key[..]].concat())["paid"],
        true
    );
    let refused = token(&[&["verify", narrowed, "--path", "/v2"], &key[..]].concat());
    assert_eq!(refused.status.code(), Some(1));
    assert!(String::from_utf8_lossy(&refused.stderr).contains("/v1"));
}

#[test]
fn verify_tells_a_forged_token_from_an_expired_one() {
    let paid = vector("paid-http");
    let authorization = text(&paid["authorization"]);
    let right = [
        "--root-key",
        text(&paid["root_key"]),
        "--service",
        "weather",
    ];
    let wrong_key = "00".repeat(32);
    let wrong = ["--root-key", &wrong_key, "--service", "weather"];
    for (key, at, expected) in [
        (right, "4102444800", "expired 0 s ago"),
        (wrong, "1800000000", "not issued here"),
    ] {
        let refused = token(&[&["verify", authorization, "--at", at], &key[..]].concat());
        let said = String::from_utf8_lossy(&refused.stderr).into_owned();
        assert!(said.contains(expected), "{said}");
        assert_eq!(refused.status.code(), Some(1));
    }
}

#[test]
fn bad_input_exits_with_2_and_says_what_is_wrong() {
    let good = vector("loop-zero-root")["v2_base64"].clone();
    for (arguments, expected) in [
        (
            vec!["inspect", "!!"],
            "neither base64, hexadecimal nor JSON",
        ),
        (vec!["inspect", "AgEE"], "ends too early"),
        (vec!["inspect", "L402 abc"], "no `:`"),
        (
            vec!["attenuate", text(&good), "no-equals-sign"],
            "`no-equals-sign`",
        ),
        (vec!["verify", text(&good), "--key", "abc"], "3 bytes long"),
    ] {
        let refused = token(&arguments);
        let said = String::from_utf8_lossy(&refused.stderr).into_owned();
        assert_eq!(refused.status.code(), Some(2), "{arguments:?}: {said}");
        assert!(said.contains(expected), "{arguments:?}: {said}");
    }
}
