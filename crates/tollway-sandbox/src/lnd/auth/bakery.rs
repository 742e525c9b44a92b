//! Macaroons of one wallet: baking and checking.
//!
//! Built as LND builds them, so that `lncli printmacaroon` and every client library reads
//! them: location `lnd`, and an identifier that names the operations it grants. Nothing is
//! stored: keys and nonces come from the wallet's seed, so a wallet bakes the same macaroons
//! on each start and old `lndconnect` URIs stay good.
//!
//! A refusal reads as LND's does, because clients match on the text. The order of checks is
//! LND's too: layout, identifier, signature, conditions, and only then what is granted.

use l402::{Macaroon, MacaroonError, RootKey};
use prost::Message as _;

use super::caveats::{self, Caller};
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
    /// `nonce` tells two macaroons apart that grant the same.
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
        caller: Caller,
    ) -> Result<(), AuthError> {
        let macaroon = read(presented)?;
        let id = read_identifier(macaroon.identifier())?;
        self.check_signature(&macaroon, &id)?;
        for caveat in macaroon.unverified_caveats() {
            caveats::check(caveat.id(), caller)
                .map_err(|reason| AuthError::Condition { reason })?;
        }
        if id.grants(needed.entity, needed.action) || id.grants("uri", method) {
            Ok(())
        } else {
            Err(AuthError::Denied)
        }
    }

    fn check_signature(&self, macaroon: &Macaroon, id: &MacaroonId) -> Result<(), AuthError> {
        if id.storage_id != STORAGE_ID {
            let key = String::from_utf8_lossy(&id.storage_id).into_owned();
            return Err(AuthError::UnknownKey { key });
        }
        // Third-party caveats cannot be discharged here, so any of them refuses the macaroon.
        if let Some(caveat) = macaroon
            .unverified_caveats()
            .find(l402::RawCaveat::is_third_party)
        {
            let condition = hex::encode(caveat.id());
            return Err(AuthError::ThirdParty { condition });
        }
        macaroon
            .verify(&self.root)
            .map_err(|_forged| AuthError::Forged)
    }
}

/// Why a call is refused, in LND's words.
#[derive(Clone, Debug, Eq, PartialEq, thiserror::Error)]
pub(crate) enum AuthError {
    /// One of the macaroon's own conditions does not hold.
    #[error("{reason}")]
    Condition {
        /// Which, and why.
        reason: String,
    },
    /// Genuine, and not enough.
    #[error("permission denied")]
    Denied,
    /// Not baked here, or changed since.
    #[error("verification failed: signature mismatch after caveat verification")]
    Forged,
    /// The identifier is not of LND's kind.
    #[error("invalid ID")]
    Identifier,
    /// The identifier grants nothing.
    #[error("cannot retrieve macaroon: no operations found in macaroon")]
    NoOperations,
    /// A condition somebody else would have to vouch for.
    #[error("verification failed: cannot find discharge macaroon for caveat {condition}")]
    ThirdParty {
        /// The condition, in hexadecimal.
        condition: String,
    },
    /// Baked under a root key that never existed here.
    #[error("cannot retrieve macaroon: cannot get macaroon: root key with id {key} doesn't exist")]
    UnknownKey {
        /// The key's id.
        key: String,
    },
    /// Not a macaroon.
    #[error("{reason}")]
    Unreadable {
        /// What is wrong.
        reason: String,
    },
}

fn read(presented: &[u8]) -> Result<Macaroon, AuthError> {
    let reason = match presented.first() {
        None => "empty macaroon data".to_owned(),
        Some(2) => match Macaroon::parse_v2(presented.to_vec()) {
            Ok(macaroon) => return Ok(macaroon),
            Err(error) => format!("unmarshal v2: {error}"),
        },
        Some(b'0'..=b'9' | b'a'..=b'f') => match Macaroon::parse(presented) {
            Ok(_) => "unknown macaroon version: 1".to_owned(),
            Err(error) => format!("unmarshal v1: {error}"),
        },
        Some(_) => "cannot determine data format of binary-encoded macaroon".to_owned(),
    };
    Err(AuthError::Unreadable { reason })
}

