//! `tollway token`, through the real binary.

use std::io::Write as _;
use std::process::{Command, Output, Stdio};

use l402::{Macaroon, RootKey};

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

/// Runs a command of `tollway token` with a text on standard input.
fn piped(arguments: &[&str], text: &str) -> Output {
    let mut command = Command::new(env!("CARGO_BIN_EXE_tollway"));
    command.arg("token").args(arguments);
    command.stdin(Stdio::piped()).stdout(Stdio::piped());
    let mut child = command.stderr(Stdio::piped()).spawn().unwrap();
    let mut stdin = child.stdin.take().unwrap();
    stdin.write_all(text.as_bytes()).unwrap();
    drop(stdin);
    child.wait_with_output().unwrap()
}

fn stderr(output: &Output) -> String {
    String::from_utf8_lossy(&output.stderr).into_owned()
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

/// A token comes from a server, and a terminal obeys what it is sent.
#[test]
fn inspect_escapes_control_characters() {
    let (root, location) = (RootKey::new([7; 32]), "a\u{1b}[2J\u{9b}2J\r\nvalid  yes");
    let macaroon = Macaroon::mint(&root, location, b"id").unwrap();
    let token = macaroon.to_base64();

    let shown = stdout(&self::token(&["inspect", &token]));

    assert!(
        !shown.contains(|c: char| c.is_control() && c != '\n'),
        "{shown:?}"
    );
    assert!(!shown.contains("\nvalid"), "{shown:?}");
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

/// A token is its issuer's text: a terminal must not obey it.
#[test]
fn inspect_escapes_what_a_terminal_would_obey() {
    let root = RootKey::new([7; 32]);
    let token = Macaroon::mint(&root, "\u{1b}[2J", b"id").unwrap();
    let token = token.with_caveat(b"services=\x1b[2J:0").unwrap();

    let shown = stdout(&self::token(&["inspect", &token.to_base64()]));

    assert!(!shown.contains('\u{1b}'), "{shown:?}");
    assert!(shown.contains("[2J"), "{shown}");
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
    assert_eq!(said["expires_at"], 4_102_444_800_u64, "the token's");
    assert!(said["invoice_expires_at"].as_u64() < said["expires_at"].as_u64());
    let shown = stdout(&token(&["inspect", &challenge]));
    for line in ["\namount ", "\nexpires ", "\ninvoice expires "] {
        assert!(shown.contains(line), "{line:?}: {shown}");
    }
    assert!(!shown.contains("msat"), "{shown}");
}

#[test]
fn inspect_shows_an_invoice_that_comes_alone() {
    let coffee = include_str!("../../vectors/bolt11-coffee.txt").trim();
    let upper = format!("LIGHTNING:{}", coffee.to_ascii_uppercase());
    for given in [coffee, &upper] {
        let shown = json(&["inspect", given]);
        assert_eq!(shown["form"], "invoice");
        assert_eq!(shown["amount_msat"], 250_000_000);
        assert_eq!(shown["network"], "mainnet");
        assert_eq!(shown["payment_hash"].as_str().unwrap().len(), 64);
    }
    let refused = token(&["attenuate", coffee, "path=/v1"]);
    assert!(stderr(&refused).contains("this is an invoice"));
}

#[test]
fn a_token_is_read_from_the_output_of_other_commands() {
    let paid = vector("paid-http");
    let authorization = text(&paid["authorization"]);
    let header = format!("Authorization: {authorization}");
    let narrowed = stdout(&token(&["attenuate", &header, "path=/v1", "--json"]));
    let coffee = include_str!("../../vectors/bolt11-coffee.txt").trim();
    let macaroon = text(&paid["v2_base64"]);
    let response = format!(
        "HTTP/1.1 402 Payment Required\r\ncontent-length: 3\r\nwww-authenticate: Basic realm=x\r\n\
         WWW-Authenticate: L402 macaroon=\"{macaroon}\", invoice=\"{coffee}\"\r\n\r\nabc"
    );
    let verbose =
        format!("> GET / HTTP/1.1\n> authorization: {authorization}\n>\n< HTTP/1.1 200 OK\n");
    for (given, form) in [
        (narrowed.as_str(), "credential"),
        (&format!("id  1\nstate  usable\n{header}\n"), "credential"),
        (
            &format!("{{\"authorization\":null,\"token\":\"{macaroon}\"}}"),
            "token",
        ),
        (&response, "challenge"),
        (&verbose, "credential"),
    ] {
        let read = piped(&["inspect", "-", "--json"], given);
        let shown: serde_json::Value = serde_json::from_str(&stdout(&read)).unwrap();
        assert_eq!(shown["form"], form, "{given}");
        assert_eq!(shown["payment_hash"], paid["payment_hash"]);
    }
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("hdr.txt");
    std::fs::write(&file, &header).unwrap();
    let named = format!("@{}", file.display());
    assert_eq!(json(&["inspect", &named])["form"], "credential");
    let unmarked = token(&["inspect", &named[1..]]);
    assert!(
        stderr(&unmarked).contains(&format!("write {named}")),
        "{}",
        stderr(&unmarked)
    );
}

#[test]
fn what_is_no_token_is_refused_in_words_and_is_not_repeated() {
    let secret = "5".repeat(64);
    let list = format!("{{\"tokens\":[{{\"id\":\"{secret}\"}}]}}");
    let (swapped, json) = (format!("path=/{secret}"), format!("{{\"a\":\"{secret}\"}}"));
    let condition = format!("path=/{secret}x,/{secret}");
    for (arguments, given, expected) in [
        (vec!["inspect", "-"], "", "standard input is empty: give"),
        (vec!["inspect", ""], "", "the argument is empty: give"),
        (
            vec!["attenuate", &swapped, "ID"],
            "",
            "`path=…` is a condition: the token comes first",
        ),
        (vec!["inspect", "-"], &list, "list of tokens"),
        (
            vec!["inspect", "-"],
            &json,
            "neither `authorization` nor `token`",
        ),
        (
            vec!["inspect", "-"],
            "HTTP/1.1 200 OK\nserver: x\n",
            "no L402 challenge in these lines",
        ),
        (
            vec!["inspect", "@/no/such/file"],
            "",
            "`/no/such/file` cannot be read",
        ),
        (
            vec!["attenuate", "-", &condition],
            text(&vector("paid-http")["v2_base64"]),
            "one path",
        ),
        (
            vec!["attenuate", "-", &secret],
            text(&vector("paid-http")["v2_base64"]),
            "`…` is not a condition",
        ),
    ] {
        let refused = piped(&arguments, given);
        let shown = stderr(&refused);
        assert_eq!(refused.status.code(), Some(2), "{arguments:?}: {shown}");
        assert!(shown.contains(expected), "{arguments:?}: {shown}");
        assert!(!shown.contains(&secret), "{shown}");
    }
}

#[test]
fn attenuate_shows_what_is_easily_taken_for_something_else() {
    let paid = vector("paid-http");
    let authorization = text(&paid["authorization"]);
    for (caveat, note) in [
        (
            "expires=2030-01-01 12:30",
            "expires 2030-01-01 12:30:00 UTC\n",
        ),
        ("path=/v1/", "not for /v1 itself"),
        ("method=FOO", "`FOO` is no method"),
        ("uses=3", "share one counter"),
        ("path=/v1", ""),
    ] {
        let narrowed = token(&["attenuate", authorization, caveat]);
        let shown = stderr(&narrowed);
        assert_eq!(stdout(&narrowed).lines().count(), 1);
        assert!(shown.contains(note), "{caveat}: {shown}");
        assert_eq!(
            shown.lines().count(),
            usize::from(!note.is_empty()),
            "{shown}"
        );
    }
    let narrowed = json(&[
        "attenuate",
        authorization,
        "valid_until=2030-01-01",
        "uses=3",
    ]);
    assert_eq!(narrowed["expires_at"], 1_893_456_000_u64);
    assert_eq!(narrowed["max_uses"], 3);
    let warnings = narrowed["warnings"].as_array().unwrap();
    assert!(
        warnings[0].as_str().unwrap().contains("one counter"),
        "{warnings:?}"
    );
    let loop_out = text(&vector("loop-zero-root")["v2_base64"]).to_owned();
    let narrowed = json(&["attenuate", &loop_out, "capabilities=loop_out"]);
    assert_eq!(narrowed["added"][0], "lightning_loop_capabilities=loop_out");
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
fn what_would_restrict_nothing_is_refused_unless_it_is_forced() {
    let paid = vector("paid-http");
    let authorization = text(&paid["authorization"]);
    for (caveat, expected) in [
        (
            "foo=bar",
            "`foo` restricts nothing: no tollway gateway knows it (known: path,",
        ),
        ("price_msat=5", "knows it (known:"),
        ("expire=1h", "did you mean `expires=1h`?"),
        ("pth=/v1", "did you mean `path=/v1`?"),
        (
            "valid_until=tomorrow",
            "`valid_until=tomorrow`: write a duration",
        ),
        ("expires=tomorrow", "`expires=tomorrow`: write a duration"),
        (
            "path_prefix=v1",
            "`path_prefix=v1`: every gateway would refuse this value: write it like path=/v1",
        ),
        ("path=v1", "`path=v1`"),
        ("path=/v1,/v2", "one path"),
        ("uses=0", "`uses=0`"),
        ("method=", "method"),
        ("expires=2000-01-01", "would buy nothing"),
        ("expires=2026", "2026 seconds from now"),
        ("services=other:0", "the token is for weather"),
        ("services=weather:9", "`services=weather:9` allows more"),
        (
            "capabilities=read",
            "`capabilities=read` restricts nothing: the token was sold without capabilities",
        ),
    ] {
        let refused = token(&["attenuate", authorization, caveat]);
        let shown = String::from_utf8_lossy(&refused.stderr).into_owned();
        assert_eq!(refused.status.code(), Some(2), "{caveat}: {shown}");
        assert!(shown.contains(expected), "{caveat}: {shown}");
        assert!(refused.stdout.is_empty(), "{caveat}");
    }
    let forced = json(&["attenuate", authorization, "foo=bar", "--force"]);
    assert_eq!(forced["added"][0], "foo=bar");
    let help = stdout(&token(&["attenuate", "--help"]));
    for example in [
        "path=/v1",
        "expires=1h",
        "method=GET",
        "uses=5",
        "one counter",
    ] {
        assert!(help.contains(example), "{help}");
    }
}

#[test]
fn conditions_are_read_as_people_type_them() {
    let paid = vector("paid-http");
    let authorization = text(&paid["authorization"]);
    let bare = authorization.strip_prefix("L402 ").unwrap();

    let narrowed = token(&[
        "attenuate",
        bare,
        "path=/v1",
        "expires=1h",
        "method=get,HEAD",
        "uses=3",
    ]);

    let note = String::from_utf8_lossy(&narrowed.stderr).into_owned();
    let line = stdout(&narrowed);
    assert_eq!(line.lines().count(), 1, "{line}");
    assert!(line.starts_with("Authorization: L402 "), "{line}");
    assert!(note.contains("share one counter of uses"), "{note}");
    let caveats = json(&["inspect", line.trim()])["caveats"].to_string();
    for written in [
        "\"path_prefix=/v1\"",
        "\"weather_valid_until=",
        "\"method=GET,HEAD\"",
        "\"max_uses=3\"",
    ] {
        assert!(caveats.contains(written), "{written}: {caveats}");
    }
    let dated = json(&["attenuate", bare, "expires=2030-01-01"]);
    assert_eq!(dated["added"][0], "weather_valid_until=1893456000");
    assert!(
        dated["authorization"]
            .as_str()
            .unwrap()
            .starts_with("L402 ")
    );
    let unpaid = json(&["attenuate", text(&paid["v2_base64"]), "path=/v1"]);
    assert_eq!(unpaid["authorization"], serde_json::Value::Null);
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
