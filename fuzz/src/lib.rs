//! What each fuzz target does with its bytes.
//!
//! A target finds bytes, these functions judge them: they panic when something that must
//! always hold does not. `cargo test` calls the same functions with the committed corpus
//! and with random bytes (`crates/l402/tests/properties`).

pub mod caveat;
pub mod challenge;
pub mod credential;
pub mod identifier;
pub mod invoice;
pub mod macaroon;
pub mod purchase;

/// A fuzz target: its name, which is its corpus folder's too, and what it does.
pub type Target = (&'static str, fn(&[u8]));

/// Every target.
pub const TARGETS: [Target; 6] = [
    ("caveat", caveat::run),
    ("challenge", challenge::run),
    ("credential", credential::run),
    ("identifier", identifier::run),
    ("macaroon", macaroon::run),
    ("purchase", purchase::run),
];
