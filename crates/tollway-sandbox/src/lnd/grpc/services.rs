//! The gRPC services of one wallet, with authorization.
//!
//! The one way into [`LndService`]: gRPC and REST both come through here, so neither can skip
//! the check of the macaroon.

use std::convert::Infallible;
use std::sync::Arc;

use bytes::Bytes;
use http::{HeaderMap, Request, Response};
use time::OffsetDateTime;
use tonic::Status;
use tonic::body::Body;
use tonic::codegen::{Service, StdError};

use super::super::auth::bakery::Bakery;
use super::super::auth::permissions::{self, Access};
use super::super::generated::lnrpc::lightning_server::LightningServer;
use super::super::generated::lnrpc::state_server::StateServer;
use super::super::generated::routerrpc::router_server::RouterServer;
use super::super::generated::verrpc::versioner_server::VersionerServer;
use super::LndService;
use crate::wallet::Clock;

/// Every call of one wallet's API, guarded.
#[derive(Clone, Debug)]
pub(crate) struct GrpcServices {
    bakery: Arc<Bakery>,
    clock: Clock,
    lightning: LightningServer<LndService>,
    router: RouterServer<LndService>,
    state: StateServer<LndService>,
    versioner: VersionerServer<LndService>,
}

impl GrpcServices {
    /// Lets callers with macaroons of `bakery` at `node`.
    pub(crate) fn new(node: LndService, bakery: Bakery, clock: Clock) -> Self {
        let node = Arc::new(node);
        Self {
            bakery: Arc::new(bakery),
            clock,
            lightning: LightningServer::from_arc(Arc::clone(&node))
                .max_decoding_message_size(MESSAGE_MAX),
            router: RouterServer::from_arc(Arc::clone(&node))
                .max_decoding_message_size(MESSAGE_MAX),
            state: StateServer::from_arc(Arc::clone(&node)).max_decoding_message_size(MESSAGE_MAX),
            versioner: VersionerServer::from_arc(node).max_decoding_message_size(MESSAGE_MAX),
        }
    }

    /// Handles one gRPC request.
    pub(crate) async fn respond<B>(mut self, request: Request<B>) -> Response<Body>
    where
        B: http_body::Body<Data = Bytes> + Send + 'static,
        B::Error: Into<StdError> + Send + 'static,
    {
        let call = request.uri().path();
        if let Err(refused) = self.authorize(call, request.headers()) {
            return refused.into_http();
        }
        let Ok(response) = match split(call).map(|(service, _method)| service) {
            Some(LIGHTNING) => self.lightning.call(request).await,
            Some(ROUTER) => self.router.call(request).await,
            Some(STATE) => self.state.call(request).await,
            Some(VERSIONER) => self.versioner.call(request).await,
            Some(_) | None => Ok::<_, Infallible>(unserved(call).into_http()),
        };
        response
    }

    fn authorize(&self, call: &str, headers: &HeaderMap) -> Result<(), Status> {
        let needed = match permissions::access(call) {
            None => return Err(unserved(call)),
            Some(Access::Open) => return Ok(()),
            Some(Access::Granted(needed)) => needed,
        };
        let macaroon = presented(headers)?;
        self.bakery
            .authorize(&macaroon, call, needed, self.now())
            .map_err(|refusal| Status::unknown(refusal.to_string()))
    }

    fn now(&self) -> OffsetDateTime {
        let since_epoch = self.clock.since_epoch();
        let since_epoch = time::Duration::try_from(since_epoch).unwrap_or(time::Duration::MAX);
        OffsetDateTime::UNIX_EPOCH.saturating_add(since_epoch)
    }
}

/// The one macaroon a request carries.
fn presented(headers: &HeaderMap) -> Result<Vec<u8>, Status> {
    let mut macaroons = headers.get_all("macaroon").iter();
    let (Some(text), None) = (macaroons.next(), macaroons.next()) else {
        let found = headers.get_all("macaroon").iter().count();
        return Err(Status::unknown(format!("expected 1 macaroon, got {found}")));
    };
    hex::decode(text.as_bytes())
        .map_err(|error| Status::unknown(format!("the macaroon is not hexadecimal: {error}")))
}

/// Refuses an unknown call in the words of Go's gRPC server, on which LND's clients match.
fn unserved(call: &str) -> Status {
    let (service, method) = split(call).unwrap_or_default();
    Status::unimplemented(if SERVED.contains(&service) {
        format!("unknown method {method} for service {service}")
    } else {
        format!("unknown service {service}")
    })
}

fn split(call: &str) -> Option<(&str, &str)> {
    call.strip_prefix('/')?.rsplit_once('/')
}

const LIGHTNING: &str = "lnrpc.Lightning";
const ROUTER: &str = "routerrpc.Router";
const STATE: &str = "lnrpc.State";
const VERSIONER: &str = "verrpc.Versioner";
const SERVED: [&str; 4] = [LIGHTNING, ROUTER, STATE, VERSIONER];

/// Far more than any request needs; LND's clients send a few kilobytes at most.
pub(crate) const MESSAGE_MAX: usize = 1024 * 1024;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn exactly_one_macaroon_is_expected() {
        let mut headers = HeaderMap::new();
        let refusal = |headers: &HeaderMap| presented(headers).unwrap_err().message().to_owned();

        assert_eq!(refusal(&headers), "expected 1 macaroon, got 0");
        headers.append("macaroon", "00".parse().unwrap());
        assert_eq!(presented(&headers).unwrap(), [0]);
        headers.append("macaroon", "00".parse().unwrap());
        assert_eq!(refusal(&headers), "expected 1 macaroon, got 2");
    }
}
