//! Whether a stored token can be for a request, as far as its own caveats show.
//!
//! Pure. Nothing here is verified, so nothing here accepts a token: it only keeps one from being
//! presented where it would be refused, and from a service that it cannot be for. What is not
//! understood fits, because only the seller knows what it means.

use l402::{Challenge, Macaroon};

use crate::book::{StoredCredential, TargetResource};
use crate::refusal_reason::RefusalReason;

/// Returns why a credential cannot be for a request, if that is certain.
pub(crate) fn misfit(
    credential: &StoredCredential,
    resource: &TargetResource,
) -> Option<RefusalReason> {
    let token = credential.token.macaroon()?;
    if let Some(prefix) = last(&token, "path_prefix")
        && !l402::path::canonical(&resource.path)
            .is_ok_and(|path| l402::path::is_below(&path, &prefix))
    {
        return Some(RefusalReason::WrongPath);
    }
    if let Some(methods) = last(&token, "method")
        && !methods
            .split(',')
            .any(|method| method.trim() == resource.method)
    {
        return Some(RefusalReason::WrongMethod);
    }
    None
}

/// Returns true when a credential can be for what the challenges sell: the tokens name a service
/// in common, or neither names one and they are of one issuer as far as that can be compared.
pub(crate) fn is_for_service(credential: &StoredCredential, challenges: &[Challenge]) -> bool {
    let Some(held) = credential.token.macaroon() else {
        return false;
    };
    challenges
        .iter()
        .filter_map(|challenge| challenge.token().macaroon().ok())
        .any(|sold| is_same_service(&held, &sold))
}

fn is_same_service(held: &Macaroon, sold: &Macaroon) -> bool {
    match (last(held, "services"), last(sold, "services")) {
        (Some(held), Some(sold)) => items(&held).any(|one| items(&sold).any(|other| one == other)),
        (None, None) => is_same_issuer(held, sold),
        // One seller either names services or does not.
        (Some(_), None) | (None, Some(_)) => false,
    }
}

fn is_same_issuer(held: &Macaroon, sold: &Macaroon) -> bool {
    held.location() == sold.location() && held.identifier().len() == sold.identifier().len()
}

/// Returns the items of a list of services, without their tiers.
fn items(list: &str) -> impl Iterator<Item = &str> {
    list.split(',').map(|item| {
        let item = item.trim();
        item.rsplit_once(':').map_or(item, |(name, _tier)| name)
    })
}

/// Returns the last value of a condition: the others only ever allow more.
fn last(token: &Macaroon, condition: &str) -> Option<String> {
    let values = token.unverified_caveats().filter_map(|caveat| {
        let text = std::str::from_utf8(caveat.id()).ok()?;
        let (found, value) = text.split_once('=')?;
        (found.trim() == condition).then(|| value.trim().to_owned())
    });
    values.last()
}

#[cfg(test)]
mod tests {
    use l402::{
        KeyRing, MasterKey, Msat, Preimage, RootKey, SchemeName, Services, Token, UnixSeconds,
        caveat,
    };

    use super::*;
    use crate::book::{QueryHash, SoldToken};

    #[test]
    fn a_token_is_for_a_service_that_the_challenge_names_too() {
        let both = Services::new("dear", 0).unwrap().and("maps", 1).unwrap();
        for (held, is_for_dear) in [
            (Services::new("dear", 3).unwrap(), true),
            (both, true),
            (Services::new("cheap", 0).unwrap(), false),
            (Services::resource("dear", "/a", 0).unwrap(), false),
        ] {
            let held = credential(token(&held, &[]));
            let sold = challenge(&token(&Services::new("dear", 0).unwrap(), &[]));
            assert_eq!(is_for_service(&held, &[sold]), is_for_dear, "{held:?}");
        }
    }

    #[test]
    fn tokens_without_services_are_compared_by_their_issuer() {
        let held = credential(plain("shop.example", b"an-identifier-1"));
        for (location, identifier, is_for) in [
            ("shop.example", &b"an-identifier-2"[..], true),
            ("other.example", b"an-identifier-2", false),
            ("shop.example", b"longer-identifier", false),
        ] {
            let sold = challenge(&plain(location, identifier));
            assert_eq!(is_for_service(&held, &[sold]), is_for, "{location}");
        }
        let named = challenge(&token(&Services::new("dear", 0).unwrap(), &[]));
        assert!(!is_for_service(&held, &[named]));
    }

    #[test]
    fn a_path_or_method_that_the_caveats_exclude_is_known_without_asking() {
        let narrow = [
            caveat::path_prefix("/v1").unwrap(),
            caveat::methods(&["GET", "HEAD"]).unwrap(),
        ];
        let held = credential(token(&Services::new("s", 0).unwrap(), &narrow));
        for (method, path, expected) in [
            ("GET", "/v1/a", None),
            ("HEAD", "/v1", None),
            ("GET", "/v10", Some(RefusalReason::WrongPath)),
            ("POST", "/v1", Some(RefusalReason::WrongMethod)),
        ] {
            let found = misfit(&held, &resource(method, path));
            assert_eq!(found, expected, "{method} {path}");
        }
        let unreadable = credential(Token::from_bytes(vec![7; 40]));
        assert_eq!(misfit(&unreadable, &resource("GET", "/")), None);
    }

    fn token(services: &Services, caveats: &[l402::Caveat]) -> Token {
        let ring = KeyRing::new(MasterKey::new([5; 32]));
        let preimage = Preimage::new([7; 32]);
        let now = UnixSeconds::new(1);
        let token = l402::mint(
            &ring,
            preimage.payment_hash(),
            services,
            caveats,
            now,
            [0; 20],
        );
        Token::from_bytes(token.unwrap().as_bytes().to_vec())
    }

    fn plain(location: &str, identifier: &[u8]) -> Token {
        let root = RootKey::new([3; 32]);
        let token = Macaroon::mint(&root, location, identifier).unwrap();
        Token::from_bytes(token.as_bytes().to_vec())
    }

    fn challenge(token: &Token) -> Challenge {
        let line = format!(r#"L402 macaroon="{}", invoice="lnbcrt1""#, token.as_str());
        let mut read = l402::read_challenges([line.as_bytes()]).unwrap();
        read.remove(0)
    }

    fn credential(token: Token) -> StoredCredential {
        StoredCredential {
            resource: resource("GET", "/"),
            token: SoldToken::L402 {
                name: SchemeName::L402,
                token,
            },
            preimage: Preimage::new([7; 32]),
            price: Msat::ZERO,
            fee: Msat::ZERO,
            bought_at: UnixSeconds::new(1),
            holder: None,
        }
    }

    fn resource(method: &str, path: &str) -> TargetResource {
        TargetResource {
            origin: "http://127.0.0.1:1".parse().unwrap(),
            method: method.to_owned(),
            path: path.to_owned(),
            query: QueryHash::new(None),
        }
    }
}
