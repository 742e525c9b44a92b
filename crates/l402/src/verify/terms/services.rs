//! What a token is for: services, tiers, resources and capabilities.

use super::{Terms, unreadable, widened};
use crate::caveat;
use crate::keys::Dialect;
use crate::path;
use crate::verify::Denial;
use crate::verify::value::{count_items, is_subset, service_and_tier, split_list, tier_of};

impl<'a> Terms<'a> {
    /// An issuer names the services first. A holder can append caveats only, so a list that
    /// comes later adds services to a token that was sold for none.
    pub(super) fn services(&mut self, is_first: bool, value: &'a str) -> Result<(), Denial> {
        self.count_list(caveat::SERVICES, value)?;
        if self.services.is_none() && !is_first {
            return Err(widened(caveat::SERVICES));
        }
        let mut held = None;
        for (item, text) in split_list(value).enumerate() {
            let (name, tier) =
                service_and_tier(text).ok_or_else(|| unreadable(caveat::SERVICES))?;
            let allowed = match self.services {
                None => true,
                Some(before) => tier_of(before, name).is_some_and(|held| tier <= held),
            };
            if !allowed {
                return Err(widened(caveat::SERVICES));
            }
            if self.is_requested(name) {
                held = held.or(Some(Held { item, tier }));
            }
        }
        self.services = Some(value);
        self.held = held;
        match held {
            Some(_) => Ok(()),
            None => Err(self.wrong_service()),
        }
    }

    /// True for the name of the requested service, with the path when one is demanded.
    fn is_requested(&self, name: &[u8]) -> bool {
        let service = self.request.service.as_bytes();
        match self.request.resource {
            None => name == service,
            Some(path) => name
                .strip_prefix(service)
                .is_some_and(|rest| self.is_path(path, rest)),
        }
    }

    /// True when `written` is how issuers of this dialect write `path` in `services`: tollway
    /// escapes what separates items and tiers, Aperture writes the path with its escapes undone.
    fn is_path(&self, path: &str, written: &[u8]) -> bool {
        match self.dialect {
            Dialect::Tollway => caveat::escape(path).eq(written.iter().copied()),
            Dialect::Aperture => path::unescape(path).is_ok_and(|plain| plain == written),
        }
    }

    /// Bounds the work that a paying client can cause by lists.
    pub(super) fn count_list(&mut self, condition: &str, value: &str) -> Result<(), Denial> {
        let items = count_items(value);
        self.list_items = self.list_items.saturating_add(items);
        if items > caveat::MAX_ITEMS || self.list_items > MAX_ITEMS_OF_TOKEN {
            return Err(unreadable(condition));
        }
        Ok(())
    }

    /// Deployed issuers write an empty list when a service has no capabilities to name, so a
    /// first empty list restricts nothing. A later one leaves nothing.
    pub(super) fn capabilities(&mut self, condition: &str, value: &'a str) -> Result<(), Denial> {
        self.count_list(condition, value)?;
        self.capabilities = Some(match self.capabilities {
            None if value.is_empty() => Capabilities::All,
            None | Some(Capabilities::All) => Capabilities::Only(value),
            Some(Capabilities::Only(before)) if is_subset(value, before) => {
                Capabilities::Only(value)
            }
            Some(Capabilities::Only(_)) => return Err(widened(condition)),
        });
        Ok(())
    }

    pub(super) fn capability_held(&self) -> Result<(), Denial> {
        let (Some(requested), Some(Capabilities::Only(held))) =
            (self.request.capability, self.capabilities)
        else {
            return Ok(());
        };
        if self.request.is_content_with(held) {
            return Ok(());
        }
        Err(Denial::MissingCapability {
            requested: requested.to_owned(),
        })
    }

    pub(super) fn wrong_service(&self) -> Denial {
        Denial::WrongService {
            granted: self.services.unwrap_or_default().to_owned(),
            requested: format!(
                "{}{}",
                self.request.service,
                self.request.resource.unwrap_or_default()
            ),
        }
    }
}

/// The tier of the requested service, and which item of the list it is.
#[derive(Clone, Copy)]
pub(super) struct Held {
    pub(super) item: usize,
    pub(super) tier: u8,
}

/// The capabilities a token leaves. An empty list is none at all.
#[derive(Clone, Copy)]
pub(super) enum Capabilities<'a> {
    All,
    Only(&'a str),
}

/// Items in all lists of a token together.
const MAX_ITEMS_OF_TOKEN: usize = 256;
