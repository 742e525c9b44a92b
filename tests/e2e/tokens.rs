//! Stored tokens: `tollway token list`, `show` and `remove`.

use std::process::Command;

use serde_json::Value;

use crate::support::upstream::request;
use crate::support::{Gateway, Market, echo_api, failure, stderr, stdout};

#[tokio::test(flavor = "multi_thread")]
async fn a_stored_token_is_listed_without_its_secret() {
    let (market, gateway) = bought(&["--valid-for", "1h", "--max-uses", "3"], &["/a"]).await;

    let listed = &tokens(&market).await[0];
    let human = market.run(&["token", "list"]).await;

    assert!(
        gateway
            .url("/a")
            .starts_with(listed["origin"].as_str().unwrap()),
        "{listed}"
    );
    assert_eq!(listed["path"], "/a");
    assert_eq!(listed["services"][0], "default");
    assert_eq!(
        (&listed["state"], &listed["max_uses"]),
        (&"usable".into(), &3.into())
    );
    assert!(
        listed["expires_at"].as_u64() > listed["bought_at"].as_u64(),
        "{listed}"
    );
    assert_eq!(listed["price_msat"], 10_000);
    let human_text = stdout(&human);
    let id = listed["id"].as_str().unwrap();
    for shown in [
        id,
        "usable",
        "default",
        "USES AT MOST",
        "UTC",
        "/a",
        "10 sat",
    ] {
        assert!(human_text.contains(shown), "{shown}: {human_text}");
    }
    assert_eq!(stderr(&human), "");
    let (token, preimage) = secrets(&market, id).await;
    for text in [human_text, listed.to_string()] {
        assert!(
            !text.contains(&token) && !text.contains(&preimage),
            "{text}"
        );
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_shown_token_is_ready_for_another_client() {
    let (market, gateway) = bought(&[], &["/a"]).await;
    let id = only_id(&market).await;

    let whole = stdout(&market.run(&["token", "show", &id]).await);
    let header = stdout(&market.run(&["token", "show", &id[..2], "--header"]).await);

    assert_eq!(whole.lines().last(), header.lines().next(), "{whole}");
    assert_eq!(header.lines().count(), 1, "{header}");
    for shown in [&id, "usable", "10 sat"] {
        assert!(whole.contains(shown), "{whole}");
    }
    let (name, value) = header.trim_end().split_once(": ").unwrap();
    assert_eq!(name, "Authorization");
    let served = request(gateway.address(), "/a", Some(value)).await;
    assert_eq!(served.challenges().len(), 0, "the credential is good");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_removed_token_is_presented_no_more() {
    let (market, gateway) = bought(&[], &["/a"]).await;
    let id = only_id(&market).await;

    let removed = stdout(&market.run(&["token", "remove", &id]).await);
    let again = failure(&market.run(&["token", "remove", &id, "--json"]).await);
    let asked = market.run(&["get", &gateway.url("/a"), "--no-pay"]).await;

    assert!(
        removed.contains(&id) && removed.contains("removed"),
        "{removed}"
    );
    assert_eq!(again["exit_code"], 2, "{again}");
    assert!(again["message"].as_str().unwrap().contains(&id), "{again}");
    assert!(
        stderr(&asked).contains("asks for 10 sat"),
        "{}",
        stderr(&asked)
    );
    assert!(tokens(&market).await.is_empty());
    let none = stdout(&market.run(&["token", "list"]).await);
    assert!(none.starts_with("no stored tokens: `tollway get"), "{none}");
}

/// Of seventeen hashes, two begin with the same digit.
#[tokio::test(flavor = "multi_thread")]
async fn an_ambiguous_or_unknown_id_is_refused_with_the_matches() {
    let (market, gateway) = bought(&["--max-uses", "1"], &[]).await;
    let (mut ids, mut prefix) = (Vec::<String>::new(), None);
    while prefix.is_none() {
        let url = gateway.url(&format!("/{}", ids.len()));
        stdout(&market.run(&["get", &url]).await);
        ids = tokens(&market)
            .await
            .iter()
            .map(|token| token["id"].as_str().unwrap().to_owned())
            .collect();
        let shared = |start: &str| ids.iter().filter(|id| id.starts_with(start)).count() > 1;
        prefix = ids
            .iter()
            .map(|id| id[..1].to_owned())
            .find(|start| shared(start));
    }
    let prefix = prefix.unwrap();
    let matches: Vec<&str> = ids
        .iter()
        .filter(|id| id.starts_with(&prefix))
        .map(String::as_str)
        .collect();
    let unknown = "f".repeat(64);

    for (id, expected) in [
        (prefix.as_str(), matches),
        (unknown.as_str(), vec!["ffffffff…", "token list"]),
        ("xyz", vec!["`xyz`", "token list"]),
    ] {
        for command in ["show", "remove"] {
            let refused = market.run(&["token", command, id]).await;
            assert_eq!(refused.status.code(), Some(2), "{id}");
            for part in &expected {
                assert!(stderr(&refused).contains(part), "{}", stderr(&refused));
            }
            assert!(refused.stdout.is_empty());
        }
    }
    assert_eq!(tokens(&market).await.len(), ids.len());
}

#[tokio::test(flavor = "multi_thread")]
async fn a_token_is_shown_by_the_url_it_was_bought_at() {
    let (market, gateway) = bought(&["--max-uses", "1"], &["/a", "/b"]).await;
    let (a, below) = (gateway.url("/a"), gateway.url("/a/below?secret=1"));

    for url in [&a, &below, a.trim_start_matches("http://")] {
        let shown = stdout(&market.run(&["token", "show", url, "--json"]).await);
        let shown: Value = serde_json::from_str(&shown).unwrap();
        assert_eq!(shown["path"], "/a", "{shown}");
    }

    let elsewhere = format!("{}?secret=1", gateway.url("/c"));
    let refused = market.run(&["token", "show", &elsewhere]).await;
    assert!(stderr(&refused).contains("/c`") && !stderr(&refused).contains("secret"));
    let token = secrets(&market, &a).await.0;
    let refused = market.run(&["token", "show", &token]).await;
    assert!(
        !stderr(&refused).contains(&token[..16]),
        "{}",
        stderr(&refused)
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn several_tokens_are_removed_at_once_or_none_is() {
    let (market, gateway) = bought(&["--max-uses", "1"], &["/a", "/b", "/c"]).await;
    let (a, b, never) = (gateway.url("/a"), gateway.url("/b"), gateway.url("/never"));

    failure(&market.run(&["token", "remove", &a, &never, "--json"]).await);
    assert_eq!(tokens(&market).await.len(), 3);
    let removed = stdout(&market.run(&["token", "remove", &a, &b]).await);
    let kept = stdout(&market.run(&["token", "remove", "--unusable"]).await);

    assert_eq!(removed.lines().count(), 2, "{removed}");
    let left = tokens(&market).await;
    assert_eq!(left.len(), 1, "{left:?}");
    assert_eq!(left[0]["path"], "/c");
    assert!(kept.contains("nothing was removed"), "{kept}");
}

#[tokio::test(flavor = "multi_thread")]
async fn an_id_stands_for_its_token_in_every_token_command() {
    let (market, gateway) = bought(&[], &["/a"]).await;
    let id = only_id(&market).await;
    let key = market.home().join("gateway/master.key");
    let key = key.to_str().unwrap();
    let credential = stdout(&market.run(&["token", "show", &id, "--header"]).await);
    let bare = credential
        .trim()
        .strip_prefix("Authorization: L402 ")
        .unwrap();

    for token in [&id, bare, credential.trim()] {
        let inspect = ["token", "inspect", token, "--json"];
        let inspected: Value = serde_json::from_str(&stdout(&market.run(&inspect).await)).unwrap();
        assert_eq!(
            (&inspected["form"], &inspected["paid"]),
            (&"credential".into(), &true.into())
        );
        let verify = ["token", "verify", token, "--key-file", key];
        let verified = stdout(&market.run(&verify).await);
        assert!(
            verified.starts_with("valid: buys service `default`"),
            "{verified}"
        );
    }
    let mut piped = Command::new("sh");
    piped
        .args([
            "-c",
            "echo \"$1\" | \"$0\" token inspect -",
            env!("CARGO_BIN_EXE_tollway"),
            &id,
        ])
        .env("TOLLWAY_HOME", market.home());
    assert!(stdout(&piped.output().unwrap()).contains("credential"));

    let narrow = [
        "token",
        "attenuate",
        &id,
        "path=/a/b",
        "method=get",
        "expires=1h",
    ];
    let narrowed = stdout(&market.run(&narrow).await);
    let narrowed = narrowed.trim().strip_prefix("Authorization: ").unwrap();
    let asked = |path| request(gateway.address(), path, Some(narrowed));
    assert!(asked("/a/b/c").await.challenges().is_empty());
    assert!(!asked("/a").await.challenges().is_empty());
}

#[tokio::test(flavor = "multi_thread")]
async fn a_token_that_was_handed_on_is_stored_and_presented() {
    let (market, gateway) = bought(&["--max-uses", "3"], &["/a"]).await;
    let id = only_id(&market).await;
    let narrowed = stdout(&market.run(&["token", "attenuate", &id, "path=/b"]).await);
    let friend = tempfile::tempdir().unwrap();
    let file = friend.path().join("credential.txt");
    std::fs::write(&file, &narrowed).unwrap();
    let (url, file) = (gateway.url("/b"), format!("@{}", file.display()));
    let run = |arguments: &[&str]| {
        let mut command = market.command(arguments);
        command.env("TOLLWAY_HOME", friend.path()).output().unwrap()
    };

    let imported = run(&["token", "import", &url, &file]);

    assert!(stdout(&imported).contains(&id), "{}", stdout(&imported));
    let served = run(&["get", &url, "--no-pay"]);
    assert!(stdout(&served).contains("/b"), "{}", stderr(&served));
    let listed: Value = serde_json::from_str(&stdout(&run(&["token", "list", "--json"]))).unwrap();
    let listed = &listed["tokens"][0];
    assert_eq!(
        (&listed["path"], &listed["price_msat"]),
        (&"/b".into(), &0.into())
    );
    let purchases = stdout(&run(&["purchases", "list", "--all", "--json"]));
    assert_eq!(
        purchases.trim(),
        r#"{"purchases":[]}"#,
        "nothing was paid here"
    );
    let again = run(&["token", "import", &url, &file]);
    assert_eq!(again.status.code(), Some(2));
    assert!(
        stderr(&again).contains("stored already"),
        "{}",
        stderr(&again)
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn what_cannot_be_presented_is_not_stored() {
    let (market, _gateway) = bought(&[], &["/a"]).await;
    let id = only_id(&market).await;
    let (token, preimage) = secrets(&market, &id).await;
    let home = tempfile::tempdir().unwrap();
    let other = format!("{token}:{}", "0".repeat(64));
    let expired = format!("{token}:{preimage}");
    let expired = [
        "token",
        "attenuate",
        &expired,
        "expires=2020-01-01",
        "--force",
    ];
    let expired = stdout(&market.run(&expired).await);
    for (credential, expected) in [
        (other.as_str(), "not the one of the token's payment"),
        (&token, "the preimage is missing"),
        (expired.trim(), "the token expired 2020-01-01"),
    ] {
        let import = ["token", "import", "localhost:1", credential];
        let refused = market
            .command(&import)
            .env("TOLLWAY_HOME", home.path())
            .output();
        let refused = refused.unwrap();
        assert_eq!(refused.status.code(), Some(2));
        let shown = stderr(&refused);
        assert!(
            shown.contains(expected) && !shown.contains(&preimage),
            "{shown}"
        );
    }
    assert!(!home.path().join("client/client.sqlite").exists());
}

#[tokio::test(flavor = "multi_thread")]
async fn a_token_that_the_seller_revoked_is_listed_as_revoked_and_can_be_cleared_away() {
    let (market, gateway) = bought(&[], &["/a"]).await;
    let id = only_id(&market).await;
    let (token, preimage) = secrets(&market, &id).await;
    let credential = format!("L402 {token}:{preimage}");

    stdout(&market.run(&["token", "revoke", &id]).await);
    while request(gateway.address(), "/a", Some(&credential))
        .await
        .challenges()
        .is_empty()
    {
        tokio::task::yield_now().await;
    }
    let url = gateway.url("/a");
    let refused = market.run(&["get", &url, "--max-cost", "1sat"]).await;

    let note = format!("the stored token {id} no longer buys this: revoked");
    assert!(stderr(&refused).contains(&note), "{}", stderr(&refused));
    let listed = &tokens(&market).await[0];
    assert_eq!(listed["state"], "revoked", "{listed}");
    assert_eq!(listed["reason"], "revoked", "{listed}");
    let cleared = stdout(&market.run(&["token", "remove", "--unusable"]).await);
    assert!(cleared.contains(&id), "{cleared}");
    assert!(tokens(&market).await.is_empty());
}

/// A market in which these paths were bought.
async fn bought(serve: &[&str], paths: &[&str]) -> (Market, Gateway) {
    let market = Market::open().await;
    let gateway = market.serve(echo_api().await, serve).await;
    for path in paths {
        stdout(&market.run(&["get", &gateway.url(path)]).await);
    }
    (market, gateway)
}

async fn tokens(market: &Market) -> Vec<Value> {
    let listed = stdout(&market.run(&["token", "list", "--json"]).await);
    let listed: Value = serde_json::from_str(&listed).unwrap();
    listed["tokens"].as_array().unwrap().clone()
}

async fn only_id(market: &Market) -> String {
    let listed = tokens(market).await;
    assert_eq!(listed.len(), 1, "{listed:?}");
    listed[0]["id"].as_str().unwrap().to_owned()
}

/// Returns token and preimage.
async fn secrets(market: &Market, id: &str) -> (String, String) {
    let shown = stdout(&market.run(&["token", "show", id, "--json"]).await);
    let shown: Value = serde_json::from_str(&shown).unwrap();
    let value = shown["authorization"].as_str().unwrap();
    let (token, preimage) = value
        .strip_prefix("L402 ")
        .unwrap()
        .split_once(':')
        .unwrap();
    (token.to_owned(), preimage.to_owned())
}
