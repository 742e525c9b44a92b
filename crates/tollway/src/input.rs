//! Arguments as people type them: amounts, durations, numbers, addresses, networks, URLs, misspelt
//! names.
//!
//! Every error repeats what was typed, unless it may be a secret, and shows a valid text made
//! of it.

mod address;
mod amount;
pub(crate) mod condition;
mod duration;
mod ipv4;
mod method;
mod number;
mod proxy;
mod secret;
mod since;
mod url;

pub(crate) use address::listen;
pub(crate) use amount::amount;
pub(crate) use duration::{DurationError, duration};
pub(crate) use method::method;
pub(crate) use number::{count, port};
pub(crate) use proxy::{HostError, NetworkError, network, upstream_host};
pub(crate) use secret::{Secret, hide, is_showable, may_be_secret, shown};
pub(crate) use since::{Since, since};
pub(crate) use url::{upstream, url};

/// Returns the known name that `name` is a misspelling or a part of, if there is any.
pub(crate) fn nearest<'a>(name: &str, known: &[&'a str]) -> Option<&'a str> {
    let typed = name.to_ascii_lowercase().replace('-', "_");
    let distance = |known: &str| strsim::damerau_levenshtein(&known.replace('-', "_"), &typed);
    let best = known.iter().copied().min_by_key(|known| distance(known))?;
    if distance(best) <= (typed.len() / 3).max(1) {
        return Some(best);
    }
    let is_part = |known: &&str| {
        let mut words = known.split(['_', '-']);
        words.any(|word| word == typed) || known.starts_with(&typed)
    };
    let mut whole = known.iter().copied().filter(is_part);
    whole
        .next()
        .filter(|_first| !typed.is_empty() && whole.next().is_none())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_a_similar_name_is_suggested() {
        let known = ["max_cost", "max_fee", "wallet", "tls_cert"];
        for (typed, meant) in [
            ("max_costs", Some("max_cost")),
            ("max-cost", Some("max_cost")),
            ("walet", Some("wallet")),
            ("cert", Some("tls_cert")),
            ("max", None),
            ("price", None),
            ("", None),
        ] {
            assert_eq!(nearest(typed, &known), meant, "{typed}");
        }
    }
}
