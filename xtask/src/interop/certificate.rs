//! Self-signed certificate for `localhost` and `127.0.0.1`, made with `openssl`.

use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::Duration;

use anyhow::Result;

use super::process;

/// A certificate and its key, as PEM files.
#[derive(Clone, Debug)]
pub(crate) struct Certificate {
    pub(crate) chain: PathBuf,
    pub(crate) key: PathBuf,
}

impl Certificate {
    /// Creates one in `dir`.
    ///
    /// # Errors
    ///
    /// Without `openssl`.
    pub(crate) fn create(dir: &Path) -> Result<Self> {
        let (chain, key) = (dir.join("cert.pem"), dir.join("key.pem"));
        let mut openssl = Command::new("openssl");
        openssl
            .args(["req", "-x509", "-nodes", "-days", "2", "-newkey", "ec"])
            .args(["-pkeyopt", "ec_paramgen_curve:P-256"])
            .args(["-subj", "/CN=localhost"])
            .args(["-addext", "subjectAltName=DNS:localhost,IP:127.0.0.1"])
            .args(["-addext", "basicConstraints=critical,CA:FALSE"])
            .arg("-keyout")
            .arg(&key)
            .arg("-out")
            .arg(&chain);
        process::output(&mut openssl, PATIENCE)?;
        Ok(Self { chain, key })
    }
}

const PATIENCE: Duration = Duration::from_secs(20);
