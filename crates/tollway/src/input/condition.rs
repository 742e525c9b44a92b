//! Conditions of caveats as they are typed, with an example of each.

/// Returns the condition that is typed by this name.
pub(crate) fn named(name: &str) -> Option<&'static Name> {
    NAMES.iter().find(|known| known.name == name)
}

/// Returns the list of names for `--help`.
pub(crate) fn help() -> String {
    let mut text = "Conditions, each with an example:".to_owned();
    for name in NAMES {
        text.push_str(&format!("\n  {:<31}  {}", name.example, name.meaning));
    }
    text.push_str(
        "\n\nThe names of the macaroon itself (path_prefix, max_uses, …) are read as well.\nThe copies of a token share one counter of uses.",
    );
    text
}

/// A condition as it is typed, and as it is written.
pub(crate) struct Name {
    pub(crate) name: &'static str,
    pub(crate) condition: &'static str,
    pub(crate) example: &'static str,
    pub(crate) meaning: &'static str,
}

/// The conditions that a person may add.
pub(crate) const NAMES: &[Name] = &[
    Name {
        name: "path",
        condition: "path_prefix",
        example: "path=/v1",
        meaning: "this path and those below it",
    },
    Name {
        name: "method",
        condition: "method",
        example: "method=GET,HEAD",
        meaning: "these methods",
    },
    Name {
        name: "expires",
        condition: "valid_until",
        example: "expires=1h",
        meaning: "from now; or a date, 2027-01-31",
    },
    Name {
        name: "uses",
        condition: "max_uses",
        example: "uses=5",
        meaning: "requests, those already made included",
    },
    Name {
        name: "ip",
        condition: "ip",
        example: "ip=203.0.113.7",
        meaning: "a client at this address",
    },
    Name {
        name: "origin",
        condition: "origin",
        example: "origin=https://app.example",
        meaning: "pages of this origin",
    },
    Name {
        name: "capabilities",
        condition: "capabilities",
        example: "capabilities=read",
        meaning: "these parts of the service",
    },
    Name {
        name: "services",
        condition: "services",
        example: "services=weather:0",
        meaning: "of the services and tiers in it",
    },
    Name {
        name: "tls_fingerprint",
        condition: "tls_fingerprint",
        example: "tls_fingerprint=SHA256_IN_HEX",
        meaning: "a client with this TLS certificate",
    },
];
