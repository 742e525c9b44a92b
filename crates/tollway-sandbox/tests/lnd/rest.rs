//! The same calls over REST: LND's paths, its JSON and its errors.

use base64::Engine as _;
use base64::engine::general_purpose::{STANDARD, URL_SAFE};
use http_body_util::BodyExt as _;
use hyper_util::rt::{TokioExecutor, TokioIo};
use l402::Preimage;
use serde_json::{Value, json};
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tollway_sandbox::wallet::{InvoiceDescription, NewInvoice};

use crate::client::{Rest, dial, whole};
use crate::payments::MAINNET;
use crate::{Network, hex, read};

#[tokio::test]
async fn unary_calls_answer_with_every_field() {
    let network = Network::start().await;
    let mut rest = Rest::admin(network.lnd.seller()).await;

    let info = rest.get("/v1/getinfo").await;

    assert_eq!(
        (info.status, info.content_type.as_str()),
        (200, "application/json")
    );
    let info = info.json();
    assert_eq!(
        info["identity_pubkey"],
        network.lnd.seller().access().pubkey.as_str()
    );
    assert_eq!(
        info["chains"],
        json!([{"chain": "bitcoin", "network": "regtest"}])
    );
    assert_eq!(
        (&info["testnet"], &info["uris"]),
        (&json!(false), &json!([]))
    );
    assert!(
        info["best_header_timestamp"].is_string(),
        "64-bit numbers are text"
    );
    assert!(info["block_height"].is_u64(), "32-bit numbers are numbers");
    for (path, field) in [
        ("/v1/balance/blockchain", "confirmed_balance"),
        ("/v1/balance/channels", "local_balance"),
        ("/v1/channels", "channels"),
        ("/v1/state", "state"),
        ("/v2/versioner/version", "build_tags"),
        ("/v1/payments", "payments"),
        ("/v1/invoices", "invoices"),
    ] {
        let reply = rest.get(path).await;
        assert_eq!(reply.status, 200, "{path}: {}", reply.body);
        assert!(reply.json()[field] != Value::Null, "{path}: {}", reply.body);
    }
}

