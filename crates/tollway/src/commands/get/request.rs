//! Request of `tollway get`, read from its arguments.
//!
//! Everything that can be wrong with it is found before anything is sent.

use std::fs::File;
use std::io;

use bytes::Bytes;
use http::{HeaderName, HeaderValue, Method, Request, Uri, Version};
use tollway_client::Body;

use crate::cli::GetArgs;
use crate::exit::Failure;
use crate::input;

/// Reads the request that the arguments describe.
pub(super) async fn read(args: &GetArgs, url: &Uri) -> Result<Request<Body>, Failure> {
    let data = args.data.clone();
    let body = tokio::task::spawn_blocking(move || body(data.as_deref()))
        .await
        .map_err(Failure::general)?;
    let mut request = Request::new(body?);
    *request.method_mut() = method(args);
    *request.uri_mut() = url.clone();
    *request.version_mut() = Version::HTTP_11;
    for (at, header) in args.headers.iter().enumerate() {
        let (name, value) = read_header(at.saturating_add(1), header)?;
        request.headers_mut().append(name, value);
    }
    Ok(request)
}

fn method(args: &GetArgs) -> Method {
    match (&args.method, &args.data) {
        (Some(method), _) => method.clone(),
        (None, Some(_)) => Method::POST,
        (None, None) => Method::GET,
    }
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

/// Reads the body that `-d` names: text, `@FILE`, or `@-` for standard input.
fn body(data: Option<&str>) -> Result<Body, Failure> {
    match data {
        None => Ok(Body::empty()),
        Some("@-") => whole(io::stdin())
            .map_err(|error| Failure::usage(format!("cannot read standard input: {error}"))),
        Some(data) => match data.strip_prefix('@') {
            Some(path) => {
                file(path).map_err(|error| Failure::usage(format!("cannot read {path}: {error}")))
            }
            None => Ok(Body::from(Bytes::copy_from_slice(data.as_bytes()))),
        },
    }
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
        whole(file)
    }
}

fn whole(mut source: impl io::Read) -> io::Result<Body> {
    let mut all = Vec::new();
    source.read_to_end(&mut all)?;
    Ok(Body::from(Bytes::from(all)))
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
