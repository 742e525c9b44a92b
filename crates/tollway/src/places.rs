//! Where do configuration and state lie on this machine?
//!
//! `TOLLWAY_HOME` names one folder for everything. Without it the XDG folders are used, so
//! that backups and clean-ups find what they expect. But for `TOLLWAY_LOG`, the environment is read here
//! and nowhere else.

use std::env;
use std::path::PathBuf;

use crate::exit::{Failure, FailureKind};

/// The folders of one user.
#[derive(Clone, Debug)]
pub(crate) struct Places {
    config: PathBuf,
    data: PathBuf,
}

impl Places {
    /// Reads `TOLLWAY_HOME`, `XDG_CONFIG_HOME`, `XDG_DATA_HOME` and `HOME`, in that order.
    pub(crate) fn from_env() -> Result<Self, Failure> {
        let folder = |name| {
            env::var_os(name)
                .filter(|value| !value.is_empty())
                .map(PathBuf::from)
        };
        if let Some(home) = folder("TOLLWAY_HOME") {
            return Ok(Self {
                config: home.clone(),
                data: home,
            });
        }
        let home = folder("HOME").ok_or_else(|| {
            Failure::new(
                FailureKind::Usage,
                "neither HOME nor TOLLWAY_HOME is set: set TOLLWAY_HOME to a folder",
            )
        });
        let below_home = |below: &str| {
            home.as_ref()
                .map(|home| home.join(below))
                .map_err(Failure::clone)
        };
        let config = folder("XDG_CONFIG_HOME").map_or_else(|| below_home(".config"), Ok)?;
        let data = folder("XDG_DATA_HOME").map_or_else(|| below_home(".local/share"), Ok)?;
        Ok(Self {
            config: config.join("tollway"),
            data: data.join("tollway"),
        })
    }

    /// The configuration file.
    pub(crate) fn config_file(&self) -> PathBuf {
        self.config.join("config.toml")
    }

    /// Where the sandbox keeps its wallets and says where it listens.
    pub(crate) fn sandbox(&self) -> PathBuf {
        self.data.join("sandbox")
    }

    /// Where the paying client keeps its journal and tokens.
    pub(crate) fn client(&self) -> PathBuf {
        self.data.join("client")
    }

    /// Where the gateway keeps its master key and its ledger.
    pub(crate) fn gateway(&self) -> PathBuf {
        self.data.join("gateway")
    }
}
