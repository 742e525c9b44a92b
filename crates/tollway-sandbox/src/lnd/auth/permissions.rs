//! The permission each call needs, and those each macaroon file grants.
//!
//! Both tables are LND 0.20's, for the calls served here. A call without a row is not served.

/// Something a macaroon allows, as LND writes it: `invoices:read`.
#[derive(Clone, Copy, Debug, Eq, Ord, PartialEq, PartialOrd)]
pub(crate) struct Operation {
    /// What is acted on.
    pub(crate) entity: &'static str,
    /// What is done to it.
    pub(crate) action: &'static str,
}

/// What a call asks of its caller.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(crate) enum Access {
    /// A macaroon granting this.
    Granted(Operation),
    /// Nothing: clients ask before they have a macaroon.
    Open,
}

/// What a call needs, or `None` when it is not served.
pub(crate) fn access(method: &str) -> Option<Access> {
    CALLS
        .iter()
        .find(|(_, served)| served.contains(&method))
        .map(|(access, _)| *access)
}

const fn read(entity: &'static str) -> Operation {
    let action = "read";
    Operation { entity, action }
}

const fn write(entity: &'static str) -> Operation {
    let action = "write";
    Operation { entity, action }
}

const fn generate(entity: &'static str) -> Operation {
    let action = "generate";
    Operation { entity, action }
}

const CALLS: &[(Access, &[&str])] = &[
    (
        Access::Open,
        &["/lnrpc.State/GetState", "/lnrpc.State/SubscribeState"],
    ),
    (
        Access::Granted(read("info")),
        &["/lnrpc.Lightning/GetInfo", "/verrpc.Versioner/GetVersion"],
    ),
    (
        Access::Granted(read("invoices")),
        &[
            "/lnrpc.Lightning/ListInvoices",
            "/lnrpc.Lightning/LookupInvoice",
            "/lnrpc.Lightning/SubscribeInvoices",
        ],
    ),
    (
        Access::Granted(write("invoices")),
        &["/lnrpc.Lightning/AddInvoice"],
    ),
    (
        Access::Granted(read("offchain")),
        &[
            "/lnrpc.Lightning/ChannelBalance",
            "/lnrpc.Lightning/DecodePayReq",
            "/lnrpc.Lightning/ListChannels",
            "/lnrpc.Lightning/ListPayments",
            "/routerrpc.Router/EstimateRouteFee",
            "/routerrpc.Router/TrackPaymentV2",
        ],
    ),
    (
        Access::Granted(write("offchain")),
        &[
            "/lnrpc.Lightning/SendPaymentSync",
            "/routerrpc.Router/SendPaymentV2",
        ],
    ),
    (
        Access::Granted(read("onchain")),
        &["/lnrpc.Lightning/WalletBalance"],
    ),
];

/// Every macaroon file LND makes, by its name without `.macaroon`, and what it grants.
pub(crate) const MACAROONS: &[(&str, &[Operation])] = &[
    ("admin", ADMIN),
    ("chainnotifier", &[read("onchain")]),
    (
        "invoice",
        &[
            read("address"),
            write("address"),
            read("invoices"),
            write("invoices"),
            read("onchain"),
        ],
    ),
    ("invoices", &[read("invoices"), write("invoices")]),
    (
        "readonly",
        &[
            read("address"),
            read("info"),
            read("invoices"),
            read("macaroon"),
            read("message"),
            read("offchain"),
            read("onchain"),
            read("peers"),
            read("signer"),
        ],
    ),
    ("router", &[read("offchain"), write("offchain")]),
    ("signer", &[generate("signer"), read("signer")]),
    (
        "walletkit",
        &[
            read("address"),
            write("address"),
            read("onchain"),
            write("onchain"),
        ],
    ),
];

/// Sorted, as every list here is: LND bakes operations in that order.
pub(crate) const ADMIN: &[Operation] = &[
    read("address"),
    write("address"),
    read("info"),
    write("info"),
    read("invoices"),
    write("invoices"),
    generate("macaroon"),
    read("macaroon"),
    write("macaroon"),
    read("message"),
    write("message"),
    read("offchain"),
    write("offchain"),
    read("onchain"),
    write("onchain"),
    read("peers"),
    write("peers"),
    generate("signer"),
    read("signer"),
];

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_call_without_a_row_is_not_served() {
        for method in [
            "/lnrpc.Lightning/SendCoins",
            "/lnrpc.Lightning/getinfo",
            "/lnrpc.Lightning/",
            "",
        ] {
            assert_eq!(access(method), None, "{method}");
        }
    }

    #[test]
    fn every_list_is_in_the_order_lnd_bakes() {
        for (name, operations) in MACAROONS {
            assert!(operations.is_sorted(), "{name}");
        }
    }

    #[test]
    fn the_admin_macaroon_opens_every_call() {
        for (access, methods) in CALLS {
            if let Access::Granted(operation) = access {
                assert!(ADMIN.contains(operation), "{methods:?}");
            }
        }
    }
}
