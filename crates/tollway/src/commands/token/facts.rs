//! What a token's caveats leave of it, in a few words. Nothing in it is verified.

use l402::Macaroon;

/// The conditions that a holder wants to see first.
#[derive(Debug, Default)]
pub(super) struct Facts {
    /// Every caveat as text, without the preimage.
    pub(super) caveats: Vec<String>,
    /// The names in the last list of services.
    pub(super) services: Vec<String>,
    /// The last list of services with their tiers.
    tiers: Vec<(String, u8)>,
    /// The smallest number of uses.
    pub(super) uses_max: Option<u64>,
}

impl Facts {
    pub(super) fn of(macaroon: &Macaroon) -> Self {
        let mut facts = Self::default();
        for caveat in macaroon.unverified_caveats() {
            facts
                .caveats
                .push(shown(caveat.id(), caveat.is_third_party()));
            let condition = std::str::from_utf8(caveat.id()).ok();
            match condition.and_then(|text| text.split_once('=')) {
                Some(("services", list)) => {
                    facts.services = names(list);
                    facts.tiers = tiers(list);
                }
                Some(("max_uses", uses)) => {
                    let uses: Option<u64> = uses.parse().ok();
                    facts.uses_max = uses.into_iter().chain(facts.uses_max).min();
                }
                Some(_) | None => {}
            }
        }
        facts
    }

    /// Returns the tier of a service.
    pub(super) fn tier_of(&self, service: &str) -> Option<u8> {
        let mut tiers = self.tiers.iter();
        tiers
            .find(|(name, _)| name == service)
            .map(|(_, tier)| *tier)
    }

    /// Returns the names of the services, without the paths of resources.
    pub(super) fn service_names(&self) -> Vec<String> {
        let name = |item: &String| item.split('/').next().map(str::to_owned);
        let mut names: Vec<String> = self.services.iter().filter_map(name).collect();
        names.dedup();
        names
    }
}

/// Reads `name:tier,name:tier`. A name may have a path after it, which names a resource.
pub(super) fn names(list: &str) -> Vec<String> {
    let name = |item: &str| {
        let (name, _tier) = item.rsplit_once(':').unwrap_or((item, ""));
        name.to_owned()
    };
    list.split(',').map(str::trim).map(name).collect()
}

fn tiers(list: &str) -> Vec<(String, u8)> {
    let item = |item: &str| {
        let (name, tier) = item.trim().rsplit_once(':')?;
        Some((name.to_owned(), tier.parse().ok()?))
    };
    list.split(',').filter_map(item).collect()
}

/// Returns a caveat as text. The preimage in one is half of a credential and is left out.
fn shown(condition: &[u8], third_party: bool) -> String {
    if third_party {
        return format!("a third party's ({} bytes)", condition.len());
    }
    match std::str::from_utf8(condition) {
        Ok(text) if text.starts_with("preimage=") => "preimage=(hidden)".to_owned(),
        Ok(text) => text.escape_debug().to_string(),
        Err(_not_utf8) => format!("not text ({} bytes)", condition.len()),
    }
}
