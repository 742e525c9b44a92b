//! Request paths: what an upstream may take one to mean.
//!
//! A gateway that compares a path in one spelling while the upstream resolves another lets
//! requests through to paths that were not paid for. [`canonical`] undoes the spellings that
//! servers treat alike, [`is_unambiguous`] refuses them all; neither lets a dot segment pass,
//! whether plain, escaped, escaped twice, or followed by `;` as some servers allow.
//!
//! ```
//! use l402::path;
//!
//! assert!(path::is_below("/v1/today", "/v1"));
//! assert!(path::is_unambiguous("/v1/today"));
//! assert!(!path::is_unambiguous("/v1/..;/admin"));
//! assert_eq!(path::canonical("/v1//%74oday")?, "/v1/today");
//! assert!(path::canonical("/v1/%252e%252e/admin").is_err());
//! # Ok::<(), l402::path::AmbiguousPath>(())
//! ```

use std::borrow::Cow;

use crate::encoding;

/// A path has dot segments, escapes that cannot be read, or separators escaped twice.
#[derive(Clone, Copy, Debug, Eq, PartialEq, thiserror::Error)]
#[error("path has `.` or `..` segments, unreadable escapes, or separators escaped twice")]
pub struct AmbiguousPath;

/// Returns the path with its escapes undone, backslashes as slashes and empty segments removed.
///
/// What is not UTF-8 is replaced and so equals no configured path; its slashes and dots are
/// still seen. A path that needs no change is borrowed.
///
/// # Errors
///
/// [`AmbiguousPath`] for dot segments in any spelling, a zero byte, an incomplete escape, and
/// an escaped separator that remains after decoding once.
pub fn canonical(path: &str) -> Result<Cow<'_, str>, AmbiguousPath> {
    if is_plain(path) {
        return Ok(Cow::Borrowed(path));
    }
    let decoded = decode(path)?;
    let mut canonical = String::with_capacity(decoded.len());
    let slashed = decoded
        .chars()
        .map(|character| if character == '\\' { '/' } else { character });
    for character in slashed {
        if character != '/' || !canonical.ends_with('/') {
            canonical.push(character);
        }
    }
    if is_settled(&canonical, is_escaped_separator) {
        Ok(Cow::Owned(canonical))
    } else {
        Err(AmbiguousPath)
    }
}

/// Returns false for a path that an upstream might resolve to another one: dot segments,
/// empty segments, backslashes, incomplete escapes, and escapes of dots, slashes, backslashes,
/// percent signs and zero.
#[must_use]
pub fn is_unambiguous(path: &str) -> bool {
    is_settled(path, |digits| {
        let complete = digits.first_chunk::<2>();
        is_escaped_separator(digits)
            || !complete.is_some_and(|digits| digits.iter().all(u8::is_ascii_hexdigit))
    })
}

/// Returns true when `path` is `prefix` or lies below it, by whole segments.
#[must_use]
pub fn is_below(path: &str, prefix: &str) -> bool {
    match path.strip_prefix(prefix) {
        Some(rest) => rest.is_empty() || prefix.ends_with('/') || rest.starts_with('/'),
        None => false,
    }
}

/// True for a path without dot segments, empty segments, backslashes and ambiguous escapes.
fn is_settled(path: &str, is_ambiguous_escape: impl Fn(&[u8]) -> bool) -> bool {
    let mut rest = path.as_bytes();
    let mut in_segment = false;
    while let Some((byte, after)) = rest.split_first() {
        let ambiguous = match byte {
            b'/' => after.first() == Some(&b'/'),
            b'\\' => true,
            b'.' => !in_segment && starts_with_dot_segment(rest),
            b'%' => is_ambiguous_escape(after),
            _ => false,
        };
        if ambiguous {
            return false;
        }
        in_segment = *byte != b'/';
        rest = after;
    }
    true
}

/// True for a path that is canonical as it is: one pass, no memory.
fn is_plain(path: &str) -> bool {
    let mut previous = 0;
    path.bytes().all(|byte| {
        let odd = matches!(byte, b'%' | b'\\') || (previous == b'/' && matches!(byte, b'/' | b'.'));
        previous = byte;
        !odd
    })
}

fn decode(path: &str) -> Result<String, AmbiguousPath> {
    unescape(path).map(|bytes| String::from_utf8_lossy(&bytes).into_owned())
}