fn read_identifier(identifier: &[u8]) -> Result<MacaroonId, AuthError> {
    let Some((&ID_VERSION, encoded)) = identifier.split_first() else {
        return Err(AuthError::Identifier);
    };
    let id = MacaroonId::decode(encoded).map_err(|error| AuthError::Unreadable {
        reason: format!("cannot retrieve macaroon: cannot unmarshal macaroon id: {error}"),
    })?;
    match id.ops.first() {
        Some(first) if !first.actions.is_empty() => Ok(id),
        Some(_) | None => Err(AuthError::NoOperations),
    }
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
    use time::OffsetDateTime;

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
        let caller = Caller {
            ip: "127.0.0.1".parse().unwrap(),
            now: OffsetDateTime::UNIX_EPOCH,
        };
        bakery().authorize(bytes, LOOKUP, READ, caller)
    }

    fn with_identifier(identifier: &[u8]) -> Result<(), AuthError> {
        let macaroon = Macaroon::mint(&RootKey::new([7; 32]), "lnd", identifier).unwrap();
        presented(macaroon.as_bytes())
    }

    fn id_of(ops: Vec<Op>, storage_id: &[u8]) -> Vec<u8> {
        let id = MacaroonId {
            nonce: vec![1; 16],
            storage_id: storage_id.to_vec(),
            ops,
        };
        [vec![ID_VERSION], id.encode_to_vec()].concat()
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
    fn what_a_macaroon_grants_is_let_through() {
        assert_eq!(presented(baked(&[READ, WRITE]).as_bytes()), Ok(()));
        let by_name = Op {
            entity: "uri".to_owned(),
            actions: vec![LOOKUP.to_owned()],
        };
        assert_eq!(with_identifier(&id_of(vec![by_name], b"0")), Ok(()));
    }

    #[test]
    fn what_a_macaroon_does_not_grant_is_denied() {
        assert_eq!(
            presented(baked(&[WRITE]).as_bytes()),
            Err(AuthError::Denied)
        );
    }

    #[test]
    fn a_changed_macaroon_is_forged_whatever_its_conditions() {
        let narrowed = baked(&[READ]).with_caveat(b"nobody knows this").unwrap();
        let mut bytes = narrowed.as_bytes().to_vec();
        *bytes.last_mut().unwrap() ^= 1;

        assert_eq!(presented(&bytes), Err(AuthError::Forged));
    }

    #[test]
    fn a_condition_that_fails_outranks_a_missing_permission() {
        let narrowed = baked(&[WRITE]).with_caveat(b"ipaddr 10.0.0.1").unwrap();

        let refused = presented(narrowed.as_bytes()).unwrap_err();

        assert_eq!(
            refused.to_string(),
            "caveat \"ipaddr 10.0.0.1\" not satisfied: macaroon locked to different IP address"
        );
    }

    #[test]
    fn identifiers_of_another_kind_are_refused_in_lnds_words() {
        let none = "cannot retrieve macaroon: no operations found in macaroon";
        let no_actions = Op {
            entity: "invoices".to_owned(),
            actions: vec![],
        };
        let read = Op {
            entity: "invoices".to_owned(),
            actions: vec!["read".to_owned()],
        };
        for (identifier, text) in [
            (vec![2, 1, 2, 3], "invalid ID"),
            (vec![3], none),
            (id_of(vec![no_actions], b"0"), none),
            (
                id_of(vec![read], b"7"),
                "cannot retrieve macaroon: cannot get macaroon: root key with id 7 doesn't exist",
            ),
        ] {
            assert_eq!(with_identifier(&identifier).unwrap_err().to_string(), text);
        }
        let garbage = with_identifier(&[3, 0xff]).unwrap_err().to_string();
        assert!(garbage.starts_with("cannot retrieve macaroon: cannot unmarshal macaroon id: "));
    }

    #[test]
    fn bytes_that_are_no_macaroon_are_refused_in_lnds_words() {
        for (bytes, text) in [
            (&b""[..], "empty macaroon data"),
            (
                b"\xff\xff",
                "cannot determine data format of binary-encoded macaroon",
            ),
            (b"\x02", "unmarshal v2: "),
            (b"00", "unmarshal v1: "),
        ] {
            let refused = presented(bytes).unwrap_err().to_string();
            assert!(refused.starts_with(text), "{refused}");
        }
    }
}
