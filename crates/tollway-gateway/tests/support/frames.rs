//! HTTP/2 frames (RFC 9113) and heads (RFC 7541) as bytes that no library would send.
//!
//! `bench` includes this file: it attacks with the same bytes. Frames of an upstream are in
//! `upstream_frames`.

/// The client preface with these settings.
pub(crate) fn preface(settings: &[(u16, u32)]) -> Vec<u8> {
    let mut bytes = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n".to_vec();
    bytes.extend(self::settings(settings));
    bytes
}

/// A SETTINGS frame.
pub(crate) fn settings(settings: &[(u16, u32)]) -> Vec<u8> {
    let mut payload = Vec::new();
    for (id, value) in settings {
        payload.extend(id.to_be_bytes());
        payload.extend(value.to_be_bytes());
    }
    frame(SETTINGS, 0, 0, &payload)
}

/// A PING frame.
pub(crate) fn ping() -> Vec<u8> {
    frame(PING, 0, 0, &[7; 8])
}

/// Resets a stream with CANCEL.
pub(crate) fn reset(stream: u32) -> Vec<u8> {
    frame(RST_STREAM, 0, stream, &8_u32.to_be_bytes())
}

/// The whole head of a GET; nothing follows.
pub(crate) fn get(stream: u32, path: &str, authorization: Option<&str>) -> Vec<u8> {
    let mut fields = pseudo("GET", path);
    fields.extend(authorization.map(|value| ("authorization", value)));
    frame(HEADERS, END_HEADERS | END_STREAM, stream, &block(&fields))
}

/// A gRPC call with an empty message.
pub(crate) fn call(stream: u32, path: &str, authorization: &str) -> Vec<u8> {
    let mut fields = pseudo("POST", path);
    fields.extend([
        ("content-type", "application/grpc"),
        ("te", "trailers"),
        ("authorization", authorization),
    ]);
    let mut bytes = frame(HEADERS, END_HEADERS, stream, &block(&fields));
    bytes.extend(frame(DATA, END_STREAM, stream, &[0; 5]));
    bytes
}

/// The beginning of a head that goes on in CONTINUATION frames.
pub(crate) fn head_begun(stream: u32) -> Vec<u8> {
    frame(HEADERS, END_STREAM, stream, &block(&pseudo("GET", "/item")))
}

/// A CONTINUATION frame of 8 KiB that does not end the head.
pub(crate) fn continuation(stream: u32) -> Vec<u8> {
    let filler = "x".repeat(FILLER_BYTES);
    frame(CONTINUATION, 0, stream, &block(&[("x-filler", &filler)]))
}

fn pseudo<'a>(method: &'a str, path: &'a str) -> Vec<(&'a str, &'a str)> {
    vec![
        (":method", method),
        (":scheme", "http"),
        (":authority", "localhost"),
        (":path", path),
    ]
}

/// A frame of any kind.
pub(crate) fn frame(kind: u8, flags: u8, stream: u32, payload: &[u8]) -> Vec<u8> {
    let len = u32::try_from(payload.len()).unwrap_or(u32::MAX);
    let mut bytes = Vec::with_capacity(payload.len().saturating_add(HEAD_BYTES));
    bytes.extend(len.to_be_bytes().iter().skip(1));
    bytes.extend([kind, flags]);
    bytes.extend(stream.to_be_bytes());
    bytes.extend_from_slice(payload);
    bytes
}

/// Literal fields without indexing and without Huffman coding.
pub(crate) fn block(fields: &[(&str, &str)]) -> Vec<u8> {
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
pub(crate) const INITIAL_WINDOW_SIZE: u16 = 4;

/// Kinds of frames, and flags.
pub(crate) const DATA: u8 = 0;
pub(crate) const HEADERS: u8 = 1;
pub(crate) const END_STREAM: u8 = 1;
pub(crate) const END_HEADERS: u8 = 4;

/// Below the 16 KiB that a frame may have.
const FILLER_BYTES: usize = 8 * 1024;
const HEAD_BYTES: usize = 9;
const PREFIX_MAX: usize = 0x7f;
const RST_STREAM: u8 = 3;
const SETTINGS: u8 = 4;
const PING: u8 = 6;
const CONTINUATION: u8 = 9;

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
