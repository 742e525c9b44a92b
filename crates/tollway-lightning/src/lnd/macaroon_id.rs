//! Identifier of LND's macaroons.
//!
//! LND writes what a macaroon allows into its identifier, as a message of Protocol Buffers after
//! a byte for the version. It is in none of LND's `.proto` files: its library of macaroons has it.

use prost::Message as _;

/// What LND writes into an identifier.
#[derive(Clone, PartialEq, prost::Message)]
pub struct MacaroonId {
    /// Random bytes, so that two macaroons with the same operations differ.
    #[prost(bytes = "vec", tag = "1")]
    pub nonce: Vec<u8>,
    /// The name of the root key.
    #[prost(bytes = "vec", tag = "2")]
    pub storage_id: Vec<u8>,
    /// What the macaroon allows, an entry for each entity.
    #[prost(message, repeated, tag = "3")]
    pub ops: Vec<Op>,
}

/// What a macaroon allows with one entity.
#[derive(Clone, PartialEq, prost::Message)]
pub struct Op {
    /// `invoices`, say, or `uri` for calls that are allowed by name.
    #[prost(string, tag = "1")]
    pub entity: String,
    /// `read` and `write`, say, or the names of calls.
    #[prost(string, repeated, tag = "2")]
    pub actions: Vec<String>,
}

impl MacaroonId {
    /// Reads an identifier; `None` when it is not of LND's kind.
    #[must_use]
    pub fn read(identifier: &[u8]) -> Option<Self> {
        Self::decode(identifier.strip_prefix(&[VERSION])?).ok()
    }

    /// Returns the identifier.
    #[must_use]
    pub fn to_identifier(&self) -> Vec<u8> {
        let mut identifier = vec![VERSION];
        identifier.extend(self.encode_to_vec());
        identifier
    }

    /// Returns every operation allowed: entity and action.
    pub fn operations(&self) -> impl Iterator<Item = (&str, &str)> {
        self.ops.iter().flat_map(|op| {
            let actions = op.actions.iter();
            actions.map(|action| (op.entity.as_str(), action.as_str()))
        })
    }
}

/// The first byte of every identifier LND writes.
const VERSION: u8 = 3;
