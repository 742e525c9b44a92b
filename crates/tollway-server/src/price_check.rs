//! The rule that a token never buys what costs more than the token did.
//!
//! Tokens are distinguished by service, tier, capability and path, not by price. Routes whose
//! tokens are interchangeable must therefore cost the same, and a price that depends on the
//! path needs tokens that are bound to it. Checked once, when routes are configured.

use l402::Msat;

use crate::pricer::Pricer;
use crate::requirement::{Requirement, TokenBinding};
use crate::terms::Terms;

/// A route and its price, under a name the operator recognises.
#[derive(Clone, Copy, Debug)]
pub struct PricedRoute<'a> {
    /// What error messages call the route, for example its path.
    pub name: &'a str,
    /// What its tokens must be for.
    pub requirement: &'a Requirement,
    /// What decides their price.
    pub pricer: &'a dyn Pricer,
}

/// Checks that no token sold for one route buys a request to a route that costs more.
///
/// Two routes of one service that differ in price thus differ in tier or in capability, with
/// the dearer one demanding what the cheaper one does not sell.
///
/// # Errors
///
/// [`PriceConflict`], naming the routes and what to change.
pub fn check_prices(routes: &[PricedRoute<'_>]) -> Result<(), PriceConflict> {
    for sold in routes {
        let Some(terms) = sold.pricer.fixed_terms() else {
            if sold.requirement.binding() == TokenBinding::Service {
                return Err(PriceConflict::Unbound {
                    route: sold.name.to_owned(),
                });
            }
            continue;
        };
        for other in routes {
            let Some(dearer) = dearer_price(terms, other) else {
                continue;
            };
            if buys(sold.requirement, terms, other.requirement) {
                return Err(PriceConflict::Interchangeable {
                    cheap: sold.name.to_owned(),
                    cheap_price: terms.price(),
                    dear: other.name.to_owned(),
                    dear_price: dearer,
                });
            }
        }
    }
    Ok(())
}

/// Why a set of routes would sell something below its price.
#[derive(Clone, Debug, Eq, PartialEq, thiserror::Error)]
#[non_exhaustive]
pub enum PriceConflict {
    /// The token of one route buys requests to another that costs more.
    #[error(
        "a token sold for `{cheap}` at {cheap_price} would also buy `{dear}` at {dear_price}: \
         give `{dear}` a higher tier, or give each of them a capability of its own"
    )]
    Interchangeable {
        /// The route whose token costs less.
        cheap: String,
        /// What it costs, in millisatoshis.
        cheap_price: Msat,
        /// The route that costs more.
        dear: String,
        /// What that costs, in millisatoshis.
        dear_price: Msat,
    },
    /// The price depends on the request, and the token does not.
    #[error(
        "the price of `{route}` differs between requests and its tokens do not: \
         bind them to the path"
    )]
    Unbound {
        /// The route.
        route: String,
    },
}

fn dearer_price(terms: &Terms, other: &PricedRoute<'_>) -> Option<Msat> {
    let price = other.pricer.fixed_terms()?.price();
    (price > terms.price()).then_some(price)
}

/// Returns whether a token sold for `sold` on `terms` meets `required`.
///
/// Tokens bound to a path never meet the requirement of another route here: which paths two
/// routes have in common is not known.
fn buys(sold: &Requirement, terms: &Terms, required: &Requirement) -> bool {
    let whole_service =
        sold.binding() == TokenBinding::Service && required.binding() == TokenBinding::Service;
    let same_service = sold.service() == required.service();
    let is_unrestricted = sold.capability().is_none() && terms.more_capabilities().is_empty();
    let has_capability = required.capability().is_none_or(|needed| {
        is_unrestricted
            || sold.capability() == Some(needed)
            || terms.more_capabilities().contains(needed)
    });
    whole_service && same_service && sold.tier() >= required.tier() && has_capability
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::pricer::PriceTable;

    #[test]
    fn two_prices_for_interchangeable_tokens_are_refused_and_both_routes_are_named() {
        let refused = check(&[
            ("/cheap", weather(), sat(10)),
            ("/dear", weather(), sat(1_000)),
        ])
        .unwrap_err();

        assert_eq!(
            refused.to_string(),
            "a token sold for `/cheap` at 10 sat would also buy `/dear` at 1000 sat: \
             give `/dear` a higher tier, or give each of them a capability of its own"
        );
    }

    #[test]
    fn a_dearer_route_must_demand_what_the_cheaper_one_does_not_sell() {
        let (read, write) = (capability("read"), capability("write"));
        for (cheap, dear, allowed) in [
            (weather(), weather().with_tier(1), true),
            (weather().with_tier(1), weather(), false),
            (weather(), maps(), true),
            (read.clone(), write.clone(), true),
            // A token without capabilities is good for all of them.
            (weather(), write.clone(), false),
            // A route without a capability takes every token of its service.
            (read, weather(), false),
            (weather().bound_to_path(), weather(), true),
        ] {
            let routes = [
                ("/cheap", cheap.clone(), sat(1)),
                ("/dear", dear.clone(), sat(2)),
            ];
            assert_eq!(check(&routes).is_ok(), allowed, "{cheap:?} {dear:?}");
        }
        let both = sat(1).with_more_capabilities(vec!["write".parse().unwrap()]);
        assert!(check(&[("/", capability("read"), both), ("/w", write, sat(2))]).is_err());
    }

    #[test]
    fn one_price_may_be_asked_on_many_routes() {
        assert_eq!(
            check(&[("/a", weather(), sat(10)), ("/b", weather(), sat(10))]),
            Ok(())
        );
    }

    #[test]
    fn a_price_that_depends_on_the_path_needs_tokens_bound_to_it() {
        let table = PriceTable::new(sat(10)).with_path("/x", sat(1));
        let unbound = weather();
        let route = PricedRoute {
            name: "/",
            requirement: &unbound,
            pricer: &table,
        };
        let bound = weather().bound_to_path();

        assert!(matches!(
            check_prices(&[route]),
            Err(PriceConflict::Unbound { .. })
        ));
        let requirement = &bound;
        let route = PricedRoute {
            requirement,
            ..route
        };
        assert_eq!(check_prices(&[route]), Ok(()));
    }

    fn check(routes: &[(&str, Requirement, Terms)]) -> Result<(), PriceConflict> {
        let routes: Vec<_> = routes
            .iter()
            .map(|(name, requirement, terms)| PricedRoute {
                name,
                requirement,
                pricer: terms,
            })
            .collect();
        check_prices(&routes)
    }

    fn weather() -> Requirement {
        Requirement::new("weather".parse().unwrap())
    }

    fn maps() -> Requirement {
        Requirement::new("maps".parse().unwrap())
    }

    fn capability(name: &str) -> Requirement {
        weather().with_capability(name.parse().unwrap())
    }

    fn sat(count: u64) -> Terms {
        Terms::new(Msat::from_msat(count.saturating_mul(1_000))).unwrap()
    }
}
