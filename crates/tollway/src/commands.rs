//! One file per command.

pub(crate) mod demo;
pub(crate) mod exit_codes;
pub(crate) mod get;
pub(crate) mod keys;
pub(crate) mod purchases;
pub(crate) mod sales;
pub(crate) mod sandbox;
pub(crate) mod serve;
pub(crate) mod spending;
pub(crate) mod token;
