//! The ways in which bytes are not a macaroon.

use super::v2;

/// Why bytes are not a macaroon. Offsets are in bytes; contents are never repeated.
#[derive(Clone, Debug, Eq, PartialEq, thiserror::Error)]
#[non_exhaustive]
pub enum MacaroonError {
    /// An identifier, condition or verification id of no bytes.
    #[error("empty field at byte {at}")]
    Empty {
        /// Where the field or its caveat starts.
        at: usize,
    },
    /// Not readable as JSON.
    #[error("not a V2 JSON macaroon: unreadable at line {line} column {column}")]
    Json {
        /// Line, from 1.
        line: usize,
        /// Column, from 1.
        column: usize,
    },
    /// A JSON field that is missing, given twice, or not in the form it claims.
    #[error("JSON field `{field}` is missing, given in both its forms, or unreadable")]
    JsonField {
        /// Name of the field.
        field: &'static str,
    },
    /// A length that is over-long, not minimal, or not written in lower-case hexadecimal (V1).
    #[error("bad length at byte {at}")]
    Length {
        /// Where the length starts.
        at: usize,
    },
    /// A location on a caveat without a verification id.
    #[error("first-party caveat at byte {at} carries a location")]
    LocationOnFirstParty {
        /// Where the caveat starts.
        at: usize,
    },
    /// Not 32 bytes of signature.
    #[error("signature of {len} bytes where 32 are needed")]
    SignatureLength {
        /// Length found.
        len: usize,
    },
    /// Neither hexadecimal, nor base64, nor JSON.
    #[error("token is neither base64, hexadecimal nor JSON")]
    Text,
    /// More than 64 caveats.
    #[error("more than {} caveats", v2::MAX_CAVEATS)]
    TooManyCaveats,
    /// Longer than 8 KiB.
    #[error(
        "{len} bytes are more than a macaroon may have ({} bytes)",
        v2::MAX_MACAROON_LEN
    )]
    TooLarge {
        /// Length found, in bytes of the text or of the token.
        len: usize,
    },
    /// Bytes after the signature.
    #[error("{extra} bytes after the signature")]
    Trailing {
        /// How many.
        extra: usize,
    },
    /// The end comes too early.
    #[error("ends too early, at byte {at}")]
    Truncated {
        /// Where more was needed.
        at: usize,
    },
    /// A field out of order.
    #[error("field {found} at byte {at} where field {expected} belongs")]
    UnexpectedField {
        /// Where the field starts.
        at: usize,
        /// The field number that belongs there.
        expected: u8,
        /// The field number found.
        found: u8,
    },
    /// Not a version this reader knows.
    #[error("unknown macaroon format (first byte {first_byte:#04x})")]
    UnknownFormat {
        /// What it starts with.
        first_byte: u8,
    },
    /// A V1 packet that is malformed or out of order.
    #[error("V1 packet at byte {at}: expected {expected}")]
    V1Packet {
        /// Where the packet starts.
        at: usize,
        /// What belongs there.
        expected: &'static str,
    },
}
