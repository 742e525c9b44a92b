//! A tower layer that puts a price on any service: axum, tonic, or your own.
//!
//! The layer holds no policy: [`Gate`] decides and [`respond`] writes the response. A request
//! that was paid for reaches the service without its credential and with the
//! [`Grant`](l402::Grant) among its extensions. A use of a counted token is committed when the
//! service has returned its response and before the layer returns it; when the service returns
//! an error, 502, 503, 504 or gRPC status 14, the use is released.
//!
//! One layer is one price; give each route its own. Tokens are distinguished by service, tier,
//! capability and path, not by price: two routes of one service that differ in price must
//! differ in tier or capability, or the token of the cheaper one opens the dearer one.
//! [`PaywallLayer::check`] finds such pairs.
//!
//! `examples/axum.rs` is a whole program.

mod body;

use std::mem;
use std::sync::Arc;
use std::task::{Context, Poll};

use bytes::Bytes;
use futures_util::future::BoxFuture;
use http::request::Parts;
use http::{Extensions, Request, Response};
use http_body::Body;
use http_body_util::{Either, Full};
use tower::{Layer, Service};

pub use self::body::SettledBody;
use crate::forward::strip_credentials;
use crate::gate::Gate;
use crate::peer::Peer;
use crate::price_check::{PriceConflict, PricedRoute, check_prices};
use crate::pricer::Pricer;
use crate::rejection::{Outage, Rejection};
use crate::request::RequestInfo;
use crate::requirement::Requirement;
use crate::respond::{self, Form};
use crate::settlement::{Admitted, Settlement, is_undelivered};
use crate::terms::Terms;

/// The body of a response of the gate or of the service it protects.
pub type PaywallBody<B> = Either<Full<Bytes>, SettledBody<B>>;

/// Puts a price on every request to the service it wraps. See the [module](self).
#[derive(Clone, Debug)]
pub struct PaywallLayer {
    gate: Arc<Gate>,
    requirement: Arc<Requirement>,
    pricer: Arc<dyn Pricer>,
    peer_of: fn(&Extensions) -> Peer,
}

impl PaywallLayer {
    /// Creates a layer that demands `requirement` and sells it on fixed `terms`.
    ///
    /// The client is taken from a [`Peer`] among the request's extensions. Without one, all
    /// clients share one network's challenges and no token can be bound to an address; see
    /// [`with_peer_of`](Self::with_peer_of).
    #[must_use]
    pub fn new(gate: Arc<Gate>, requirement: Requirement, terms: Terms) -> Self {
        Self::of(gate, requirement, Arc::new(terms))
    }

    /// Creates a layer whose price is asked for with every challenge.
    ///
    /// Tokens are bound to the path they were sold for, whatever `requirement` contains, because
    /// the price may depend on it.
    #[must_use]
    pub fn with_pricer(gate: Arc<Gate>, requirement: Requirement, pricer: Arc<dyn Pricer>) -> Self {
        Self::of(gate, requirement.bound_to_path(), pricer)
    }

    fn of(gate: Arc<Gate>, requirement: Requirement, pricer: Arc<dyn Pricer>) -> Self {
        Self {
            gate,
            requirement: Arc::new(requirement),
            pricer,
            peer_of: |extensions| extensions.get().copied().unwrap_or_default(),
        }
    }

    /// Checks that no token sold by one of these layers buys what costs more at another.
    ///
    /// Call it with all layers of one gate, each with a name of your choice.
    ///
    /// # Errors
    ///
    /// [`PriceConflict`], naming the layers and what to change.
    pub fn check(layers: &[(&str, &Self)]) -> Result<(), PriceConflict> {
        let routes: Vec<PricedRoute<'_>> = layers
            .iter()
            .map(|(name, layer)| PricedRoute {
                name,
                requirement: &layer.requirement,
                pricer: layer.pricer.as_ref(),
            })
            .collect();
        check_prices(&routes)
    }

