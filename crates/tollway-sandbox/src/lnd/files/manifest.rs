//! `sandbox.json`: the wallets of a running sandbox, and how other programs reach them.
//!
//! Written to the data folder when all servers run, and removed on stop. Readable by its user
//! alone, because the URIs in it are logins.

use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::time::Duration;

use serde::{Deserialize, Serialize};
use tokio::net::TcpStream;
use tokio::time::timeout;

use super::super::server::{LndAccess, LndConnectUri, LndServer};
use crate::disk::{self, DiskError};

/// The wallets of a running sandbox, by name.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct Manifest {
    /// The process that serves them.
    pub pid: u32,
    /// How to reach each wallet.
    pub wallets: BTreeMap<String, LndAccess>,
}

/// Why no running sandbox was found.
#[derive(Debug, thiserror::Error)]
pub enum FindError {
    /// `sandbox.json` cannot be read.
    #[error(transparent)]
    Disk(#[from] DiskError),
    /// There is no `sandbox.json`.
    #[error("no sandbox is running in {}: start one with `tollway sandbox`", dir.display())]
    NotRunning {
        /// The data folder looked into.
        dir: PathBuf,
    },
    /// There is one, but nothing listens at its addresses.
    #[error(
        "the sandbox in {} (process {pid}) no longer answers on {address}: start it again with `tollway sandbox`",
        dir.display()
    )]
    Silent {
        /// The data folder looked into.
        dir: PathBuf,
        /// The process that wrote the file.
        pid: u32,
        /// The first address that does not answer.
        address: SocketAddr,
    },
}

impl Manifest {
    /// Describes wallets served by this process.
    #[must_use]
    pub fn new<'a>(servers: impl IntoIterator<Item = &'a LndServer>) -> Self {
        let described = |server: &LndServer| (server.name().to_owned(), server.access().clone());
        Self {
            pid: std::process::id(),
            wallets: servers.into_iter().map(described).collect(),
        }
    }

    /// Finds the running sandbox whose data is in `dir`.
    ///
    /// # Errors
    ///
    /// [`FindError`], whose text contains what to do.
    pub async fn find(dir: &Path) -> Result<Self, FindError> {
        let dir_owned = || dir.to_owned();
        let file = Self::read(dir)?.ok_or_else(|| FindError::NotRunning { dir: dir_owned() })?;
        for access in file.wallets.values() {
            if !answers(access.address).await {
                return Err(FindError::Silent {
                    dir: dir_owned(),
                    pid: file.pid,
                    address: access.address,
                });
            }
        }
        Ok(file)
    }

    /// Reads the file in `dir`, whether or not what it describes still runs; `None` without one.
    ///
    /// # Errors
    ///
    /// [`DiskError`] when it cannot be read or is not such a file.
    pub fn read(dir: &Path) -> Result<Option<Self>, DiskError> {
        let path = path(dir);
        let Some(content) = disk::read(&path)? else {
            return Ok(None);
        };
        let written: ManifestJson = serde_json::from_slice(&content)
            // Only where: what is wrong might quote a URI.
            .map_err(|error| {
                DiskError::damaged(&path, format!("unreadable at line {}", error.line()))
            })?;
        Ok(Some(written.into()))
    }

    /// Writes the file into `dir`, whole or not at all.
    ///
    /// # Errors
    ///
    /// [`DiskError`] when it cannot be written; an earlier file is then unchanged.
    pub fn write(&self, dir: &Path) -> Result<(), DiskError> {
        let path = path(dir);
        let content = serde_json::to_vec_pretty(&ManifestJson::from(self))
            .map_err(|error| DiskError::damaged(&path, error))?;
        disk::make_folder(dir)?;
        disk::replace(&path, &content)
    }

    /// Removes the file from `dir`, if it is there.
    ///
    /// # Errors
    ///
    /// [`DiskError`] when it is and cannot be removed.
    pub fn remove(dir: &Path) -> Result<(), DiskError> {
        disk::remove(&path(dir))
    }
}

/// Returns the default folder of a sandbox's data, below the user's folder for data.
#[must_use]
pub fn default_dir(data_home: &Path) -> PathBuf {
    data_home.join("tollway").join("sandbox")
}

fn path(dir: &Path) -> PathBuf {
    dir.join("sandbox.json")
}

async fn answers(address: SocketAddr) -> bool {
    let connected = timeout(CONNECT_TIMEOUT, TcpStream::connect(address)).await;
    matches!(connected, Ok(Ok(_)))
}

/// The file as it is written.
#[derive(Deserialize, Serialize)]
struct ManifestJson {
    network: Network,
    pid: u32,
    wallets: BTreeMap<String, WalletJson>,
}

