//! The admin port, and what does not start.

use http::StatusCode;
use tollway_gateway::{Gateway, GatewayLimits, Price, RoutingError, StartError, metrics};

use crate::support::client::{Client, empty, get, shout};
use crate::support::shop::Shop;
use crate::support::upstream::Upstream;
use crate::support::{self};

#[tokio::test]
async fn metrics_count_what_was_sold_and_what_was_refused() {
    let shop = Shop::open().await;
    let upstream = Upstream::sunny().await;
    let running = support::start(shop.price(), upstream.address);
    let mut client = Client::http1(support::http(&running)).await;
    let line = shop.authorization().await;
    client.ask(get("/").body(empty()).unwrap()).await;
    client
        .ask(
            get("/")
                .header("authorization", "L402 broken")
                .body(empty())
                .unwrap(),
        )
        .await;
    for _ in 0..3 {
        client
            .ask(
                get("/")
                    .header("authorization", &line)
                    .body(empty())
                    .unwrap(),
            )
            .await;
    }

    let mut admin = Client::http1(running.addresses().admin.unwrap()).await;
    let page = admin.ask(get("/metrics").body(empty()).unwrap()).await;

    assert_eq!(page.status, StatusCode::OK);
    for line in [
        "tollway_requests_total{service=\"weather\",status=\"2xx\"} 3\n",
        "tollway_requests_total{service=\"weather\",status=\"4xx\"} 2\n",
        "tollway_challenges_total{service=\"weather\"} 2\n",
        "tollway_refusals_total{service=\"weather\",reason=\"no_credential\"} 1\n",
        "tollway_refusals_total{service=\"weather\",reason=\"malformed\"} 1\n",
        "tollway_tokens_first_used_total{service=\"weather\"} 1\n",
        "tollway_revenue_msat_total{service=\"weather\"} 10000\n",
        "tollway_upstream_seconds_count{service=\"weather\"} 3\n",
        "tollway_requests_in_flight{service=\"weather\"} 0\n",
        "tollway_requests_in_flight{service=\"(none)\"} 0\n",
        "tollway_upstream_up{service=\"weather\"} 1\n",
    ] {
        assert!(page.body.contains(line), "{line} in\n{}", page.body);
    }
    assert!(!page.body.contains(&line), "a credential is in the metrics");
}

#[tokio::test]
async fn every_line_of_the_metrics_is_in_their_table() {
    let shop = Shop::open().await;
    let upstream = Upstream::sunny().await;
    let running = support::start(shop.price(), upstream.address);
    let line = shop.authorization().await;
    let mut client = Client::http1(support::http(&running)).await;
    for line in [&line, "L402 broken"] {
        let request = get("/").header("authorization", line);
        client.ask(request.body(empty()).unwrap()).await;
    }

    let mut admin = Client::http1(running.addresses().admin.unwrap()).await;
    let page = admin.ask(get("/metrics").body(empty()).unwrap()).await;

    let heads = page.body.lines().filter(|line| line.starts_with('#'));
    let expected = metrics::TABLE.iter().flat_map(|metric| {
        let (name, kind) = (metric.name, metric.kind.as_str());
        [
            format!("# HELP {name} {}", metric.help),
            format!("# TYPE {name} {kind}"),
        ]
    });
    assert_eq!(heads.collect::<Vec<_>>(), expected.collect::<Vec<_>>());
    let samples = page.body.lines().filter(|line| !line.starts_with('#'));
    for sample in samples {
        let (name, labels) = sample
            .rsplit_once(' ')
            .unwrap()
            .0
            .split_once('{')
            .unwrap_or((sample, ""));
        let metric = metrics::TABLE
            .iter()
            .find(|metric| name.starts_with(metric.name))
            .unwrap();
        let labels = labels
            .trim_end_matches('}')
            .split(',')
            .filter(|label| !label.is_empty());
        for label in labels {
            let (label, value) = label.split_once('=').unwrap();
            let known = metric
                .labels
                .iter()
                .find(|known| known.name == label)
                .unwrap();
            let value = value.trim_matches('"');
            assert!(
                known.values.is_empty() || known.values.contains(&value),
                "{sample}"
            );
        }
    }
}

