//! Macaroons of one wallet: baking and checking.
//!
//! Built as LND builds them, so that `lncli printmacaroon` and every client library reads
//! them: location `lnd`, and an identifier that names the operations it grants. Nothing is
//! stored: keys and nonces come from the wallet's seed, so a wallet bakes the same macaroons
//! on each start and old `lndconnect` URIs stay good.
//!
//! The order of checks is LND's: layout, signature, conditions, and only then what is granted.

use l402::{Macaroon, MacaroonError, RootKey};
use time::OffsetDateTime;
use tollway_lightning::lnd::{MacaroonId, Op};

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
        Macaroon::mint(&self.root, LOCATION, &id.to_identifier())
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
        if grants(macaroon.identifier(), needed, method) {
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

/// Returns true when an identifier grants what is needed, or the call by its name.
fn grants(identifier: &[u8], needed: Operation, method: &str) -> bool {
    MacaroonId::read(identifier).is_some_and(|id| {
        let mut granted = id.operations();
        granted
            .any(|granted| granted == (needed.entity, needed.action) || granted == ("uri", method))
    })
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

const LOCATION: &str = "lnd";
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
