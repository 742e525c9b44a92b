//! Wallet identity: which wallet holds a payment, whatever its address.
//!
//! A payment can be looked up only at the wallet that was asked to make it. An address does not
//! name that wallet: another node may listen there tomorrow, and one node has many addresses.
//! Two wallets never have the same identity; one wallet may have several, when its credential
//! is replaced. The text form holds no secret.

use std::fmt;
use std::str::FromStr;

use l402::Network;

/// One wallet on one network. Compare for equality before a look-up counts as evidence.
///
/// Written as `node:<66 hex digits>@<network>` or `account:<64 hex digits>@<network>`, and read
/// back from that text.
#[derive(Clone, Copy, Debug, Eq, Hash, PartialEq)]
pub struct WalletIdentity {
    key: WalletKey,
    network: Network,
}

/// What distinguishes a wallet from every other.
#[derive(Clone, Copy, Debug, Eq, Hash, PartialEq)]
pub enum WalletKey {
    /// SHA-256 of something public that exactly one wallet accepts or has, for wallets that do
    /// not disclose their node key. A new credential may make a new account of the same wallet.
    Account([u8; 32]),
    /// The node's public key, compressed.
    Node([u8; 33]),
}

impl WalletIdentity {
    /// Creates the identity of a wallet that is known by `key` on `network`.
    #[must_use]
    pub const fn new(key: WalletKey, network: Network) -> Self {
        Self { key, network }
    }

    /// Returns what distinguishes the wallet from every other.
    #[must_use]
    pub const fn key(&self) -> WalletKey {
        self.key
    }

    /// Returns the network the wallet pays on.
    #[must_use]
    pub const fn network(&self) -> Network {
        self.network
    }
}

impl fmt::Display for WalletIdentity {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (kind, bytes): (_, &[u8]) = match &self.key {
            WalletKey::Account(hash) => (ACCOUNT, hash),
            WalletKey::Node(key) => (NODE, key),
        };
        write!(f, "{kind}:{}@{}", hex::encode(bytes), self.network)
    }
}

impl FromStr for WalletIdentity {
    type Err = WalletIdentityError;

    fn from_str(text: &str) -> Result<Self, WalletIdentityError> {
        let (key, network) = text.split_once('@').ok_or(WalletIdentityError)?;
        let (kind, digits) = key.split_once(':').ok_or(WalletIdentityError)?;
        let key = match kind {
            ACCOUNT => WalletKey::Account(read_hex(digits)?),
            NODE => WalletKey::Node(read_hex(digits)?),
            _ => return Err(WalletIdentityError),
        };
        let network = network.parse().map_err(|_unknown| WalletIdentityError)?;
        Ok(Self { key, network })
    }
}

/// A text is not a wallet identity as [`WalletIdentity`] writes it.
#[derive(Clone, Copy, Debug, Eq, PartialEq, thiserror::Error)]
#[error("not a wallet identity: write node:<66 hex digits>@<network> or account:<64>@<network>")]
pub struct WalletIdentityError;

/// Reads exactly `N` bytes in lower case, so that one identity has one text.
fn read_hex<const N: usize>(digits: &str) -> Result<[u8; N], WalletIdentityError> {
    if digits.bytes().any(|digit| digit.is_ascii_uppercase()) {
        return Err(WalletIdentityError);
    }
    let mut bytes = [0; N];
    hex::decode_to_slice(digits, &mut bytes).map_err(|_not_hex| WalletIdentityError)?;
    Ok(bytes)
}

const ACCOUNT: &str = "account";
const NODE: &str = "node";

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_identity_reads_back_from_its_text() {
        for (key, text) in [
            (
                WalletKey::Node([2; 33]),
                format!("node:{}@regtest", "02".repeat(33)),
            ),
            (
                WalletKey::Account([0xab; 32]),
                format!("account:{}@regtest", "ab".repeat(32)),
            ),
        ] {
            let identity = WalletIdentity::new(key, Network::Regtest);

            assert_eq!(identity.to_string(), text);
            assert_eq!(text.parse(), Ok(identity));
        }
    }

    #[test]
    fn wallets_differ_by_key_kind_and_network() {
        let node = WalletIdentity::new(WalletKey::Node([2; 33]), Network::Regtest);
        for other in [
            WalletIdentity::new(WalletKey::Node([3; 33]), Network::Regtest),
            WalletIdentity::new(WalletKey::Node([2; 33]), Network::Mainnet),
            WalletIdentity::new(WalletKey::Account([2; 32]), Network::Regtest),
        ] {
            assert_ne!(node, other);
            assert_ne!(node.to_string(), other.to_string());
        }
    }

    #[test]
    fn a_text_with_another_spelling_is_refused() {
        for text in [
            "",
            "node:02@regtest",
            &format!("node:{}", "02".repeat(33)),
            &format!("node:{}@nowhere", "02".repeat(33)),
            &format!("node:{}@regtest ", "02".repeat(33)),
            &format!("Node:{}@regtest", "02".repeat(33)),
            &format!("account:{}@regtest", "AB".repeat(32)),
            &format!("account:{}@regtest", "02".repeat(33)),
        ] {
            assert_eq!(
                text.parse::<WalletIdentity>(),
                Err(WalletIdentityError),
                "{text}"
            );
        }
    }
}
