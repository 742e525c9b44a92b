//! Caveats: conditions on a token, written as `condition=value`.
//!
//! A caveat's bytes are what is signed, so a value that contains a separator could mean
//! something its writer did not. [`Caveat`] is the only way this crate writes one, and
//! it refuses such values; nothing taken from a request is pasted in unchecked. What the
//! conditions mean is decided in one place, [`verify`](crate::verify()).
//!
//! ```
//! use l402::{Caveat, UnixSeconds, caveat};
//!
//! let deadline = UnixSeconds::new(1_800_000_000);
//! let caveats = [
//!     caveat::capabilities("weather", &["forecast", "history"])?,
//!     caveat::valid_until("weather", deadline)?,
//!     caveat::client_ip([192, 0, 2, 7].into()),
//!     caveat::path_prefix("/v1")?,
//! ];
//! assert_eq!(caveats[0].as_str(), "weather_capabilities=forecast,history");
//! assert_eq!(caveats[1].as_str(), "weather_valid_until=1800000000");
//!
//! // A condition of the application's own, which `verify_with` passes to its caller.
//! let order: Caveat = "order=4711".parse()?;
//! assert_eq!((order.condition(), order.value()), ("order", "4711"));
//! assert!(Caveat::new("order", "4711\n").is_err());
//! # Ok::<(), l402::CaveatError>(())
//! ```

use std::fmt;
use std::net::IpAddr;
use std::num::NonZeroU64;
use std::str::FromStr;

use crate::encoding;
use crate::time::UnixSeconds;

/// One condition and its value.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct Caveat {
    text: String,
    split_at: usize,
}

impl Caveat {
    /// Creates `condition=value`.
    ///
    /// # Errors
    ///
    /// [`CaveatError`] when the condition is empty or contains `=`, when either contains
    /// anything but visible ASCII, or when the whole is over 1024 bytes.
    pub fn new(condition: &str, value: &str) -> Result<Self, CaveatError> {
        let visible = |text: &str| text.bytes().all(|byte| byte.is_ascii_graphic());
        if condition.is_empty() || condition.contains('=') || !visible(condition) {
            return Err(CaveatError::Condition {
                condition: condition.to_owned(),
            });
        }
        if !visible(value) {
            return Err(CaveatError::Value {
                condition: condition.to_owned(),
                value: value.to_owned(),
            });
        }
        let text = format!("{condition}={value}");
        if text.len() > MAX_CAVEAT_LEN {
            return Err(CaveatError::TooLong {
                condition: condition.to_owned(),
                len: text.len(),
            });
        }
        Ok(Self {
            split_at: condition.len(),
            text,
        })
    }

    /// Reads `condition=value`, split at the first `=`.
    ///
    /// # Errors
    ///
    /// As [`Caveat::new`]; a text without `=` is all condition and refused.
    pub fn parse(text: &str) -> Result<Self, CaveatError> {
        let (condition, value) = text.split_once('=').ok_or_else(|| CaveatError::Condition {
            condition: text.to_owned(),
        })?;
        Self::new(condition, value)
    }

    /// Creates a caveat whose value is visible ASCII by its type, and short.
    fn of(condition: &'static str, value: impl fmt::Display) -> Self {
        Self {
            text: format!("{condition}={value}"),
            split_at: condition.len(),
        }
    }

    /// Returns what is restricted.
    #[must_use]
    pub fn condition(&self) -> &str {
        self.text.get(..self.split_at).unwrap_or_default()
    }

    /// Returns what it is restricted to.
    #[must_use]
    pub fn value(&self) -> &str {
        self.text
            .get(self.split_at.saturating_add(1)..)
            .unwrap_or_default()
    }

    /// Returns the whole, as it is signed.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.text
    }
}

impl AsRef<[u8]> for Caveat {
    /// Returns the bytes that are signed.
    fn as_ref(&self) -> &[u8] {
        self.text.as_bytes()
    }
}

impl FromStr for Caveat {
    type Err = CaveatError;

    /// Reads `condition=value`, as [`parse`](Self::parse) does.
    fn from_str(text: &str) -> Result<Self, CaveatError> {
        Self::parse(text)
    }
}

impl fmt::Display for Caveat {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.text)
    }
}

/// `<service>_capabilities=a,b`: the parts of a service the token may use.
///
/// # Errors
///
/// [`CaveatError::Condition`] unless `service` is a [service name](is_service_name);
/// [`CaveatError::Value`] for no capability, for one that is empty or contains a comma, and for
/// more than 64.
pub fn capabilities(service: &str, list: &[&str]) -> Result<Caveat, CaveatError> {
    list_caveat(&of_service(service, CAPABILITIES)?, list)
}

/// `<service>_valid_until=seconds`: the first second at which the token is no longer valid.
///
/// # Errors
///
/// [`CaveatError::Condition`] unless `service` is a [service name](is_service_name).
pub fn valid_until(service: &str, deadline: UnixSeconds) -> Result<Caveat, CaveatError> {
    Caveat::new(
        &of_service(service, VALID_UNTIL_SUFFIX)?,
        &deadline.to_string(),
    )
}

