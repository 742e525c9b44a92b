//! Payment schemes and the names they go by in HTTP headers.

use std::fmt;

/// The payment scheme of a challenge or credential.
#[derive(Clone, Copy, Debug, Eq, Hash, PartialEq)]
#[non_exhaustive]
pub enum Scheme {
    /// A macaroon and a Lightning preimage.
    L402,
}

/// The spelling of the [`L402`](Scheme::L402) scheme in a header. Both mean the same.
///
/// There are two and will be no third: another scheme is another [`Scheme`].
///
/// ```
/// use l402::{SchemeName, read_challenges};
///
/// let line = br#"lsat macaroon="AgEEbHNhdAIB+w==", invoice="lnbcrt100n1""#;
/// let challenges = read_challenges([&line[..]])?;
/// assert_eq!(challenges[0].name(), SchemeName::Lsat);
/// assert_eq!(challenges[0].name().to_string(), "LSAT");
/// # Ok::<(), l402::ChallengeError>(())
/// ```
#[derive(Clone, Copy, Debug, Eq, Hash, PartialEq)]
pub enum SchemeName {
    /// The current name.
    L402,
    /// The older name, the only one that some clients and servers understand.
    Lsat,
}

impl SchemeName {
    /// Returns the name as it is written.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::L402 => "L402",
            Self::Lsat => "LSAT",
        }
    }

    /// Reads a scheme name in any case.
    pub(crate) fn from_name(name: &str) -> Option<Self> {
        [Self::L402, Self::Lsat]
            .into_iter()
            .find(|scheme| name.eq_ignore_ascii_case(scheme.as_str()))
    }
}

impl fmt::Display for SchemeName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}
