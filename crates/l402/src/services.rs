//! The services a token is sold for: its first caveat.

use crate::caveat::{self, Caveat, CaveatError};

/// One or more services with their tiers, written as `services=name:tier,…`.
///
/// A token that names no service buys none, so every token is minted for a value of this type.
///
/// ```
/// use l402::Services;
///
/// let services = Services::new("weather", 0)?.and("maps", 2)?;
/// assert_eq!(services.caveat().as_str(), "services=weather:0,maps:2");
///
/// let resource = Services::resource("weather", "/v1/New York,NY", 0)?;
/// assert_eq!(resource.caveat().as_str(), "services=weather/v1/New%20York%2CNY:0");
/// # Ok::<(), l402::CaveatError>(())
/// ```
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct Services {
    caveat: Caveat,
}

impl Services {
    /// Creates the list of one service. The base tier is 0.
    ///
    /// # Errors
    ///
    /// [`CaveatError::Value`] unless `name` is a [service name](caveat::is_service_name).
    pub fn new(name: &str, tier: u8) -> Result<Self, CaveatError> {
        item(name, "", tier).and_then(|item| Self::of(&item))
    }

    /// Creates the list of one resource: a service and the only path the token is for.
    ///
    /// `path` starts with `/` and may be any request path; what would separate items or tiers
    /// is percent-encoded. This is the form Aperture writes for dynamically priced services.
    ///
    /// # Errors
    ///
    /// As [`Services::new`]; also for a path that does not start with `/`, and
    /// [`CaveatError::TooLong`] over 1024 bytes.
    pub fn resource(service: &str, path: &str, tier: u8) -> Result<Self, CaveatError> {
        if !path.starts_with('/') {
            return Err(refused(path));
        }
        item(service, path, tier).and_then(|item| Self::of(&item))
    }

    /// Adds a service to the list.
    ///
    /// # Errors
    ///
    /// As [`Services::new`]; also [`CaveatError::Value`] for more than 64 services.
    pub fn and(self, name: &str, tier: u8) -> Result<Self, CaveatError> {
        let value = format!("{},{}", self.caveat.value(), item(name, "", tier)?);
        Self::of(&value)
    }

    /// Returns the caveat to mint with.
    #[must_use]
    pub const fn caveat(&self) -> &Caveat {
        &self.caveat
    }

    fn of(value: &str) -> Result<Self, CaveatError> {
        if value.split(',').count() > caveat::MAX_ITEMS {
            return Err(refused(value));
        }
        Caveat::new(caveat::SERVICES, value).map(|caveat| Self { caveat })
    }
}

fn item(name: &str, path: &str, tier: u8) -> Result<String, CaveatError> {
    if !caveat::is_service_name(name) {
        return Err(refused(name));
    }
    let path: String = caveat::escape(path).map(char::from).collect();
    Ok(format!("{name}{path}:{tier}"))
}

fn refused(value: &str) -> CaveatError {
    CaveatError::Value {
        condition: caveat::SERVICES.to_owned(),
        value: value.to_owned(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn nothing_that_would_name_more_is_written() {
        for name in ["", "a,b:9", "a:1", "a=b", "a/b", "a b", &"x".repeat(65)] {
            assert!(Services::new(name, 0).is_err(), "{name}");
            assert!(Services::resource(name, "/", 0).is_err(), "{name}");
        }
        assert!(Services::resource("a", "v1", 0).is_err());
        assert!(Services::resource("a", &format!("/{}", "x".repeat(1_024)), 0).is_err());
    }

    #[test]
    fn a_path_is_one_item_whatever_is_in_it() {
        let path = "/a,b:9=%2c \t\u{7f}é";
        let resource = Services::resource("s", path, 1).unwrap();

        assert_eq!(
            resource.caveat().as_str(),
            "services=s/a%2Cb%3A9=%252c%20%09%7F%C3%A9:1"
        );
    }

    #[test]
    fn a_list_has_at_most_64_services() {
        let mut services = Services::new("s", 0).unwrap();
        for _ in 1..64 {
            services = services.and("s", 0).unwrap();
        }
        assert!(services.and("s", 0).is_err());
    }
}
