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
    addresses: Addresses,
    pub(super) over_tls: bool,
}

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
    pub(super) fn start(bench: &Path, certificate: &Certificate, flags: &[&str]) -> Result<Self> {
        let mut child = Command::new(bench)
            .arg("upstream")
            .arg("--tls-cert")
            .arg(&certificate.chain)
            .arg("--tls-key")
            .arg(&certificate.key)
            .args(flags)
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .spawn()?;
        let mut line = String::new();
        let printed = child.stdout.take().context("no output")?;
        BufReader::new(printed).read_line(&mut line)?;
        Ok(Self {
            addresses: serde_json::from_str(&line).context("the upstream does not start")?,
            child,
            over_tls: false,
        })
    }

    /// Chooses the port with TLS.
    ///
    /// # Errors
    ///
    /// When it has none.
    pub(super) fn over_tls(mut self) -> Result<Self> {
        self.addresses.https.context("no TLS port")?;
        self.over_tls = true;
        Ok(self)
    }

    pub(super) fn address(&self) -> SocketAddr {
        match self.addresses.https {
            Some(https) if self.over_tls => https,
            Some(_) | None => self.addresses.http,
        }
    }

    pub(super) fn url(&self) -> String {
        let scheme = if self.over_tls { "https" } else { "http" };
        format!("{scheme}://{}", self.address())
    }
}

impl Drop for Upstream {
    fn drop(&mut self) {
        // It has no state to save.
        let _already_gone = self.child.kill();
        let _ended = self.child.wait();
    }
}
