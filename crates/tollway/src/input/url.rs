//! URLs, with or without a scheme.

use std::net::IpAddr;

use http::Uri;
use tollway_gateway::Upstream;

use super::ipv4;
use super::secret::may_be_secret;

/// Reads the URL of a request. Without a scheme it is `http` on this machine and `https`
/// elsewhere; `:PORT` is a port of this machine.
pub(crate) fn url(text: &str) -> Result<Uri, UrlError> {
    let whole = complete(text);
    let found = whole.parse::<Uri>().ok().filter(is_web_address);
    let found = found.filter(|uri| !is_secret(text, uri));
    match (found, fault(text.trim())) {
        (Some(found), None) => Ok(without_dots(found)),
        (_, fault) => Err(UrlError {
            typed: without_secrets(text.trim()),
            fault: fault.map_or_else(String::new, |fault| format!("{fault}; ")),
            example: match half_a_scheme(text.trim()) {
                Some(rest) => example(&complete(rest), "/path"),
                None => example(&whole, "/path"),
            },
        }),
    }
}

/// Returns what follows a scheme whose colon or slash is missing.
fn half_a_scheme(typed: &str) -> Option<&str> {
    let halves = ["http:/", "https:/", "http//", "https//"];
    let found = halves.iter().find_map(|half| typed.strip_prefix(half));
    found.filter(|rest| !rest.starts_with('/'))
}

/// Returns what is wrong with a text, where that is certain.
fn fault(typed: &str) -> Option<&'static str> {
    let (scheme, rest) = match typed.split_once("://") {
        Some((scheme, rest)) => (Some(scheme), rest),
        None => (None, typed),
    };
    let authority = rest.split(['/', '?', '#']).next().unwrap_or_default();
    if scheme.is_none() && half_a_scheme(typed).is_some() {
        Some("a scheme ends with `://`")
    } else if authority.contains('@') {
        Some("a name and password belong in a header: -H 'Authorization: Basic …'")
    } else if typed.contains(char::is_whitespace) {
        Some("a space is written as %20")
    } else if !authority.is_ascii() {
        Some("a host with other letters than ASCII is written in punycode, xn--…")
    } else if authority.starts_with('-') {
        Some("no host begins with `-`")
    } else if ipv4::ends_in_number(host_of(authority)) && ipv4::read(host_of(authority)).is_none() {
        Some("an IPv4 address is four numbers up to 255")
    } else {
        None
    }
}

/// Resolves `.` and `..` in the path, as curl does and RFC 3986, 5.2.4, describes.
fn without_dots(uri: Uri) -> Uri {
    let is_dot = |segment: &str| matches!(segment, "." | "..");
    if !uri.path().split('/').any(is_dot) {
        return uri;
    }
    let mut kept: Vec<&str> = Vec::new();
    for segment in uri.path().split('/').skip(1) {
        match segment {
            "." => {}
            ".." => {
                kept.pop();
            }
            other => kept.push(other),
        }
    }
    let end = if uri.path().rsplit('/').next().is_some_and(is_dot) && !kept.is_empty() {
        "/"
    } else {
        ""
    };
    let query = uri
        .query()
        .map_or_else(String::new, |query| format!("?{query}"));
    let path = format!("/{}{end}{query}", kept.join("/"));
    let mut parts = uri.clone().into_parts();
    parts.path_and_query = path.parse().ok();
    Uri::from_parts(parts).unwrap_or(uri)
}

/// Returns true for a token that can be read as a host and a path.
fn is_secret(text: &str, uri: &Uri) -> bool {
    let host = uri.host().unwrap_or_default();
    let is_host = host.contains(['.', ':']) || is_loopback(host);
    !is_host && may_be_secret(text) && !text.contains("://")
}

/// Reads the URL of an upstream, with or without a scheme as [`url`] does.
pub(crate) fn upstream(text: &str) -> Result<Upstream, String> {
    let whole = complete(text);
    let uri = whole.parse::<Uri>();
    if uri.is_ok_and(|uri| is_secret(text, &uri)) {
        let typed = without_secrets(text.trim());
        return Err(format!(
            "{typed} is no upstream: write it like localhost:3000"
        ));
    }
    whole
        .parse()
        .map_err(|error: tollway_gateway::UpstreamError| {
            let (typed, example) = (without_secrets(text.trim()), example(&whole, ""));
            let reason = error.reason();
            format!("{typed} is no upstream: {reason}; write it as {example}")
        })
}

