//! Request of `tollway get`, read from its arguments.
//!
//! Everything that can be wrong with it is found before anything is sent.

use std::fs::File;
use std::io;

use bytes::Bytes;
use http::header::{ACCEPT, CONTENT_TYPE, USER_AGENT};
use http::{HeaderName, HeaderValue, Method, Request, Uri, Version};
use tollway_client::Body;

use crate::cli::GetArgs;
use crate::exit::Failure;
use crate::input::{self, Secret};

/// Reads the request that the arguments describe.
pub(super) async fn read(args: &GetArgs, url: &Uri) -> Result<Request<Body>, Failure> {
    let data = args.data.clone();
    let body = tokio::task::spawn_blocking(move || body(&data))
        .await
        .map_err(Failure::general)?;
    if args.method == Some(Method::CONNECT) {
        return Err(Failure::usage(
            "CONNECT opens a tunnel and has no response to print",
        ));
    }
    let mut request = Request::new(body?);
    *request.method_mut() = method(args);
    *request.uri_mut() = url.clone();
    *request.version_mut() = Version::HTTP_11;
    for (at, header) in args.headers.iter().enumerate() {
        let (name, value) = read_header(at.saturating_add(1), header)?;
        request.headers_mut().append(name, value);
    }
    for (name, value) in usual_headers(args) {
        let entry = request.headers_mut().entry(name);
        entry.or_insert(HeaderValue::from_static(value));
    }
    Ok(request)
}

fn method(args: &GetArgs) -> Method {
    match (&args.method, args.data.is_empty()) {
        (Some(method), _) => method.clone(),
        (None, false) => Method::POST,
        (None, true) => Method::GET,
    }
}

/// Returns the headers that a request has where its arguments set none of the name. Some servers
/// refuse a request without them; with a body they are those of curl.
fn usual_headers(args: &GetArgs) -> Vec<(HeaderName, &'static str)> {
    let mut usual = vec![
        (USER_AGENT, concat!("tollway/", env!("CARGO_PKG_VERSION"))),
        (ACCEPT, "*/*"),
    ];
    if !args.data.is_empty() {
        usual.push((CONTENT_TYPE, "application/x-www-form-urlencoded"));
    }
    usual
}

/// Reads `Name: value`. Whatever is not certainly a name may be a secret and is not shown.
fn read_header(number: usize, text: &str) -> Result<(HeaderName, HeaderValue), Failure> {
    let (name, value) = text
        .split_once(':')
        .ok_or_else(|| Failure::usage(format!("header {number} has no colon: {HEADER_FORM}")))?;
    let name: HeaderName = name.trim().parse().map_err(|_not_a_name| {
        Failure::usage(format!("header {number} has no valid name: {HEADER_FORM}"))
    })?;
    let mut value = HeaderValue::from_str(value.trim())
        .map_err(|_not_a_value| Failure::usage(format!("header `{name}`: {HEADER_FORM}")))?;
    // Keeps it out of the heads that are logged.
    value.set_sensitive(text.contains('@') || input::may_be_secret(text));
    Ok((name, value))
}

/// Reads the body that `-d` names: text, `@FILE`, or `@-` for standard input. Several are joined
/// by `&`.
fn body(data: &[Secret]) -> Result<Body, Failure> {
    let unreadable = |source: &str, error: &io::Error| {
        Failure::usage(format!("cannot read {source}: {}", words(error)))
    };
    let mut parts = Vec::new();
    for part in data {
        let bytes = match part.strip_prefix('@') {
            None => part.as_bytes().to_vec(),
            Some("") => return Err(Failure::usage("-d @ names no file: write -d @FILE")),
            Some("-") => {
                whole(io::stdin()).map_err(|error| unreadable("standard input", &error))?
            }
            Some(path) if data.len() == 1 => {
                return file(path).map_err(|error| unreadable(path, &error));
            }
            Some(path) => File::open(path)
                .and_then(whole)
                .map_err(|error| unreadable(path, &error))?,
        };
        parts.push(bytes);
    }
    Ok(Body::from(Bytes::from(parts.join(&b'&'))))
}

/// A regular file is read when it is sent, as often as it is sent. Pipes and devices can be
/// read once and do not know their length, so they are read whole.
fn file(path: &str) -> io::Result<Body> {
    let file = File::open(path)?;
    let found = file.metadata()?;
    if found.is_dir() {
        Err(io::ErrorKind::IsADirectory.into())
    } else if found.is_file() && found.len() > 0 {
        Ok(Body::file(path))
    } else {
        // Files in /proc are regular and have no length.
        whole(file).map(|all| Body::from(Bytes::from(all)))
    }
}

fn whole(mut source: impl io::Read) -> io::Result<Vec<u8>> {
    let mut all = Vec::new();
    source.read_to_end(&mut all)?;
    Ok(all)
}

/// Returns what went wrong, without the system's number for it.
pub(super) fn words(error: &io::Error) -> String {
    let text = error.to_string();
    let words = text.split(" (os error ").next().unwrap_or_default();
    words.to_lowercase()
}

const HEADER_FORM: &str = "write it as `Name: value` in visible ASCII";

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_header_that_cannot_be_read_is_never_shown() {
        for text in [
            "Authorization Bearer SECRET",
            "Authorization Bearer SECRET:1",
            "SECRET SECRET: x",
            "Authorization: SECRET\u{7}",
            "Authorization: SECRET\n",
        ] {
            if let Err(failure) = read_header(1, text) {
                assert!(!failure.to_string().contains("SECRET"), "{failure}");
            } else {
                assert!(text.ends_with('\n'), "{text:?} is not a header");
            }
        }
    }
}
