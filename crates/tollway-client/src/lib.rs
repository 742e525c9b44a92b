//! Buying over L402: a paying HTTP client and what it must not lose.
//!
//! | question | module |
//! |---|---|
//! | What was bought, and what may have been? | [`journal`] |
//! | Which credentials are there? | [`store`] |
//! | Where does a request go? | [`origin`] |
#![forbid(unsafe_code)]

mod disk;
pub mod journal;
pub mod origin;
pub mod store;
