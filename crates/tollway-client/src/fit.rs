//! Whether a stored token can be for a request, as far as its own caveats show.
//!
//! Pure. Nothing here is verified, so nothing here accepts a token: it only keeps one from being
//! presented where it would be refused, and from a service that it cannot be for. What is not
//! understood fits, because only the seller knows what it means.

use l402::{Challenge, Macaroon, UnixSeconds};

use crate::book::{SoldToken, TargetResource};
use crate::caveats::{items, last};
use crate::refusal_reason::RefusalReason;
use crate::visible::visible;

/// Returns why a token cannot be for a request, if that is certain.
pub(crate) fn misfit(token: &SoldToken, resource: &TargetResource) -> Option<RefusalReason> {
    let token = token.macaroon()?;
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

/// Returns true when a token can be for what the challenges sell: both name a service in common,
/// or neither names one and they are of one issuer as far as that can be compared.
pub(crate) fn is_for_service(token: &SoldToken, challenges: &[Challenge]) -> bool {
    let Some(held) = token.macaroon() else {
        return false;
    };
    offered(challenges).any(|sold| match services(&held, &sold) {
        Services::Same => true,
        Services::Unnamed => is_same_issuer(&held, &sold),
        Services::Different => false,
    })
}

/// Returns true when a token is sure to be of use for what `sold` is for, to more than one
/// request: one that waits for it need not buy its own.
pub(crate) fn is_shared(token: &SoldToken, sold: &SoldToken, resource: &TargetResource) -> bool {
    let Some((held, sold)) = token.macaroon().zip(sold.macaroon()) else {
        return false;
    };
    services(&held, &sold) == Services::Same
        && !is_single_use(&held)
        && misfit(token, resource).is_none()
}

/// Returns what is bought once for all requests to an origin that name the same: the services
/// that are offered, or the path, if what is offered is good for one request or names none.
pub(crate) fn purchase_key(challenges: &[Challenge], path: &str) -> String {
    let offered = offered(challenges).next();
    let shared = offered.filter(|token| !is_single_use(token));
    let services = shared.and_then(|token| last(&token, "services"));
    services.map_or_else(|| path.to_owned(), |list| format!("services={list}"))
}

fn offered(challenges: &[Challenge]) -> impl Iterator<Item = Macaroon> {
    let tokens = challenges.iter().map(Challenge::token);
    tokens.filter_map(|token| token.macaroon().ok())
}

/// What a token is good for, as far as its own caveats state. Nothing is verified.
#[derive(Clone, Debug, Default, Eq, PartialEq)]
pub struct TokenTerms {
    /// The names of its services, with the paths of resources.
    pub services: Vec<String>,
    /// How many requests it is good for.
    pub uses_max: Option<u64>,
    /// Until when it is good.
    pub deadline: Option<UnixSeconds>,
}

impl TokenTerms {
    /// Reads the caveats of a token.
    pub(crate) fn of(token: &SoldToken) -> Self {
        let Some(macaroon) = token.macaroon() else {
            return Self::default();
        };
        let services = last(&macaroon, "services").unwrap_or_default();
        let names = items(&services).map(|(name, _tier)| visible(name, NAME_MAX));
        Self {
            services: names.filter(|name| !name.is_empty()).collect(),
            uses_max: last(&macaroon, "max_uses").and_then(|uses| uses.parse().ok()),
            deadline: token.deadline(),
        }
    }
}

/// How the services of two tokens compare.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
enum Services {
    /// They have none in common, or one of them names none: a seller does either.
    Different,
    /// One of `sold` is in `held`, in a tier that is not lower.
    Same,
    /// Neither names one.
    Unnamed,
}

fn services(held: &Macaroon, sold: &Macaroon) -> Services {
    match (last(held, "services"), last(sold, "services")) {
        (None, None) => Services::Unnamed,
        (Some(held), Some(sold)) => {
            let is_in_held = |(name, tier): (&str, Option<u8>)| {
                items(&held).any(|(other, held)| name == other && tier <= held)
            };
            if items(&sold).any(is_in_held) {
                Services::Same
            } else {
                Services::Different
            }
        }
        (Some(_), None) | (None, Some(_)) => Services::Different,
    }
}

fn is_same_issuer(held: &Macaroon, sold: &Macaroon) -> bool {
    held.location() == sold.location() && held.identifier().len() == sold.identifier().len()
}

fn is_single_use(token: &Macaroon) -> bool {
    last(token, "max_uses").is_some_and(|uses| uses == "1")
}

/// Returns true when a token was to be good for this request, and for what `sold` is for: what
/// is bought then takes its place.
pub(crate) fn is_replaced_by(
    token: &SoldToken,
    sold: &SoldToken,
    resource: &TargetResource,
) -> bool {
    let Some((held, sold)) = token.macaroon().zip(sold.macaroon()) else {
        return false;
    };
    let is_same = match services(&held, &sold) {
        Services::Same => true,
        Services::Unnamed => is_same_issuer(&held, &sold),
        Services::Different => false,
    };
    is_same && misfit(token, resource).is_none()
}

/// Returns true when a token's own text restricts the paths, or methods, that it is good for.
pub(crate) fn is_restricted(token: &SoldToken, condition: &str) -> bool {
    let token = token.macaroon();
    token.is_none_or(|token| last(&token, condition).is_some())
}

/// Characters of a name, more than a gateway accepts.
const NAME_MAX: usize = 128;

#[cfg(test)]
mod tests {
    use l402::{
        KeyRing, MasterKey, Preimage, RootKey, SchemeName, Services, Token, UnixSeconds, caveat,
    };

    use super::*;
    use crate::book::QueryHash;

    #[test]
    fn a_token_is_for_a_service_that_the_challenge_names_too() {
        let both = Services::new("maps", 0).unwrap().and("dear", 1).unwrap();
        for (held, is_for_dear) in [
            (Services::new("dear", 3).unwrap(), true),
            (both, true),
            (Services::new("cheap", 0).unwrap(), false),
            (Services::new("dear", 0).unwrap(), false),
            (Services::resource("dear", "/a", 1).unwrap(), false),
        ] {
            let held = credential(token(&held, &[]));
            let sold = token(&Services::new("dear", 1).unwrap(), &[]);
            assert_eq!(
                is_for_service(&held, &[challenge(&sold)]),
                is_for_dear,
                "{held:?}"
            );
            let is_shared = is_shared(&held, &credential(sold), &resource("GET", "/"));
            assert_eq!(is_shared, is_for_dear);
        }
    }

    #[test]
    fn a_token_for_one_request_is_shared_by_none() {
        let dear = Services::new("dear", 0).unwrap();
        let sold = token(&dear, &[]);
        for (uses, expected) in [(1, false), (2, true)] {
            let uses = caveat::max_uses(std::num::NonZeroU64::new(uses).unwrap());
            let held = token(&dear, &[uses]);
            let at = resource("GET", "/a");
            let shared = is_shared(&credential(held.clone()), &credential(sold.clone()), &at);
            assert_eq!(shared, expected);
            let key = purchase_key(&[challenge(&held)], "/a");
            assert_eq!(key == "/a", !expected, "{key}");
        }
        let unnamed = challenge(&plain("", b"identifier"));
        assert_eq!(purchase_key(&[unnamed], "/a"), "/a");
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

    fn credential(token: Token) -> SoldToken {
        SoldToken::L402 {
            name: SchemeName::L402,
            token,
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
