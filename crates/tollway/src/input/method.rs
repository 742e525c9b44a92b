//! Methods of requests: `GET`, `post`, `PROPFIND`.

use http::Method;

use super::shown;

/// Reads a method of letters and hyphens, in upper case. HTTP would take a token for one.
pub(crate) fn method(text: &str) -> Result<Method, MethodError> {
    let typed = text.trim();
    let is_letter = |byte: u8| byte.is_ascii_alphabetic() || byte == b'-';
    let is_name = typed.len() <= LEN_MAX && typed.bytes().all(is_letter);
    let method = typed.to_ascii_uppercase().parse().ok();
    method
        .filter(|_method| is_name)
        .ok_or_else(|| MethodError { shown: shown(text) })
}

/// A text that is no method.
#[derive(Clone, Debug, Eq, PartialEq, thiserror::Error)]
#[error("{shown} is not a method: write it like GET or POST")]
pub(crate) struct MethodError {
    shown: String,
}

const LEN_MAX: usize = 20;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_method_is_one_word() {
        assert_eq!(method("get"), Ok(Method::GET));
        assert_eq!(method(" PROPFIND ").unwrap().as_str(), "PROPFIND");
        for text in ["", "GET /", "AgEEbHNhdAJCc2VjcmV0c2VjcmV0", "GET1"] {
            assert!(method(text).is_err(), "{text}");
        }
    }
}
