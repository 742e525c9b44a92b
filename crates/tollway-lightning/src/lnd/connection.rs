//! Node connection, shared by the two halves of a wallet.
//!
//! Nothing is sent before the first call, which connects; a connection that broke is replaced
//! by the next call. Every call has a deadline, and a node that stops responding to pings is given
//! up, so that no call hangs on a broken connection.

use std::fmt;
use std::future::Future;
use std::sync::{Arc, OnceLock};
use std::time::Duration;

use l402::Network;
use sha2::{Digest as _, Sha256};
use tonic::metadata::{Ascii, MetadataValue};
use tonic::service::Interceptor;
use tonic::service::interceptor::InterceptedService;
use tonic::transport::{Channel, ClientTlsConfig, Endpoint};
use tonic::{Request, Response, Status};

use super::permission::Permission;
use super::proto::lnrpc::lightning_client::LightningClient;
use super::proto::lnrpc::{GetInfoRequest, GetInfoResponse};
use super::proto::routerrpc::router_client::RouterClient;
use super::require_status::RequireStatus;
use super::status::CallError;
use super::tls::PinnedCertificate;
use super::{LndConnect, LndInvoicer, LndPayer};
use crate::{WalletIdentity, WalletKey};

/// A node reached over gRPC. Cheap to clone: clones share one connection.
///
/// The connection lives on the runtime that makes the first call. `Debug` shows the address
/// only.
#[derive(Clone)]
pub struct Lnd {
    connection: Arc<Connection>,
}

impl Lnd {
    /// Prepares a connection; the first call connects.
    ///
    /// # Errors
    ///
    /// [`LndError`] when TLS cannot be set up for the node's host.
    pub fn new(connect: &LndConnect) -> Result<Self, LndError> {
        let connection = Connection {
            address: connect.address(),
            endpoint: endpoint(connect).map_err(LndError)?,
            account: account(connect),
            macaroon: MacaroonHeader::new(connect),
            channel: OnceLock::new(),
            identity: OnceLock::new(),
            network: OnceLock::new(),
        };
        Ok(Self {
            connection: Arc::new(connection),
        })
    }

    /// Returns the half that makes invoices and cannot spend.
    #[must_use]
    pub fn invoicer(&self) -> LndInvoicer {
        LndInvoicer::new(Arc::clone(&self.connection))
    }

    /// Returns the half that pays.
    #[must_use]
    pub fn payer(&self) -> LndPayer {
        LndPayer::new(Arc::clone(&self.connection))
    }
}

impl fmt::Debug for Lnd {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("Lnd")
            .field(&self.connection.address)
            .finish()
    }
}

