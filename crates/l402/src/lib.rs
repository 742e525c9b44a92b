//! The L402 protocol, without I/O: values in, values out.
//!
//! # Map
//!
//! | question | module |
//! |---|---|
//! | How much? | [`Msat`] |
//! | What does an invoice say? | [`Invoice`] |
//! | What is a token made of? | [`Macaroon`], [`Identifier`], [`Caveat`] |
//! | Under which key? | [`RootKeys`], [`KeyRing`] |
//! | What does a server ask for? | [`mint()`], [`Challenge`] |
//! | What does a client present? | [`Credential`] |
//! | Does it buy this request? | [`verify()`], [`RevocationSet`] |
//! | May a buyer pay, and what comes next? | [`Quote`], [`Budget`], [`step`] |
//!
//! There is no clock, no randomness and no socket in here: time and entropy are arguments,
//! so every decision about money can be replayed from its inputs. The crate builds for
//! `wasm32-unknown-unknown`, and no input makes it panic.
#![forbid(unsafe_code)]

mod amount;
mod budget;
pub mod caveat;
mod challenge;
mod credential;
mod encoding;
mod grpc;
mod hash;
mod identifier;
mod invoice;
mod keys;
mod macaroon;
mod mint;
pub mod path;
mod purchase;
mod revocation;
mod scheme;
mod services;
mod time;
mod verify;

pub use amount::{AmountError, Msat};
pub use budget::{Budget, Charged, Limits, OverLimit};
pub use caveat::{Caveat, CaveatError};
pub use challenge::{Challenge, ChallengeError, LegacyLsat, Token, read_challenges};
pub use credential::{
    Credential, CredentialError, METADATA_HEADERS, is_credential_line, is_credential_metadata,
    read_credentials,
};
pub use encoding::HexError;
pub use grpc::Grpc;
pub use hash::{PaymentHash, Preimage};
pub use identifier::{Identifier, IdentifierError, TokenId};
pub use invoice::{Invoice, InvoiceError, Network, NetworkError};
pub use keys::{ApertureKey, Dialect, KeyIdTaken, KeyRing, MasterKey, RootKeys};
pub use macaroon::{Forged, Macaroon, MacaroonError, RawCaveat, RootKey};
pub use mint::mint;
pub use purchase::{
    OutOfOrder, Payable, PurchaseAction, PurchaseEvent, PurchaseState, Quote, QuoteError, step,
    unverified_deadline,
};
pub use revocation::RevocationSet;
pub use scheme::{Scheme, SchemeName};
pub use services::Services;
pub use time::UnixSeconds;
pub use verify::{
    CountedUse, Denial, Grant, RequestContext, Scope, Uncounted, Verified, verify, verify_with,
};
