//! What is kept on disk, and where LND's clients look for it.

pub(super) mod folder;
pub mod manifest;
pub(super) mod tls;
