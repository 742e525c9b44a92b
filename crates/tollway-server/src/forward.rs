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
    let present = headers.keys().filter(|name| may_carry_credential(name));
    let present: Vec<HeaderName> = present.cloned().collect();
    for name in present {
        if name == AUTHORIZATION {
            retain(headers, name, |line| !carries_credential(line));
        } else {
            retain(headers, name, |value| !l402::is_credential_metadata(value));
        }
    }
}

fn may_carry_credential(name: &HeaderName) -> bool {
    name == AUTHORIZATION || METADATA_HEADERS.contains(&name.as_str())
}

/// A proxy may have folded our line onto one of another scheme, so the start is not enough.
fn carries_credential(line: &[u8]) -> bool {
    l402::is_credential_line(line)
        || l402::read_credentials([line], []).map_or(true, |found| !found.is_empty())
}

fn retain(headers: &mut HeaderMap, name: HeaderName, keep: impl Fn(&[u8]) -> bool) {
    let Entry::Occupied(entry) = headers.entry(&name) else {
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
