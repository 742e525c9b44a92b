//! Macaroon permissions: what each call needs, and which of LND's files has it.
//!
//! LND writes its stock macaroons next to its chain data. `invoice.macaroon` is enough to be
//! paid and cannot spend, `router.macaroon` is enough to pay. Neither allows `GetInfo`.
//!
//! What a macaroon allows is read from its identifier, [`MacaroonId`], without a call. A caveat
//! of the macaroon may take some of it away; none can add to it.

use super::macaroon_id::MacaroonId;
use crate::registry::Allowance;

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

/// Reads what a macaroon allows at most; `None` when its identifier is not of LND's kind.
pub(super) fn allowance(identifier: &[u8]) -> Option<Allowance> {
    let id = MacaroonId::read(identifier)?;
    let can_spend = id.operations().any(spends);
    let named = |is_excess: fn((&str, &str)) -> bool, enough: &str| {
        let excess = id.operations().filter(|operation| is_excess(*operation));
        let names: Vec<String> = excess.map(name_of).collect();
        (!names.is_empty()).then(|| format!("its macaroon allows {}: {enough}", names.join(", ")))
    };
    Some(Allowance {
        can_spend,
        beyond_receiving: named(spends, "the node's invoice.macaroon is enough to be paid"),
        beyond_paying: named(
            |operation| spends(operation) && operation != ("offchain", "write"),
            "the node's router.macaroon is enough to pay",
        ),
    })
}

/// Returns whether an operation moves money, or makes a macaroon that does.
fn spends((entity, action): (&str, &str)) -> bool {
    match entity {
        "offchain" | "onchain" => action == "write",
        "macaroon" => action != "read",
        "signer" => action == "generate",
        "uri" => SPENDING_CALLS.iter().any(|call| action.starts_with(call)),
        _ => false,
    }
}

fn name_of((entity, action): (&str, &str)) -> String {
    format!("{entity}:{action}")
}

/// How the calls begin that a macaroon may allow by name, and that move money.
const SPENDING_CALLS: &[&str] = &[
    "/lnrpc.Lightning/BakeMacaroon",
    "/lnrpc.Lightning/OpenChannel",
    "/lnrpc.Lightning/Send",
    "/routerrpc.Router/Send",
    "/signrpc.",
    "/walletrpc.",
];

#[cfg(test)]
mod tests {
    use super::super::macaroon_id::Op;
    use super::*;

    fn of(operations: &[(&str, &[&str])]) -> Allowance {
        let op = |(entity, actions): &(&str, &[&str])| Op {
            entity: (*entity).to_owned(),
            actions: actions.iter().map(|action| (*action).to_owned()).collect(),
        };
        let ops = operations.iter().map(op).collect();
        let id = MacaroonId {
            ops,
            ..MacaroonId::default()
        };
        allowance(&id.to_identifier()).unwrap()
    }

    /// What LND's `invoice.macaroon` allows.
    const INVOICE: &[(&str, &[&str])] = &[
        ("address", &["read", "write"]),
        ("invoices", &["read", "write"]),
        ("onchain", &["read"]),
    ];
    const ROUTER: &[(&str, &[&str])] = &[("offchain", &["read", "write"])];
    const ADMIN: &[(&str, &[&str])] = &[
        ("invoices", &["read", "write"]),
        ("macaroon", &["generate", "read", "write"]),
        ("offchain", &["read", "write"]),
        ("onchain", &["read", "write"]),
    ];

    #[test]
    fn the_stock_macaroons_allow_no_more_than_their_purpose() {
        assert_eq!(of(INVOICE).beyond_receiving, None);
        assert!(!of(INVOICE).can_spend);
        assert_eq!(of(ROUTER).beyond_paying, None);
        assert!(of(ROUTER).can_spend);
    }

    #[test]
    fn what_can_spend_is_more_than_receiving_needs() {
        for operations in [ROUTER, ADMIN, &[("uri", &["/lnrpc.Lightning/SendCoins"])]] {
            let allowance = of(operations);

            let excess = allowance.beyond_receiving.unwrap();
            assert!(excess.contains("invoice.macaroon"), "{excess}");
            assert!(allowance.can_spend);
        }
        assert!(!of(&[("uri", &["/lnrpc.Lightning/AddInvoice"])]).can_spend);
    }

    #[test]
    fn what_can_empty_the_node_is_more_than_paying_needs() {
        let excess = of(ADMIN).beyond_paying.unwrap();

        assert!(excess.contains("router.macaroon"), "{excess}");
        assert!(excess.contains("onchain:write") && excess.contains("macaroon:generate"));
        assert!(!excess.contains("offchain"), "{excess}");
    }

    #[test]
    fn an_identifier_of_another_kind_shows_nothing() {
        for identifier in [&b""[..], b"a root key of ours", b"\x03\xff"] {
            assert_eq!(allowance(identifier), None);
        }
    }
}
