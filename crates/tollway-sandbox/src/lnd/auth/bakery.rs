//! Macaroons of one wallet: baking and checking.
//!
//! Built as LND builds them, so that `lncli printmacaroon` and every client library reads
//! them: location `lnd`, and an identifier that names the operations it grants. Nothing is
//! stored: keys and nonces come from the wallet's seed, so a wallet bakes the same macaroons
//! on each start and old `lndconnect` URIs stay good.
//!
//! The order of checks is LND's: layout, signature, conditions, and only then what is granted.

use l402::{Macaroon, MacaroonError, RootKey};
use prost::Message as _;
use time::OffsetDateTime;

use super::caveats;
use super::permissions::Operation;

/// Bakes and checks one wallet's macaroons.
#[derive(Debug)]
pub(crate) struct Bakery {
    root: RootKey,
}

impl Bakery {
    /// A bakery with the one root key LND calls `0`.
    pub(crate) const fn new(root: RootKey) -> Self {
        Self { root }
    }

    /// Bakes a macaroon that grants `operations`, which must be sorted.
    ///
    /// `nonce` distinguishes two macaroons that grant the same.
    pub(crate) fn bake(
        &self,
        operations: &[Operation],
        nonce: [u8; 16],
    ) -> Result<Macaroon, MacaroonError> {
        let id = MacaroonId {
            nonce: nonce.to_vec(),
            storage_id: STORAGE_ID.to_vec(),
            ops: grouped(operations),
        };
        let mut identifier = vec![ID_VERSION];
        identifier.extend(id.encode_to_vec());
        Macaroon::mint(&self.root, LOCATION, &identifier)
    }

    /// Lets a macaroon through if it grants `needed`, or the call by its name.
    pub(crate) fn authorize(
        &self,
        presented: &[u8],
        method: &str,
        needed: Operation,
        now: OffsetDateTime,
    ) -> Result<(), AuthError> {
        let macaroon = Macaroon::parse_v2(presented.to_vec()).map_err(AuthError::Unreadable)?;
        macaroon
            .verify(&self.root)
            .map_err(|_forged| AuthError::Forged)?;
        for caveat in macaroon.unverified_caveats() {
            // A third party's condition cannot be discharged here.
            if caveat.is_third_party() {
                return Err(AuthError::ThirdParty);
            }
            caveats::check(caveat.id(), now).map_err(AuthError::Condition)?;
        }
        let granted = read_identifier(macaroon.identifier())
            .is_some_and(|id| id.grants(needed.entity, needed.action) || id.grants("uri", method));
        if granted {
            Ok(())
        } else {
            Err(AuthError::Denied)
        }
    }
}

/// Why a call is refused, in the words that LND's clients match on.
#[derive(Debug, thiserror::Error)]
pub(crate) enum AuthError {
    /// One of the macaroon's own conditions does not hold.
    #[error("{0}")]
    Condition(String),
    /// Genuine, and not enough.
    #[error("permission denied")]
    Denied,
    /// Not baked here, or changed since.
    #[error("verification failed: signature mismatch after caveat verification")]
    Forged,
    /// A condition that a third party would have to discharge.
    #[error("verification failed: cannot find discharge macaroon")]
    ThirdParty,
    /// Not a macaroon.
    #[error("cannot get macaroon: {0}")]
    Unreadable(MacaroonError),
}

/// Reads what a genuine macaroon grants; `None` for one that is not of LND's kind.
fn read_identifier(identifier: &[u8]) -> Option<MacaroonId> {
    let encoded = identifier.strip_prefix(&[ID_VERSION])?;
    MacaroonId::decode(encoded).ok()
}

/// Operations by entity, in their order: how the identifier lists them.
fn grouped(operations: &[Operation]) -> Vec<Op> {
    operations
        .chunk_by(|one, next| one.entity == next.entity)
        .filter_map(|same| {
            let entity = same.first()?.entity.to_owned();
            let actions = same.iter().map(|one| one.action.to_owned()).collect();
            Some(Op { entity, actions })
        })
        .collect()
}

