//! Prices, asked for when a challenge is made.
//!
//! A [`Pricer`] may be a fixed price, a table, or a service of its own that has to be asked
//! over the network. It is never asked for a request that is paid for.

use std::error::Error;
use std::fmt::Debug;
use std::future;

use futures_util::future::BoxFuture;

use crate::request::RequestInfo;
use crate::terms::Terms;

/// Decides what a token costs.
///
/// An implementation may wait for as long as it likes: the gate gives up on it after
/// [`GateSettings::pricer_timeout`](crate::GateSettings). It must not depend on more of the
/// request than a token can be bound to, which is service, tier, capability and path.
pub trait Pricer: Debug + Send + Sync {
    /// Returns the terms on which a token that buys `request` is sold.
    ///
    /// # Errors
    ///
    /// [`PricerError`]: nothing is sold and the response is 503 with `Retry-After`.
    fn terms<'a>(
        &'a self,
        request: &'a RequestInfo<'a>,
    ) -> BoxFuture<'a, Result<Terms, PricerError>>;

    /// Returns the terms when they are the same for every request.
    ///
    /// `None`, the default, means that prices differ between requests, so that tokens have to
    /// be bound to the path they were sold for.
    fn fixed_terms(&self) -> Option<&Terms> {
        None
    }
}

/// One price for every request.
impl Pricer for Terms {
    fn terms<'a>(
        &'a self,
        _request: &'a RequestInfo<'a>,
    ) -> BoxFuture<'a, Result<Terms, PricerError>> {
        Box::pin(future::ready(Ok(self.clone())))
    }

    fn fixed_terms(&self) -> Option<&Terms> {
        Some(self)
    }
}

/// A price per path.
#[derive(Clone, Debug)]
pub struct PriceTable {
    default: Terms,
    entries: Vec<(String, Terms)>,
}

impl PriceTable {
    /// Creates a table in which every path costs `default`.
    #[must_use]
    pub const fn new(default: Terms) -> Self {
        Self {
            default,
            entries: Vec::new(),
        }
    }

    /// Sets the terms of one path, compared byte by byte with the path of a request.
    ///
    /// Other spellings of the same path cost the default, which should therefore be the
    /// highest price; the token bought is good for the spelling it was bought for.
    #[must_use]
    pub fn with_path(mut self, path: impl Into<String>, terms: Terms) -> Self {
        self.entries.push((path.into(), terms));
        self
    }

    fn find(&self, path: &str) -> &Terms {
        let mut entries = self.entries.iter();
        entries
            .find(|(known, _)| known == path)
            .map_or(&self.default, |(_, terms)| terms)
    }
}

impl Pricer for PriceTable {
    fn terms<'a>(
        &'a self,
        request: &'a RequestInfo<'a>,
    ) -> BoxFuture<'a, Result<Terms, PricerError>> {
        Box::pin(future::ready(Ok(self.find(request.path).clone())))
    }
}

/// Why a pricer names no price. Our failure, never the client's.
#[derive(Debug, thiserror::Error)]
#[error("the pricer names no price")]
pub struct PricerError {
    #[source]
    source: Box<dyn Error + Send + Sync>,
}

impl PricerError {
    /// Wraps what went wrong, for the log; no client reads it.
    pub fn new(source: impl Into<Box<dyn Error + Send + Sync>>) -> Self {
        Self {
            source: source.into(),
        }
    }
}
