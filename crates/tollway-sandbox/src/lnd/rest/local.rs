//! In-process gRPC client, through which REST requests reach the services and their
//! authorization.

use std::convert::Infallible;

use http::uri::PathAndQuery;
use prost::Message as _;
use prost_reflect::{DynamicMessage, MessageDescriptor, MethodDescriptor};
use tonic::client::Grpc;
use tonic::codec::{Codec, DecodeBuf, Decoder, EncodeBuf, Encoder};
use tonic::metadata::MetadataMap;
use tonic::{Request, Status, Streaming};

use super::super::grpc::services::GrpcServices;
use super::request::Message;

/// Makes a call. One that is not streaming has one message.
pub(super) async fn call(
    services: GrpcServices,
    path: &'static str,
    method: &MethodDescriptor,
    message: Message,
) -> Result<Streaming<DynamicMessage>, Status> {
    let service = tower::service_fn(move |request| {
        let services = services.clone();
        async move { Ok::<_, Infallible>(services.respond(request).await) }
    });
    let mut request = Request::new(message.body);
    *request.metadata_mut() = MetadataMap::from_headers(message.headers);
    let path = PathAndQuery::from_static(path);
    let messages = Grpc::new(service)
        .max_decoding_message_size(RESPONSE_MAX)
        .server_streaming(request, path, Dynamic(method.output()))
        .await?;
    Ok(messages.into_inner())
}

/// Encodes messages, and decodes those of one description.
#[derive(Clone)]
struct Dynamic(MessageDescriptor);

impl Codec for Dynamic {
    type Encode = DynamicMessage;
    type Decode = DynamicMessage;
    type Encoder = Self;
    type Decoder = Self;

    fn encoder(&mut self) -> Self {
        self.clone()
    }

    fn decoder(&mut self) -> Self {
        self.clone()
    }
}

impl Encoder for Dynamic {
    type Item = DynamicMessage;
    type Error = Status;

    fn encode(&mut self, item: DynamicMessage, target: &mut EncodeBuf<'_>) -> Result<(), Status> {
        item.encode(target)
            .map_err(|error| Status::internal(error.to_string()))
    }
}

impl Decoder for Dynamic {
    type Item = DynamicMessage;
    type Error = Status;

    fn decode(&mut self, source: &mut DecodeBuf<'_>) -> Result<Option<DynamicMessage>, Status> {
        DynamicMessage::decode(self.0.clone(), source)
            .map(Some)
            .map_err(|error| Status::internal(error.to_string()))
    }
}

/// What LND's proxy allows: a listing of tens of thousands of invoices is larger than gRPC's
/// default of 4 MiB.
const RESPONSE_MAX: usize = 200 * 1024 * 1024;
