//! Messages as LND prints them: protobuf's JSON with the names of the `.proto` file, every
//! field shown, and an unset message as `null`.

use prost_reflect::{DynamicMessage, Kind, ReflectMessage as _, SerializeOptions, Value as Field};
use serde_json::Value;

/// Returns a message as LND's REST proxy prints it.
pub(super) fn printed(message: &DynamicMessage) -> Value {
    let options = SerializeOptions::new()
        .skip_default_fields(false)
        .use_proto_field_name(true);
    // Text keys and no failing values: nothing that serialization could fail on.
    let mut json = message
        .serialize_with_options(serde_json::value::Serializer, &options)
        .unwrap_or_default();
    add_nulls(message, &mut json);
    json
}

/// Adds unset messages, which the serializer leaves out. Of a oneof, only the set field is
/// shown. Maps are left alone: none holds a message with a message field.
fn add_nulls(message: &DynamicMessage, json: &mut Value) {
    let Some(object) = json.as_object_mut() else {
        return;
    };
    let descriptor = message.descriptor();
    for field in descriptor
        .fields()
        .filter(|field| matches!(field.kind(), Kind::Message(_)))
    {
        let is_alternative = field.containing_oneof().is_some();
        match (&*message.get_field(&field), object.get_mut(field.name())) {
            (Field::Message(inner), Some(json)) => add_nulls(inner, json),
            (Field::List(items), Some(Value::Array(printed))) => {
                for (item, json) in items.iter().zip(printed) {
                    item.as_message()
                        .into_iter()
                        .for_each(|item| add_nulls(item, json));
                }
            }
            (Field::Message(_), None) if !is_alternative => {
                object.insert(field.name().to_owned(), Value::Null);
            }
            _ => {}
        }
    }
}

#[cfg(test)]
mod tests {
    use super::super::super::generated::DESCRIPTORS;
    use super::*;
    use prost_reflect::DescriptorPool;
    use serde_json::json;
    use tollway_lightning::lnd::proto::lnrpc;

    fn printed(name: &str, message: &impl prost::Message) -> Value {
        let pool = DescriptorPool::decode(DESCRIPTORS).unwrap();
        let descriptor = pool.get_message_by_name(name).unwrap();
        let bytes = message.encode_to_vec();
        let message = DynamicMessage::decode(descriptor, bytes.as_slice()).unwrap();
        super::printed(&message)
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
    fn no_map_holds_a_message_with_a_message_field() {
        let pool = DescriptorPool::decode(DESCRIPTORS).unwrap();
        let entries = pool.all_messages().filter(|message| message.is_map_entry());
        for entry in entries {
            if let Kind::Message(value) = entry.map_entry_value_field().kind() {
                let mut fields = value.fields();
                assert!(
                    fields.all(|field| !matches!(field.kind(), Kind::Message(_))),
                    "{}",
                    value.full_name()
                );
            }
        }
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
