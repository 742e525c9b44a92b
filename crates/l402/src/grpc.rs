//! gRPC as far as L402 has to know it: a call is recognized by its content type.
//!
//! ```
//! use l402::Grpc;
//!
//! assert_eq!(Grpc::of(b"application/grpc+proto"), Some(Grpc::Native));
//! assert_eq!(Grpc::of(b"application/grpc-web"), Some(Grpc::Web));
//! assert_eq!(Grpc::of(b"application/grpcx"), None);
//! ```

/// The framing of a gRPC call.
///
/// # Specification
///
/// gRPC over HTTP/2, "Requests"; PROTOCOL-WEB; row 49 in `docs/spec.md`.
#[derive(Clone, Copy, Debug, Eq, Hash, PartialEq)]
pub enum Grpc {
    /// gRPC over HTTP/2, with trailers.
    Native,
    /// gRPC-Web: ordinary HTTP, with the trailers in the body.
    Web,
    /// gRPC-Web in base64.
    WebText,
}

impl Grpc {
    /// Returns the framing that a `Content-Type` names, or `None` when the call is not gRPC.
    ///
    /// A message format may follow after `+`, parameters after `;`.
    #[must_use]
    pub fn of(content_type: &[u8]) -> Option<Self> {
        [Self::WebText, Self::Web, Self::Native]
            .into_iter()
            .find(|framing| {
                let name = framing.content_type().as_bytes();
                let start = content_type.split_at_checked(name.len());
                start.is_some_and(|(start, rest)| {
                    start.eq_ignore_ascii_case(name)
                        && matches!(rest.first(), None | Some(b'+' | b';' | b' '))
                })
            })
    }

    /// Returns the content type without message format and parameters.
    #[must_use]
    pub const fn content_type(self) -> &'static str {
        match self {
            Self::Native => "application/grpc",
            Self::Web => "application/grpc-web",
            Self::WebText => "application/grpc-web-text",
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_framing_is_a_whole_content_type() {
        for (content_type, framing) in [
            ("application/grpc", Some(Grpc::Native)),
            ("application/grpc+proto", Some(Grpc::Native)),
            ("application/grpc;x=y", Some(Grpc::Native)),
            ("Application/gRPC ; x=y", Some(Grpc::Native)),
            ("application/grpc-web", Some(Grpc::Web)),
            ("application/grpc-web+json", Some(Grpc::Web)),
            ("application/grpc-web-text", Some(Grpc::WebText)),
            ("application/grpc-web-text+proto", Some(Grpc::WebText)),
            ("application/grpcx", None),
            ("application/grpc-webs", None),
            ("application/json", None),
            ("", None),
        ] {
            assert_eq!(Grpc::of(content_type.as_bytes()), framing, "{content_type}");
        }
    }
}
