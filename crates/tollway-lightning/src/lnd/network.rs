//! The node's network, for a macaroon that allows payments and not `GetInfo`.
//!
//! LND reads an invoice of its own network, whatever its age, and refuses one of any other.
//! So one invoice of each network is enough to find out, without trace at the node.

use l402::Network;

use super::connection::{Connection, unary};
use super::permission::Permission;
use super::proto::lnrpc::PayReqString;
use super::status::{CallError, CallOutcome};

/// Has the node read one invoice of each network, until it accepts one.
pub(super) async fn of_samples(connection: &Connection) -> Result<Network, CallError> {
    for (network, pay_req) in SAMPLES {
        let mut lightning = connection.lightning();
        let asked = lightning.decode_pay_req(PayReqString {
            pay_req: (*pay_req).to_owned(),
        });
        match unary(asked, Permission::OffchainRead).await {
            Ok(_read) => return Ok(*network),
            Err(error) if error.outcome == CallOutcome::Refused => {}
            Err(error) => return Err(error),
        }
    }
    Err(CallError::refused(
        "the node reads invoices of no network tollway knows",
    ))
}

/// Signed by a key that no node has, and expired since 2017.
const SAMPLES: &[(Network, &str)] = &[
    (
        Network::Mainnet,
        "lnbc10n1pvkstcqdqvdejhgam0wf4spp5qyqszqgpqyqszqgpqyqszqgpqyqszqgpqyqszqgpqyqszqgpqyqssp5qyqszqgpqyqszqgpqyqszqgpqyqszqgpqyqszqgpqyqszqgpqyqs9qrsgqcqzzs0n5q2zr3cuelmmsfvptglqfgvn4p05f8sqylxj73eq87awjjy0hxj7nvxsly6hra0rce08xl7k6xucd0axucm69f5s32te3wu6xup2gpu2v8hr",
    ),
    (
        Network::Testnet,
        "lntb10n1pvkstcqdqvdejhgam0wf4spp5qyqszqgpqyqszqgpqyqszqgpqyqszqgpqyqszqgpqyqszqgpqyqssp5qyqszqgpqyqszqgpqyqszqgpqyqszqgpqyqszqgpqyqszqgpqyqs9qrsgqcqzzspk27q9wthslgyjc6v0fscynhky9cnqw2eh5en5t3s084g0ktjnkytk7ka9muh06vdz3wk73mku7twvcgsqw78jyrmq85hu5kjpzr6xcqzntahh",
    ),
    (
        Network::Signet,
        "lntbs10n1pvkstcqdqvdejhgam0wf4spp5qyqszqgpqyqszqgpqyqszqgpqyqszqgpqyqszqgpqyqszqgpqyqssp5qyqszqgpqyqszqgpqyqszqgpqyqszqgpqyqszqgpqyqszqgpqyqs9qrsgqcqzzs7h949a47rcrlr8nd4lx9y97z24dzharchfvly5akdxxtxp90wp6yhc9zzhwg4kkk208tggh0xnh9xz36xhywf3rmwn76r93tapjfweqpdp5ntz",
    ),
    (
        Network::Regtest,
        "lnbcrt10n1pvkstcqdqvdejhgam0wf4spp5qyqszqgpqyqszqgpqyqszqgpqyqszqgpqyqszqgpqyqszqgpqyqssp5qyqszqgpqyqszqgpqyqszqgpqyqszqgpqyqszqgpqyqszqgpqyqs9qrsgqcqzzs4kmv9q55hy95cju4uy4kgz8llkm7tqwkx8xtwzfdcfajg82rjxfnyke6dfytp3ma8nkysj2na5vdjp50ur8pa0cdtx4y49u6t5p6ytqqqtacwz",
    ),
    (
        Network::Simnet,
        "lnsb10n1pvkstcqdqvdejhgam0wf4spp5qyqszqgpqyqszqgpqyqszqgpqyqszqgpqyqszqgpqyqszqgpqyqssp5qyqszqgpqyqszqgpqyqszqgpqyqszqgpqyqszqgpqyqszqgpqyqs9qrsgqcqzzsmpdwgnaz4rd6k9t0l4m4ye3vf4aqvkkfvfer24m4a77nu67g3wzqwhf0fkdlv09m707d9uhhykx9g08d09td87v02qapxcegv39mgaqp7sfggv",
    ),
];

#[cfg(test)]
mod tests {
    use l402::Invoice;

    use super::*;

    #[test]
    fn each_sample_is_an_invoice_of_its_network() {
        for (network, text) in SAMPLES {
            assert_eq!(Invoice::parse(text).unwrap().network(), *network);
        }
        assert_eq!(SAMPLES.len(), 5);
    }
}
