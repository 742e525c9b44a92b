#![doc = include_str!("../README.md")]
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
#[cfg(feature = "invoice")]
mod invoice;
mod keys;
mod macaroon;
mod mint;
mod name32;
mod network;
pub mod path;
#[cfg(feature = "invoice")]
mod purchase;
mod revocation;
mod scheme;
mod services;
mod time;
mod token;
mod verify;

pub use amount::{AmountError, Msat};
pub use budget::{Budget, Charged, Limits, OverLimit};
pub use caveat::{Caveat, CaveatError};
pub use challenge::{Challenge, ChallengeError, LegacyLsat, read_challenges};
pub use credential::{
    Credential, CredentialError, METADATA_HEADERS, is_credential_line, is_credential_metadata,
    read_credentials,
};
pub use encoding::HexError;
pub use grpc::Grpc;
pub use hash::{PaymentHash, Preimage};
pub use identifier::{Identifier, IdentifierError, TokenId};
#[cfg(feature = "invoice")]
pub use invoice::{Bolt11Error, Invoice, InvoiceError};
pub use keys::{ApertureKey, Dialect, KeyIdTaken, KeyRing, MasterKey, RootKeys};
pub use macaroon::{Forged, Macaroon, MacaroonError, RawCaveat, RootKey};
pub use mint::mint;
pub use network::{Network, NetworkError};
#[cfg(feature = "invoice")]
pub use purchase::{
    OutOfOrder, Payable, PurchaseAction, PurchaseEvent, PurchaseState, Quote, QuoteError, step,
    unverified_deadline,
};
pub use revocation::RevocationSet;
pub use scheme::{Scheme, SchemeName};
pub use services::Services;
pub use time::UnixSeconds;
pub use token::{Token, TokenTextError};
pub use verify::{
    CountedUse, Denial, Grant, Proof, RequestContext, Scope, Uncounted, Verified, verify,
    verify_with,
};
