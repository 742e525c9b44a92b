//! Conditions of caveats as they are typed, with an example of each.

use std::iter;

/// Returns the condition that is typed by this name: in any case, with `-` for `_`, or by another
/// name for the same.
pub(crate) fn named(name: &str) -> Option<&'static Name> {
    let name = normal(name);
    NAMES.iter().find(|known| known.is_spelt(&name))
}

/// Returns the condition that a name is a misspelling of, if there is any.
pub(crate) fn similar(name: &str) -> Option<&'static Name> {
    let spellings: Vec<&str> = NAMES.iter().flat_map(Name::spellings).collect();
    super::nearest(&normal(name), &spellings).and_then(named)
}

/// Returns the condition that a macaroon has under this name, with that of a service in front.
pub(crate) fn written(condition: &str) -> Option<&'static Name> {
    let is_written = |known: &&Name| {
        let of_service = format!("_{}", known.condition);
        condition == known.condition || condition.ends_with(&of_service)
    };
    NAMES.iter().find(is_written)
}

/// Returns a condition as it was typed, without a value that is as long as a secret.
pub(crate) fn shown(typed: &str) -> String {
    if typed.len() <= SHOWN_MAX {
        return typed.to_owned();
    }
    match typed.split_once('=') {
        Some((name, _value)) if name.len() <= SHOWN_MAX => format!("{name}=…"),
        Some(_) | None => "…".to_owned(),
    }
}

/// Returns the names, for an error.
pub(crate) fn list() -> String {
    let names: Vec<&str> = NAMES.iter().map(|known| known.name).collect();
    names.join(", ")
}

fn normal(name: &str) -> String {
    name.trim().to_ascii_lowercase().replace('-', "_")
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
    /// As it is written in a macaroon.
    pub(crate) condition: &'static str,
    /// Other names for the same.
    others: &'static [&'static str],
    pub(crate) example: &'static str,
    pub(crate) meaning: &'static str,
}

impl Name {
    fn is_spelt(&self, name: &str) -> bool {
        self.spellings().any(|spelling| spelling == name)
    }

    fn spellings(&self) -> impl Iterator<Item = &'static str> {
        let others = self.others.iter().copied();
        iter::once(self.name)
            .chain(iter::once(self.condition))
            .chain(others)
    }
}

/// The conditions that a person may add.
pub(crate) const NAMES: &[Name] = &[
    Name {
        name: "path",
        condition: "path_prefix",
        others: &["paths", "path_below", "prefix"],
        example: "path=/v1",
        meaning: "this path and those below it",
    },
    Name {
        name: "method",
        condition: "method",
        others: &["methods"],
        example: "method=GET,HEAD",
        meaning: "these methods",
    },
    Name {
        name: "expires",
        condition: "valid_until",
        others: &[
            "expires_at",
            "expires_in",
            "expiration",
            "expiry",
            "ttl",
            "until",
            "valid_for",
        ],
        example: "expires=1h",
        meaning: "from now; or a date, 2027-01-31",
    },
    Name {
        name: "uses",
        condition: "max_uses",
        others: &["use", "uses_max", "requests"],
        example: "uses=5",
        meaning: "requests, those already made included",
    },
    Name {
        name: "ip",
        condition: "ip",
        others: &["client_ip", "ip_address"],
        example: "ip=203.0.113.7",
        meaning: "a client at this address",
    },
    Name {
        name: "origin",
        condition: "origin",
        others: &["origins"],
        example: "origin=https://app.example",
        meaning: "pages of this origin",
    },
    Name {
        name: "capabilities",
        condition: "capabilities",
        others: &["capability"],
        example: "capabilities=read",
        meaning: "of the capabilities in it",
    },
    Name {
        name: "services",
        condition: "services",
        others: &["service"],
        example: "services=weather:0",
        meaning: "of the services and tiers in it",
    },
    Name {
        name: "tls_fingerprint",
        condition: "tls_fingerprint",
        others: &["fingerprint"],
        example: "tls_fingerprint=SHA256_IN_HEX",
        meaning: "a client with this TLS certificate",
    },
];

/// Shorter than a preimage in hexadecimal.
const SHOWN_MAX: usize = 48;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_condition_has_several_names_in_any_case() {
        for (typed, name) in [
            ("path", "path"),
            ("PATH", "path"),
            ("path_prefix", "path"),
            ("max-uses", "uses"),
            ("uses_max", "uses"),
            ("ttl", "expires"),
            ("valid-until", "expires"),
            ("VALID_FOR", "expires"),
        ] {
            assert_eq!(named(typed).map(|known| known.name), Some(name), "{typed}");
        }
        assert!(named("host").is_none());
    }

    #[test]
    fn only_a_slip_of_a_finger_is_similar() {
        for (typed, name) in [
            ("expire", Some("expires")),
            ("pth", Some("path")),
            ("usse", Some("uses")),
            ("valid_untill", Some("expires")),
            ("foo", None),
            ("host", None),
            ("price_msat", None),
            ("", None),
        ] {
            assert_eq!(similar(typed).map(|known| known.name), name, "{typed}");
        }
    }

    #[test]
    fn a_value_as_long_as_a_secret_is_not_shown() {
        let preimage = "0".repeat(64);

        assert_eq!(shown("path=/v1"), "path=/v1");
        assert_eq!(shown(&format!("path={preimage}")), "path=…");
        assert_eq!(shown(&preimage), "…");
    }
}