fn is_web_address(uri: &Uri) -> bool {
    let is_http = matches!(uri.scheme_str(), Some("http" | "https"));
    let has_password = |authority: &str| authority.contains('@');
    let authority = uri.authority().map(|authority| authority.as_str());
    is_http && authority.is_some_and(|authority| !has_password(authority))
}

/// Adds what is missing in front of the path, and writes an IPv4 address as four numbers.
fn complete(text: &str) -> String {
    let typed = &with_whole_address(text.trim());
    let authority = typed.split(['/', '?', '#']).next().unwrap_or_default();
    let after = typed.get(authority.len()..).unwrap_or_default();
    let has_scheme = authority.ends_with(':') && after.starts_with("//");
    if has_scheme || authority.is_empty() {
        return typed.to_owned();
    }
    let is_port = |text: &str| !text.is_empty() && text.bytes().all(|byte| byte.is_ascii_digit());
    if authority.strip_prefix(':').is_some_and(is_port) {
        return format!("http://127.0.0.1{typed}");
    }
    if is_port(authority) {
        return format!("http://127.0.0.1:{typed}");
    }
    let scheme = if is_loopback(host_of(authority)) {
        "http"
    } else {
        "https"
    };
    format!("{scheme}://{typed}")
}

/// Returns a URL whose host, if it is a spelling of an IPv4 address such as `127.1`, is written
/// as four numbers.
fn with_whole_address(typed: &str) -> String {
    let start = typed.find("://").map_or(0, |colon| colon.saturating_add(3));
    let (scheme, rest) = typed.split_at_checked(start).unwrap_or(("", typed));
    let authority = rest.split(['/', '?', '#']).next().unwrap_or_default();
    let host = host_of(authority);
    // A number alone is a port.
    let is_port = scheme.is_empty() && host.bytes().all(|byte| byte.is_ascii_digit());
    match (ipv4::read(host), rest.strip_prefix(host)) {
        (Some(address), Some(after)) if !is_port => format!("{scheme}{address}{after}"),
        (_, _) => typed.to_owned(),
    }
}

/// Returns the host of an authority, without brackets.
fn host_of(authority: &str) -> &str {
    let bracketed = authority
        .strip_prefix('[')
        .and_then(|rest| rest.split_once(']'));
    match (bracketed, authority.rsplit_once(':')) {
        (Some((host, _port)), _) | (None, Some((host, _port))) => host,
        (None, None) => authority,
    }
}

fn is_loopback(host: &str) -> bool {
    let host = host.trim_end_matches('.');
    match host.parse::<IpAddr>() {
        Ok(address) => address.is_loopback() || address.is_unspecified(),
        Err(_name) => {
            let host = host.to_ascii_lowercase();
            host == "localhost" || host.ends_with(".localhost")
        }
    }
}

/// Returns a valid URL with the host that was typed, if that much can be read.
fn example(whole: &str, path: &str) -> String {
    let (scheme, rest) = whole.split_once("://").unwrap_or(("", whole));
    let authority = rest.split(['/', '?', '#', ' ']).next().unwrap_or_default();
    let (_password, host) = authority.rsplit_once('@').unwrap_or(("", authority));
    let scheme = match scheme {
        "http" | "https" => scheme,
        _ if is_loopback(host_of(host)) => "http",
        _ => "https",
    };
    let candidate = format!("{scheme}://{host}");
    let uri = candidate.parse::<Uri>();
    let is_valid = uri.is_ok_and(|uri| is_web_address(&uri)) && !may_be_secret(host);
    let origin = if is_valid {
        candidate
    } else if path.is_empty() {
        "http://127.0.0.1:3000".to_owned()
    } else {
        "https://example.com".to_owned()
    };
    format!("{origin}{path}")
}

/// Returns what was typed, quoted, without its query and without a password.
fn without_secrets(typed: &str) -> String {
    let (shown, cut) = typed
        .split_once('?')
        .map_or((typed, ""), |(before, _query)| (before, "?…"));
    let (scheme, rest) = match shown.split_once("://") {
        Some((scheme, rest)) => (format!("{scheme}://"), rest),
        None => (String::new(), shown),
    };
    let rest = match rest.rsplit_once('@') {
        Some((_password, rest)) => format!("…@{rest}"),
        None => rest.to_owned(),
    };
    if may_be_secret(&rest) {
        return "the value (not shown)".to_owned();
    }
    format!("`{scheme}{rest}{cut}`")
}

