//! Redirects: where they lead, and what is sent there.
//!
//! Pure. Nothing secret crosses an origin: only headers that are known to hold no secret are
//! sent to another one, and stored credentials are looked up for the origin in question.

use http::header::{
    ACCEPT, ACCEPT_ENCODING, ACCEPT_LANGUAGE, CACHE_CONTROL, CONTENT_ENCODING, CONTENT_LANGUAGE,
    CONTENT_LENGTH, CONTENT_TYPE, HeaderName, IF_MATCH, IF_MODIFIED_SINCE, IF_NONE_MATCH, IF_RANGE,
    IF_UNMODIFIED_SINCE, PRAGMA, RANGE, TE, TRANSFER_ENCODING, USER_AGENT,
};
use http::{HeaderMap, Method, StatusCode, Uri};

/// The method and the body of the next request.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(crate) enum Onward {
    /// The request is repeated as it is.
    Same,
    /// It turns into a `GET` without a body.
    Get,
}

/// How to follow a response, or `None` when it is no redirect.
///
/// 301 and 302 turn a `POST` into a `GET`, as every browser does; RFC 9110 section 15.4.
pub(crate) fn onward(status: StatusCode, method: &Method) -> Option<Onward> {
    match status.as_u16() {
        301 | 302 if *method == Method::POST => Some(Onward::Get),
        303 if *method != Method::HEAD && *method != Method::GET => Some(Onward::Get),
        301 | 302 | 303 | 307 | 308 => Some(Onward::Same),
        _ => None,
    }
}

/// The address a `Location` names, seen from `base`, or `None` when it names none.
pub(crate) fn resolve(base: &Uri, location: &str) -> Option<Uri> {
    let location = location.split('#').next().unwrap_or_default();
    let scheme = base.scheme_str()?;
    let authority = base.authority()?;
    let absolute = if has_scheme(location) {
        location.to_owned()
    } else if location.starts_with("//") {
        format!("{scheme}:{location}")
    } else if location.starts_with('/') {
        format!("{scheme}://{authority}{location}")
    } else if location.starts_with('?') {
        format!("{scheme}://{authority}{}{location}", base.path())
    } else {
        let (path, query) = location
            .split_once('?')
            .map_or((location, None), |(path, query)| (path, Some(query)));
        let directory = base
            .path()
            .rsplit_once('/')
            .map_or("", |(before, _)| before);
        let path = without_dots(&format!("{directory}/{path}"));
        let query = query.map(|query| format!("?{query}")).unwrap_or_default();
        format!("{scheme}://{authority}{path}{query}")
    };
    absolute.parse().ok()
}

fn has_scheme(location: &str) -> bool {
    location.split_once(':').is_some_and(|(scheme, _)| {
        scheme.starts_with(|c: char| c.is_ascii_alphabetic())
            && scheme
                .chars()
                .all(|c| c.is_ascii_alphanumeric() || "+-.".contains(c))
    })
}

/// RFC 3986 section 5.2.4, for a path that starts with a slash.
fn without_dots(path: &str) -> String {
    let mut kept: Vec<&str> = Vec::new();
    let mut segments = path.split('/').skip(1).peekable();
    while let Some(segment) = segments.next() {
        let is_last = segments.peek().is_none();
        match segment {
            "." => {}
            ".." => {
                kept.pop();
            }
            other => kept.push(other),
        }
        if is_last && matches!(segment, "." | "..") {
            kept.push("");
        }
    }
    format!("/{}", kept.join("/"))
}

/// Removes what described a body that does not go along.
pub(crate) fn leave_body(headers: &mut HeaderMap) {
    for name in [
        CONTENT_ENCODING,
        CONTENT_LENGTH,
        CONTENT_TYPE,
        TRANSFER_ENCODING,
    ] {
        headers.remove(name);
    }
}

/// Keeps only what may be sent to another origin. Any other header may hold a secret that was
/// meant for one server, like `X-Api-Key`.
pub(crate) fn leave_origin(headers: &mut HeaderMap) {
    let mut kept = HeaderMap::new();
    for name in &SAFE_ACROSS_ORIGINS {
        for value in headers.get_all(name) {
            kept.append(name, value.clone());
        }
    }
    *headers = kept;
}

const SAFE_ACROSS_ORIGINS: [HeaderName; 18] = [
    ACCEPT,
    ACCEPT_ENCODING,
    ACCEPT_LANGUAGE,
    CACHE_CONTROL,
    CONTENT_ENCODING,
    CONTENT_LANGUAGE,
    CONTENT_LENGTH,
    CONTENT_TYPE,
    IF_MATCH,
    IF_MODIFIED_SINCE,
    IF_NONE_MATCH,
    IF_RANGE,
    IF_UNMODIFIED_SINCE,
    PRAGMA,
    RANGE,
    TE,
    TRANSFER_ENCODING,
    USER_AGENT,
];

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_form_of_location_is_resolved() {
        let base: Uri = "http://a.com:1/x/y?q=1".parse().unwrap();
        for (location, expected) in [
            ("https://b.com/z", "https://b.com/z"),
            ("//b.com/z", "http://b.com/z"),
            ("/z?k=v#frag", "http://a.com:1/z?k=v"),
            ("z", "http://a.com:1/x/z"),
            ("../z/./w", "http://a.com:1/z/w"),
            ("../../../z", "http://a.com:1/z"),
            ("..", "http://a.com:1/"),
            ("?k=v", "http://a.com:1/x/y?k=v"),
            ("z?to=http://b.com", "http://a.com:1/x/z?to=http://b.com"),
        ] {
            assert_eq!(resolve(&base, location).unwrap(), expected, "{location}");
        }
        assert_eq!(resolve(&base, "http://"), None);
        assert_eq!(resolve(&base, "/a b"), None);
    }

    #[test]
    fn a_post_is_repeated_only_for_307_and_308() {
        let post = |status: u16| onward(StatusCode::from_u16(status).unwrap(), &Method::POST);

        assert_eq!([301, 302, 303].map(post), [Some(Onward::Get); 3]);
        assert_eq!([307, 308].map(post), [Some(Onward::Same); 2]);
        assert_eq!([200, 300, 304, 402].map(post), [None; 4]);
    }
}
