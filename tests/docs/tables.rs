//! Tables of the guide, compared with the program row by row.

use std::collections::BTreeSet;
use std::fs;
use std::path::Path;

use l402::{Caveat, Identifier, Macaroon, PaymentHash, RootKey, TokenId};
use tollway_client::DEFAULT_LIMITS;
use tollway_gateway::metrics;

use crate::tollway::{self, error_of};
use crate::{page, rows};

#[test]
fn each_name_of_a_caveat_writes_the_condition_in_its_row() {
    let token = token();
    let table = rows(&page("tokens"), "| name | condition | example |");
    for row in &table {
        let example = row[2].replace("SHA256_IN_HEX", &"ab".repeat(32));
        let added = tollway::json(&["token", "attenuate", &token, &example, "--json"]);
        let added = added["added"][0].as_str().unwrap().to_owned();
        let condition = row[1].replace("SERVICE", "weather");
        assert!(
            added.starts_with(&format!("{condition}=")),
            "{row:?}: {added}"
        );
        assert!(example.starts_with(&format!("{}=", row[0])), "{row:?}");
    }
    let names: BTreeSet<String> = table.iter().map(|row| row[0].clone()).collect();
    let refused = error_of(&["token", "attenuate", &token, "colour=red"]);
    assert_eq!(names, known_in(&refused));
}

#[test]
fn every_key_of_the_configuration_is_in_its_table() {
    let table = rows(&page("configuration"), "| section | key |");
    let mut sections = known_to("colour = 1\n");
    sections.remove("wallets");
    for section in sections {
        let documented: BTreeSet<String> = table
            .iter()
            .filter(|row| row[0] == format!("[{section}]"))
            .map(|row| row[1].clone())
            .collect();
        assert_eq!(documented, known_to(&format!("[{section}]\ncolour = 1\n")));
    }
}

#[test]
fn every_field_of_a_wallet_is_in_its_table() {
    let table = rows(&page("configuration"), "| field | meaning |");
    let documented: BTreeSet<String> = table.into_iter().map(|row| row[0].clone()).collect();
    let config = "[wallets]\nnode = { lnd = \"h:1\", macaroon = \"m\", colour = \"red\" }\n";
    assert_eq!(documented, known_to(config));
}

#[test]
fn the_limits_have_the_documented_defaults() {
    for (page_name, first_line) in [
        ("buying", "| flag | key in `[get]` | default |"),
        ("configuration", "| section | key | type | default |"),
    ] {
        let table = rows(&page(page_name), first_line);
        let default = |key: &str| {
            let row = table.iter().find(|row| row[1] == key).unwrap();
            let cell = if row.len() > 4 { &row[3] } else { &row[2] };
            cell.clone()
        };
        assert_eq!(default("max_cost"), DEFAULT_LIMITS.price_max.to_string());
        assert_eq!(default("max_fee"), DEFAULT_LIMITS.fee_max.to_string());
        let per_day = DEFAULT_LIMITS.per_day.unwrap();
        assert_eq!(default("max_per_day"), per_day.to_string());
        assert_eq!(default("max_per_host"), "none");
        assert_eq!(default("max_total"), "none");
    }
}

#[test]
fn every_metric_is_in_its_table_with_its_labels() {
    let page = page("metrics");
    let table = rows(&page, "| name | type | labels | meaning |");
    let expected: Vec<Vec<String>> = metrics::TABLE
        .iter()
        .map(|metric| {
            let labels: Vec<&str> = metric.labels.iter().map(|label| label.name).collect();
            let labels = match labels.is_empty() {
                true => "–".to_owned(),
                false => labels.join(", "),
            };
            let kind = metric.kind.as_str().to_owned();
            vec![metric.name.to_owned(), kind, labels, metric.help.to_owned()]
        })
        .collect();
    assert_eq!(table, expected);
}

#[test]
fn every_label_is_in_its_table_with_its_values() {
    let page = page("metrics");
    let labels = rows(&page, "| label | values |");
    let reasons: BTreeSet<String> = rows(&page, "| reason | meaning |")
        .into_iter()
        .map(|row| row[0].clone())
        .collect();
    for label in metrics::TABLE.iter().flat_map(|metric| metric.labels) {
        let row = labels.iter().find(|row| row[0] == label.name);
        let row = row.unwrap_or_else(|| panic!("no row for `{}`", label.name));
        if label.name == "reason" {
            let words = label.values.iter().map(|word| (*word).to_owned());
            assert_eq!(reasons, words.collect());
        } else {
            let values = label.values.iter();
            let missing: Vec<_> = values.filter(|value| !row[1].contains(**value)).collect();
            assert!(missing.is_empty(), "{}: {missing:?}", label.name);
        }
    }
    let service = labels.iter().find(|row| row[0] == "service").unwrap();
    assert!(service[1].contains(metrics::NO_SERVICE));
}

/// Returns the keys that the program knows where `config` has an unknown one.
fn known_to(config: &str) -> BTreeSet<String> {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("config.toml");
    fs::write(&file, config).unwrap();
    known_in(&refusal_of(&file))
}

/// Returns why no gateway starts with a configuration.
fn refusal_of(config: &Path) -> String {
    let config = config.to_str().unwrap();
    let serve = ["serve", "--upstream", "127.0.0.1:1", "--price", "1sat"];
    let wallet = ["--wallet", "node", "--config", config];
    error_of(&[&serve[..], &wallet[..]].concat())
}

/// Reads the list that ends an error: `(known: a, b; and more)`.
fn known_in(message: &str) -> BTreeSet<String> {
    let (_, list) = message
        .split_once("known: ")
        .unwrap_or_else(|| panic!("no list of what is known: {message}"));
    let list = list.split([')', ';']).next().unwrap();
    list.split(", ").map(str::to_owned).collect()
}

/// Returns a token for the service `weather`.
fn token() -> String {
    let identifier = Identifier {
        payment_hash: PaymentHash::new([1; 32]),
        token_id: TokenId::new([2; 32]),
    };
    let root_key = RootKey::new([7; 32]);
    let macaroon = Macaroon::mint(&root_key, "lsat", &identifier.to_bytes()).unwrap();
    let caveats = ["services=weather:0", "weather_capabilities=read,write"];
    let sold = caveats.iter().fold(macaroon, |macaroon, caveat| {
        let caveat = Caveat::parse(caveat).unwrap();
        macaroon.with_caveat(caveat).unwrap()
    });
    sold.to_base64()
}
