//! Nothing but a place for `tests/oracle.rs` and `benches/verify.rs`.
