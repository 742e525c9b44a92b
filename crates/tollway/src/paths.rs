//! Directories of configuration and state.
//!
//! `TOLLWAY_HOME` names one directory for everything. Without it the XDG directories are
//! used, so that backups and clean-ups find what they expect. Except for `TOLLWAY_LOG`, the
//! environment is read here and nowhere else.

use std::env;
use std::path::PathBuf;

use crate::exit::{Failure, FailureKind};

/// Returns `TOLLWAY_HOME`, if it is set.
pub(crate) fn home() -> Option<PathBuf> {
    dir("TOLLWAY_HOME")
}

/// Returns the variable that names a proxy for a scheme, if one is set: those that curl reads.
pub(crate) fn proxy_variable(scheme: &str) -> Option<&'static str> {
    let names: &[&str] = match scheme {
        "https" => &["https_proxy", "HTTPS_PROXY", "all_proxy", "ALL_PROXY"],
        _ => &["http_proxy", "all_proxy", "ALL_PROXY"],
    };
    names.iter().copied().find(|name| dir(name).is_some())
}

fn dir(name: &str) -> Option<PathBuf> {
    let value = env::var_os(name).filter(|value| !value.is_empty());
    value.map(PathBuf::from)
}

/// The directories of one user.
#[derive(Clone, Debug)]
pub(crate) struct Dirs {
    config: PathBuf,
    data: PathBuf,
}

impl Dirs {
    /// Reads `TOLLWAY_HOME`, `XDG_CONFIG_HOME`, `XDG_DATA_HOME` and `HOME`, in that order.
    pub(crate) fn from_env() -> Result<Self, Failure> {
        if let Some(home) = home() {
            return Ok(Self {
                config: home.clone(),
                data: home,
            });
        }
        let home = dir("HOME").ok_or_else(|| {
            Failure::new(
                FailureKind::Usage,
                "neither HOME nor TOLLWAY_HOME is set: set TOLLWAY_HOME to a directory",
            )
        });
        let below_home = |below: &str| {
            home.as_ref()
                .map(|home| home.join(below))
                .map_err(Failure::clone)
        };
        let config = dir("XDG_CONFIG_HOME").map_or_else(|| below_home(".config"), Ok)?;
        let data = dir("XDG_DATA_HOME").map_or_else(|| below_home(".local/share"), Ok)?;
        Ok(Self {
            config: config.join("tollway"),
            data: data.join("tollway"),
        })
    }

    /// Returns the path of the configuration file.
    pub(crate) fn config_file(&self) -> PathBuf {
        self.config.join("config.toml")
    }

    /// Returns the directory of the sandbox's wallets and of `sandbox.json`.
    pub(crate) fn sandbox(&self) -> PathBuf {
        self.data.join("sandbox")
    }

    /// Returns the directory of the paying client's purchases and tokens.
    pub(crate) fn client(&self) -> PathBuf {
        self.data.join("client")
    }

    /// Returns the file that stops all paying while it exists.
    pub(crate) fn stop_file(&self) -> PathBuf {
        self.data.join("stop")
    }

    /// Returns the directory of the gateway's master keys and ledger.
    pub(crate) fn gateway(&self) -> PathBuf {
        self.data.join("gateway")
    }
}
