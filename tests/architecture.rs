//! Dependency rules between the crates.
//!
//! The map is in `ARCHITECTURE.md`. A new edge is a change of design: edit the map too.
#![allow(
    clippy::indexing_slicing,
    clippy::panic,
    clippy::unwrap_used,
    reason = "a test that cannot read the workspace has failed"
)]

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::path::Path;
use std::process::Command;

/// Every edge between our own crates.
const ALLOWED: &[(&str, &[&str])] = &[
    ("l402", &[]),
    (
        "tollway",
        &[
            "l402",
            "tollway-client",
            "tollway-gateway",
            "tollway-lightning",
            "tollway-sandbox",
            "tollway-server",
        ],
    ),
    ("tollway-client", &["l402", "tollway-lightning"]),
    (
        "tollway-gateway",
        &["l402", "tollway-lightning", "tollway-server"],
    ),
    ("tollway-lightning", &["l402"]),
    ("tollway-sandbox", &["l402", "tollway-lightning"]),
    ("tollway-server", &["l402", "tollway-lightning"]),
];

/// Programs for developers: they may depend on every crate, and no crate depends on them.
const TOOLS: &[&str] = &["tollway-bench", "xtask"];

/// The dependencies allowed to `l402`. A new entry is argued in `docs/adr/`.
const L402_MAY_USE: &[&str] = &[
    "base64",
    "lightning-invoice",
    "serde",
    "serde_json",
    "sha2",
    "subtle",
    "thiserror",
    "zeroize",
];

#[test]
fn dependencies_point_inward() {
    let ours: BTreeMap<String, BTreeSet<String>> = dependencies()
        .into_iter()
        .filter(|(name, _)| !TOOLS.contains(&name.as_str()))
        .collect();
    let names: BTreeSet<&String> = ours.keys().collect();
    for (name, found) in &ours {
        let allowed = ALLOWED
            .iter()
            .find(|(crate_name, _)| crate_name == name)
            .map(|(_, allowed)| *allowed);
        let allowed = allowed.unwrap_or_else(|| panic!("crate `{name}` is not on the map"));
        for dependency in found.iter().filter(|dependency| names.contains(dependency)) {
            assert!(
                allowed.contains(&dependency.as_str()),
                "{name} must not depend on {dependency}"
            );
        }
    }
    assert_eq!(ours.len(), ALLOWED.len(), "a crate on the map is missing");
}

#[test]
fn the_protocol_depends_on_nothing_that_could_do_io() {
    let l402 = &dependencies()["l402"];
    let allowed: BTreeSet<String> = L402_MAY_USE.iter().map(|name| (*name).to_owned()).collect();
    assert_eq!(*l402, allowed);
}

#[test]
fn every_library_has_a_readme_and_an_example() {
    for (name, _edges) in ALLOWED.iter().filter(|(name, _edges)| *name != "tollway") {
        let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("..").join(name);
        assert!(folder.join("README.md").is_file(), "{name} has no README");
        let examples = fs::read_dir(folder.join("examples")).map(Iterator::count);
        assert!(
            examples.is_ok_and(|count| count > 0),
            "{name} has no example"
        );
    }
}

/// Returns the dependencies of each workspace crate, without dev-dependencies.
fn dependencies() -> BTreeMap<String, BTreeSet<String>> {
    let manifest = concat!(env!("CARGO_MANIFEST_DIR"), "/../../Cargo.toml");
    let output = Command::new(env!("CARGO"))
        .args([
            "metadata",
            "--no-deps",
            "--offline",
            "--format-version",
            "1",
            "--manifest-path",
            manifest,
        ])
        .output()
        .unwrap();
    let metadata: serde_json::Value = serde_json::from_slice(&output.stdout).unwrap();
    let text = |value: &serde_json::Value| value.as_str().unwrap().to_owned();
    let names = |package: &serde_json::Value| {
        let all = package["dependencies"].as_array().unwrap().clone();
        all.iter()
            .filter(|dependency| dependency["kind"].is_null())
            .map(|dependency| text(&dependency["name"]))
            .collect()
    };
    metadata["packages"]
        .as_array()
        .unwrap()
        .iter()
        .map(|package| (text(&package["name"]), names(package)))
        .collect()
}