#[tokio::test]
async fn health_has_its_own_path() {
    let running = support::start_with(support::nothing(), GatewayLimits::default());
    let mut admin = Client::http1(running.addresses().admin.unwrap()).await;
    for (path, status) in [("/healthz", 200), ("/", 404), ("/metrics/x", 404)] {
        let answer = admin.ask(get(path).body(empty()).unwrap()).await;
        assert_eq!(answer.status.as_u16(), status, "{path}");
    }
}

#[tokio::test]
async fn a_name_that_another_site_could_have_is_refused() {
    let running = support::start_with(support::nothing(), GatewayLimits::default());
    let address = running.addresses().admin.unwrap();
    for (host, status) in [
        ("127.0.0.1", 200),
        ("[::1]:9402", 200),
        ("LocalHost:9402", 200),
        ("tollway:9402", 200),
        ("localhost.", 200),
        ("rebound.example", 403),
        ("rebound.example:9402", 403),
        ("127.0.0.1.nip.io", 403),
        ("a b", 403),
        ("", 403),
    ] {
        for path in ["/metrics", "/healthz", "/readyz"] {
            let request =
                format!("GET {path} HTTP/1.1\r\nHost: {host}\r\nConnection: close\r\n\r\n");
            let answer = support::soon(shout(address, &request)).await;
            let begins = format!("HTTP/1.1 {status} ");
            assert!(answer.starts_with(&begins), "{host}: {answer}");
        }
    }
    let old = support::soon(shout(address, "GET /healthz HTTP/1.0\r\n\r\n")).await;
    assert!(old.starts_with("HTTP/1.0 200 "), "{old}");
}

#[tokio::test]
async fn a_gateway_that_is_about_to_stop_serves_and_is_healthy_and_not_ready() {
    let upstream = Upstream::sunny().await;
    let running = support::start(Price::Free, upstream.address);
    let mut admin = Client::http1(running.addresses().admin.unwrap()).await;

    running.announce_stop();

    for (path, status) in [("/healthz", 200), ("/readyz", 503)] {
        let answer = admin.ask(get(path).body(empty()).unwrap()).await;
        assert_eq!(answer.status.as_u16(), status, "{path}");
    }
    let mut late = Client::http1(support::http(&running)).await;
    let answer = late.ask(get("/").body(empty()).unwrap()).await;
    assert_eq!(answer.status, StatusCode::OK);
}

#[tokio::test]
async fn what_cannot_work_does_not_start() {
    let mut nowhere = support::config(support::nothing(), GatewayLimits::default());
    nowhere.http = None;
    assert!(matches!(
        Gateway::start(nowhere),
        Err(StartError::NothingToListenOn)
    ));

    let running = support::start_with(support::nothing(), GatewayLimits::default());
    let mut taken = support::config(support::nothing(), GatewayLimits::default());
    taken.http = Some(support::http(&running));
    assert!(matches!(
        Gateway::start(taken),
        Err(StartError::Listen { .. })
    ));

    let mut no_certificate = support::config(support::nothing(), GatewayLimits::default());
    let folder = tempfile::tempdir().unwrap();
    no_certificate.https = Some(tollway_gateway::TlsListener {
        address: support::any_port(),
        certificate: folder.path().join("missing.pem"),
        key: folder.path().join("missing.pem"),
    });
    assert!(matches!(
        Gateway::start(no_certificate),
        Err(StartError::Tls(_))
    ));

    let mut relative = support::single(Price::Free, support::any_port());
    relative.routes[0].path_prefix = "api".to_owned();
    let relative = support::config(relative, GatewayLimits::default());
    assert!(matches!(
        Gateway::start(relative),
        Err(StartError::Routing(RoutingError::RelativePath { .. }))
    ));
}