/// Returns the bytes of a path with its escapes undone, once.
pub(crate) fn unescape(path: &str) -> Result<Vec<u8>, AmbiguousPath> {
    let mut bytes = Vec::with_capacity(path.len());
    let mut rest = path.as_bytes();
    while let Some((&byte, after)) = rest.split_first() {
        rest = after;
        if byte != b'%' {
            bytes.push(byte);
            continue;
        }
        let (digits, after) = rest.split_at_checked(2).ok_or(AmbiguousPath)?;
        match encoding::hex_any(digits).as_deref() {
            Some([byte]) if *byte != 0 => bytes.push(*byte),
            Some(_) | None => return Err(AmbiguousPath),
        }
        rest = after;
    }
    Ok(bytes)
}

/// True for `.` or `..` as a whole segment. Some servers cut a segment at `;`.
fn starts_with_dot_segment(text: &[u8]) -> bool {
    let rest = text
        .strip_prefix(b"..")
        .or_else(|| text.strip_prefix(b"."))
        .unwrap_or(text);
    matches!(rest, [] | [b'/' | b';', ..] | [b'%', b'3', b'b' | b'B', ..])
}

/// True for the digits after the `%` of an escaped `.`, `/`, `\`, `%` or zero byte.
const fn is_escaped_separator(digits: &[u8]) -> bool {
    matches!(
        digits,
        [b'2', b'5' | b'e' | b'E' | b'f' | b'F', ..] | [b'5', b'c' | b'C', ..] | [b'0', b'0', ..]
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Whether a path is unambiguous as it stands, and its canonical form if there is one.
    const TABLE: [(&str, bool, Option<&str>); 45] = [
        ("/", true, Some("/")),
        ("/v1/today", true, Some("/v1/today")),
        ("/.well-known/x", true, Some("/.well-known/x")),
        ("/a..b", true, Some("/a..b")),
        ("/v1.2/x", true, Some("/v1.2/x")),
        ("/...", true, Some("/...")),
        ("/a/.b", true, Some("/a/.b")),
        ("/a/..b;x", true, Some("/a/..b;x")),
        ("/a;x=..", true, Some("/a;x=..")),
        ("/%70aid/x", true, Some("/paid/x")),
        ("/caf%c3%a9", true, Some("/café")),
        ("/%ff", true, Some("/\u{fffd}")),
        ("//paid/x", false, Some("/paid/x")),
        ("/paid//x", false, Some("/paid/x")),
        ("/paid%2Fx", false, Some("/paid/x")),
        ("/paid%5cx", false, Some("/paid/x")),
        ("\\paid\\x", false, Some("/paid/x")),
        ("/100%25", false, Some("/100%")),
        ("/100%25/x", false, Some("/100%/x")),
        ("/a%2eb", false, Some("/a.b")),
        ("/free/../paid", false, None),
        ("/free/./x", false, None),
        ("/free/..", false, None),
        ("/.", false, None),
        ("/..", false, None),
        ("/free/%2e%2e/paid", false, None),
        ("/free/.%2E/paid", false, None),
        ("/free/..%2fpaid", false, None),
        ("/free\\..\\paid", false, None),
        ("/free/..;/paid", false, None),
        ("/free/..;a=b/paid", false, None),
        ("/free/.;a/x", false, None),
        ("/free/..%3b/paid", false, None),
        ("/free/%2e%2e%3B/paid", false, None),
        ("/free/%252e%252e/paid", false, None),
        ("/free/%252E./paid", false, None),
        ("/free/..%252fpaid", false, None),
        ("/free/..%255cpaid", false, None),
        ("/free/%25252e%25252e/paid", false, None),
        ("/a%00b", false, None),
        ("/a%2500b", false, None),
        ("/%", false, None),
        ("/%2", false, None),
        ("/%zz", false, None),
        ("/%+1", false, None),
    ];

    #[test]
    fn no_spelling_of_a_dot_segment_passes() {
        for (path, unambiguous, expected) in TABLE {
            assert_eq!(is_unambiguous(path), unambiguous, "{path}");
            assert_eq!(canonical(path).ok().as_deref(), expected, "{path}");
        }
    }

    #[test]
    fn a_canonical_path_is_its_own_canonical_path() {
        for canonical_path in TABLE.into_iter().filter_map(|(_, _, path)| path) {
            // An escape that was undone may have left a percent sign.
            if !canonical_path.contains('%') {
                assert_eq!(canonical(canonical_path).unwrap(), canonical_path);
            }
        }
    }

    #[test]
    fn a_prefix_ends_at_a_slash() {
        for (path, prefix, expected) in [
            ("/api", "/api", true),
            ("/api/", "/api", true),
            ("/api/x", "/api", true),
            ("/apis", "/api", false),
            ("/ap", "/api", false),
            ("/api/x", "/api/", true),
            ("/api", "/api/", false),
            ("/anything", "/", true),
            ("*", "/", false),
        ] {
            assert_eq!(is_below(path, prefix), expected, "{path} below {prefix}");
        }
    }
}
