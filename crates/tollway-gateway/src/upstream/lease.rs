//! Use of an upstream connection for one exchange.

use std::rc::Rc;
use std::time::Duration;

use hyper::client::conn::http1;

use crate::upstream::h2::StreamGuard;
use crate::upstream::idle::IdleConnections;
use crate::upstream::upload::Upload;

/// The use of a connection for one exchange.
#[derive(Debug)]
pub(crate) enum Lease {
    Exclusive {
        sender: http1::SendRequest<Upload>,
        idle: Rc<IdleConnections>,
    },
    Shared(#[expect(dead_code, reason = "counts the stream until it is dropped")] StreamGuard),
}

impl Lease {
    /// Returns the connection for another exchange once this one is complete.
    pub(crate) fn release(self) {
        let Self::Exclusive { mut sender, idle } = self else {
            return;
        };
        if sender.is_ready() {
            idle.put(sender);
        } else if !sender.is_closed() {
            // The response ended before the request body did. Most such bodies end soon.
            tokio::task::spawn_local(async move {
                let settled = tokio::time::timeout(SETTLING_TIME_MAX, sender.ready()).await;
                if let Ok(Ok(())) = settled {
                    idle.put(sender);
                }
            });
        }
    }
}

const SETTLING_TIME_MAX: Duration = Duration::from_secs(5);
