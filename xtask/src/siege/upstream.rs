//! The upstream of a siege or a soak: `tollway-bench upstream`.

use std::io::{BufRead as _, BufReader};
use std::net::SocketAddr;
use std::path::Path;
use std::process::{Child, Command, Stdio};

use anyhow::{Context, Result};
use serde::Deserialize;

use crate::interop::certificate::Certificate;

/// A running upstream, killed when dropped.
#[derive(Debug)]
pub(crate) struct Upstream {
    child: Child,
    reached: Reached,
    address: SocketAddr,
}

/// How an upstream is reached.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(crate) enum Reached {
    /// Without TLS: HTTP/1.1, and HTTP/2 for gRPC calls.
    Plaintext,
    /// With TLS, which chooses HTTP/2.
    Tls,
    /// With TLS and HTTP/1.1, so that there are no gRPC calls.
    TlsHttp1,
}

/// What `tollway-bench upstream` prints.
#[derive(Clone, Copy, Debug, Deserialize)]
struct Addresses {
    http: SocketAddr,
    https: Option<SocketAddr>,
}

impl Upstream {
    /// Starts one with these flags. `bench` is the program `tollway-bench`.
    ///
    /// # Errors
    ///
    /// When it does not start.
    pub(super) fn start(
        bench: &Path,
        certificate: &Certificate,
        reached: Reached,
        flags: &[&str],
    ) -> Result<Self> {
        let mut command = Command::new(bench);
        command
            .arg("upstream")
            .arg("--tls-cert")
            .arg(&certificate.chain)
            .arg("--tls-key")
            .arg(&certificate.key)
            .args(flags);
        if reached == Reached::TlsHttp1 {
            command.arg("--tls-http1");
        }
        let mut child = command
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .spawn()?;
        let mut line = String::new();
        let printed = child.stdout.take().context("no output")?;
        BufReader::new(printed).read_line(&mut line)?;
        let addresses: Addresses =
            serde_json::from_str(&line).context("the upstream does not start")?;
        let address = match reached {
            Reached::Plaintext => addresses.http,
            Reached::Tls | Reached::TlsHttp1 => addresses.https.context("no TLS port")?,
        };
        Ok(Self {
            child,
            reached,
            address,
        })
    }

    pub(super) const fn address(&self) -> SocketAddr {
        self.address
    }

    pub(super) fn has_tls(&self) -> bool {
        self.reached != Reached::Plaintext
    }

    pub(super) fn url(&self) -> String {
        let scheme = if self.has_tls() { "https" } else { "http" };
        format!("{scheme}://{}", self.address)
    }
}

impl Drop for Upstream {
    fn drop(&mut self) {
        // It has no state to save.
        let _already_gone = self.child.kill();
        let _ended = self.child.wait();
    }
}
