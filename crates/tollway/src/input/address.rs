//! Addresses to listen on: `127.0.0.1:8402`, `localhost:8402`, `:8402`, `8402`.

use std::net::{IpAddr, Ipv4Addr, SocketAddr};

use super::shown;

/// Reads an address to listen on. Without a host it is this machine alone, as by default; an
/// address for others is never the result of an omission.
pub(crate) fn listen(text: &str) -> Result<SocketAddr, AddressError> {
    let typed = text.trim();
    if let Ok(address) = typed.parse() {
        return Ok(address);
    }
    let (host, port) = typed.rsplit_once(':').unwrap_or(("", typed));
    match (host_of(host), port_of(port)) {
        (Some(host), Some(port)) => Ok(SocketAddr::new(host, port)),
        (_, _) => Err(AddressError {
            shown: shown(text),
            example: example(typed),
        }),
    }
}

fn host_of(host: &str) -> Option<IpAddr> {
    let is_here = host.is_empty() || host.eq_ignore_ascii_case("localhost");
    is_here.then_some(LOOPBACK)
}

/// Reads digits only: a sign is no part of a port.
fn port_of(port: &str) -> Option<u16> {
    let is_number = port.bytes().all(|byte| byte.is_ascii_digit());
    port.parse().ok().filter(|_port| is_number)
}

/// Returns the nearest valid address: with the host, or the port, that was typed.
fn example(typed: &str) -> SocketAddr {
    let bare = typed
        .split_once("://")
        .map_or(typed, |(_scheme, rest)| rest);
    let bare = bare.split('/').next().unwrap_or_default();
    if let Ok(host) = bare.trim_matches(['[', ']']).parse() {
        return SocketAddr::new(host, PORT);
    }
    let (host, port) = bare.rsplit_once(':').unwrap_or((bare, ""));
    let host = host.trim_matches(['[', ']']).parse().unwrap_or(LOOPBACK);
    SocketAddr::new(host, port_of(port).unwrap_or(PORT))
}

/// A text that is no address to listen on.
#[derive(Clone, Debug, Eq, PartialEq, thiserror::Error)]
#[error("{shown} is not an address to listen on: write IP:PORT or a port, like {example}")]
pub(crate) struct AddressError {
    shown: String,
    example: SocketAddr,
}

const LOOPBACK: IpAddr = IpAddr::V4(Ipv4Addr::LOCALHOST);
const PORT: u16 = 8402;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_port_alone_is_on_this_machine() {
        for text in [
            "127.0.0.1:8402",
            "localhost:8402",
            ":8402",
            "8402",
            " 8402 ",
        ] {
            assert_eq!(
                listen(text).unwrap().to_string(),
                "127.0.0.1:8402",
                "{text}"
            );
        }
        assert_eq!(listen("0.0.0.0:80").unwrap().to_string(), "0.0.0.0:80");
        assert_eq!(listen("[::]:80").unwrap().to_string(), "[::]:80");
    }

    #[test]
    fn an_error_shows_an_address_made_of_what_was_typed() {
        for (text, example) in [
            ("10.0.0.7", "10.0.0.7:8402"),
            ("10.0.0.7:99999", "10.0.0.7:8402"),
            ("shop.example:3000", "127.0.0.1:3000"),
            ("http://127.0.0.1:3000/", "127.0.0.1:3000"),
            ("::1", "[::1]:8402"),
            ("+80", "127.0.0.1:8402"),
            ("", "127.0.0.1:8402"),
        ] {
            let error = listen(text).unwrap_err().to_string();
            assert!(error.ends_with(example), "{error}");
            assert!(error.contains(&format!("`{text}`")), "{error}");
        }
    }
}
