//! Macaroons as LND bakes and checks them.

pub(super) mod bakery;
pub(super) mod caveats;
pub(super) mod permissions;
