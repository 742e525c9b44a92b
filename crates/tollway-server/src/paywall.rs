//! A price on any tower service: axum, tonic, or your own.
//!
//! The layer holds no policy: [`Gate`] decides and [`respond`] words it. A request that was
//! paid for reaches the service without its credential and with the [`Grant`]
//! among its extensions. One layer is one price; give each route its own.
//!
//! `examples/axum.rs` is a whole program.

use std::mem;
use std::sync::Arc;
use std::task::{Context, Poll};

use bytes::Bytes;
use futures_util::future::BoxFuture;
use http::request::Parts;
use http::{Extensions, Request, Response};
use http_body_util::{Either, Full};
use l402::Grant;
use tower::{Layer, Service};

use crate::forward::strip_credentials;
use crate::gate::{Gate, RequestInfo};
use crate::offer::Offer;
use crate::peer::Peer;
use crate::respond::{self, Form};

/// The body of a response that came from the gate or from the service behind it.
pub type PaywallBody<B> = Either<Full<Bytes>, B>;

/// Puts a price on every request to the service it wraps. See the [module](self).
#[derive(Clone, Debug)]
pub struct PaywallLayer {
    gate: Arc<Gate>,
    offer: Arc<Offer>,
    peer_of: fn(&Extensions) -> Peer,
}

impl PaywallLayer {
    /// A layer that sells `offer` at `gate`.
    ///
    /// The client is taken from a [`Peer`] among the request's extensions. Without one, all
    /// clients share one network's challenges and no token can be bound to an address; see
    /// [`with_peer_of`](Self::with_peer_of).
    #[must_use]
    pub fn new(gate: Arc<Gate>, offer: Offer) -> Self {
        Self {
            gate,
            offer: Arc::new(offer),
            peer_of: |extensions| extensions.get().copied().unwrap_or_default(),
        }
    }

    /// Learns who is asking from what the server puts among the request's extensions.
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

/// Lets paid requests through and answers the rest itself. Made by [`PaywallLayer`].
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
            match layer.admit(&mut parts).await {
                Ok(grant) => {
                    parts.extensions.insert(grant);
                    let response = inner.call(Request::from_parts(parts, body)).await?;
                    Ok(response.map(Either::Right))
                }
                Err(answer) => Ok(answer.map(Either::Left)),
            }
        })
    }
}

impl PaywallLayer {
    async fn admit(&self, parts: &mut Parts) -> Result<Grant, Response<Full<Bytes>>> {
        if let Some(free) = respond::preflight(&parts.method) {
            return Err(free);
        }
        let client = (self.peer_of)(&parts.extensions);
        let info = RequestInfo::of(parts, client);
        match self.gate.admit(&self.offer, &info).await {
            Ok(grant) => {
                strip_credentials(&mut parts.headers);
                Ok(grant)
            }
            Err(rejection) => {
                let style = self.gate.settings().status;
                Err(respond::refuse(&rejection, Form::of(parts), style))
            }
        }
    }
}
