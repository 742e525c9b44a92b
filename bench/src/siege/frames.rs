//! HTTP/2 frames (RFC 9113) and heads (RFC 7541), as bytes that no library would send.

/// The client preface with these settings.
pub(super) fn preface(settings: &[(u16, u32)]) -> Vec<u8> {
    let mut bytes = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n".to_vec();
    bytes.extend(self::settings(settings));
    bytes
}

/// A SETTINGS frame.
pub(super) fn settings(settings: &[(u16, u32)]) -> Vec<u8> {
    let mut payload = Vec::new();
    for (id, value) in settings {
        payload.extend(id.to_be_bytes());
        payload.extend(value.to_be_bytes());
    }
    frame(SETTINGS, 0, 0, &payload)
}

/// A PING frame.
pub(super) fn ping() -> Vec<u8> {
    frame(PING, 0, 0, &[7; 8])
}

/// The whole head of a request, with or without a body to follow.
pub(super) fn headers(stream: u32, body: Body, fields: &[(&str, &str)]) -> Vec<u8> {
    let flags = match body {
        Body::None => END_HEADERS | END_STREAM,
        Body::Follows => END_HEADERS,
    };
    frame(HEADERS, flags, stream, &block(fields))
}

/// Whether a body follows a head.
#[derive(Clone, Copy, Debug)]
pub(super) enum Body {
    None,
    Follows,
}

/// The beginning of a head that does not end.
pub(super) fn headers_begun(stream: u32, fields: &[(&str, &str)]) -> Vec<u8> {
    frame(HEADERS, END_STREAM, stream, &block(fields))
}

/// More of a head that does not end.
pub(super) fn continuation(stream: u32, fields: &[(&str, &str)]) -> Vec<u8> {
    frame(CONTINUATION, 0, stream, &block(fields))
}

/// A DATA frame that is the last of its stream.
pub(super) fn last_data(stream: u32, payload: &[u8]) -> Vec<u8> {
    frame(DATA, END_STREAM, stream, payload)
}

/// Resets a stream with CANCEL.
pub(super) fn reset(stream: u32) -> Vec<u8> {
    frame(RST_STREAM, 0, stream, &8_u32.to_be_bytes())
}

/// The fields of a GET.
pub(super) fn get<'a>(path: &'a str, authorization: Option<&'a str>) -> Vec<(&'a str, &'a str)> {
    let mut fields = vec![
        (":method", "GET"),
        (":scheme", "http"),
        (":authority", "localhost"),
        (":path", path),
    ];
    fields.extend(authorization.map(|value| ("authorization", value)));
    fields
}

/// The fields of a gRPC call.
pub(super) fn call<'a>(path: &'a str, authorization: &'a str) -> Vec<(&'a str, &'a str)> {
    vec![
        (":method", "POST"),
        (":scheme", "http"),
        (":authority", "localhost"),
        (":path", path),
        ("content-type", "application/grpc"),
        ("te", "trailers"),
        ("authorization", authorization),
    ]
}

fn frame(kind: u8, flags: u8, stream: u32, payload: &[u8]) -> Vec<u8> {
    let len = u32::try_from(payload.len()).unwrap_or(u32::MAX);
    let mut bytes = Vec::with_capacity(payload.len().saturating_add(9));
    bytes.extend(len.to_be_bytes().iter().skip(1));
    bytes.extend([kind, flags]);
    bytes.extend(stream.to_be_bytes());
    bytes.extend_from_slice(payload);
    bytes
}

/// Literal fields without indexing and without Huffman coding.
fn block(fields: &[(&str, &str)]) -> Vec<u8> {
    let mut bytes = Vec::new();
    for (name, value) in fields {
        bytes.push(0);
        text(&mut bytes, name);
        text(&mut bytes, value);
    }
    bytes
}

/// A string with its length, an integer with a prefix of seven bits.
fn text(bytes: &mut Vec<u8>, text: &str) {
    let mut rest = text.len();
    if rest < PREFIX_MAX {
        bytes.extend(u8::try_from(rest));
    } else {
        bytes.push(0x7f);
        rest = rest.saturating_sub(PREFIX_MAX);
        while rest >= 0x80 {
            bytes.extend(u8::try_from(rest.rem_euclid(0x80)).map(|low| low | 0x80));
            rest = rest.div_euclid(0x80);
        }
        bytes.extend(u8::try_from(rest));
    }
    bytes.extend_from_slice(text.as_bytes());
}

/// The identifier of SETTINGS_INITIAL_WINDOW_SIZE.
pub(super) const INITIAL_WINDOW_SIZE: u16 = 4;

const PREFIX_MAX: usize = 0x7f;
const DATA: u8 = 0;
const HEADERS: u8 = 1;
const RST_STREAM: u8 = 3;
const SETTINGS: u8 = 4;
const PING: u8 = 6;
const CONTINUATION: u8 = 9;
const END_STREAM: u8 = 1;
const END_HEADERS: u8 = 4;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_long_value_has_its_length_in_groups_of_seven_bits() {
        let mut bytes = Vec::new();
        text(&mut bytes, &"x".repeat(1337 + 0x7f - 31));

        // RFC 7541, C.1.2, with a prefix of seven bits in place of five.
        assert_eq!(bytes[..3], [0x7f, 0x9a, 0x0a]);
    }

    #[test]
    fn a_frame_begins_with_its_length() {
        assert_eq!(ping()[..9], [0, 0, 8, PING, 0, 0, 0, 0, 0]);
    }
}
