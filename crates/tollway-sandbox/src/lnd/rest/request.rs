//! Translation of HTTP requests into messages, as LND's proxy does it: both spellings of a field's name, numbers as numbers or as
//! text, both alphabets of base64, unknown fields refused in a body and ignored in a query.

use std::time::Duration;

use base64::Engine as _;
use base64::alphabet;
use base64::engine::{DecodePaddingMode, GeneralPurpose, GeneralPurposeConfig};
use bytes::Bytes;
use http::HeaderMap;
use http::header::HeaderValue;
use http::request::Parts;
use http_body_util::{BodyExt as _, Limited};
use hyper::body::{Body as _, Incoming};
use prost_reflect::{
    DynamicMessage, FieldDescriptor, Kind, MessageDescriptor, MethodDescriptor,
    ReflectMessage as _, Value,
};
use tonic::Status;

use super::super::grpc::services::MESSAGE_MAX;
use super::routes::{Bindings, Route, Verb, percent_decoded};
use super::unreadable;

/// A request for a call.
pub(super) struct Message {
    /// What is asked.
    pub(super) body: DynamicMessage,
    /// Every macaroon presented; the call wants exactly one.
    pub(super) macaroons: Vec<HeaderValue>,
}

/// Reads a whole request.
pub(super) async fn read(
    route: &Route,
    method: &MethodDescriptor,
    bindings: &Bindings,
    head: &Parts,
    body: &mut Incoming,
) -> Result<Message, Status> {
    let macaroons = macaroons(&head.headers);
    let mut message = match route.verb {
        Verb::Get => from_query(
            method.input(),
            head.uri.query().unwrap_or_default(),
            bindings,
        )?,
        Verb::Post => from_json(method.input(), &collect(body).await?)?,
    };
    for (name, value) in bindings {
        set(&mut message, name, value)?;
    }
    Ok(Message {
        body: message,
        macaroons,
    })
}

fn macaroons(headers: &HeaderMap) -> Vec<HeaderValue> {
    let values = headers.get_all("grpc-metadata-macaroon");
    values.iter().cloned().collect()
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
    let message = DynamicMessage::deserialize(descriptor, &mut json)
        .map_err(|error| unreadable(format!("proto: {error}")))?;
    json.end()
        .map_err(|error| unreadable(format!("proto: {error}")))?;
    Ok(message)
}

fn from_query(
    descriptor: MessageDescriptor,
    query: &str,
    bindings: &Bindings,
) -> Result<DynamicMessage, Status> {
    let mut message = DynamicMessage::new(descriptor);
    for pair in query.split('&').filter(|pair| !pair.is_empty()) {
        let (name, value) = pair.split_once('=').unwrap_or((pair, ""));
        let name = form_decoded(name);
        if bindings.iter().all(|(bound, _)| *bound != name) {
            set(&mut message, &name, &form_decoded(value))?;
        }
    }
    Ok(message)
}

fn form_decoded(text: &str) -> String {
    percent_decoded(&text.replace('+', " "))
}

/// Sets one field from its text; an unknown one is somebody else's.
fn set(message: &mut DynamicMessage, name: &str, text: &str) -> Result<(), Status> {
    let descriptor = message.descriptor();
    let field = descriptor
        .get_field_by_name(name)
        .or_else(|| descriptor.get_field_by_json_name(name));
    let Some(field) = field.filter(|field| !field.is_map()) else {
        return Ok(());
    };
    let value =
        parse(&field, text).map_err(|why| unreadable(format!("parsing field {name:?}: {why}")))?;
    if field.is_list() {
        if let Some(list) = message.get_field_mut(&field).as_list_mut() {
            list.push(value);
        }
    } else {
        message.set_field(&field, value);
    }
    Ok(())
}

