//! Detection of HTTP/2 on a plaintext port.
//!
//! HTTP/2 with prior knowledge begins with a fixed preface that is not a valid HTTP/1
//! request. The first bytes are read, compared, and kept for the HTTP implementation.

use std::io;

use tokio::io::{AsyncRead, AsyncReadExt};

use crate::conn::rewind::Rewind;

/// The protocol found.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(crate) enum Protocol {
    Http1,
    Http2,
}

/// Reads as many bytes as the decision needs after those that have been `seen`. Waits for them
/// without limit.
pub(crate) async fn detect<S>(mut seen: Vec<u8>, mut stream: S) -> io::Result<(Protocol, Rewind<S>)>
where
    S: AsyncRead + Unpin,
{
    let protocol = loop {
        if seen.starts_with(PREFACE) {
            break Protocol::Http2;
        }
        if !PREFACE.starts_with(&seen) {
            break Protocol::Http1;
        }
        let room = PREFACE.len().saturating_sub(seen.len());
        seen.reserve_exact(room);
        if (&mut stream).take(room as u64).read_buf(&mut seen).await? == 0 {
            // Closed too early.
            break Protocol::Http1;
        }
    };
    Ok((protocol, Rewind::new(seen, stream)))
}

const PREFACE: &[u8] = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n";

#[cfg(test)]
mod tests {
    use super::*;
    use tokio::io::AsyncWriteExt;

    async fn detected(seen: &[u8], pieces: &[&[u8]]) -> (Protocol, Vec<u8>) {
        let (mut client, server) = tokio::io::duplex(1);
        let pieces: Vec<Vec<u8>> = pieces.iter().map(|piece| piece.to_vec()).collect();
        let sending = async move {
            for piece in pieces {
                client.write_all(&piece).await.unwrap();
            }
        };
        let receiving = async {
            let (protocol, mut stream) = detect(seen.to_vec(), server).await.unwrap();
            let mut all = Vec::new();
            stream.read_to_end(&mut all).await.unwrap();
            (protocol, all)
        };
        tokio::join!(sending, receiving).1
    }

    #[tokio::test]
    async fn nothing_is_lost_whatever_is_spoken() {
        for (sent, protocol) in [
            (&b"GET / HTTP/1.1\r\n\r\n"[..], Protocol::Http1),
            (b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\nframes", Protocol::Http2),
            (b"PRI * HTTP/2.0\r\n\r\nXX\r\n\r\n", Protocol::Http1),
            (b"PRI", Protocol::Http1),
            (b"", Protocol::Http1),
        ] {
            for place in 0..=sent.len() {
                let (seen, rest) = sent.split_at(place);
                let (found, read) = detected(seen, &[rest]).await;
                assert_eq!((found, &read[..]), (protocol, sent), "{place}");
            }
        }
    }
}
