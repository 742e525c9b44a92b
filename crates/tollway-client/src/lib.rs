//! Buying over L402: an HTTP client that pays within limits.
//!
//! A [`Client`] pays with a [`Payer`](tollway_lightning::Payer), of which the crate
//! `tollway-lightning` has one per wallet, each behind a feature: LND is its feature `lnd`.
//!
//! ```
//! use std::sync::Arc;
//!
//! use http_body_util::BodyExt as _;
//! use tollway_client::{Body, Client, Policy, WalletName};
//! use tollway_lightning::Payer;
//! use tollway_lightning::lnd::{Lnd, LndConnect};
//!
//! # use axum::{Router, routing::get};
//! # use l402::{KeyRing, MasterKey};
//! # use tollway_sandbox::{SandboxConfig, lnd::{LndSandbox, Ports}};
//! # use tollway_server::{Gate, GateSettings, Requirement, Terms};
//! # use tollway_server::{ledger::MemoryLedger, paywall::PaywallLayer};
//! #
//! # async fn shop(sandbox: &LndSandbox) -> Result<String, Box<dyn std::error::Error>> {
//! #     let lnd = Lnd::new(&LndConnect::parse(sandbox.seller().access().uri.expose())?)?;
//! #     let keys = KeyRing::new(MasterKey::from_hex(&"5e".repeat(32))?);
//! #     let (wallet, ledger) = (Arc::new(lnd.invoicer()), Arc::new(MemoryLedger::new()));
//! #     let gate = Gate::open(keys, wallet, ledger, GateSettings::default()).await?;
//! #     let requirement = Requirement::new("report".parse()?);
//! #     let terms = Terms::new("10 sat".parse()?)?;
//! #     let paywall = PaywallLayer::new(Arc::new(gate), requirement, terms);
//! #     let app = Router::new().route("/report", get(|| async { "all is well" }).layer(paywall));
//! #     let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await?;
//! #     let url = format!("http://{}/report", listener.local_addr()?);
//! #     tokio::spawn(async { axum::serve(listener, app).await });
//! #     Ok(url)
//! # }
//! #
//! # #[tokio::main]
//! # async fn main() -> Result<(), Box<dyn std::error::Error>> {
//! # let folder = tempfile::tempdir()?;
//! # let config = SandboxConfig::new(folder.path().join("sandbox"));
//! # let sandbox = LndSandbox::start(config, Ports::ANY).await?;
//! # let url = shop(&sandbox).await?;
//! # let uri = sandbox.buyer().access().uri.expose();
//! # let folder = folder.path().join("purchases");
//! // The wallet that pays: `uri` is lndconnect://host:port?cert=…&macaroon=…
//! let lnd = Lnd::new(&LndConnect::parse(uri)?)?;
//! let payer: Arc<dyn Payer> = Arc::new(lnd.payer());
//!
//! // Purchases and credentials are kept in `folder`, so that the next run pays nothing.
//! let client = Client::builder(folder, Policy::default())
//!     .wallet(payer, WalletName::new("node"))
//!     .build();
//! let request = http::Request::get(url).body(Body::empty())?;
//! let response = client.send(request).await?;
//! let report = response.into_body().collect().await?.to_bytes();
//! # assert_eq!(report, "all is well");
//! client.finish().await;
//! # sandbox.stop().await?;
//! # Ok(())
//! # }
//! ```
//!
//! | question | where |
//! |---|---|
//! | How is a request sent and paid for? | [`Client`] |
//! | What may it spend, and where? | [`Policy`] |
//! | What went wrong, and what now? | [`Error`] |
//! | What is it doing? | [`Event`] |
//! | What was bought, and what may have been? | [`book::Book`] |
//! | What happens to purchases that were cut off? | [`Client::resume`] |
//!
//! Whether a challenge is fit to be paid, whether a limit allows it, and how a purchase goes on
//! is decided in the `l402` crate, without I/O. This crate carries the decisions out, in an
//! order in which no crash leads to a second payment or a lost credential.
#![forbid(unsafe_code)]

mod body;
pub mod book;
mod caveats;
mod client;
mod decide;
mod delivery;
mod disk;
mod error;
mod event;
mod fit;
mod origin;
mod policy;
mod redirect;
mod refusal_reason;
mod response;
mod tls;
mod transport;
mod verdict;
mod visible;
mod wire_log;

pub use body::Body;
pub use book::{Book, WalletName};
pub use client::{Client, ClientBuilder, Resumed};
pub use delivery::Delivery;
pub use error::{
    CertificateSource, ConnectError, Error, NotPaid, Payment, Receipt, StorageError, TransportError,
};
pub use event::{Event, Presented, Resumption};
pub use fit::TokenTerms;
pub use origin::{Origin, OriginError, Protocol};
pub use policy::{
    AfterRefusal, Approval, Approve, ClearText, DEFAULT_LIMITS, Hosts, KillSwitch, Pauses, Paying,
    Policy, PurchaseRequest, UncappedFees,
};
pub use refusal_reason::{ReasonText, RefusalReason};
pub use response::ResponseBody;
pub use transport::Connections;
pub use visible::is_hidden;

/// The example in the README, compiled.
#[cfg(doctest)]
#[doc = include_str!("../README.md")]
struct Readme;
