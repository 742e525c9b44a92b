//! HTTP/2 frames of an upstream, written and read as bytes.

use tokio::io::AsyncReadExt as _;
use tokio::net::TcpStream;

use super::frames::{DATA, END_HEADERS, END_STREAM, HEADERS, block, frame};

/// A whole gRPC response without messages' framing.
pub(crate) fn response(stream: u32, body: &str) -> Vec<u8> {
    let fields = [(":status", "200"), ("content-type", "application/grpc")];
    let mut bytes = frame(HEADERS, END_HEADERS, stream, &block(&fields));
    bytes.extend(frame(DATA, END_STREAM, stream, body.as_bytes()));
    bytes
}

/// Announces, with NO_ERROR, that streams above `last` are not processed.
pub(crate) fn go_away(last: u32) -> Vec<u8> {
    let payload = [last.to_be_bytes(), 0_u32.to_be_bytes()].concat();
    frame(GOAWAY, 0, 0, &payload)
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

const GOAWAY: u8 = 7;