    /// Takes the client from what the server puts among the request's extensions.
    #[must_use]
    pub fn with_peer_of(mut self, peer_of: fn(&Extensions) -> Peer) -> Self {
        self.peer_of = peer_of;
        self
    }
}

impl<S> Layer<S> for PaywallLayer {
    type Service = Paywall<S>;

    fn layer(&self, inner: S) -> Paywall<S> {
        Paywall {
            inner,
            layer: self.clone(),
        }
    }
}

/// Forwards paid requests and rejects the rest. Created by [`PaywallLayer`].
#[derive(Clone, Debug)]
pub struct Paywall<S> {
    inner: S,
    layer: PaywallLayer,
}

impl<S, ReqBody, ResBody> Service<Request<ReqBody>> for Paywall<S>
where
    S: Service<Request<ReqBody>, Response = Response<ResBody>> + Clone + Send + 'static,
    S::Future: Send,
    ReqBody: Send + 'static,
    ResBody: Body + Send,
{
    type Response = Response<PaywallBody<ResBody>>;
    type Error = S::Error;
    type Future = BoxFuture<'static, Result<Self::Response, S::Error>>;

    fn poll_ready(&mut self, cx: &mut Context<'_>) -> Poll<Result<(), S::Error>> {
        self.inner.poll_ready(cx)
    }

    fn call(&mut self, request: Request<ReqBody>) -> Self::Future {
        // Call the service that was polled ready, and leave its clone in its place.
        let clone = self.inner.clone();
        let mut inner = mem::replace(&mut self.inner, clone);
        let layer = self.layer.clone();

        Box::pin(async move {
            // Split first: holding `&Request` across the await would demand a `Sync` body.
            let (mut parts, body) = request.into_parts();
            let form = Form::of(&parts);
            let admitted = match layer.admit(&mut parts, form).await {
                Ok(admitted) => admitted,
                Err(response) => return Ok(response.map(Either::Left)),
            };
            let mut settlement = admitted.settlement;
            parts.extensions.insert(admitted.grant);
            settlement.forwarded();
            let mut response = match inner.call(Request::from_parts(parts, body)).await {
                Ok(response) => response,
                Err(error) => {
                    settlement.release();
                    return Err(error);
                }
            };
            response.headers_mut().extend(admitted.response_headers);
            Ok(layer.settle(response, settlement, form).await)
        })
    }
}

impl PaywallLayer {
    async fn admit(
        &self,
        parts: &mut Parts,
        form: Form,
    ) -> Result<Admitted, Response<Full<Bytes>>> {
        if let Some(free) = respond::preflight(&parts.method) {
            return Err(free);
        }
        let info = RequestInfo::of(parts, (self.peer_of)(&parts.extensions));
        let admitted = self
            .gate
            .admit(&self.requirement, self.pricer.as_ref(), &info);
        match admitted.await {
            Ok(admitted) => {
                strip_credentials(&mut parts.headers);
                Ok(admitted)
            }
            Err(rejection) => Err(self.reject(&rejection, form)),
        }
    }

    /// Settles before the response is returned, and so before any of it reaches the client.
    async fn settle<B: Body + Send>(
        &self,
        response: Response<B>,
        mut settlement: Settlement,
        form: Form,
    ) -> Response<PaywallBody<B>> {
        if is_undelivered(response.status(), response.headers()) {
            settlement.release();
            return response.map(|body| Either::Right(SettledBody::new(body, None)));
        }
        match settlement.commit().await {
            Ok(()) => response.map(|body| Either::Right(SettledBody::new(body, Some(settlement)))),
            Err(error) => {
                settlement.release();
                let service = self.requirement.service().as_str();
                tracing::warn!(service, %error, "a use could not be committed");
                let rejection = Rejection::Unavailable(Outage::Ledger(error));
                self.reject(&rejection, form).map(Either::Left)
            }
        }
    }

    fn reject(&self, rejection: &Rejection, form: Form) -> Response<Full<Bytes>> {
        respond::refuse(rejection, form, self.gate.settings().status)
    }
}