#[tokio::test]
async fn an_invoice_is_added_found_decoded_and_paid() {
    let network = Network::start().await;
    let mut seller = Rest::admin(network.lnd.seller()).await;
    let mut buyer = Rest::admin(network.lnd.buyer()).await;

    let added = seller
        .post("/v1/invoices", r#"{"value": "10", "memo": "rest"}"#)
        .await
        .json();
    let hash = STANDARD.decode(added["r_hash"].as_str().unwrap()).unwrap();
    let bolt11 = added["payment_request"].as_str().unwrap();
    let found = seller
        .get(&format!("/v1/invoice/{}", hex(&hash)))
        .await
        .json();
    let decoded = buyer.get(&format!("/v1/payreq/{bolt11}")).await.json();
    let body = json!({ "payment_request": bolt11 }).to_string();
    let paid = buyer.post("/v1/channels/transactions", &body).await.json();
    let again = buyer.post("/v1/channels/transactions", &body).await.json();

    assert_eq!(
        (&found["state"], &found["value"]),
        (&json!("OPEN"), &json!("10"))
    );
    assert_eq!(decoded["description"], "rest");
    assert_eq!(decoded["num_msat"], "10000");
    assert_eq!(paid["payment_error"], "");
    let preimage = STANDARD
        .decode(paid["payment_preimage"].as_str().unwrap())
        .unwrap();
    let preimage = Preimage::new(preimage.try_into().unwrap());
    assert_eq!(preimage.payment_hash().as_bytes(), hash.as_slice());
    let hop = &paid["payment_route"]["hops"][0];
    assert_eq!(
        (&hop["amp_record"], &hop["amt_to_forward_msat"]),
        (&Value::Null, &json!("10000"))
    );
    assert_eq!(again["payment_error"], "invoice is already paid");
    assert_eq!(
        (&again["payment_preimage"], &again["payment_route"]),
        (&json!(""), &Value::Null)
    );
}

#[tokio::test]
async fn a_payment_is_streamed_as_one_result_a_line() {
    let network = Network::start().await;
    let mut seller = Rest::admin(network.lnd.seller()).await;
    let mut buyer = Rest::admin(network.lnd.buyer()).await;
    let added = seller.post("/v1/invoices", r#"{"value": 3}"#).await.json();
    // What the PyPI package `l402-requests` sends.
    let body = json!({
        "payment_request": added["payment_request"], "timeout_seconds": 60, "fee_limit_sat": 100
    });

    let paid = buyer.post("/v2/router/send", &body.to_string()).await;
    let again = buyer.post("/v2/router/send", &body.to_string()).await;

    assert_eq!(paid.status, 200);
    let lines: Vec<Value> = paid
        .body
        .lines()
        .map(|line| serde_json::from_str(line).unwrap())
        .collect();
    let last = &lines.last().unwrap()["result"];
    assert_eq!(last["status"], "SUCCEEDED");
    assert_eq!(last["failure_reason"], "FAILURE_REASON_NONE");
    assert!(paid.body.ends_with("}\n"));
    let hash = STANDARD.decode(added["r_hash"].as_str().unwrap()).unwrap();
    let preimage = Preimage::from_hex(last["payment_preimage"].as_str().unwrap()).unwrap();
    assert_eq!(preimage.payment_hash().as_bytes(), hash.as_slice());
    assert_eq!(again.status, 409);
    assert_eq!(
        again.json(),
        json!({"error": {"code": 6, "message": "invoice is already paid", "details": []}})
    );
    let tracked = buyer
        .get(&format!("/v2/router/track/{}", URL_SAFE.encode(&hash)))
        .await;
    assert_eq!(tracked.json()["result"], *last);
}

#[tokio::test]
async fn errors_have_lnds_shape_and_status() {
    let network = Network::start().await;
    let mut rest = Rest::admin(network.lnd.seller()).await;
    let unknown = URL_SAFE.encode([1; 32]);
    for (path, status, code, text) in [
        ("/v1/nosuch", 404, 5, "Not Found"),
        ("/", 404, 5, "Not Found"),
        ("/v1/invoice/zz", 404, 5, "unable to locate invoice"),
        (
            &format!("/v1/invoice/{}", "00".repeat(32)),
            404,
            5,
            "unable to locate invoice",
        ),
        (
            &format!("/v1/payreq/{MAINNET}"),
            500,
            2,
            "invoice not for current active network 'regtest'",
        ),
        (
            "/v1/invoices?num_max_invoices=x",
            400,
            3,
            "parsing the query: invalid digit found in string",
        ),
    ] {
        let reply = rest.get(path).await;
        let expected = json!({"code": code, "message": text, "details": []});
        assert_eq!((reply.status, reply.json()), (status, expected), "{path}");
    }
    let untracked = rest.get(&format!("/v2/router/track/{unknown}")).await;
    assert_eq!(untracked.status, 404);
    assert_eq!(
        untracked.json()["error"]["message"],
        "payment isn't initiated"
    );
    let other_verb = whole(rest.send("DELETE", "/v1/getinfo", "").await).await;
    assert_eq!(
        (other_verb.status, other_verb.json()["code"].clone()),
        (501, json!(12))
    );
}

#[tokio::test]
async fn bodies_are_read_as_lnds_proxy_reads_them() {
    let network = Network::start().await;
    let mut rest = Rest::admin(network.lnd.seller()).await;
    for body in [r#"{"valueMsat": "1500"}"#, r#"{"value_msat": 1500}"#, ""] {
        let reply = rest.post("/v1/invoices", body).await;
        assert_eq!(reply.status, 200, "{body}: {}", reply.body);
    }
    for (body, status, code) in [
        (r#"{"nosuch": 1}"#, 400, 3),
        (r#"{"value": "ten"}"#, 400, 3),
        (r#"{"r_preimage": "%%"}"#, 400, 3),
        ("{", 400, 3),
        (r#"{"value": "-1"}"#, 500, 2),
        (r#"{"value": "1", "value_msat": "1000"}"#, 500, 2),
    ] {
        let reply = rest.post("/v1/invoices", body).await;
        assert_eq!(
            (reply.status, reply.json()["code"].clone()),
            (status, json!(code)),
            "{body}"
        );
    }
    let huge = format!(r#"{{"memo": "{}"}}"#, "m".repeat(2 * 1024 * 1024));
    assert_eq!(rest.post("/v1/invoices", &huge).await.status, 400);
}

#[tokio::test]
async fn a_connection_serves_the_next_request_after_a_refused_one() {
    let network = Network::start().await;
    let mut rest = Rest::admin(network.lnd.seller()).await;
    let body = "b".repeat(600 * 1024);
    for path in ["/v1/nosuch", "/v1/getinfo", "/v2/invoices/hodl"] {
        let refused = rest.post(path, &body).await;
        assert!([404, 501].contains(&refused.status), "{}", refused.body);
        assert_eq!(rest.get("/v1/getinfo").await.status, 200, "after {path}");
    }
}

#[tokio::test]
async fn a_body_too_large_to_be_read_ends_the_connection_and_says_so() {
    let network = Network::start().await;
    let mut rest = Rest::admin(network.lnd.seller()).await;

    let refused = rest
        .send("POST", "/v1/nosuch", &"b".repeat(1024 * 1024 + 16 * 1024))
        .await;

    assert_eq!(refused.headers()["connection"], "close");
    assert_eq!(whole(refused).await.status, 404);
}

#[tokio::test]
async fn a_listing_larger_than_four_mebibytes_is_returned_whole() {
    let network = Network::start().await;
    let mut rest = Rest::admin(network.lnd.seller()).await;
    for _ in 0..2_500 {
        let new = NewInvoice {
            description: InvoiceDescription::Memo("m".repeat(639)),
            amount: None,
            expiry_secs: None,
            preimage: None,
        };
        network.sandbox().seller().add_invoice(new).unwrap();
    }

    let listed = rest.get("/v1/invoices?num_max_invoices=50000").await;

    assert_eq!(listed.status, 200, "{:.200}", listed.body);
    assert!(listed.body.len() > 4 * 1024 * 1024);
    let invoices = listed.json()["invoices"].as_array().unwrap().len();
    assert_eq!(invoices, 2_500);
}

#[tokio::test]
async fn permissions_hold_over_rest_too() {
    let network = Network::start().await;
    let mut none = Rest::presenting(network.lnd.seller(), None).await;
    let mut readonly = Rest::with(network.lnd.seller(), "readonly").await;

    let missing = none.get("/v1/getinfo").await;
    let missing_stream = none.post("/v2/router/send", "{}").await;
    let denied = readonly.post("/v1/invoices", "{}").await;

    let error = |text: &str| json!({"code": 2, "message": text, "details": []});
    assert_eq!(
        (missing.status, missing.json()),
        (500, error("expected 1 macaroon, got 0"))
    );
    assert_eq!(
        missing_stream.json(),
        json!({"error": error("expected 1 macaroon, got 0")})
    );
    assert_eq!(
        (denied.status, denied.json()),
        (500, error("permission denied"))
    );
    assert_eq!(readonly.get("/v1/getinfo").await.status, 200);
    assert_eq!(
        none.get("/v1/state").await.json(),
        json!({"state": "SERVER_ACTIVE"})
    );
}

#[tokio::test]
async fn a_subscriber_over_rest_gets_each_invoice_as_it_comes() {
    let network = Network::start().await;
    let mut seller = Rest::admin(network.lnd.seller()).await;
    let mut subscriber = Rest::admin(network.lnd.seller()).await;
    seller.post("/v1/invoices", r#"{"value": 1}"#).await;
    seller.post("/v1/invoices", r#"{"value": 2}"#).await;

    let answer = subscriber
        .send("GET", "/v1/invoices/subscribe?add_index=1", "")
        .await;
    let mut body = answer.into_body();
    let second = line(&mut body).await;
    seller.post("/v1/invoices", r#"{"value": 3}"#).await;
    let third = line(&mut body).await;

    assert_eq!(second["result"]["add_index"], "2");
    assert_eq!(
        (&third["result"]["add_index"], &third["result"]["value"]),
        (&json!("3"), &json!("3"))
    );
}

#[tokio::test]
async fn rest_is_answered_over_http_2_on_the_same_port() {
    let network = Network::start().await;
    let stream = TokioIo::new(dial(network.lnd.seller().access(), b"h2").await);
    let (mut sender, connection) =
        hyper::client::conn::http2::handshake(TokioExecutor::new(), stream)
            .await
            .unwrap();
    tokio::spawn(connection);
    let macaroon = hex(&read(&network.lnd.seller().access().macaroons["admin"]));
    let request = http::Request::get("https://localhost/v1/getinfo")
        .header("Grpc-Metadata-macaroon", macaroon)
        .body(String::new())
        .unwrap();

    let reply = whole(sender.send_request(request).await.unwrap()).await;

    assert_eq!(reply.status, 200);
    assert_eq!(reply.json()["alias"], "seller");
}

#[tokio::test]
async fn plain_http_gets_no_answer() {
    let network = Network::start().await;
    let mut stream = tokio::net::TcpStream::connect(network.lnd.seller().access().address)
        .await
        .unwrap();

    stream
        .write_all(b"GET /v1/state HTTP/1.1\r\nhost: localhost\r\n\r\n")
        .await
        .unwrap();
    let mut answer = vec![];
    // A TLS alert or a reset, never HTTP.
    let _reset = stream.read_to_end(&mut answer).await;

    assert!(
        !answer.starts_with(b"HTTP"),
        "{}",
        String::from_utf8_lossy(&answer)
    );
}

async fn line(body: &mut hyper::body::Incoming) -> Value {
    let frame = body.frame().await.unwrap().unwrap();
    serde_json::from_slice(frame.data_ref().unwrap()).unwrap()
}
