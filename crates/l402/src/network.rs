//! Bitcoin networks by their names.

use std::fmt;
use std::str::FromStr;

/// The Bitcoin network an invoice is payable on.
///
/// These are the networks BOLT 11 has prefixes for. Exhaustive on purpose: whether a network's
/// money is real must be settled wherever payments are allowed.
///
/// ```
/// use l402::Network;
///
/// let network: Network = "regtest".parse()?;
/// assert_eq!(network, Network::Regtest);
/// assert!("main".parse::<Network>().is_err());
/// # Ok::<(), l402::NetworkError>(())
/// ```
#[derive(Clone, Copy, Debug, Eq, Hash, PartialEq)]
pub enum Network {
    /// `lnbc…`: real money.
    Mainnet,
    /// `lntb…`: testnet 3 or 4.
    Testnet,
    /// `lntbs…`.
    Signet,
    /// `lnbcrt…`: a private chain; what the sandbox uses.
    Regtest,
    /// `lnsb…`: btcd's private chain.
    Simnet,
}

impl Network {
    /// Returns the name that LND, `bitcoind` and our configuration use.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::Mainnet => "mainnet",
            Self::Testnet => "testnet",
            Self::Signet => "signet",
            Self::Regtest => "regtest",
            Self::Simnet => "simnet",
        }
    }
}

impl fmt::Display for Network {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}

/// Why a text is not the name of a network.
#[derive(Clone, Debug, Eq, PartialEq, thiserror::Error)]
#[error("`{name}` is not a network: write mainnet, testnet, signet, regtest or simnet")]
pub struct NetworkError {
    name: String,
}

impl FromStr for Network {
    type Err = NetworkError;

    fn from_str(name: &str) -> Result<Self, NetworkError> {
        match name {
            "mainnet" | "bitcoin" => Ok(Self::Mainnet),
            "testnet" | "testnet4" => Ok(Self::Testnet),
            "signet" => Ok(Self::Signet),
            "regtest" => Ok(Self::Regtest),
            "simnet" => Ok(Self::Simnet),
            _ => Err(NetworkError {
                name: name.to_owned(),
            }),
        }
    }
}
