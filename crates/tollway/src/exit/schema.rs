//! JSON schema of a failure, compared with the one in the guide.

use std::path::Path;
use std::{env, fs};

use serde_json::{Map, Value, json};

use super::{FailureKind, rows};

/// `SNAPSHOTS=overwrite` writes the file.
#[test]
fn the_schema_in_the_guide_is_that_of_the_tables() {
    let file = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../docs/guide/src/error.schema.json");
    let schema = format!("{:#}\n", schema());
    if env::var("SNAPSHOTS").is_ok_and(|mode| mode == "overwrite") {
        fs::write(&file, &schema).unwrap();
    }
    assert_eq!(
        fs::read_to_string(&file).unwrap_or_default(),
        schema,
        "SNAPSHOTS=overwrite writes {}",
        file.display()
    );
}

#[test]
fn the_guide_explains_every_field() {
    let page = include_str!("../../../../docs/guide/src/errors.md");
    for (name, _kind) in FIELDS {
        assert!(page.contains(&format!("`{name}`")), "{name}");
    }
}

fn schema() -> Value {
    let codes: Vec<&str> = rows().map(|(_code, name, _meaning)| name).collect();
    let mut exit_codes: Vec<u8> = rows().map(|(code, _name, _meaning)| code).collect();
    exit_codes.dedup();
    let mut properties = Map::new();
    for (name, value) in [
        ("error", json!({ "const": true })),
        ("code", json!({ "enum": codes })),
        ("exit_code", json!({ "enum": exit_codes })),
        ("message", json!({ "type": "string" })),
        (
            "warnings",
            json!({ "type": "array", "items": { "type": "string" } }),
        ),
        (
            "paid",
            json!({ "anyOf": [{ "type": "null" }, { "$ref": "#/$defs/payment" }] }),
        ),
        (
            "paid_before",
            json!({ "type": "array", "items": { "$ref": "#/$defs/payment" } }),
        ),
    ] {
        properties.insert(name.to_owned(), value);
    }
    for (name, kind) in FIELDS {
        properties.insert((*name).to_owned(), json!({ "type": kind }));
    }
    json!({
        "$schema": "https://json-schema.org/draft/2020-12/schema",
        "title": "A failure of tollway, as --json prints it on standard error",
        "description": "Codes, exit codes and fields are stable: what is here stays; new codes and fields may be added.",
        "type": "object",
        "required": ["error", "code", "exit_code", "message", "warnings", "paid"],
        "properties": properties,
        "additionalProperties": false,
        "allOf": conditions(),
        "$defs": { "payment": payment() },
    })
}

/// Returns the exit code and the fields of each code.
fn conditions() -> Vec<Value> {
    let all = FailureKind::ALL.into_iter();
    all.map(|kind| {
        let fields = REQUIRED.iter().find(|(code, _fields)| *code == kind.name());
        let mut then = json!({ "properties": { "exit_code": { "const": kind.code() } } });
        if let Some((_code, fields)) = fields {
            then["required"] = json!(fields);
        }
        json!({
            "if": { "properties": { "code": { "const": kind.name() } } },
            "then": then,
        })
    })
    .collect()
}

fn payment() -> Value {
    json!({
        "type": "object",
        "required": ["state", "price_msat", "fee_msat", "payment_hash", "origin"],
        "properties": {
            "state": { "enum": ["settled", "unknown"] },
            "price_msat": { "type": "integer" },
            "fee_msat": { "type": ["integer", "null"] },
            "payment_hash": { "type": "string" },
            "origin": { "type": ["string", "null"] },
        },
        "additionalProperties": false,
    })
}

/// The fields of some codes, each with its type. A failure after a payment keeps the fields of
/// its cause.
const FIELDS: &[(&str, &str)] = &[
    ("expires_at", "integer"),
    ("fee_max_msat", "integer"),
    ("invoice", "string"),
    ("limit_msat", "integer"),
    ("needed_msat", "integer"),
    ("offered", "object"),
    ("origin", "string"),
    ("payment_hash", "string"),
    ("price_msat", "integer"),
    ("reason", "string"),
    ("recovered", "array"),
    ("replaced", "array"),
    ("retry_after", "integer"),
    ("status", "integer"),
    ("until", "integer"),
    ("used_msat", "integer"),
];

/// The fields that a code always has.
const REQUIRED: &[(&str, &[&str])] = &[
    ("credential_refused", &["status"]),
    ("paid_refused", &["status"]),
    ("rate_limited", &["status"]),
    (
        "payment_required",
        &[
            "price_msat",
            "invoice",
            "payment_hash",
            "expires_at",
            "origin",
        ],
    ),
    ("over_limit", &["price_msat", "limit_msat"]),
    (
        "over_day_limit",
        &["needed_msat", "used_msat", "limit_msat"],
    ),
    (
        "over_host_limit",
        &["needed_msat", "used_msat", "limit_msat"],
    ),
    (
        "over_total_limit",
        &["needed_msat", "used_msat", "limit_msat"],
    ),
];
