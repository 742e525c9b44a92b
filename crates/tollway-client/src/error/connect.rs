//! Failures to make a connection.

use std::error::Error as StdError;
use std::io;

use hyper_util::client::legacy;
use rustls::CertificateError;

/// Why no connection could be made, sorted by what changes it.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum ConnectError {
    /// The server's certificate is not trusted, not its own, or not valid at this time.
    #[error("the server's certificate is refused: {0}")]
    Certificate(CertificateError),
    /// The host's name has no address.
    #[error("the name of the host cannot be looked up: {0}")]
    Lookup(#[source] io::Error),
    /// The port responds with something else than TLS.
    #[error("the port does not speak TLS")]
    NotTls,
    /// Another reason.
    #[error("{}", innermost(.0))]
    Other(legacy::Error),
    /// The network, or the host.
    #[error("{}", words(.0))]
    Refused(io::Error),
    /// The handshake.
    #[error("TLS failed: {0}")]
    Tls(rustls::Error),
}

impl ConnectError {
    pub(crate) fn of(error: legacy::Error) -> Self {
        let tls = find(&error, &|cause| {
            cause.downcast_ref::<rustls::Error>().cloned()
        });
        match tls {
            Some(rustls::Error::InvalidCertificate(reason)) => return Self::Certificate(reason),
            Some(tls) if tls == NOT_TLS => return Self::NotTls,
            Some(tls) => return Self::Tls(tls),
            None => {}
        }
        let copy = |cause: &(dyn StdError + 'static)| {
            let cause: &io::Error = cause.downcast_ref()?;
            Some(match cause.raw_os_error() {
                Some(code) => io::Error::from_raw_os_error(code),
                None => io::Error::new(cause.kind(), cause.to_string()),
            })
        };
        // The type of hyper-util's reason is private.
        let is_lookup = find(&error, &|cause| {
            (cause.to_string() == "dns error").then_some(())
        });
        match (find(&error, &copy), is_lookup) {
            (Some(cause), Some(())) => Self::Lookup(cause),
            (Some(cause), None) => Self::Refused(cause),
            (None, _) => Self::Other(error),
        }
    }
}

/// Returns the first match among an error's sources, and inside I/O errors, which hide what they
/// hold.
fn find<T>(
    error: &(dyn StdError + 'static),
    found: &dyn Fn(&(dyn StdError + 'static)) -> Option<T>,
) -> Option<T> {
    let mut cause = Some(error);
    while let Some(current) = cause {
        let hidden = current.downcast_ref().and_then(io::Error::get_ref);
        if let Some(hidden) = hidden
            && let Some(value) = find(hidden, found)
        {
            return Some(value);
        }
        if let Some(value) = found(current) {
            return Some(value);
        }
        cause = current.source();
    }
    None
}

fn innermost(error: &legacy::Error) -> String {
    let mut innermost: &dyn StdError = error;
    while let Some(source) = innermost.source() {
        innermost = source;
    }
    innermost.to_string()
}

/// Returns the reason without the system's number for it.
fn words(error: &io::Error) -> String {
    if error.kind() == io::ErrorKind::TimedOut {
        return "it did not respond in time".to_owned();
    }
    let text = error.to_string();
    match text.split_once(" (os error ") {
        Some((words, _)) => words.to_lowercase(),
        None => text,
    }
}

/// What rustls makes of bytes that are no record of TLS.
const NOT_TLS: rustls::Error =
    rustls::Error::InvalidMessage(rustls::InvalidMessage::InvalidContentType);
