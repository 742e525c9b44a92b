//! The request that `tollway get` sends, and the head that it shows.

use crate::support::{Market, echo_api, stderr, stdout};

#[tokio::test(flavor = "multi_thread")]
async fn a_request_has_the_headers_that_servers_expect_unless_others_are_given() {
    let market = Market::open().await;
    let site = format!("http://{}/", echo_api().await);
    let agent = concat!("user-agent: tollway/", env!("CARGO_PKG_VERSION"));
    let seen = async |flags: &[&str]| {
        let echoed = stdout(&market.run(&[&["get", &site], flags].concat()).await);
        let echoed: serde_json::Value = serde_json::from_str(&echoed).unwrap();
        echoed
    };
    let has = |echoed: &serde_json::Value, line: &str| {
        let headers = echoed["headers"].as_array().unwrap();
        headers.iter().any(|header| header == line)
    };

    let plain = seen(&[]).await;
    assert!(has(&plain, agent) && has(&plain, "accept: */*"), "{plain}");
    let form = seen(&["-d", "a=1", "-d", "b=2"]).await;
    assert_eq!(form["body"], "a=1&b=2");
    assert!(
        has(&form, "content-type: application/x-www-form-urlencoded"),
        "{form}"
    );
    let own = seen(&[
        "-d",
        "{}",
        "-H",
        "Content-Type: application/json",
        "-H",
        "User-Agent: me",
    ]);
    let own = own.await;
    assert!(has(&own, "content-type: application/json"), "{own}");
    assert!(has(&own, "user-agent: me") && !has(&own, agent), "{own}");
}

#[tokio::test(flavor = "multi_thread")]
async fn the_last_of_a_repeated_option_wins() {
    let market = Market::open().await;
    let gateway = market.serve(echo_api().await, &[]).await;
    let url = gateway.url("/a");

    let get = ["get", "--max-cost", "5sat", "--max-cost", "20sat", &url];
    stdout(&market.run(&get).await);

    assert_eq!(market.settled_payments().len(), 1);
}

#[tokio::test(flavor = "multi_thread")]
async fn the_head_of_the_response_is_included_on_request() {
    let market = Market::open().await;
    let site = format!("http://{}/", echo_api().await);

    let text = stdout(&market.run(&["get", "--include", &site]).await);
    let (head, body) = text.split_once("\r\n\r\n").unwrap();
    assert!(head.starts_with("HTTP/1.1 200 OK\r\n"), "{head}");
    assert!(body.starts_with('{'), "{body}");

    let json = stdout(&market.run(&["get", "-i", "--json", &site]).await);
    let json: serde_json::Value = serde_json::from_str(&json).unwrap();
    assert_eq!(json["headers"][0][0], "content-length", "{json}");
    assert!(json["body"].as_str().unwrap().starts_with('{'), "{json}");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_proxy_that_is_not_used_is_a_warning() {
    let market = Market::open().await;
    let local = format!("http://{}/", echo_api().await);
    for (url, warned) in [("https://nowhere.invalid/", true), (local.as_str(), false)] {
        let mut command = market.command(&["get", url]);
        command.env("ALL_PROXY", "http://127.0.0.1:9");
        let ended = tokio::task::spawn_blocking(move || command.output().unwrap());
        let shown = stderr(&ended.await.unwrap());
        assert_eq!(shown.contains("ALL_PROXY"), warned, "{url}: {shown}");
    }
}
