//! In-process gRPC client, through which REST requests reach the services and their
//! authorization.

use std::convert::Infallible;
use std::future::Future;
use std::net::IpAddr;
use std::pin::Pin;
use std::task::{Context, Poll};

use http::uri::PathAndQuery;
use http::{HeaderMap, Response};
use prost::Message as _;
use prost_reflect::{DynamicMessage, MessageDescriptor, MethodDescriptor};
use tonic::body::Body;
use tonic::client::Grpc;
use tonic::codec::{Codec, DecodeBuf, Decoder, EncodeBuf, Encoder};
use tonic::codegen::Service;
use tonic::metadata::MetadataMap;
use tonic::{Request, Status, Streaming};

use super::super::grpc::services::GrpcServices;
use super::request::Message;

/// [`GrpcServices`] as one caller reaches them.
#[derive(Clone)]
pub(super) struct Local {
    calls: GrpcServices,
    ip: IpAddr,
}

impl Local {
    /// A caller at `ip`.
    pub(super) const fn new(calls: GrpcServices, ip: IpAddr) -> Self {
        Self { calls, ip }
    }

    /// Makes a call with one answer.
    pub(super) async fn unary(
        self,
        call: &'static str,
        method: &MethodDescriptor,
        message: Message,
    ) -> Result<DynamicMessage, Status> {
        let path = PathAndQuery::from_static(call);
        let answer = Grpc::new(self)
            .max_decoding_message_size(RESPONSE_MAX)
            .unary(request(message), path, Dynamic::of(method))
            .await?;
        Ok(answer.into_inner())
    }

    /// Makes a call with many answers.
    pub(super) async fn stream(
        self,
        call: &'static str,
        method: &MethodDescriptor,
        message: Message,
    ) -> Result<Streaming<DynamicMessage>, Status> {
        let path = PathAndQuery::from_static(call);
        let answers = Grpc::new(self)
            .max_decoding_message_size(RESPONSE_MAX)
            .server_streaming(request(message), path, Dynamic::of(method))
            .await?;
        Ok(answers.into_inner())
    }
}

impl Service<http::Request<Body>> for Local {
    type Response = Response<Body>;
    type Error = Infallible;
    type Future = Pin<Box<dyn Future<Output = Result<Response<Body>, Infallible>> + Send>>;

    fn poll_ready(&mut self, _context: &mut Context<'_>) -> Poll<Result<(), Infallible>> {
        Poll::Ready(Ok(()))
    }

    fn call(&mut self, request: http::Request<Body>) -> Self::Future {
        let Self { calls, ip } = self.clone();
        Box::pin(async move { Ok(calls.answer(request, ip).await) })
    }
}

fn request(message: Message) -> Request<DynamicMessage> {
    let mut headers = HeaderMap::new();
    for macaroon in message.macaroons {
        headers.append("macaroon", macaroon);
    }
    let mut request = Request::new(message.body);
    *request.metadata_mut() = MetadataMap::from_headers(headers);
    request
}

/// Encodes and decodes messages by their description.
struct Dynamic {
    output: MessageDescriptor,
}

impl Dynamic {
    fn of(method: &MethodDescriptor) -> Self {
        let output = method.output();
        Self { output }
    }
}

impl Codec for Dynamic {
    type Encode = DynamicMessage;
    type Decode = DynamicMessage;
    type Encoder = DynamicEncoder;
    type Decoder = DynamicDecoder;

    fn encoder(&mut self) -> DynamicEncoder {
        DynamicEncoder
    }

    fn decoder(&mut self) -> DynamicDecoder {
        let output = self.output.clone();
        DynamicDecoder { output }
    }
}

struct DynamicEncoder;

impl Encoder for DynamicEncoder {
    type Item = DynamicMessage;
    type Error = Status;

    fn encode(&mut self, item: DynamicMessage, target: &mut EncodeBuf<'_>) -> Result<(), Status> {
        item.encode(target)
            .map_err(|error| Status::internal(error.to_string()))
    }
}

struct DynamicDecoder {
    output: MessageDescriptor,
}

impl Decoder for DynamicDecoder {
    type Item = DynamicMessage;
    type Error = Status;

    fn decode(&mut self, source: &mut DecodeBuf<'_>) -> Result<Option<DynamicMessage>, Status> {
        DynamicMessage::decode(self.output.clone(), source)
            .map(Some)
            .map_err(|error| Status::internal(error.to_string()))
    }
}

/// What LND's proxy allows: a listing of tens of thousands of invoices is larger than gRPC's
/// default of 4 MiB.
const RESPONSE_MAX: usize = 200 * 1024 * 1024;
