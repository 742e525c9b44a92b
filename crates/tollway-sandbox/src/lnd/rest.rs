//! The same calls, as JSON over HTTP.
//!
//! A request is translated into the message its call takes, sent through [`GrpcServices`] like any
//! gRPC request, and the responses are translated back: what LND's REST proxy does. Calls are
//! known by their descriptors alone; the table in `routes` is the only list of them.

mod json;
mod local;
mod reply;
mod request;
mod routes;

use http::header::{CONNECTION, HeaderValue};
use http::request::Parts;
use http::{Request, Response, Version};
use hyper::body::Incoming;
use prost_reflect::{DescriptorPool, MethodDescriptor};
use tonic::body::Body;
use tonic::{Code, Status};

use self::routes::{Found, Route};
use super::generated::DESCRIPTORS;
use super::grpc::services::GrpcServices;

/// REST in front of [`GrpcServices`].
#[derive(Clone, Debug)]
pub(crate) struct Rest {
    descriptors: DescriptorPool,
}

impl Rest {
    /// Reads the descriptions of all calls.
    ///
    /// # Errors
    ///
    /// When the descriptions generated into this crate are unreadable; they never are.
    pub(crate) fn new() -> Result<Self, prost_reflect::DescriptorError> {
        let descriptors = DescriptorPool::decode(DESCRIPTORS)?;
        Ok(Self { descriptors })
    }

    /// Handles one HTTP request.
    pub(crate) async fn respond(
        &self,
        services: GrpcServices,
        request: Request<Incoming>,
    ) -> Response<Body> {
        let (head, mut body) = request.into_parts();
        let mut response = self.call(services, &head, &mut body).await;
        // Over HTTP/1.1 the next request follows this one's body, so either all of the body is
        // read or the connection ends.
        if head.version < Version::HTTP_2 && request::drain(&mut body).await.is_err() {
            let close = HeaderValue::from_static("close");
            response.headers_mut().insert(CONNECTION, close);
        }
        response
    }

    async fn call(
        &self,
        services: GrpcServices,
        head: &Parts,
        body: &mut Incoming,
    ) -> Response<Body> {
        let (route, bindings) = match routes::find(&head.method, head.uri.path()) {
            Found::Route(route, bindings) => (route, bindings),
            Found::OtherVerb => return reply::error(&Status::unimplemented("Method Not Allowed")),
            Found::Nothing => return reply::error(&Status::not_found("Not Found")),
        };
        let Some(method) = self.method(route) else {
            return reply::error(&Status::not_found("Not Found"));
        };
        let message = match request::read(route, &method, bindings, head, body).await {
            Ok(message) => message,
            Err(refused) => return reply::error(&refused),
        };
        let messages = local::call(services, route.call, &method, message).await;
        if method.is_server_streaming() {
            reply::stream(messages).await
        } else {
            reply::unary(messages).await
        }
    }

    fn method(&self, route: &Route) -> Option<MethodDescriptor> {
        let (service, name) = route.call.strip_prefix('/')?.split_once('/')?;
        let service = self.descriptors.get_service_by_name(service)?;
        service.methods().find(|method| method.name() == name)
    }
}

/// A request that cannot be translated, as LND's proxy reports it.
fn unreadable(reason: impl Into<String>) -> Status {
    Status::new(Code::InvalidArgument, reason.into())
}
