//! `invoice.json`: invoices of every network, and what is wrong with others.

use l402::{Invoice, Network, UnixSeconds};
use serde::Deserialize;

use super::{read, variant};

type Vectors = super::Vectors<Readable, Unreadable>;

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Readable {
    name: String,
    text: String,
    network: String,
    amount_msat: Option<u64>,
    payment_hash: String,
    expires_at: u64,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Unreadable {
    name: String,
    text: String,
    error: String,
}

fn vectors() -> Vectors {
    read("invoice.json")
}

#[test]
fn the_facts_of_every_invoice_are_read() {
    for vector in vectors().valid {
        let invoice = Invoice::parse(&vector.text).unwrap();

        let name = &vector.name;
        assert_eq!(Ok(invoice.network()), vector.network.parse(), "{name}");
        assert_eq!(
            invoice.amount().map(l402::Msat::as_msat),
            vector.amount_msat,
            "{name}"
        );
        assert_eq!(
            invoice.payment_hash().to_string(),
            vector.payment_hash,
            "{name}"
        );
        assert_eq!(
            invoice.expires_at(),
            UnixSeconds::new(vector.expires_at),
            "{name}"
        );
        assert_eq!(invoice.as_str(), vector.text, "{name}");
    }
}

#[test]
fn all_five_networks_are_told_apart() {
    let mut found: Vec<Network> = Vec::new();
    for vector in vectors().valid {
        let network = Invoice::parse(&vector.text).unwrap().network();
        if !found.contains(&network) {
            found.push(network);
        }
    }
    assert_eq!(found.len(), 5);
}

#[test]
fn damaged_and_foreign_texts_are_refused_for_the_reason_given() {
    for vector in vectors().invalid {
        match Invoice::parse(&vector.text) {
            Ok(_) => panic!("{}: was read", vector.name),
            Err(error) => assert_eq!(variant(&error), vector.error, "{}: {error}", vector.name),
        }
    }
}

#[test]
fn no_single_character_of_an_invoice_can_be_changed() {
    let vector = vectors().valid.into_iter().next().unwrap();
    for at in 0..vector.text.len() {
        let mut changed = vector.text.clone().into_bytes();
        changed[at] = if changed[at] == b'q' { b'p' } else { b'q' };
        let changed = String::from_utf8(changed).unwrap();
        assert!(Invoice::parse(&changed).is_err(), "character {at}");
    }
}
