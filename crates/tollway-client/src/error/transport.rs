//! Failures between a client and a server.

use std::fmt;
use std::path::PathBuf;
use std::time::Duration;

use super::ConnectError;
use crate::origin::{Origin, OriginError};

/// Why a request did not get through.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum TransportError {
    /// The address is not one a request can be sent to.
    #[error(transparent)]
    Address(#[from] OriginError),
    /// The request's own body cannot be read.
    #[error("cannot read the request body")]
    Body(#[source] std::io::Error),
    /// A file of certificates to trust cannot be used.
    #[error("cannot use the certificates in `{}`, which {named_by} names: {reason}", path.display())]
    Certificates {
        /// Where the file is named.
        named_by: CertificateSource,
        /// The file, or the folder.
        path: PathBuf,
        /// What is wrong with it.
        reason: String,
    },
    /// No connection could be made.
    #[error("cannot connect to {origin}")]
    Connect {
        /// The server.
        origin: Origin,
        /// What went wrong.
        source: ConnectError,
    },
    /// The connection broke before the body was whole.
    #[error("the response body of {origin} was cut off")]
    CutOff {
        /// The server.
        origin: Origin,
        /// What went wrong.
        source: hyper::Error,
    },
    /// The connection broke, or what came back is not HTTP.
    #[error("no usable response from {origin}")]
    Exchange {
        /// The server.
        origin: Origin,
        /// What went wrong.
        source: hyper_util::client::legacy::Error,
    },
    /// The address is a name of the Tor network. It is never looked up in DNS (RFC 7686).
    #[error("`{host}` is an onion service, and there is no support for a Tor proxy")]
    Onion {
        /// The host.
        host: String,
    },
    /// The request was not finished when its time was up.
    #[error("the request to {origin} was not finished within {limit:?}")]
    OutOfTime {
        /// The server.
        origin: Origin,
        /// The time given, from the start to the last byte of the body.
        limit: Duration,
    },
    /// A redirect that cannot or must not be followed.
    #[error("redirect from {origin} not followed: {reason}")]
    Redirect {
        /// The server that redirects.
        origin: Origin,
        /// Why it is not followed.
        reason: &'static str,
    },
    /// The server reset the stream of the response before the end of the body, without an error.
    #[error("the response body of {origin} was cut off: the server reset its stream")]
    Reset {
        /// The server.
        origin: Origin,
    },
    /// The body paused for too long.
    #[error("the response body of {origin} paused for more than {limit:?}")]
    Stalled {
        /// The server.
        origin: Origin,
        /// The time given.
        limit: Duration,
    },
    /// No head of a response in time.
    #[error("no response from {origin} within {limit:?}")]
    Timeout {
        /// The server.
        origin: Origin,
        /// The time given.
        limit: Duration,
    },
    /// TLS cannot be set up.
    #[error("cannot set up TLS")]
    Tls(#[source] rustls::Error),
}

/// Where a file of certificates to trust is named.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
#[non_exhaustive]
pub enum CertificateSource {
    /// [`Connections::extra_certificates`](crate::Connections::extra_certificates).
    Connections,
    /// The environment variable `SSL_CERT_DIR`.
    SslCertDir,
    /// The environment variable `SSL_CERT_FILE`.
    SslCertFile,
}

impl CertificateSource {
    /// Returns the name of the setting.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::Connections => "extra_certificates",
            Self::SslCertDir => "SSL_CERT_DIR",
            Self::SslCertFile => "SSL_CERT_FILE",
        }
    }
}

impl fmt::Display for CertificateSource {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}
