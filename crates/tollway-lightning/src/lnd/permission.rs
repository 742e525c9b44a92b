//! Macaroon permissions: what each call needs, and which of LND's files has it.
//!
//! LND writes `invoice.macaroon` and `router.macaroon` next to its chain data. The first is
//! enough to be paid and cannot spend, the second is enough to pay. Neither allows `GetInfo`.

/// What a macaroon must allow for a call, as LND names it.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(super) enum Permission {
    InfoRead,
    InvoicesRead,
    InvoicesWrite,
    OffchainRead,
    OffchainWrite,
}

impl Permission {
    pub(super) const fn name(self) -> &'static str {
        match self {
            Self::InfoRead => "info:read",
            Self::InvoicesRead => "invoices:read",
            Self::InvoicesWrite => "invoices:write",
            Self::OffchainRead => "offchain:read",
            Self::OffchainWrite => "offchain:write",
        }
    }

    /// Where to get a macaroon that has it.
    pub(super) const fn remedy(self) -> &'static str {
        match self {
            Self::InfoRead => {
                "take a macaroon made by `lncli bakemacaroon` with info:read and what else is needed"
            }
            Self::InvoicesRead | Self::InvoicesWrite => "take the node's invoice.macaroon",
            Self::OffchainRead | Self::OffchainWrite => "take the node's router.macaroon",
        }
    }
}