fn parse(field: &FieldDescriptor, text: &str) -> Result<Value, String> {
    match field.kind() {
        Kind::Int32 | Kind::Sint32 | Kind::Sfixed32 => number(text).map(Value::I32),
        Kind::Int64 | Kind::Sint64 | Kind::Sfixed64 => number(text).map(Value::I64),
        Kind::Uint32 | Kind::Fixed32 => number(text).map(Value::U32),
        Kind::Uint64 | Kind::Fixed64 => number(text).map(Value::U64),
        Kind::Float => number(text).map(Value::F32),
        Kind::Double => number(text).map(Value::F64),
        Kind::Bool => boolean(text),
        Kind::String => Ok(Value::String(text.to_owned())),
        Kind::Bytes => bytes_of(text).map(Value::Bytes),
        Kind::Enum(values) => values
            .get_value_by_name(text)
            .map(|value| value.number())
            .or_else(|| text.parse().ok())
            .map(Value::EnumNumber)
            .ok_or_else(|| format!("{text:?} is not a valid value")),
        Kind::Message(_) => Err("messages cannot be given in a query".to_owned()),
    }
}

fn number<N: std::str::FromStr>(text: &str) -> Result<N, String> {
    text.parse()
        .map_err(|_not_a_number| format!("{text:?} is not a number of this field's type"))
}

/// The spellings Go's `strconv.ParseBool` takes.
fn boolean(text: &str) -> Result<Value, String> {
    match text {
        "1" | "t" | "T" | "true" | "TRUE" | "True" => Ok(Value::Bool(true)),
        "0" | "f" | "F" | "false" | "FALSE" | "False" => Ok(Value::Bool(false)),
        _ => Err(format!("{text:?} is neither true nor false")),
    }
}

fn bytes_of(text: &str) -> Result<Bytes, String> {
    STANDARD
        .decode(text)
        .or_else(|_other_alphabet| URL_SAFE.decode(text))
        .map(Bytes::from)
        .map_err(|error| format!("illegal base64 data: {error}"))
}

const ANY_PADDING: GeneralPurposeConfig =
    GeneralPurposeConfig::new().with_decode_padding_mode(DecodePaddingMode::Indifferent);
const STANDARD: GeneralPurpose = GeneralPurpose::new(&alphabet::STANDARD, ANY_PADDING);
const URL_SAFE: GeneralPurpose = GeneralPurpose::new(&alphabet::URL_SAFE, ANY_PADDING);

/// How long a client may take to send what it asks.
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

    fn field(message: &DynamicMessage, name: &str) -> Value {
        message.get_field_by_name(name).unwrap().into_owned()
    }

    #[test]
    fn both_spellings_of_names_and_numbers_are_read() {
        for text in [
            r#"{"value_msat": 1500}"#,
            r#"{"value_msat": "1500"}"#,
            r#"{"valueMsat": "1500"}"#,
        ] {
            let message = json(text).unwrap();
            assert_eq!(field(&message, "value_msat"), Value::I64(1_500), "{text}");
        }
    }

    #[test]
    fn both_alphabets_of_base64_are_read() {
        for text in [r#"{"r_preimage": "-_8="}"#, r#"{"r_preimage": "+/8="}"#] {
            let message = json(text).unwrap();
            let expected = Value::Bytes(Bytes::from_static(&[0xfb, 0xff]));
            assert_eq!(field(&message, "r_preimage"), expected);
        }
    }

    #[test]
    fn no_body_is_an_empty_request() {
        assert!(json("").is_ok());
        assert!(json(" \n").is_ok());
    }

    #[test]
    fn bodies_that_are_not_the_request_are_refused() {
        for text in [
            "{",
            "nonsense",
            "[]",
            r#"{"nosuch": 1}"#,
            r#"{"value": "ten"}"#,
            r#"{"value": 1.5}"#,
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
        let bindings = vec![("payment_hash", "AA==".to_owned())];
        let track = descriptor("routerrpc.TrackPaymentRequest");
        let query = "payment_hash=BB==&nosuch=1&no_inflight_updates=true&&";

        let message = from_query(track, query, &bindings).unwrap();

        assert_eq!(field(&message, "no_inflight_updates"), Value::Bool(true));
        assert!(!message.has_field_by_name("payment_hash"));
    }

    #[test]
    fn a_query_that_is_not_the_field_is_refused_with_its_name() {
        let list = descriptor("lnrpc.ListInvoiceRequest");
        for query in ["num_max_invoices=x", "reversed=maybe", "index_offset=-1"] {
            let refused = from_query(list.clone(), query, &vec![]).unwrap_err();
            let (name, _) = query.split_once('=').unwrap();
            assert_eq!(refused.code(), tonic::Code::InvalidArgument);
            assert!(refused.message().contains(name), "{refused}");
        }
    }
}
