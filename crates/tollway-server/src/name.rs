//! Names of services and capabilities.
//!
//! A name is checked once, when it is parsed: it cannot carry the syntax of a caveat, a header
//! or a metric label.

use std::fmt;
use std::str::FromStr;
use std::sync::Arc;

use l402::caveat;

/// The name of a service, safe in a caveat, a header and a metric.
#[derive(Clone, Eq, Hash, Ord, PartialEq, PartialOrd)]
pub struct ServiceName(Arc<str>);

/// The name of a part of a service that a token can be restricted to, safe where a [`ServiceName`] is.
#[derive(Clone, Eq, Hash, Ord, PartialEq, PartialOrd)]
pub struct Capability(Arc<str>);

/// Why a text is not the name of a service or capability.
#[derive(Clone, Debug, Eq, PartialEq, thiserror::Error)]
#[error("`{text}` is not a name: use 1 to 64 letters, digits, `-`, `_` and `.`")]
pub struct NameError {
    text: String,
}

macro_rules! name {
    ($name:ident) => {
        impl $name {
            /// Returns the name as text.
            #[must_use]
            pub fn as_str(&self) -> &str {
                &self.0
            }
        }

        impl FromStr for $name {
            type Err = NameError;

            fn from_str(text: &str) -> Result<Self, NameError> {
                checked_name(text).map(Self)
            }
        }

        impl fmt::Display for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str(&self.0)
            }
        }

        impl fmt::Debug for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                write!(f, "{}({})", stringify!($name), self.0)
            }
        }
    };
}

name!(ServiceName);
name!(Capability);

fn checked_name(text: &str) -> Result<Arc<str>, NameError> {
    if caveat::is_service_name(text) {
        Ok(Arc::from(text))
    } else {
        Err(NameError {
            text: text.to_owned(),
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_name_cannot_carry_the_syntax_of_a_caveat_or_a_header() {
        for text in [
            "", "a b", "a,b", "a:0", "a=b", "a\"b", "a\nb", "a/b", "é", "\u{0}",
        ] {
            assert!(text.parse::<ServiceName>().is_err(), "{text:?}");
            assert!(text.parse::<Capability>().is_err(), "{text:?}");
        }
        assert!("a".repeat(65).parse::<ServiceName>().is_err());
    }

    #[test]
    fn a_name_is_kept_as_written() {
        let name: ServiceName = "weather-API_v1.2".parse().unwrap();

        assert_eq!(name.as_str(), "weather-API_v1.2");
    }
}