/// What LND writes into an identifier.
#[derive(Clone, PartialEq, prost::Message)]
struct MacaroonId {
    #[prost(bytes = "vec", tag = "1")]
    nonce: Vec<u8>,
    #[prost(bytes = "vec", tag = "2")]
    storage_id: Vec<u8>,
    #[prost(message, repeated, tag = "3")]
    ops: Vec<Op>,
}

#[derive(Clone, PartialEq, prost::Message)]
struct Op {
    #[prost(string, tag = "1")]
    entity: String,
    #[prost(string, repeated, tag = "2")]
    actions: Vec<String>,
}

impl MacaroonId {
    fn grants(&self, entity: &str, action: &str) -> bool {
        self.ops
            .iter()
            .any(|op| op.entity == entity && op.actions.iter().any(|granted| granted == action))
    }
}

const LOCATION: &str = "lnd";
/// The first byte of every identifier LND writes.
const ID_VERSION: u8 = 3;
/// LND's name for its default root key.
const STORAGE_ID: &[u8] = b"0";

#[cfg(test)]
mod tests {
    use super::*;

    const READ: Operation = Operation {
        entity: "invoices",
        action: "read",
    };
    const WRITE: Operation = Operation {
        entity: "invoices",
        action: "write",
    };
    const LOOKUP: &str = "/lnrpc.Lightning/LookupInvoice";

    fn bakery() -> Bakery {
        Bakery::new(RootKey::new([7; 32]))
    }

    fn baked(operations: &[Operation]) -> Macaroon {
        bakery().bake(operations, [1; 16]).unwrap()
    }

    fn presented(bytes: &[u8]) -> Result<(), AuthError> {
        bakery().authorize(bytes, LOOKUP, READ, OffsetDateTime::UNIX_EPOCH)
    }

    fn with_identifier(identifier: &[u8]) -> Result<(), AuthError> {
        let macaroon = Macaroon::mint(&RootKey::new([7; 32]), "lnd", identifier).unwrap();
        presented(macaroon.as_bytes())
    }

    #[test]
    fn the_identifier_is_laid_out_as_lnds() {
        let macaroon = baked(&[READ, WRITE]);

        let mut expected = vec![3, 0x0a, 16];
        expected.extend([1; 16]);
        expected.extend(b"\x12\x010\x1a\x17\x0a\x08invoices\x12\x04read\x12\x05write");
        assert_eq!(macaroon.identifier(), expected);
        assert_eq!(macaroon.location(), b"lnd");
    }

    #[test]
    fn what_a_macaroon_grants_is_let_through_and_nothing_else() {
        assert!(presented(baked(&[READ, WRITE]).as_bytes()).is_ok());
        let by_name = [b"\x03\x1a\x25\x0a\x03uri\x12\x1e", LOOKUP.as_bytes()].concat();
        assert!(with_identifier(&by_name).is_ok());

        let denied = |answer| matches!(answer, Err(AuthError::Denied));
        assert!(denied(presented(baked(&[WRITE]).as_bytes())));
        for identifier in [&b"\x02\x01\x02"[..], b"\x03", b"\x03\xff"] {
            assert!(denied(with_identifier(identifier)), "{identifier:?}");
        }
    }

    #[test]
    fn a_changed_macaroon_is_forged_whatever_its_conditions() {
        let narrowed = baked(&[READ]).with_caveat(b"unknown").unwrap();
        let mut bytes = narrowed.as_bytes().to_vec();
        *bytes.last_mut().unwrap() ^= 1;

        assert!(matches!(presented(&bytes), Err(AuthError::Forged)));
    }

    #[test]
    fn a_condition_that_fails_outranks_a_missing_permission() {
        let narrowed = baked(&[WRITE]).with_caveat(b"ipaddr 10.0.0.1").unwrap();

        let refused = presented(narrowed.as_bytes()).unwrap_err();

        assert!(matches!(refused, AuthError::Condition(_)), "{refused}");
    }

    #[test]
    fn bytes_that_are_no_macaroon_of_version_2_are_refused() {
        for bytes in [&b""[..], b"\xff\xff", b"\x02", b"0011"] {
            let refused = presented(bytes).unwrap_err();
            assert!(matches!(refused, AuthError::Unreadable(_)), "{refused}");
        }
    }
}
