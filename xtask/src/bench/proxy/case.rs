//! What is measured: the proxies, the requests, their bodies, and whether clients use TLS.

use crate::bench::load::{Exchange, Handshakes};

/// A part of the benchmark that can be measured alone.
#[derive(Clone, Copy, Debug, Eq, PartialEq, clap::ValueEnum)]
pub(super) enum Part {
    /// HTTP/1.1 with small bodies.
    Http1,
    /// HTTP/1.1 with large bodies, each way.
    Bodies,
    /// HTTP/1.1 over TLS 1.3, and its handshakes.
    Tls,
    /// gRPC over HTTP/2 without TLS.
    Grpc,
}

/// One table: every proxy under the same load.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(super) enum Case {
    Http1,
    Download(Body),
    Upload(Body),
    Tls,
    TlsDownload,
    TlsHandshakes,
    Grpc,
}

/// A program to measure, in one configuration.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(super) enum Proxy {
    Nginx,
    /// Without `proxy_buffering` and `proxy_request_buffering`, which are on by default.
    NginxUnbuffered,
    Haproxy,
    Tollway,
    /// Reads no token.
    TollwayFree,
}

impl Proxy {
    pub(super) const fn name(self) -> &'static str {
        match self {
            Self::Nginx => "nginx",
            Self::NginxUnbuffered => "nginx, unbuffered",
            Self::Haproxy => "haproxy",
            Self::Tollway => "tollway",
            Self::TollwayFree => "tollway, no check",
        }
    }
}

/// The length of a large body.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(super) enum Body {
    Kib100,
    Mib10,
}

/// The HTTP/1.1 load of a case.
#[derive(Clone, Copy, Debug)]
pub(super) struct Http1 {
    pub(super) connections: usize,
    pub(super) exchange: Exchange,
    pub(super) handshakes: Option<Handshakes>,
}

/// What the work of a proxy is counted in.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(super) enum Unit {
    Request,
    /// 10^6 bytes of bodies.
    Megabyte {
        per_request: f64,
    },
}

impl Case {
    pub(super) const ALL: [Self; 9] = [
        Self::Http1,
        Self::Download(Body::Kib100),
        Self::Download(Body::Mib10),
        Self::Upload(Body::Kib100),
        Self::Upload(Body::Mib10),
        Self::Tls,
        Self::TlsDownload,
        Self::TlsHandshakes,
        Self::Grpc,
    ];

    pub(super) const fn part(self) -> Part {
        match self {
            Self::Http1 => Part::Http1,
            Self::Download(_) | Self::Upload(_) => Part::Bodies,
            Self::Tls | Self::TlsDownload | Self::TlsHandshakes => Part::Tls,
            Self::Grpc => Part::Grpc,
        }
    }

    pub(super) fn title(self) -> String {
        let Some(Http1 { connections, .. }) = self.http1() else {
            return "gRPC, 64 bytes each way, 16 connections with 10 calls each".to_owned();
        };
        match self {
            Self::TlsHandshakes => {
                format!("{}, {connections} at a time, no resumption", self.name())
            }
            Self::Http1
            | Self::Download(_)
            | Self::Upload(_)
            | Self::Tls
            | Self::TlsDownload
            | Self::Grpc => format!("{}, {connections} connections", self.name()),
        }
    }

    pub(super) const fn name(self) -> &'static str {
        match self {
            Self::Http1 => "HTTP/1.1, 128 bytes",
            Self::Download(Body::Kib100) => "HTTP/1.1, responses of 100 KiB",
            Self::Download(Body::Mib10) => "HTTP/1.1, responses of 10 MiB",
            Self::Upload(Body::Kib100) => "HTTP/1.1, uploads of 100 KiB",
            Self::Upload(Body::Mib10) => "HTTP/1.1, uploads of 10 MiB",
            Self::Tls => "TLS 1.3, 128 bytes",
            Self::TlsDownload => "TLS 1.3, responses of 100 KiB",
            Self::TlsHandshakes => "TLS 1.3, one handshake per request",
            Self::Grpc => "gRPC",
        }
    }

    /// Returns the load; none for gRPC.
    pub(super) const fn http1(self) -> Option<Http1> {
        let (connections, exchange, handshakes) = match self {
            Self::Http1 => (64, Exchange::Item, None),
            Self::Download(body) => (body.connections(), Exchange::Download(body.bytes()), None),
            Self::Upload(body) => (body.connections(), Exchange::Upload(body.bytes()), None),
            Self::Tls => (64, Exchange::Item, Some(Handshakes::Once)),
            Self::TlsDownload => (
                Body::Kib100.connections(),
                Exchange::Download(Body::Kib100.bytes()),
                Some(Handshakes::Once),
            ),
            Self::TlsHandshakes => (32, Exchange::Item, Some(Handshakes::PerRequest)),
            Self::Grpc => return None,
        };
        Some(Http1 {
            connections,
            exchange,
            handshakes,
        })
    }

    /// Returns the proxies to measure, nginx first.
    pub(super) const fn proxies(self) -> &'static [Proxy] {
        match self {
            // What nginx does to large bodies depends on one setting.
            Self::Download(_) | Self::Upload(_) => &[
                Proxy::Nginx,
                Proxy::NginxUnbuffered,
                Proxy::Haproxy,
                Proxy::Tollway,
                Proxy::TollwayFree,
            ],
            Self::Http1 | Self::Tls | Self::TlsDownload | Self::TlsHandshakes | Self::Grpc => &[
                Proxy::Nginx,
                Proxy::Haproxy,
                Proxy::Tollway,
                Proxy::TollwayFree,
            ],
        }
    }

    pub(super) fn unit(self) -> Unit {
        match self.http1().map(|load| load.exchange) {
            None | Some(Exchange::Item) => Unit::Request,
            Some(Exchange::Download(bytes) | Exchange::Upload(bytes)) => Unit::Megabyte {
                per_request: f64::from(bytes) / 1e6,
            },
        }
    }
}

impl Body {
    const fn bytes(self) -> u32 {
        match self {
            Self::Kib100 => 100 << 10,
            Self::Mib10 => 10 << 20,
        }
    }

    /// Returns how many of them are on their way at once.
    const fn connections(self) -> usize {
        match self {
            Self::Kib100 => 16,
            Self::Mib10 => 4,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_part_has_a_case_and_every_case_is_measured_against_nginx() {
        for part in [Part::Http1, Part::Bodies, Part::Tls, Part::Grpc] {
            assert!(Case::ALL.iter().any(|case| case.part() == part), "{part:?}");
        }
        for case in Case::ALL {
            assert_eq!(case.proxies().first(), Some(&Proxy::Nginx), "{case:?}");
        }
    }
}
