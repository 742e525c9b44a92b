//! Removal of credentials from requests that are forwarded.
//!
//! Everything but the credential goes on: a service that sees it can spend it. Lines of other schemes stay,
//! because they are the service's own business.

use http::header::{AUTHORIZATION, Entry};
use http::{HeaderMap, HeaderName, HeaderValue};
use l402::METADATA_HEADERS;

/// Removes every L402 credential, readable or not.
pub fn strip_credentials(headers: &mut HeaderMap) {
    // Few requests have more than one of these; looking each up would cost as many hashes.
    let is_present = present(headers);
    if is_present.authorization {
        retain(headers, &AUTHORIZATION, |line| !carries_credential(line));
    }
    for (name, is_present) in METADATA.iter().zip(is_present.metadata) {
        if is_present {
            retain(headers, name, |value| !l402::is_credential_metadata(value));
        }
    }
}

/// Which of the headers that may carry a credential there are.
#[derive(Default)]
struct Present {
    authorization: bool,
    metadata: [bool; METADATA_HEADERS.len()],
}

fn present(headers: &HeaderMap) -> Present {
    let mut present = Present::default();
    for name in headers.keys() {
        present.authorization |= name == AUTHORIZATION;
        for (wanted, is_present) in METADATA.iter().zip(&mut present.metadata) {
            *is_present |= name == wanted;
        }
    }
    present
}

/// A proxy may have folded our line onto one of another scheme, so the start is not enough.
fn carries_credential(line: &[u8]) -> bool {
    l402::is_credential_line(line)
        || l402::read_credentials([line], []).map_or(true, |found| !found.is_empty())
}

fn retain(headers: &mut HeaderMap, name: &HeaderName, keep: impl Fn(&[u8]) -> bool) {
    let Entry::Occupied(entry) = headers.entry(name) else {
        return;
    };
    if entry.iter().all(|value| keep(value.as_bytes())) {
        return;
    }
    let (_first, values) = entry.remove_entry_mult();
    let kept: Vec<HeaderValue> = values.filter(|value| keep(value.as_bytes())).collect();
    for value in kept {
        headers.append(name.clone(), value);
    }
}

/// The headers with one of the [`METADATA_HEADERS`].
static METADATA: [HeaderName; METADATA_HEADERS.len()] = {
    let [gateway, macaroon, token] = METADATA_HEADERS;
    [
        HeaderName::from_static(gateway),
        HeaderName::from_static(macaroon),
        HeaderName::from_static(token),
    ]
};

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn nothing_of_a_credential_is_left() {
        for line in [
            "L402 AgEE:00",
            "LSAT AgEE:00",
            "l402   AgEE:00",
            "L402 not a credential at all",
            "Bearer abc, L402 AgEE:00",
            "L402 AgEE:00, Bearer abc",
        ] {
            let mut headers = HeaderMap::new();
            headers.append(AUTHORIZATION, HeaderValue::from_static(line));

            strip_credentials(&mut headers);

            assert!(headers.is_empty(), "{line}");
        }
    }

    #[test]
    fn credentials_of_other_schemes_stay_in_their_order() {
        let mut headers = HeaderMap::new();
        for line in ["Basic dTpw", "L402 AgEE:00", "Bearer abc"] {
            headers.append(AUTHORIZATION, HeaderValue::from_static(line));
        }
        headers.append(
            "token",
            HeaderValue::from_static("a session of the service"),
        );

        strip_credentials(&mut headers);

        let kept: Vec<_> = headers.get_all(AUTHORIZATION).iter().collect();
        assert_eq!(kept, ["Basic dTpw", "Bearer abc"]);
        assert_eq!(headers.get("token").unwrap(), "a session of the service");
    }
}