/// `ip=address`: only the client with this address may use the token.
///
/// An IPv4 address and the same address mapped into IPv6 are one client.
#[must_use]
pub fn client_ip(address: IpAddr) -> Caveat {
    Caveat::of(IP, address)
}

/// `origin=scheme://host`, with `:port` unless it is the scheme's: only pages of this origin
/// may use the token.
///
/// The value is compared with the `Origin` header byte for byte, so it must be written as
/// browsers write it: in lower case, without a path and without a slash at the end.
///
/// # Errors
///
/// [`CaveatError::Value`] for any other form, which no request could match, and for `null`,
/// which every page without an origin sends.
pub fn origin(origin: &str) -> Result<Caveat, CaveatError> {
    let is_origin = origin.split_once("://").is_some_and(|(scheme, host)| {
        let in_host = |byte: u8| {
            byte.is_ascii_lowercase() || byte.is_ascii_digit() || b"-._:[]".contains(&byte)
        };
        let in_scheme =
            |byte: u8| byte.is_ascii_lowercase() || byte.is_ascii_digit() || b"+-.".contains(&byte);
        !scheme.is_empty()
            && !host.is_empty()
            && scheme.bytes().all(in_scheme)
            && host.bytes().all(in_host)
    });
    if !is_origin {
        return Err(CaveatError::Value {
            condition: ORIGIN.to_owned(),
            value: origin.to_owned(),
        });
    }
    Caveat::new(ORIGIN, origin)
}

/// `tls_fingerprint=hex`: only a client with this TLS certificate may use the token.
///
/// The fingerprint is the SHA-256 of the certificate in DER.
#[must_use]
pub fn tls_fingerprint(fingerprint: &[u8; 32]) -> Caveat {
    Caveat::of(TLS_FINGERPRINT, encoding::to_hex(fingerprint))
}

/// `method=GET,HEAD`: the HTTP methods the token may be used with.
///
/// # Errors
///
/// [`CaveatError::Value`] for no method, for one that is empty or contains a comma, and for more
/// than 64.
pub fn methods(list: &[&str]) -> Result<Caveat, CaveatError> {
    list_caveat(METHOD, list)
}

/// `path_prefix=/v1`: the paths the token may be used for, `/v1` and everything below it.
///
/// # Errors
///
/// [`CaveatError::Value`] unless it starts with `/`.
pub fn path_prefix(prefix: &str) -> Result<Caveat, CaveatError> {
    if !prefix.starts_with('/') {
        return Err(CaveatError::Value {
            condition: PATH_PREFIX.to_owned(),
            value: prefix.to_owned(),
        });
    }
    Caveat::new(PATH_PREFIX, prefix)
}

/// `max_uses=n`: how many requests the token buys. The issuer counts.
#[must_use]
pub fn max_uses(uses: NonZeroU64) -> Caveat {
    Caveat::of(MAX_USES, uses)
}

/// Returns true for what may name a service: letters, digits, `-`, `_` and `.`, 1 to 64 of them.
#[must_use]
pub fn is_service_name(name: &str) -> bool {
    let allowed = |byte: u8| byte.is_ascii_alphanumeric() || matches!(byte, b'-' | b'_' | b'.');
    (1..=64).contains(&name.len()) && name.bytes().all(allowed)
}

/// Percent-encodes what cannot stand in an item of `services`: `,`, `:`, `%`, white space,
/// control characters and anything outside ASCII.
pub(crate) fn escape(path: &str) -> impl Iterator<Item = u8> {
    path.bytes().flat_map(|byte| {
        let plain = byte.is_ascii_graphic() && !matches!(byte, b',' | b':' | b'%');
        let [high, low] = encoding::hex_pair_upper(byte);
        let text = if plain {
            [Some(byte), None, None]
        } else {
            [Some(b'%'), Some(high), Some(low)]
        };
        text.into_iter().flatten()
    })
}

/// Why a caveat cannot be written.
#[derive(Clone, Debug, Eq, PartialEq, thiserror::Error)]
#[non_exhaustive]
pub enum CaveatError {
    /// No condition, or one with `=`, spaces or control characters in it.
    #[error("`{condition}` is not a caveat: write `condition=value` in visible ASCII")]
    Condition {
        /// What was given.
        condition: String,
    },
    /// Longer than 1024 bytes.
    #[error("caveat `{condition}` of {len} bytes is longer than {MAX_CAVEAT_LEN}")]
    TooLong {
        /// Its condition.
        condition: String,
        /// Length of the whole, in bytes.
        len: usize,
    },
    /// A value that this condition cannot have.
    #[error("`{value}` is not a value that caveat `{condition}` can have")]
    Value {
        /// Its condition.
        condition: String,
        /// What was given.
        value: String,
    },
}

