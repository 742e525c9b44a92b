//! The files in `vectors/`, run against this crate.
//!
//! Every language that reads tokens runs the same files; `vectors/README.md` describes them. An
//! error is named by its variant.
#![allow(
    clippy::unwrap_used,
    clippy::panic,
    clippy::indexing_slicing,
    clippy::arithmetic_side_effects,
    reason = "a test that cannot go on has failed"
)]

mod challenge;
mod credential;
mod golden;
mod identifier;
mod invoice;
mod macaroon;
mod published;
mod verify;

use std::fmt::Debug;
use std::path::Path;

use serde::Deserialize;
use serde::de::DeserializeOwned;

/// A file of what a reader accepts and what it refuses.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Vectors<Valid, Invalid> {
    #[serde(rename = "about")]
    _about: String,
    #[serde(alias = "readable")]
    valid: Vec<Valid>,
    #[serde(alias = "unreadable")]
    invalid: Vec<Invalid>,
}

/// Reads one file of `vectors/`. A field that no test looks at is an error.
fn read<T: DeserializeOwned>(file: &str) -> T {
    let path = Path::new(env!("CARGO_MANIFEST_DIR"))
        .join("../../vectors")
        .join(file);
    let text = std::fs::read(&path).unwrap_or_else(|error| panic!("{}: {error}", path.display()));
    serde_json::from_slice(&text).unwrap_or_else(|error| panic!("{}: {error}", path.display()))
}

fn bytes(hex: &str) -> Vec<u8> {
    hex::decode(hex).unwrap()
}

fn array(hex: &str) -> [u8; 32] {
    bytes(hex).try_into().unwrap()
}

/// The name of an error's variant.
fn variant(error: &impl Debug) -> String {
    let shown = format!("{error:?}");
    let end = shown.find([' ', '(', '{']).unwrap_or(shown.len());
    shown[..end].to_owned()
}
