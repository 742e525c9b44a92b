//! LND's service traits, generated from `proto/lnd` by `cargo xtask codegen`.

#[allow(
    clippy::all,
    clippy::allow_attributes_without_reason,
    clippy::arithmetic_side_effects,
    clippy::too_many_lines,
    clippy::use_self,
    clippy::wildcard_enum_match_arm,
    elided_lifetimes_in_paths,
    missing_docs,
    unnameable_types,
    unreachable_pub,
    unused_qualifications,
    reason = "generated code"
)]
#[path = "generated/lnrpc.rs"]
pub(super) mod lnrpc;

#[allow(
    clippy::all,
    clippy::arithmetic_side_effects,
    clippy::too_many_lines,
    clippy::use_self,
    elided_lifetimes_in_paths,
    missing_docs,
    unnameable_types,
    unreachable_pub,
    unused_qualifications,
    reason = "generated code"
)]
#[path = "generated/routerrpc.rs"]
pub(super) mod routerrpc;

#[allow(
    clippy::all,
    clippy::arithmetic_side_effects,
    clippy::too_many_lines,
    clippy::use_self,
    elided_lifetimes_in_paths,
    missing_docs,
    unnameable_types,
    unreachable_pub,
    unused_qualifications,
    reason = "generated code"
)]
#[path = "generated/verrpc.rs"]
pub(super) mod verrpc;

/// The services and messages described in protobuf's own terms, for REST.
pub(super) const DESCRIPTORS: &[u8] = include_bytes!("generated/descriptors.bin");