/// The only network there is; anything else in the file is not ours.
#[derive(Deserialize, Serialize)]
#[serde(rename_all = "lowercase")]
enum Network {
    Regtest,
}

#[derive(Deserialize, Serialize)]
struct WalletJson {
    pubkey: String,
    grpc: SocketAddr,
    rest: String,
    tls_cert: PathBuf,
    macaroons: BTreeMap<String, PathBuf>,
    lndconnect: String,
}

impl From<&Manifest> for ManifestJson {
    fn from(file: &Manifest) -> Self {
        let wallet = |access: &LndAccess| WalletJson {
            pubkey: access.pubkey.clone(),
            grpc: access.address,
            rest: format!("https://{}", access.address),
            tls_cert: access.tls_cert.clone(),
            macaroons: access.macaroons.clone(),
            lndconnect: access.uri.expose().to_owned(),
        };
        let wallets = file.wallets.iter();
        Self {
            network: Network::Regtest,
            pid: file.pid,
            wallets: wallets
                .map(|(name, access)| (name.clone(), wallet(access)))
                .collect(),
        }
    }
}

impl From<ManifestJson> for Manifest {
    fn from(written: ManifestJson) -> Self {
        let access = |wallet: WalletJson| LndAccess {
            address: wallet.grpc,
            tls_cert: wallet.tls_cert,
            macaroons: wallet.macaroons,
            uri: LndConnectUri::new(wallet.lndconnect),
            pubkey: wallet.pubkey,
        };
        let wallets = written.wallets.into_iter();
        Self {
            pid: written.pid,
            wallets: wallets
                .map(|(name, wallet)| (name, access(wallet)))
                .collect(),
        }
    }
}

const CONNECT_TIMEOUT: Duration = Duration::from_secs(2);

#[cfg(test)]
mod tests {
    use super::*;

    fn file(address: SocketAddr) -> Manifest {
        let access = LndAccess {
            address,
            tls_cert: "/data/seller/tls.cert".into(),
            macaroons: BTreeMap::from([("admin".to_owned(), "/data/admin.macaroon".into())]),
            uri: LndConnectUri::new(format!("lndconnect://{address}?cert=AA&macaroon=c2VjcmV0")),
            pubkey: "02".repeat(33),
        };
        Manifest {
            pid: 7,
            wallets: BTreeMap::from([("seller".to_owned(), access)]),
        }
    }

    async fn port() -> (tokio::net::TcpListener, SocketAddr) {
        let listener = tokio::net::TcpListener::bind(("127.0.0.1", 0))
            .await
            .unwrap();
        let address = listener.local_addr().unwrap();
        (listener, address)
    }

    #[tokio::test]
    async fn a_written_file_is_found_while_its_wallets_answer() {
        let dir = tempfile::tempdir().unwrap();
        let (_listener, address) = port().await;

        file(address).write(dir.path()).unwrap();

        assert_eq!(Manifest::find(dir.path()).await.unwrap(), file(address));
    }

    #[tokio::test]
    async fn a_file_left_behind_is_not_a_running_sandbox() {
        let dir = tempfile::tempdir().unwrap();
        let (listener, address) = port().await;
        file(address).write(dir.path()).unwrap();
        drop(listener);

        let missed = Manifest::find(dir.path()).await.unwrap_err();

        assert!(
            matches!(missed, FindError::Silent { pid: 7, .. }),
            "{missed}"
        );
    }

    #[tokio::test]
    async fn a_removed_file_is_no_sandbox_and_says_how_to_start_one() {
        let dir = tempfile::tempdir().unwrap();
        let (_listener, address) = port().await;
        file(address).write(dir.path()).unwrap();

        Manifest::remove(dir.path()).unwrap();
        Manifest::remove(dir.path()).unwrap();

        let missed = Manifest::find(dir.path()).await.unwrap_err();
        assert!(missed.to_string().contains("tollway sandbox"), "{missed}");
    }

    #[test]
    fn a_damaged_file_is_an_error_that_does_not_repeat_it() {
        let dir = tempfile::tempdir().unwrap();
        for content in [
            "",
            "{",
            r#"{"network":"mainnet","pid":1,"wallets":{}}"#,
            r#"{"network":"regtest","pid":1,"wallets":{"a":{"lndconnect":"secret"}}}"#,
        ] {
            std::fs::write(path(dir.path()), content).unwrap();
            let refused = Manifest::read(dir.path()).unwrap_err().to_string();
            assert!(refused.contains("sandbox.json"), "{refused}");
            assert!(!refused.contains("secret"), "{refused}");
        }
    }

    #[test]
    fn a_uri_is_not_shown() {
        let shown = format!("{:?}", file("127.0.0.1:1".parse().unwrap()));
        assert!(!shown.contains("c2VjcmV0"), "{shown}");
    }
}