/// Writes a condition of one service. A name that [`Services`](crate::Services) cannot sell
/// would restrict nothing.
fn of_service(service: &str, suffix: &str) -> Result<String, CaveatError> {
    let condition = format!("{service}{suffix}");
    if is_service_name(service) {
        Ok(condition)
    } else {
        Err(CaveatError::Condition { condition })
    }
}

fn list_caveat(condition: &str, list: &[&str]) -> Result<Caveat, CaveatError> {
    let value = list.join(",");
    if !(1..=MAX_ITEMS).contains(&list.len())
        || list
            .iter()
            .any(|item| item.is_empty() || item.contains(','))
    {
        return Err(CaveatError::Value {
            condition: condition.to_owned(),
            value,
        });
    }
    Caveat::new(condition, &value)
}

pub(crate) const SERVICES: &str = "services";
pub(crate) const CAPABILITIES: &str = "_capabilities";
pub(crate) const VALID_UNTIL_SUFFIX: &str = "_valid_until";
pub(crate) const VALID_UNTIL: &str = "valid_until";
/// Milliseconds, as lsat-js writes it.
pub(crate) const EXPIRATION_MS: &str = "expiration";
pub(crate) const IP: &str = "ip";
pub(crate) const ORIGIN: &str = "origin";
pub(crate) const TLS_FINGERPRINT: &str = "tls_fingerprint";
pub(crate) const METHOD: &str = "method";
pub(crate) const PATH_PREFIX: &str = "path_prefix";
pub(crate) const MAX_USES: &str = "max_uses";
pub(crate) const PREIMAGE: &str = "preimage";

/// Items in one list, empty ones included: what bounds the work of comparing two lists.
pub(crate) const MAX_ITEMS: usize = 64;
const MAX_CAVEAT_LEN: usize = 1_024;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_the_first_equals_sign_splits() {
        let caveat = Caveat::parse("origin=https://a.example/?q=1").unwrap();

        assert_eq!(
            (caveat.condition(), caveat.value()),
            ("origin", "https://a.example/?q=1")
        );
        assert_eq!(caveat.to_string(), "origin=https://a.example/?q=1");
    }

    #[test]
    fn nothing_that_could_say_more_than_it_means_is_written() {
        for text in [
            "", "=1", "services", "a b=1", "a=1 2", "a=1\n", "a\0=1", "ä=1", "a=ü",
        ] {
            assert!(Caveat::parse(text).is_err(), "{text:?}");
        }
        assert!(Caveat::new("a=b", "c").is_err());
        assert!(Caveat::new("a", &"x".repeat(MAX_CAVEAT_LEN)).is_err());
        assert!(capabilities("s", &["a,b"]).is_err());
        assert!(capabilities("s", &[""]).is_err());
        assert!(methods(&[]).is_err());
        assert!(path_prefix("v1").is_err());
        for service in ["", "a b", "a/b", "a,b", "a=b"] {
            assert!(capabilities(service, &["a"]).is_err(), "{service}");
            assert!(valid_until(service, UnixSeconds::new(1)).is_err());
        }
    }

    #[test]
    fn an_origin_that_no_browser_sends_is_refused() {
        for text in [
            "",
            "null",
            "*",
            "app.example",
            "https://",
            "://app.example",
            "https://app.example/",
            "https://App.example",
            "https://a.example/x",
            "https://u@a.example",
            "https://a b",
        ] {
            assert!(origin(text).is_err(), "{text:?}");
        }
        for text in [
            "http://localhost:3000",
            "https://[2001:db8::1]",
            "chrome-extension://abc",
        ] {
            assert!(origin(text).is_ok(), "{text:?}");
        }
    }

    #[test]
    fn what_is_typed_is_written_as_it_is_read_back() {
        for caveat in [
            client_ip([192, 0, 2, 7].into()),
            client_ip("2001:db8::1".parse().unwrap()),
            tls_fingerprint(&[1; 32]),
            max_uses(NonZeroU64::MAX),
        ] {
            assert_eq!(Caveat::parse(caveat.as_str()), Ok(caveat));
        }
    }

    #[test]
    fn each_constructor_writes_its_condition() {
        let deadline = UnixSeconds::new(99);
        let written: Vec<String> = [
            capabilities("a", &["read", "write"]),
            valid_until("a", deadline),
            Ok(client_ip([127, 0, 0, 1].into())),
            origin("https://app.example:8443"),
            Ok(tls_fingerprint(&[0xab; 32])),
            methods(&["GET", "HEAD"]),
            path_prefix("/v1"),
            Ok(max_uses(NonZeroU64::new(3).unwrap())),
        ]
        .into_iter()
        .map(|caveat| caveat.unwrap().to_string())
        .collect();

        assert_eq!(
            written,
            [
                "a_capabilities=read,write",
                "a_valid_until=99",
                "ip=127.0.0.1",
                "origin=https://app.example:8443",
                &format!("tls_fingerprint={}", "ab".repeat(32)),
                "method=GET,HEAD",
                "path_prefix=/v1",
                "max_uses=3"
            ]
        );
    }
}
