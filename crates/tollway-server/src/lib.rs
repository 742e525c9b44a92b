//! Selling over L402 as a library.
//!
//! A [`Gate`] decides which requests are paid for; [`paywall::PaywallLayer`] puts it around a tower,
//! axum or tonic service. It is paid by an [`Invoicer`](tollway_lightning::Invoicer), of which the
//! crate `tollway-lightning` has one per wallet, each behind a feature: LND is its feature `lnd`.
//!
//! ```
//! use std::sync::Arc;
//!
//! use axum::{Router, routing::get};
//! use l402::{KeyRing, MasterKey};
//! use tollway_lightning::Invoicer;
//! use tollway_lightning::lnd::{Lnd, LndConnect};
//! use tollway_server::ledger::MemoryLedger;
//! use tollway_server::paywall::PaywallLayer;
//! use tollway_server::{Gate, GateSettings, Requirement, Terms};
//!
//! # use tollway_sandbox::{SandboxConfig, lnd::{LndSandbox, Ports}};
//! # use tower::ServiceExt as _;
//! # #[tokio::main]
//! # async fn main() -> Result<(), Box<dyn std::error::Error>> {
//! # let folder = tempfile::tempdir()?;
//! # let sandbox = LndSandbox::start(SandboxConfig::new(folder.path().into()), Ports::ANY).await?;
//! # let (uri, key) = (sandbox.seller().access().uri.expose(), "5e".repeat(32));
//! // The wallet that is paid: `uri` is lndconnect://host:port?cert=…&macaroon=…
//! let lnd = Lnd::new(&LndConnect::parse(uri)?)?;
//! let invoicer: Arc<dyn Invoicer> = Arc::new(lnd.invoicer());
//!
//! // With the master key anyone can mint tokens; without it, none that were sold are honoured.
//! let keys = KeyRing::new(MasterKey::from_hex(&key)?);
//! let ledger = Arc::new(MemoryLedger::new());
//! let gate = Gate::open(keys, invoicer, ledger, GateSettings::default()).await?;
//!
//! let requirement = Requirement::new("weather".parse()?);
//! let terms = Terms::new("10 sat".parse()?)?;
//! let paywall = PaywallLayer::new(Arc::new(gate), requirement, terms);
//! let app: Router = Router::new().route("/weather", get(|| async { "sunny\n" }).layer(paywall));
//! # let request = http::Request::get("/weather").body(axum::body::Body::empty())?;
//! # let response = app.oneshot(request).await?;
//! # assert_eq!(response.status(), 402);
//! # assert!(response.headers().contains_key("www-authenticate"));
//! # sandbox.stop().await?;
//! # Ok(())
//! # }
//! ```
//!
//! Features: `sqlite` (on by default) is the ledger on disk.
//!
//! | question | module |
//! |---|---|
//! | What must a token be for? | [`Requirement`] |
//! | What does it cost? | [`Terms`], [`Pricer`], [`check_prices`] |
//! | May this request pass? | [`Gate`] |
//! | Which tokens are genuine? | [`keys`] |
//! | If not, why, and what does the client read? | [`Rejection`], [`respond`] |
//! | How much may strangers cost us? | [`ChallengeLimit`] |
//! | What may no longer be used? | [`ActiveRevocations`] |
//! | What does a granted request still owe? | [`Settlement`] |
//! | What was sold? | [`ledger`] |
//! | How does my own service use all this? | [`paywall`] |
#![forbid(unsafe_code)]

#[cfg(feature = "sqlite")]
mod data_dir;
mod file_owner;
mod forward;
mod gate;
mod in_flight;
pub mod keys;
pub mod ledger;
mod limit;
mod name;
pub mod paywall;
mod peer;
mod price_check;
mod pricer;
mod reason;
mod rejection;
mod request;
mod requirement;
pub mod respond;
mod revocations;
mod settlement;
mod terms;

#[cfg(feature = "sqlite")]
pub use data_dir::{DataDir, DataDirError};
pub use forward::strip_credentials;
pub use gate::{Gate, GateSettings, Peeked, Redeemed};
pub use limit::{ChallengeLimit, Loopback, TooManyChallenges};
pub use name::{Capability, NameError, ServiceName};
pub use peer::{Peer, PeerNetwork};
pub use price_check::{PriceConflict, PricedRoute, check_prices};
pub use pricer::{PriceTable, Pricer, PricerError};
pub use reason::{Reason, ReasonCode};
pub use rejection::{
    EntropyError, Outage, PaymentRequired, Rejection, TokenInUse, TooManyRequests,
};
pub use request::RequestInfo;
pub use requirement::{Requirement, TokenBinding, UnsellablePath};
pub use revocations::ActiveRevocations;
pub use settlement::{Admitted, Ending, Settlement, Usage, is_undelivered};
pub use terms::{Terms, TermsError};

/// The example in the README, compiled.
#[cfg(doctest)]
#[doc = include_str!("../README.md")]
struct Readme;
