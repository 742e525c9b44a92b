//! Order of the modules of this crate: a file uses only files that come before it.
#![allow(
    clippy::panic,
    clippy::unwrap_used,
    reason = "a test that cannot read the sources has failed"
)]

use std::collections::BTreeSet;
use std::fs;
use std::path::Path;

/// Every file that holds code, lowest first. The crate's root and the folders only list modules.
const ORDER: &[&str] = &[
    "conn::activity",
    "conn::clients",
    "conn::proxies",
    "conn::proxy_header",
    "conn::descriptors",
    "conn::executor",
    "conn::tcp",
    "conn::tls",
    "conn::rewind",
    "conn::detect",
    "conn::listener",
    "conn::registry",
    "upstream::tls",
    "upstream::target",
    "upstream::health",
    "config",
    "admin::metrics",
    "admin::telemetry",
    "admin::access_log",
    "request::kind",
    "request::request_id",
    "request::route",
    "request::headers",
    "request::forwarded",
    "upstream::upload",
    "upstream::slots",
    "upstream::stream",
    "upstream::error",
    "upstream::h1::request",
    "upstream::h1::response",
    "upstream::h1::decoder",
    "upstream::h1::connection",
    "upstream::h1::sender",
    "upstream::h1::exchange",
    "upstream::h2::connection",
    "upstream::h2::sender",
    "upstream::dial",
    "upstream::connect",
    "request::admit",
    "upstream::h2::shared",
    "upstream::h2::exchange",
    "upstream::idle",
    "upstream::response",
    "upstream::pool",
    "upstream::attempt",
    "core",
    "conn::client",
    "request::problem",
    "request::in_flight",
    "request::reply",
    "request::drain",
    "request::upgrade",
    "request::exchange",
    "conn::connection",
    "worker",
    "admin::server",
    "gateway",
];

#[test]
fn no_module_uses_one_above_it() {
    for (place, module) in ORDER.iter().enumerate() {
        let below = ORDER.get(..place).unwrap();
        for used in uses(&source_of(module)) {
            let found = below.iter().any(|name| {
                used.strip_prefix(name)
                    .is_some_and(|rest| rest.is_empty() || rest.starts_with("::"))
            });
            assert!(found, "{module} must not use crate::{used}");
        }
    }
}

#[test]
fn every_module_has_a_place_in_the_order() {
    let mut found = BTreeSet::new();
    let folders = [
        "",
        "admin",
        "conn",
        "request",
        "upstream",
        "upstream/h1",
        "upstream/h2",
    ];
    for folder in folders {
        for entry in fs::read_dir(root().join(folder)).unwrap() {
            let path = entry.unwrap().path();
            let name = path.file_stem().unwrap().to_str().unwrap().to_owned();
            let lists_modules = root().join(folder).join(&name).is_dir();
            if path.is_file() && !lists_modules && name != "lib" {
                found.insert(match folder {
                    "" => name,
                    _ => format!("{}::{name}", folder.replace('/', "::")),
                });
            }
        }
    }

    assert_eq!(found, ORDER.iter().map(|name| (*name).to_owned()).collect());
}

/// What a source names of this crate, outside comments.
fn uses(source: &str) -> Vec<&str> {
    let code = source
        .lines()
        .filter(|line| !line.trim_start().starts_with("//"));
    code.flat_map(|line| line.split("crate::").skip(1))
        .filter_map(|path| path.split([';', '{', '(', ' ', ',']).next())
        .map(|path| path.trim_end_matches("::"))
        .collect()
}

fn source_of(module: &str) -> String {
    let path = root().join(module.replace("::", "/")).with_extension("rs");
    fs::read_to_string(&path).unwrap_or_else(|error| panic!("{}: {error}", path.display()))
}

fn root() -> &'static Path {
    Path::new(concat!(env!("CARGO_MANIFEST_DIR"), "/src"))
}
