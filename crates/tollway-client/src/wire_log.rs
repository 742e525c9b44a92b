//! Heads of requests and responses in the log, without what is secret in them.
//!
//! Logged at the level `debug`, a line per header: `> ` is sent, `< ` is received. The path is
//! logged without its query. Values of headers that may hold a secret are replaced.

use http::header::{LOCATION, REFERER, WWW_AUTHENTICATE};
use http::{HeaderMap, HeaderName, HeaderValue, Request, Response};
use tracing::{Level, debug, enabled};

use crate::origin::Origin;

pub(crate) fn request<B>(origin: &Origin, request: &Request<B>) {
    if !enabled!(Level::DEBUG) {
        return;
    }
    let path = without_query(
        request
            .uri()
            .path_and_query()
            .map_or("/", |path| path.as_str()),
    );
    debug!("> {} {path} {:?}", request.method(), request.version());
    debug!("> host: {}:{}", origin.host(), origin.port());
    for line in lines(request.headers()) {
        debug!("> {line}");
    }
}

pub(crate) fn response<B>(response: &Response<B>) {
    if !enabled!(Level::DEBUG) {
        return;
    }
    debug!("< {:?} {}", response.version(), response.status());
    for line in lines(response.headers()) {
        debug!("< {line}");
    }
}

fn lines(headers: &HeaderMap) -> impl Iterator<Item = String> {
    headers
        .iter()
        .map(|(name, value)| format!("{name}: {}", shown(name, value)))
}

fn shown(name: &HeaderName, value: &HeaderValue) -> String {
    let text = String::from_utf8_lossy(value.as_bytes());
    if name == WWW_AUTHENTICATE {
        return without_tokens(&text);
    }
    if name == LOCATION || name == REFERER {
        return without_query(&text);
    }
    if !value.is_sensitive() && !may_be_secret(name.as_str()) {
        return text.into_owned();
    }
    let scheme = text.split(' ').next().unwrap_or_default();
    let known = SCHEMES
        .iter()
        .find(|known| known.eq_ignore_ascii_case(scheme));
    match known {
        Some(scheme) => format!("{scheme} {REDACTED}"),
        None => REDACTED.to_owned(),
    }
}

fn may_be_secret(name: &str) -> bool {
    SECRETS.iter().any(|secret| name.contains(secret))
}

/// Keeps a challenge but for its token.
fn without_tokens(challenge: &str) -> String {
    let parts = challenge.split(',').map(|part| match part.split_once('=') {
        Some((name, _value)) if name.ends_with("macaroon") || name.ends_with("token") => {
            format!("{name}={REDACTED}")
        }
        Some(_) | None => part.to_owned(),
    });
    parts.collect::<Vec<_>>().join(",")
}

fn without_query(address: &str) -> String {
    match address.split_once('?') {
        Some((path, _query)) => format!("{path}?{REDACTED}"),
        None => address.to_owned(),
    }
}

const REDACTED: &str = "[redacted]";
const SCHEMES: [&str; 5] = ["Basic", "Bearer", "Digest", "L402", "LSAT"];
/// Parts of the names of headers whose values are not logged.
const SECRETS: [&str; 8] = [
    "auth", "cookie", "key", "macaroon", "password", "secret", "session", "token",
];

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn no_line_holds_a_secret() {
        let mut headers = HeaderMap::new();
        for (name, value) in [
            ("authorization", "L402 SECRET:SECRET"),
            ("authorization", "SECRET"),
            ("proxy-authorization", "Basic SECRET"),
            ("cookie", "a=SECRET"),
            ("set-cookie", "a=SECRET"),
            ("x-api-key", "SECRET"),
            ("grpc-metadata-macaroon", "SECRET"),
            ("location", "/next?SECRET"),
            (
                "www-authenticate",
                "L402 macaroon=\"SECRET\", invoice=\"lnbc1\"",
            ),
            (
                "www-authenticate",
                "L402 version=\"0\", token=\"SECRET=\", invoice=\"lnbc1\"",
            ),
        ] {
            headers.append(name, HeaderValue::from_static(value));
        }
        headers.insert("accept", HeaderValue::from_static("text/plain"));

        let lines: Vec<String> = lines(&headers).collect();

        assert!(!lines.concat().contains("SECRET"), "{lines:?}");
        assert!(
            lines.contains(&"accept: text/plain".to_owned()),
            "{lines:?}"
        );
        assert!(
            lines.contains(&"authorization: L402 [redacted]".to_owned()),
            "{lines:?}"
        );
        let invoices = lines
            .iter()
            .filter(|line| line.contains("invoice=\"lnbc1\""));
        assert_eq!(invoices.count(), 2, "{lines:?}");
    }
}