/// A text that is no URL.
#[derive(Clone, Debug, Eq, PartialEq, thiserror::Error)]
#[error("{typed} is not a URL to fetch: {fault}write it like {example}")]
pub(crate) struct UrlError {
    typed: String,
    /// What is wrong, with a semicolon, or nothing.
    fault: String,
    example: String,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_scheme_may_be_left_out() {
        for (text, whole) in [
            ("127.0.0.1:8402/joke", "http://127.0.0.1:8402/joke"),
            ("localhost:8402", "http://localhost:8402/"),
            ("localhost/joke?a=b", "http://localhost/joke?a=b"),
            ("LOCALHOST:1/x", "http://LOCALHOST:1/x"),
            ("[::1]:8402/joke", "http://[::1]:8402/joke"),
            (":8402/joke", "http://127.0.0.1:8402/joke"),
            ("api.example/report", "https://api.example/report"),
            (
                "api.example:444?next=http://b",
                "https://api.example:444/?next=http://b",
            ),
            ("192.168.1.2/x", "https://192.168.1.2/x"),
            ("http://api.example/x", "http://api.example/x"),
            ("localhost.:8402/x", "http://localhost.:8402/x"),
            (
                "http://api.example/../a/./b/../c?d=/../e",
                "http://api.example/a/c?d=/../e",
            ),
            ("http://api.example/a/..", "http://api.example/"),
            ("127.1:8402/a", "http://127.0.0.1:8402/a"),
            ("0x7f.1/a", "http://127.0.0.1/a"),
            ("http://0177.0.0.1:1/", "http://127.0.0.1:1/"),
            ("http://2130706433/a", "http://127.0.0.1/a"),
            ("10.1:443", "https://10.0.0.1:443/"),
            ("http://api.example/a/b/.", "http://api.example/a/b/"),
        ] {
            let read = url(text).unwrap();
            let whole: Uri = whole.parse().unwrap();
            assert_eq!(read, whole, "{text}");
        }
    }

    #[test]
    fn an_error_shows_a_url_made_of_what_was_typed() {
        for (text, typed, example) in [
            (
                "ftp://api.example/x",
                "`ftp://api.example/x`",
                "https://api.example/path",
            ),
            (
                "http://127.0.0.1:1/a b",
                "`http://127.0.0.1:1/a b`",
                "http://127.0.0.1:1/path",
            ),
            ("/joke", "`/joke`", "https://example.com/path"),
            ("", "``", "https://example.com/path"),
            (
                "https://me:SECRET@api.example/?SECRET",
                "`https://…@api.example/?…`",
                "https://api.example/path",
            ),
        ] {
            let error = url(text).unwrap_err().to_string();
            assert!(error.contains(typed) && error.ends_with(example), "{error}");
            assert!(!error.contains("SECRET"), "{error}");
        }
    }

    #[test]
    fn an_error_names_what_is_wrong() {
        for (text, wrong) in [
            ("http:/localhost:24501/x", "`://`"),
            ("https//localhost/x", "`://`"),
            ("https://me:SECRET@api.example/", "-H 'Authorization"),
            ("http://127.0.0.1:1/a b", "%20"),
            ("http://münchen.example/", "punycode"),
            ("http://127.0.0.256/", "four numbers"),
            ("1.2.3.4.5/a", "four numbers"),
            ("-", "begins with `-`"),
            ("--json", "begins with `-`"),
        ] {
            let error = url(text).unwrap_err().to_string();
            assert!(error.contains(wrong), "{error}");
            assert!(!error.contains("SECRET"), "{error}");
        }
    }

    #[test]
    fn an_upstream_may_be_a_port() {
        for text in [
            "127.0.0.1:3000",
            "127.1:3000",
            "http://127.0.0.1:3000",
            ":3000",
            "3000",
            "http://127.0.0.1:3000/",
        ] {
            assert_eq!(
                upstream(text).unwrap().to_string(),
                "http://127.0.0.1:3000",
                "{text}"
            );
        }
        let error = upstream("127.0.0.1:23000/v1").unwrap_err();
        assert!(
            error.ends_with("write it as http://127.0.0.1:23000"),
            "{error}"
        );
        assert!(error.contains("`127.0.0.1:23000/v1`"), "{error}");
    }
}
