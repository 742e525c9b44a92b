//! Macaroon permissions: what each call needs, and which of LND's files has it.
//!
//! LND writes its stock macaroons next to its chain data. `invoice.macaroon` is enough to be
//! paid and cannot spend, `router.macaroon` is enough to pay. Neither allows `GetInfo`.

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

    /// The stock macaroon to use: of those that have the permission, the one that allows least
    /// of what is not needed.
    pub(super) const fn remedy(self) -> &'static str {
        match self {
            Self::InfoRead => "use the node's readonly.macaroon",
            Self::InvoicesRead | Self::InvoicesWrite => "use the node's invoice.macaroon",
            Self::OffchainRead | Self::OffchainWrite => "use the node's router.macaroon",
        }
    }
}
