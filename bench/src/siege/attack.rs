//! The attacks, by name.

use std::sync::Arc;

use anyhow::Result;
use tokio::time::{Instant, sleep_until};

use super::made::Made;
use super::{Target, floods, silent, slow, unpaid, unread, window};

/// What the attackers do.
#[derive(Clone, Copy, Debug, clap::ValueEnum)]
pub(crate) enum Attack {
    /// Nothing: it is the upstream that fails.
    Calm,
    /// Connections on which nothing is sent.
    Silent,
    /// The same where TLS is spoken.
    SilentTls,
    /// HTTP/2 clients that are refused and never give window to the response.
    Window,
    /// Large responses over HTTP/1.1 that are not read.
    UnreadHttp1,
    /// Large responses over one HTTP/2 connection that are not read.
    UnreadHttp2,
    /// Large responses over one HTTP/2 connection with TLS that are not read.
    UnreadTls,
    /// Large gRPC responses over one connection that are not read.
    UnreadGrpc,
    /// Responses that stop in the middle, because the upstream does.
    Stalled,
    /// Heads that arrive byte by byte.
    SlowHeads,
    /// TLS handshakes that arrive byte by byte.
    SlowHandshakes,
    /// Bodies that arrive byte by byte.
    SlowBodies,
    /// Responses that are read little by little.
    SlowReaders,
    /// Requests over HTTP/2 that are reset at once.
    Resets,
    /// Heads over HTTP/2 that never end.
    Continuation,
    /// PING frames.
    Pings,
    /// SETTINGS frames.
    Settings,
    /// Requests that are not paid for.
    Unpaid,
}

impl Attack {
    /// Attacks until a moment at the latest.
    pub(super) async fn run(
        self,
        target: &Arc<Target>,
        count: usize,
        until: Instant,
    ) -> Result<Made> {
        match self {
            Self::Calm => {
                sleep_until(until).await;
                Ok(Made {
                    count,
                    seen: String::new(),
                })
            }
            Self::Silent => silent::run(target, target.http1, count, until).await,
            Self::SilentTls => silent::run(target, target.https, count, until).await,
            Self::Window => window::run(target, count, until).await,
            Self::UnreadHttp1 => unread::over_http1(target, "/big", count, until).await,
            Self::UnreadHttp2 => unread::over_http2(target, count, until).await,
            Self::UnreadTls => unread::over_tls(target, count, until).await,
            Self::UnreadGrpc => unread::over_grpc(target, count, until).await,
            Self::Stalled => unread::over_http1(target, "/stall", count, until).await,
            Self::SlowHeads => slow::heads(target, count, until).await,
            Self::SlowHandshakes => slow::handshakes(target, count, until).await,
            Self::SlowBodies => slow::bodies(target, count, until).await,
            Self::SlowReaders => slow::readers(target, count, until).await,
            Self::Resets => floods::resets(target, count, until).await,
            Self::Continuation => floods::continuation(target, count, until).await,
            Self::Pings => floods::pings(target, count, until).await,
            Self::Settings => floods::settings(target, count, until).await,
            Self::Unpaid => unpaid::run(target, count, until).await,
        }
    }
}
