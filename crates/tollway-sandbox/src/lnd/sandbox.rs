//! A sandbox as other programs use it: the network, an LND server for each wallet, and the
//! manifest that names them.

use std::path::{Path, PathBuf};

use super::files::manifest::Manifest;
use super::server::{LndServer, LndServerError};
use crate::disk::DiskError;
use crate::network::{Sandbox, SandboxConfig, SandboxError};

/// A running sandbox with an LND server for each wallet.
///
/// Its manifest is in the data directory from the moment all servers run until
/// [`stop`](Self::stop). Dropping it stops everything without waiting, and leaves the manifest.
#[derive(Debug)]
pub struct LndSandbox {
    data_dir: PathBuf,
    seller: LndServer,
    buyer: LndServer,
    sandbox: Sandbox,
}

/// The port of each wallet's server on the loopback interface; 0 is any free one.
#[derive(Clone, Copy, Debug, Default, Eq, PartialEq)]
pub struct Ports {
    /// The wallet that is paid.
    pub seller: u16,
    /// The wallet that pays.
    pub buyer: u16,
}

impl Ports {
    /// Any free ports.
    pub const ANY: Self = Self {
        seller: 0,
        buyer: 0,
    };
}

/// Why a sandbox or one of its servers did not start. What had been started is stopped.
#[derive(Debug, thiserror::Error)]
pub enum LndSandboxError {
    /// The manifest cannot be written.
    #[error(transparent)]
    Manifest(#[from] DiskError),
    /// The network did not start.
    #[error(transparent)]
    Network(#[from] SandboxError),
    /// A server did not start.
    #[error(transparent)]
    Server(#[from] LndServerError),
}

impl LndSandbox {
    /// Starts the network, then both servers, then writes the manifest.
    ///
    /// # Errors
    ///
    /// [`LndSandboxError`].
    pub async fn start(config: SandboxConfig, ports: Ports) -> Result<Self, LndSandboxError> {
        let data_dir = config.data_dir.clone();
        let sandbox = Sandbox::start(config).await?;
        let seller = LndServer::start(sandbox.seller(), &data_dir, ports.seller).await?;
        let buyer = LndServer::start(sandbox.buyer(), &data_dir, ports.buyer).await?;
        Manifest::new([&seller, &buyer]).write(&data_dir)?;
        Ok(Self {
            data_dir,
            seller,
            buyer,
            sandbox,
        })
    }

    /// Returns the network.
    #[must_use]
    pub const fn network(&self) -> &Sandbox {
        &self.sandbox
    }

    /// Returns the server of the wallet that is paid.
    #[must_use]
    pub const fn seller(&self) -> &LndServer {
        &self.seller
    }

    /// Returns the server of the wallet that pays.
    #[must_use]
    pub const fn buyer(&self) -> &LndServer {
        &self.buyer
    }

    /// Returns both servers.
    #[must_use]
    pub const fn servers(&self) -> [&LndServer; 2] {
        [&self.seller, &self.buyer]
    }

    /// Returns the data directory.
    #[must_use]
    pub fn data_dir(&self) -> &Path {
        &self.data_dir
    }

    /// Removes the manifest, and stops the servers and the network.
    ///
    /// # Errors
    ///
    /// [`DiskError`] when the manifest cannot be removed; everything else has stopped.
    pub async fn stop(self) -> Result<(), DiskError> {
        let removed = Manifest::remove(&self.data_dir);
        self.seller.stop().await;
        self.buyer.stop().await;
        self.sandbox.stop().await;
        removed
    }
}
