//! What is kept on disk, and where LND's clients look for it.

pub mod directory;
pub(super) mod folder;
pub(super) mod tls;
