//! HTTP/2 frames as bytes (RFC 9113), for clients and servers that no library would be.

use tokio::io::AsyncReadExt as _;
use tokio::net::TcpStream;

/// The client preface with these settings.
pub(crate) fn preface(settings: &[(u16, u32)]) -> Vec<u8> {
    let mut bytes = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n".to_vec();
    bytes.extend(self::settings(settings));
    bytes
}

pub(crate) fn settings(settings: &[(u16, u32)]) -> Vec<u8> {
    let mut payload = Vec::new();
    for (id, value) in settings {
        payload.extend(id.to_be_bytes());
        payload.extend(value.to_be_bytes());
    }
    frame(4, 0, 0, &payload)
}

pub(crate) fn ping() -> Vec<u8> {
    frame(6, 0, 0, &[7; 8])
}

/// Resets a stream with CANCEL.
pub(crate) fn reset(stream: u32) -> Vec<u8> {
    frame(3, 0, stream, &8_u32.to_be_bytes())
}

/// The whole head of a GET; nothing follows.
pub(crate) fn get(stream: u32, path: &str, authorization: Option<&str>) -> Vec<u8> {
    let mut fields = pseudo("GET", path);
    fields.extend(authorization.map(|value| ("authorization", value)));
    frame(1, END_HEADERS | END_STREAM, stream, &block(&fields))
}

/// A gRPC call with an empty message.
pub(crate) fn call(stream: u32, path: &str, authorization: &str) -> Vec<u8> {
    let mut fields = pseudo("POST", path);
    fields.extend([
        ("content-type", "application/grpc"),
        ("te", "trailers"),
        ("authorization", authorization),
    ]);
    let mut bytes = frame(1, END_HEADERS, stream, &block(&fields));
    bytes.extend(frame(0, END_STREAM, stream, &[0; 5]));
    bytes
}

/// A whole gRPC response without messages' framing.
pub(crate) fn response(stream: u32, body: &str) -> Vec<u8> {
    let fields = [(":status", "200"), ("content-type", "application/grpc")];
    let mut bytes = frame(1, END_HEADERS, stream, &block(&fields));
    bytes.extend(frame(0, END_STREAM, stream, body.as_bytes()));
    bytes
}

/// Announces, with NO_ERROR, that streams above `last` are not processed.
pub(crate) fn go_away(last: u32) -> Vec<u8> {
    let payload = [last.to_be_bytes(), 0_u32.to_be_bytes()].concat();
    frame(7, 0, 0, &payload)
}

/// Reads the preface of a client.
pub(crate) async fn read_preface(stream: &mut TcpStream) {
    stream.read_exact(&mut [0; 24]).await.unwrap();
}

/// Reads the kind and the payload of the next frame; `None` at the end of the connection.
pub(crate) async fn read(stream: &mut TcpStream) -> Option<(u8, Vec<u8>)> {
    let mut head = [0; 9];
    stream.read_exact(&mut head).await.ok()?;
    let [a, b, c, kind, ..] = head;
    let length = u32::from_be_bytes([0, a, b, c]);
    let mut payload = vec![0; usize::try_from(length).unwrap()];
    stream.read_exact(&mut payload).await.ok()?;
    Some((kind, payload))
}

/// A head that goes on for ever: its beginning, and then more of it.
pub(crate) fn endless_head(stream: u32, frames: usize) -> Vec<u8> {
    let mut bytes = frame(1, END_STREAM, stream, &block(&pseudo("GET", "/")));
    for _ in 0..frames {
        let filler = "x".repeat(8192);
        bytes.extend(frame(9, 0, stream, &block(&[("x-filler", &filler)])));
    }
    bytes
}

fn pseudo<'a>(method: &'a str, path: &'a str) -> Vec<(&'a str, &'a str)> {
    vec![
        (":method", method),
        (":scheme", "http"),
        (":authority", "localhost"),
        (":path", path),
    ]
}

fn frame(kind: u8, flags: u8, stream: u32, payload: &[u8]) -> Vec<u8> {
    let mut bytes = u32::try_from(payload.len()).unwrap().to_be_bytes()[1..].to_vec();
    bytes.extend([kind, flags]);
    bytes.extend(stream.to_be_bytes());
    bytes.extend_from_slice(payload);
    bytes
}

/// Literal fields without indexing and without Huffman coding (RFC 7541).
fn block(fields: &[(&str, &str)]) -> Vec<u8> {
    let mut bytes = Vec::new();
    for (name, value) in fields {
        bytes.push(0);
        for text in [name, value] {
            length(&mut bytes, text.len());
            bytes.extend_from_slice(text.as_bytes());
        }
    }
    bytes
}

/// An integer with a prefix of seven bits.
fn length(bytes: &mut Vec<u8>, length: usize) {
    if length < 0x7f {
        bytes.push(u8::try_from(length).unwrap());
        return;
    }
    bytes.push(0x7f);
    let mut rest = length - 0x7f;
    while rest >= 0x80 {
        bytes.push(u8::try_from(rest % 0x80).unwrap() | 0x80);
        rest /= 0x80;
    }
    bytes.push(u8::try_from(rest).unwrap());
}

/// The identifier of SETTINGS_INITIAL_WINDOW_SIZE.
pub(crate) const INITIAL_WINDOW_SIZE: u16 = 4;

/// The kinds of two frames.
pub(crate) const DATA: u8 = 0;
pub(crate) const HEADERS: u8 = 1;

const END_STREAM: u8 = 1;
const END_HEADERS: u8 = 4;
