//! What a token must be for.
//!
//! A [`Requirement`] belongs to a route and is known for every request without I/O; what a
//! token costs is decided separately, by a [`Pricer`](crate::Pricer), and only when a challenge
//! is made. The two are tied together by [`check_prices`](crate::check_prices).

use l402::Services;

use crate::name::{Capability, ServiceName};

/// What a token must be for to buy a request: service, tier, capability and binding.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct Requirement {
    service: ServiceName,
    tier: u8,
    capability: Option<Capability>,
    binding: TokenBinding,
}

/// What a token is bound to.
#[derive(Clone, Copy, Debug, Default, Eq, PartialEq)]
pub enum TokenBinding {
    /// The path of the request. A price that depends on the path needs this: otherwise the
    /// token bought at the cheapest path would buy all of them.
    Path,
    /// Every path of the service.
    #[default]
    Service,
}

impl Requirement {
    /// Creates the requirement of a token for `service`: base tier, no capability, any path.
    #[must_use]
    pub const fn new(service: ServiceName) -> Self {
        Self {
            service,
            tier: BASE_TIER,
            capability: None,
            binding: TokenBinding::Service,
        }
    }

    /// Demands, and sells, this tier of the service; tokens of a higher tier are good as well.
    #[must_use]
    pub const fn with_tier(mut self, tier: u8) -> Self {
        self.tier = tier;
        self
    }

    /// Demands, and sells, one capability of the service.
    #[must_use]
    pub fn with_capability(mut self, capability: Capability) -> Self {
        self.capability = Some(capability);
        self
    }

    /// Demands, and sells, a token for the path requested instead of the whole service.
    ///
    /// The token then names the path after the service, `services=weather/v1/today:0`, which is
    /// the form Aperture gives tokens of dynamically priced services.
    #[must_use]
    pub const fn bound_to_path(mut self) -> Self {
        self.binding = TokenBinding::Path;
        self
    }

    /// Returns the service a token must be for.
    #[must_use]
    pub const fn service(&self) -> &ServiceName {
        &self.service
    }

    /// Returns the lowest tier that is good enough.
    #[must_use]
    pub const fn tier(&self) -> u8 {
        self.tier
    }

    /// Returns the capability a token must have; `None` when any token of the service will do.
    #[must_use]
    pub const fn capability(&self) -> Option<&Capability> {
        self.capability.as_ref()
    }

    /// Returns what a token is bound to.
    #[must_use]
    pub const fn binding(&self) -> TokenBinding {
        self.binding
    }

    /// Returns the part of `path` a token must be bound to; `None` when it is for the whole
    /// service.
    #[must_use]
    pub const fn bound_path<'a>(&self, path: &'a str) -> Option<&'a str> {
        match self.binding {
            TokenBinding::Path => Some(path),
            TokenBinding::Service => None,
        }
    }

    /// Returns the list of services of a token that buys a request for `path`.
    ///
    /// # Errors
    ///
    /// [`UnsellablePath`] when the token is bound to the path and cannot carry it.
    pub(crate) fn services(&self, path: &str) -> Result<Services, UnsellablePath> {
        let service = self.service.as_str();
        let services = match self.bound_path(path) {
            None => Services::new(service, self.tier),
            Some(path) if path.len() > BOUND_PATH_BYTES_MAX => return Err(UnsellablePath),
            Some(path) => Services::resource(service, path, self.tier),
        };
        // A service name is always valid, so it is the path.
        services.map_err(|_invalid| UnsellablePath)
    }
}

/// No token can be bound to the path of a request. The client's doing.
#[derive(Clone, Copy, Debug, Eq, PartialEq, thiserror::Error)]
#[error(
    "no token can be bound to this path: it must start with `/` and have at most \
     {BOUND_PATH_BYTES_MAX} bytes"
)]
pub struct UnsellablePath;

const BASE_TIER: u8 = 0;
/// A caveat has room for 1,024 bytes, some of them for the name; escaping triples a byte.
const BOUND_PATH_BYTES_MAX: usize = 512;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_token_of_the_whole_service_does_not_name_the_path() {
        let requirement = Requirement::new(weather()).with_tier(2);

        for path in ["/v1", "*", &"/".repeat(9_999)] {
            let services = requirement.services(path).unwrap();
            assert_eq!(services.caveat().as_str(), "services=weather:2");
        }
    }

    #[test]
    fn a_token_of_a_path_names_service_and_path() {
        let requirement = Requirement::new(weather()).bound_to_path();
        for (path, item) in [
            ("/v1/today", "weather/v1/today:0"),
            ("/a:9,b", "weather/a%3A9%2Cb:0"),
        ] {
            let services = requirement.services(path).unwrap();
            assert_eq!(services.caveat().value(), item);
        }
    }

    #[test]
    fn a_path_that_no_token_can_carry_is_refused() {
        let requirement = Requirement::new(weather()).bound_to_path();

        assert!(requirement.services(&"/".repeat(512)).is_ok());
        for path in ["*", "", &"/".repeat(513), &format!("/{}", ":".repeat(400))] {
            assert_eq!(requirement.services(path), Err(UnsellablePath), "{path}");
        }
    }

    fn weather() -> ServiceName {
        "weather".parse().unwrap()
    }
}
