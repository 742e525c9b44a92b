//! How does LND print a message as JSON?
//!
//! Like protobuf's canonical JSON, with names as in the `.proto` file and every field shown:
//! an unset message as `null`, anything else unset as its zero.

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use prost_reflect::{DynamicMessage, FieldDescriptor, Kind, MapKey, ReflectMessage as _, Value};
use serde::ser::{Serialize, SerializeMap as _, SerializeSeq as _, Serializer};

/// A message to be printed.
pub(super) struct Printed<'a>(pub(super) &'a DynamicMessage);

impl Serialize for Printed<'_> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let mut map = serializer.serialize_map(None)?;
        for field in self.0.descriptor().fields() {
            let is_set = self.0.has_field(&field);
            // Of the alternatives only the chosen one is shown.
            if field.containing_oneof().is_some() && !is_set {
                continue;
            }
            if is_unset_message(&field) && !is_set {
                map.serialize_entry(field.name(), &None::<()>)?;
                continue;
            }
            let value = self.0.get_field(&field);
            let printed = PrintedValue {
                field: &field,
                value: &value,
            };
            map.serialize_entry(field.name(), &printed)?;
        }
        map.end()
    }
}

fn is_unset_message(field: &FieldDescriptor) -> bool {
    matches!(field.kind(), Kind::Message(_)) && !field.is_list() && !field.is_map()
}

struct PrintedValue<'a> {
    field: &'a FieldDescriptor,
    value: &'a Value,
}

impl PrintedValue<'_> {
    fn of<'a>(&'a self, value: &'a Value) -> PrintedValue<'a> {
        PrintedValue {
            field: self.field,
            value,
        }
    }
}

impl Serialize for PrintedValue<'_> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        match self.value {
            Value::Bool(value) => serializer.serialize_bool(*value),
            Value::I32(value) => serializer.serialize_i32(*value),
            Value::U32(value) => serializer.serialize_u32(*value),
            Value::F32(value) => serializer.serialize_f32(*value),
            Value::F64(value) => serializer.serialize_f64(*value),
            // Not every reader of JSON keeps 64 bits.
            Value::I64(value) => serializer.collect_str(value),
            Value::U64(value) => serializer.collect_str(value),
            Value::String(value) => serializer.serialize_str(value),
            Value::Bytes(value) => serializer.serialize_str(&STANDARD.encode(value)),
            Value::EnumNumber(number) => self.name_of(*number).serialize(serializer),
            Value::Message(value) => Printed(value).serialize(serializer),
            Value::List(values) => {
                let mut list = serializer.serialize_seq(Some(values.len()))?;
                for value in values {
                    list.serialize_element(&self.of(value))?;
                }
                list.end()
            }
            Value::Map(entries) => self.serialize_entries(entries, serializer),
        }
    }
}

impl PrintedValue<'_> {
    fn serialize_entries<S: Serializer>(
        &self,
        entries: &std::collections::HashMap<MapKey, Value>,
        serializer: S,
    ) -> Result<S::Ok, S::Error> {
        let Kind::Message(entry) = self.field.kind() else {
            return serializer.serialize_map(Some(0))?.end();
        };
        let field = entry.map_entry_value_field();
        let mut sorted: Vec<_> = entries.iter().collect();
        sorted.sort_by_key(|(key, _)| text_of(key));
        let mut map = serializer.serialize_map(Some(sorted.len()))?;
        for (key, value) in sorted {
            let printed = PrintedValue {
                field: &field,
                value,
            };
            map.serialize_entry(&text_of(key), &printed)?;
        }
        map.end()
    }

    fn name_of(&self, number: i32) -> EnumName {
        if let Kind::Enum(values) = self.field.kind()
            && let Some(value) = values.get_value(number)
        {
            return EnumName::Known(value.name().to_owned());
        }
        EnumName::Unknown(number)
    }
}

#[derive(serde::Serialize)]
#[serde(untagged)]
enum EnumName {
    Known(String),
    Unknown(i32),
}

fn text_of(key: &MapKey) -> String {
    match key {
        MapKey::Bool(key) => key.to_string(),
        MapKey::I32(key) => key.to_string(),
        MapKey::I64(key) => key.to_string(),
        MapKey::U32(key) => key.to_string(),
        MapKey::U64(key) => key.to_string(),
        MapKey::String(key) => key.clone(),
    }
}

#[cfg(test)]
mod tests {
    use super::super::super::generated::DESCRIPTORS;
    use super::*;
    use prost_reflect::DescriptorPool;
    use serde_json::json;
    use tollway_lightning::lnd::proto::lnrpc;

    fn printed(name: &str, message: &impl prost::Message) -> serde_json::Value {
        let pool = DescriptorPool::decode(DESCRIPTORS).unwrap();
        let descriptor = pool.get_message_by_name(name).unwrap();
        let bytes = message.encode_to_vec();
        let message = DynamicMessage::decode(descriptor, bytes.as_slice()).unwrap();
        serde_json::to_value(Printed(&message)).unwrap()
    }

    #[test]
    fn every_field_is_printed_as_lnd_prints_it() {
        let hop = lnrpc::Hop {
            chan_id: 550_855_325_581_312,
            expiry: 590,
            tlv_payload: true,
            mpp_record: Some(lnrpc::MppRecord {
                payment_addr: vec![0xfb, 0xff],
                total_amt_msat: 10_000,
            }),
            ..lnrpc::Hop::default()
        };
        assert_eq!(
            printed("lnrpc.Hop", &hop),
            json!({
                "chan_id": "550855325581312", "chan_capacity": "0", "amt_to_forward": "0",
                "fee": "0", "expiry": 590, "amt_to_forward_msat": "0", "fee_msat": "0",
                "pub_key": "", "tlv_payload": true,
                "mpp_record": {"total_amt_msat": "10000", "payment_addr": "+/8="},
                "amp_record": null, "custom_records": {}, "metadata": "",
                "blinding_point": "", "encrypted_data": "", "total_amt_msat": "0"
            })
        );
    }

    #[test]
    fn enums_are_printed_by_name_and_maps_by_key() {
        let mut invoice = lnrpc::Invoice::default();
        invoice.set_state(lnrpc::invoice::InvoiceState::Settled);
        let known = lnrpc::Feature {
            name: "amp".to_owned(),
            ..lnrpc::Feature::default()
        };
        invoice.features.insert(31, known);

        let printed = printed("lnrpc.Invoice", &invoice);

        assert_eq!(printed["state"], "SETTLED");
        assert_eq!(
            printed["features"],
            json!({"31": {"name": "amp", "is_required": false, "is_known": false}})
        );
        assert_eq!(printed["blinded_path_config"], json!(null));
        assert_eq!(printed["htlcs"], json!([]));
    }

    #[test]
    fn an_enum_value_without_a_name_is_printed_as_its_number() {
        let payment = lnrpc::Payment {
            status: 77,
            ..lnrpc::Payment::default()
        };
        assert_eq!(printed("lnrpc.Payment", &payment)["status"], 77);
    }
}
