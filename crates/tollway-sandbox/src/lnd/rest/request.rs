//! Translation of HTTP requests into messages, as LND's proxy does it.
//!
//! A body is protobuf's JSON: both spellings of a field's name, numbers as numbers or as text,
//! both alphabets of base64. Unknown fields are refused in a body and ignored in a query.

use std::time::Duration;

use bytes::Bytes;
use http::HeaderMap;
use http::header::HeaderName;
use http::request::Parts;
use http_body_util::{BodyExt as _, Limited};
use hyper::body::{Body as _, Incoming};
use prost_reflect::{DynamicMessage, FieldDescriptor, Kind, MessageDescriptor, MethodDescriptor};
use serde_json::Value;
use tonic::Status;

use super::super::grpc::services::MESSAGE_MAX;
use super::routes::{Bindings, Route, Verb, percent_decoded};
use super::unreadable;

/// A request for a call.
pub(super) struct Message {
    /// The message.
    pub(super) body: DynamicMessage,
    /// Every macaroon presented, as gRPC metadata.
    pub(super) headers: HeaderMap,
}

/// Reads a whole request.
pub(super) async fn read(
    route: &Route,
    method: &MethodDescriptor,
    bindings: Bindings,
    head: &Parts,
    body: &mut Incoming,
) -> Result<Message, Status> {
    let body = match route.verb {
        Verb::Get => {
            let query = head.uri.query().unwrap_or_default();
            from_query(method.input(), query, bindings)?
        }
        Verb::Post => from_json(method.input(), &collect(body).await?)?,
    };
    let macaroons = head.headers.get_all("grpc-metadata-macaroon");
    let metadata = macaroons.iter().map(|value| (MACAROON, value.clone()));
    Ok(Message {
        body,
        headers: metadata.collect(),
    })
}

/// Reads what is left of a body and drops it.
///
/// # Errors
///
/// The body is larger than a request may be, or takes too long.
pub(super) async fn drain(body: &mut Incoming) -> Result<(), Status> {
    if body.is_end_stream() {
        return Ok(());
    }
    collect(body).await.map(drop)
}

/// Reads a body of bounded size in bounded time.
async fn collect(body: &mut Incoming) -> Result<Bytes, Status> {
    let body = Limited::new(body, MESSAGE_MAX).collect();
    match tokio::time::timeout(BODY_TIMEOUT, body).await {
        Ok(Ok(body)) => Ok(body.to_bytes()),
        Ok(Err(error)) => Err(unreadable(error.to_string())),
        Err(_elapsed) => Err(Status::deadline_exceeded(
            "the request's body took too long",
        )),
    }
}

fn from_json(descriptor: MessageDescriptor, body: &[u8]) -> Result<DynamicMessage, Status> {
    if body.trim_ascii().is_empty() {
        return Ok(DynamicMessage::new(descriptor));
    }
    let mut json = serde_json::Deserializer::from_slice(body);
    let message = DynamicMessage::deserialize(descriptor, &mut json);
    let message = message.map_err(|error| unreadable(format!("proto: {error}")))?;
    json.end()
        .map_err(|error| unreadable(format!("proto: {error}")))?;
    Ok(message)
}

/// Reads the fields of a message from a query and a path, in which those of the path win.
fn from_query(
    descriptor: MessageDescriptor,
    query: &str,
    bindings: Bindings,
) -> Result<DynamicMessage, Status> {
    let query = query.split('&').map(|pair| {
        let (name, text) = pair.split_once('=').unwrap_or((pair, ""));
        (name, percent_decoded(&text.replace('+', " ")))
    });
    let mut fields = serde_json::Map::new();
    for (name, text) in query.chain(bindings) {
        let field = descriptor
            .get_field_by_name(name)
            .or_else(|| descriptor.get_field_by_json_name(name));
        if let Some(field) = field {
            fields.insert(field.name().to_owned(), read_field(&field, text));
        }
    }
    DynamicMessage::deserialize(descriptor, Value::Object(fields))
        .map_err(|error| unreadable(format!("parsing the query: {error}")))
}

/// Writes the text of a field as protobuf's JSON, which takes numbers and bytes as text.
fn read_field(field: &FieldDescriptor, text: String) -> Value {
    match (field.kind(), text.as_str()) {
        (Kind::Bool, "1" | "true") => Value::Bool(true),
        (Kind::Bool, "0" | "false") => Value::Bool(false),
        (_, _) => Value::String(text),
    }
}

const MACAROON: HeaderName = HeaderName::from_static("macaroon");
/// How long a client may take to send its request.
const BODY_TIMEOUT: Duration = Duration::from_secs(10);

#[cfg(test)]
mod tests {
    use super::super::super::generated::DESCRIPTORS;
    use super::*;
    use prost_reflect::DescriptorPool;

    fn descriptor(name: &str) -> MessageDescriptor {
        let pool = DescriptorPool::decode(DESCRIPTORS).unwrap();
        pool.get_message_by_name(name).unwrap()
    }

    fn json(text: &str) -> Result<DynamicMessage, Status> {
        from_json(descriptor("lnrpc.Invoice"), text.as_bytes())
    }

    fn field(message: &DynamicMessage, name: &str) -> prost_reflect::Value {
        message.get_field_by_name(name).unwrap().into_owned()
    }

    #[test]
    fn a_body_is_protobufs_json() {
        for text in [
            r#"{"value_msat": 1500, "r_preimage": "-_8="}"#,
            r#"{"valueMsat": "1500", "rPreimage": "+/8="}"#,
        ] {
            let message = json(text).unwrap();
            assert_eq!(field(&message, "value_msat").as_i64(), Some(1_500));
            let preimage = field(&message, "r_preimage");
            assert_eq!(preimage.as_bytes().unwrap()[..], [0xfb, 0xff]);
        }
        assert!(json("").is_ok());
        assert!(json(" \n").is_ok());
    }

    #[test]
    fn bodies_that_are_not_the_request_are_refused() {
        for text in [
            "{",
            "[]",
            r#"{"nosuch": 1}"#,
            r#"{"value": "ten"}"#,
            r#"{"value": 9223372036854775808}"#,
            r#"{"r_preimage": "%%"}"#,
            r#"{"value": 1} trailing"#,
        ] {
            let refused = json(text).unwrap_err();
            assert_eq!(refused.code(), tonic::Code::InvalidArgument, "{text}");
        }
    }

    #[test]
    fn a_query_sets_the_fields_it_knows_and_the_path_wins() {
        let bindings = vec![("payment_hash", "-_8=".to_owned())];
        let track = descriptor("routerrpc.TrackPaymentRequest");
        let query = "payment_hash=BB==&nosuch=1&no_inflight_updates=true&&";

        let message = from_query(track, query, bindings).unwrap();

        assert_eq!(field(&message, "no_inflight_updates").as_bool(), Some(true));
        let hash = field(&message, "payment_hash");
        assert_eq!(hash.as_bytes().unwrap()[..], [0xfb, 0xff]);
    }

    #[test]
    fn a_query_that_is_not_the_field_is_refused() {
        let list = descriptor("lnrpc.ListInvoiceRequest");
        for query in ["num_max_invoices=x", "reversed=maybe", "index_offset=-1"] {
            let refused = from_query(list.clone(), query, vec![]).unwrap_err();
            assert_eq!(refused.code(), tonic::Code::InvalidArgument, "{query}");
        }
    }
}
