//! Paths of a wallet's files, where LND's clients look for them.

use std::path::{Path, PathBuf};

/// One wallet's folder, laid out as `lnd --bitcoin.regtest` lays out its own.
#[derive(Clone, Debug)]
pub(crate) struct Folder {
    root: PathBuf,
}

impl Folder {
    /// The folder of the wallet `name` among a sandbox's data.
    pub(crate) fn new(data_dir: &Path, name: &str) -> Self {
        let root = data_dir.join(name);
        Self { root }
    }

    pub(crate) fn tls_cert(&self) -> PathBuf {
        self.root.join("tls.cert")
    }

    pub(crate) fn tls_key(&self) -> PathBuf {
        self.root.join("tls.key")
    }

    pub(crate) fn macaroons(&self) -> PathBuf {
        self.root.join("data/chain/bitcoin/regtest")
    }

    pub(crate) fn macaroon(&self, name: &str) -> PathBuf {
        self.macaroons().join(format!("{name}.macaroon"))
    }
}
