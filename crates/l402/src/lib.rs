//! The L402 protocol, without I/O: values in, values out.
#![forbid(unsafe_code)]

mod amount;
mod encoding;
mod hash;
mod invoice;
mod time;

pub use amount::{AmountError, Msat};
pub use encoding::HexError;
pub use hash::{PaymentHash, Preimage};
pub use invoice::{Invoice, InvoiceError, Network, NetworkError};
pub use time::UnixSeconds;
