//! The server of a wallet's LND-compatible API.
//!
//! ```no_run
//! # use tollway_sandbox::lnd::server::{LndServer, LndServerError};
//! # async fn example(wallet: tollway_sandbox::wallet::Wallet) -> Result<(), LndServerError> {
//! let server = LndServer::start(&wallet, "sandbox".as_ref(), 10009).await?;
//! assert!(server.access().uri.expose().starts_with("lndconnect://127.0.0.1:10009?"));
//! server.stop().await;
//! # Ok(())
//! # }
//! ```

mod serve;

use std::collections::BTreeMap;
use std::fmt;
use std::io;
use std::net::{Ipv4Addr, SocketAddr};
use std::path::{Path, PathBuf};
use std::sync::Arc;

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use l402::{Macaroon, MacaroonError, RootKey};
use tokio::net::TcpListener;
use tokio::sync::watch;
use tokio::task::JoinHandle;
use tokio_rustls::TlsAcceptor;

use self::serve::Api;
use super::auth::bakery::Bakery;
use super::auth::permissions;
use super::files::folder::Folder;
use super::files::tls::Identity;
use super::grpc::LndService;
use super::grpc::services::GrpcServices;
use super::rest::Rest;
use crate::disk::{self, DiskError};
use crate::wallet::Wallet;

/// A wallet's LND-compatible API, being served.
///
/// Dropping it stops it too, without waiting.
#[derive(Debug)]
pub struct LndServer {
    name: String,
    access: LndAccess,
    stopping: watch::Sender<bool>,
    server: JoinHandle<()>,
}

/// What a client needs to reach a wallet: what LND's clients are configured with.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct LndAccess {
    /// Where gRPC and REST are served, over TLS.
    pub address: SocketAddr,
    /// The certificate to expect, as a PEM file.
    pub tls_cert: PathBuf,
    /// Macaroon files by name: `admin`, `readonly`, `invoice` and so on.
    pub macaroons: BTreeMap<String, PathBuf>,
    /// Address, certificate and admin macaroon in one.
    pub uri: LndConnectUri,
    /// The node's public key, in hexadecimal.
    pub pubkey: String,
}

/// An `lndconnect://` URI. A secret: it contains the admin macaroon.
#[derive(Clone, Eq, PartialEq)]
pub struct LndConnectUri(String);

impl LndConnectUri {
    pub(crate) const fn new(uri: String) -> Self {
        Self(uri)
    }

    fn of(address: SocketAddr, certificate: &[u8], macaroon: &Macaroon) -> Self {
        let cert = URL_SAFE_NO_PAD.encode(certificate);
        let macaroon = URL_SAFE_NO_PAD.encode(macaroon.as_bytes());
        Self(format!(
            "lndconnect://{address}?cert={cert}&macaroon={macaroon}"
        ))
    }

    /// The URI itself.
    #[must_use]
    pub fn expose(&self) -> &str {
        &self.0
    }
}

impl fmt::Debug for LndConnectUri {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("LndConnectUri(redacted)")
    }
}

/// Why a wallet's API did not start.
#[derive(Debug, thiserror::Error)]
pub enum LndServerError {
    /// The port is taken, or not allowed.
    #[error("cannot listen on {address}: {source}: choose another port, or 0 for any free one")]
    Bind {
        /// The address asked for.
        address: SocketAddr,
        /// What the system reported.
        source: io::Error,
    },
    /// The calls generated into this build cannot be read.
    #[error("this build is broken: {0}")]
    Descriptors(#[from] prost_reflect::DescriptorError),
    /// A file cannot be read or written.
    #[error(transparent)]
    Disk(#[from] DiskError),
    /// A macaroon cannot be baked.
    #[error("cannot bake a macaroon: {0}")]
    Macaroon(#[from] MacaroonError),
}

impl LndServer {
    /// Writes the wallet's files under `data_dir` and serves on `port` of the loopback interface;
    /// port 0 is any free one.
    ///
    /// The certificate is kept if there is one. The macaroons are always the same for a
    /// wallet, so an URI from an earlier run on the same port is still good.
    ///
    /// # Errors
    ///
    /// [`LndServerError`]; files may have been written, and nothing is being served.
    pub async fn start(
        wallet: &Wallet,
        data_dir: &Path,
        port: u16,
    ) -> Result<Self, LndServerError> {
        let rest = Rest::new()?;
        let folder = Folder::new(data_dir, wallet.name());
        disk::make_folder(&folder.macaroons())?;
        let identity = Identity::keep(&folder.tls_cert(), &folder.tls_key())?;
        let bakery = Bakery::new(RootKey::new(wallet.derive_secret(ROOT_KEY)));
        let baked = bake(wallet, &bakery, &folder)?;

        let address = SocketAddr::from((Ipv4Addr::LOCALHOST, port));
        let (listener, address) = bind(address).await?;
        let (stopping, told) = watch::channel(false);
        let node = LndService::new(wallet.clone(), told.clone());
        let api = Api {
            calls: GrpcServices::new(node, bakery, wallet.clock().clone()),
            rest: Arc::new(rest),
        };
        let tls = TlsAcceptor::from(identity.server);
        let server = tokio::spawn(serve::run(listener, tls, api, told));
        Ok(Self {
            name: wallet.name().to_owned(),
            access: LndAccess {
                address,
                tls_cert: folder.tls_cert(),
                macaroons: baked.files,
                uri: LndConnectUri::of(address, &identity.certificate, &baked.admin),
                pubkey: wallet.info().pubkey.to_string(),
            },
            stopping,
            server,
        })
    }

    /// The wallet's name.
    #[must_use]
    pub fn name(&self) -> &str {
        &self.name
    }

    /// How to reach the wallet.
    #[must_use]
    pub const fn access(&self) -> &LndAccess {
        &self.access
    }

    /// Stops serving: requests in flight may finish within three seconds, streams end.
    pub async fn stop(self) {
        // No receiver means that the server has ended by itself.
        let _ended = self.stopping.send(true);
        let _panicked = self.server.await;
    }
}

struct Baked {
    admin: Macaroon,
    files: BTreeMap<String, PathBuf>,
}

fn bake(wallet: &Wallet, bakery: &Bakery, folder: &Folder) -> Result<Baked, LndServerError> {
    let mut files = BTreeMap::new();
    for (name, operations) in permissions::MACAROONS {
        let macaroon = bakery.bake(operations, nonce(wallet, name))?;
        let path = folder.macaroon(name);
        disk::replace(&path, macaroon.as_bytes())?;
        files.insert((*name).to_owned(), path);
    }
    let admin = bakery.bake(permissions::ADMIN, nonce(wallet, "admin"))?;
    Ok(Baked { admin, files })
}

fn nonce(wallet: &Wallet, name: &str) -> [u8; 16] {
    let secret = wallet.derive_secret(&format!("macaroon nonce {name}"));
    let (nonce, _rest) = secret.split_first_chunk().unwrap_or((&[0; 16], &[]));
    *nonce
}

async fn bind(address: SocketAddr) -> Result<(TcpListener, SocketAddr), LndServerError> {
    let bound = async {
        let listener = TcpListener::bind(address).await?;
        let address = listener.local_addr()?;
        Ok((listener, address))
    };
    bound
        .await
        .map_err(|source| LndServerError::Bind { address, source })
}

/// What the root key is derived for.
const ROOT_KEY: &str = "macaroon root key";