/// TLS cannot be set up for a node.
#[derive(Debug, thiserror::Error)]
#[error("cannot set up TLS for the node")]
pub struct LndError(#[source] tonic::transport::Error);

/// The connection and what is known about the node at its other end.
pub(super) struct Connection {
    pub(super) address: String,
    endpoint: Endpoint,
    account: WalletKey,
    macaroon: MacaroonHeader,
    channel: OnceLock<Channel>,
    /// The wallet's identity, once the payer has read it; it does not change while the node runs.
    pub(super) identity: OnceLock<WalletIdentity>,
    /// The node's network, once the invoicer has read it.
    pub(super) network: OnceLock<Network>,
}

pub(super) type Transport = InterceptedService<RequireStatus<Channel>, MacaroonHeader>;

impl Connection {
    pub(super) fn lightning(&self) -> LightningClient<Transport> {
        LightningClient::with_interceptor(self.channel(), self.macaroon.clone())
            .max_decoding_message_size(MESSAGE_MAX)
    }

    pub(super) fn router(&self) -> RouterClient<Transport> {
        RouterClient::with_interceptor(self.channel(), self.macaroon.clone())
            .max_decoding_message_size(MESSAGE_MAX)
    }

    /// Reads the node's key and network; needs `info:read`.
    pub(super) async fn info(&self) -> Result<WalletIdentity, CallError> {
        let mut lightning = self.lightning();
        let asked = lightning.get_info(GetInfoRequest {});
        read_info(&unary(asked, Permission::InfoRead).await?)
    }

    /// What identifies the wallet for a macaroon that does not allow `info:read`.
    pub(super) const fn account(&self) -> WalletKey {
        self.account
    }

    /// Made by the first call, because the connection needs the runtime that call runs on.
    fn channel(&self) -> RequireStatus<Channel> {
        let channel = self.channel.get_or_init(|| self.endpoint.connect_lazy());
        RequireStatus(channel.clone())
    }
}

/// Waits for a response, for as long as any but a payment's may take.
pub(super) async fn unary<T>(
    call: impl Future<Output = Result<Response<T>, Status>>,
    permission: Permission,
) -> Result<T, CallError> {
    match tokio::time::timeout(CALL_DEADLINE, call).await {
        Ok(Ok(response)) => Ok(response.into_inner()),
        Ok(Err(status)) => Err(CallError::new(&status, permission)),
        Err(_elapsed) => Err(CallError::lost(format!(
            "no response within {} s",
            CALL_DEADLINE.as_secs()
        ))),
    }
}

fn read_info(info: &GetInfoResponse) -> Result<WalletIdentity, CallError> {
    let name = info.chains.first().map_or("", |chain| &chain.network);
    let network = name.parse().map_err(|unknown| {
        CallError::refused(format!(
            "the node names no network tollway knows: {unknown}"
        ))
    })?;
    let mut key = [0; 33];
    hex::decode_to_slice(&info.identity_pubkey, &mut key)
        .map_err(|_not_a_key| CallError::refused("the node names no public key of its own"))?;
    Ok(WalletIdentity::new(WalletKey::Node(key), network))
}

/// The identifier of a macaroon contains a random number that one node drew, and no other node
/// accepts the macaroon. It is not secret: the signature is.
fn account(connect: &LndConnect) -> WalletKey {
    WalletKey::Account(Sha256::digest(connect.macaroon().identifier()).into())
}

fn endpoint(connect: &LndConnect) -> Result<Endpoint, tonic::transport::Error> {
    let endpoint = Endpoint::from_shared(format!("https://{}", connect.address()))?
        .connect_timeout(CONNECT_DEADLINE)
        .http2_keep_alive_interval(PING_INTERVAL)
        .keep_alive_timeout(PING_DEADLINE)
        .keep_alive_while_idle(true);
    let tls = ClientTlsConfig::new().domain_name(connect.host());
    match connect.certificate() {
        Some(certificate) => {
            let only = Arc::new(PinnedCertificate::new(certificate.clone()));
            endpoint.tls_config_with_verifier(tls, only)
        }
        None => endpoint.tls_config(tls.with_webpki_roots()),
    }
}

/// Adds the macaroon to every call, as LND reads it: hexadecimal, in `macaroon`.
#[derive(Clone)]
pub(super) struct MacaroonHeader(Option<MetadataValue<Ascii>>);

impl MacaroonHeader {
    fn new(connect: &LndConnect) -> Self {
        let value = MetadataValue::try_from(connect.macaroon().to_hex()).ok();
        Self(value.map(|mut value| {
            value.set_sensitive(true);
            value
        }))
    }
}

impl Interceptor for MacaroonHeader {
    fn call(&mut self, mut request: Request<()>) -> Result<Request<()>, Status> {
        if let Some(macaroon) = &self.0 {
            request.metadata_mut().insert("macaroon", macaroon.clone());
        }
        Ok(request)
    }
}

/// A healthy node responds within milliseconds; one that is swapping or starting, within seconds.
pub(super) const CALL_DEADLINE: Duration = Duration::from_secs(10);
/// A payment with thousands of attempts fits. gRPC's default of 4 MiB is less, and a payment that
/// cannot be read stays in doubt.
const MESSAGE_MAX: usize = 32 * 1024 * 1024;
const CONNECT_DEADLINE: Duration = Duration::from_secs(5);
/// LND closes connections that ping more often than every 5 s.
const PING_INTERVAL: Duration = Duration::from_secs(20);
const PING_DEADLINE: Duration = Duration::from_secs(10);
