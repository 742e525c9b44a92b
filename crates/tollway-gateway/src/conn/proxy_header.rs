//! Header of the PROXY protocol, versions 1 and 2: who the client of a proxied connection is.
//!
//! It stands before everything else on the connection, TLS included. [`parse`] is pure and reads
//! what has arrived so far; [`read`] reads from a stream until the header is complete, and waits
//! without limit. Nothing but the client's address is kept: the destination, the ports and the
//! type-length-values of version 2 are skipped.
//!
//! Specification: "The PROXY protocol, versions 1 & 2" by HAProxy, section 2.

use std::io;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};
use std::str::FromStr;

use tokio::io::{AsyncRead, AsyncReadExt as _};

/// A whole header.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(crate) struct ProxyHeader {
    /// The client; `None` where the proxy speaks for itself or does not know.
    pub(crate) client: Option<IpAddr>,
    /// Its length in bytes, of which the last may not have arrived yet.
    len: usize,
}

/// Why there is no header.
#[derive(Debug, thiserror::Error)]
pub(crate) enum ProxyHeaderError {
    /// The connection begins with something else.
    #[error("the connection does not begin with a header of the PROXY protocol")]
    Absent,
    /// The connection ended, or failed.
    #[error("the header of the PROXY protocol is not complete")]
    Incomplete(#[source] io::Error),
    /// It is not as the specification has it.
    #[error("the header of the PROXY protocol cannot be read: {0}")]
    Invalid(&'static str),
}

use ProxyHeaderError::{Absent, Invalid};

/// Reads the header at the beginning of a stream. Returns it with the bytes after it that have
/// been read already.
pub(crate) async fn read<S>(stream: &mut S) -> Result<(ProxyHeader, Vec<u8>), ProxyHeaderError>
where
    S: AsyncRead + Unpin,
{
    let mut seen = Vec::with_capacity(READ_AT_ONCE);
    let header = loop {
        if let Some(header) = parse(&seen)? {
            break header;
        }
        read_more(stream, &mut seen, READ_AT_ONCE).await?;
    };
    let mut missing = header.len.saturating_sub(seen.len());
    seen.drain(..header.len.min(seen.len()));
    while missing > 0 {
        missing = missing.saturating_sub(read_more(stream, &mut seen, missing).await?);
        seen.clear();
    }
    Ok((header, seen))
}

/// Reads until `seen` is as long as `len` at most.
async fn read_more<S>(
    stream: &mut S,
    seen: &mut Vec<u8>,
    len: usize,
) -> Result<usize, ProxyHeaderError>
where
    S: AsyncRead + Unpin,
{
    let room = len.saturating_sub(seen.len()).min(READ_AT_ONCE);
    let mut part = stream.take(u64::try_from(room).unwrap_or(u64::MAX));
    match part.read_buf(seen).await {
        Ok(0) => Err(ProxyHeaderError::Incomplete(
            io::ErrorKind::UnexpectedEof.into(),
        )),
        Ok(read) => Ok(read),
        Err(error) => Err(ProxyHeaderError::Incomplete(error)),
    }
}

/// Reads the header at the beginning of `seen`; `None` when more bytes are needed.
///
/// Needs at most [`READ_AT_ONCE`] of them.
///
/// # Errors
///
/// [`Absent`] and [`Invalid`], as soon as no further byte could make it a header.
pub(crate) fn parse(seen: &[u8]) -> Result<Option<ProxyHeader>, ProxyHeaderError> {
    if begins(seen, V2_SIGNATURE) {
        return parse_v2(seen);
    }
    if begins(seen, V1_SIGNATURE) {
        return parse_v1(seen);
    }
    Err(Absent)
}

/// Returns whether `seen` begins with a signature, as far as it has arrived.
fn begins(seen: &[u8], signature: &[u8]) -> bool {
    seen.starts_with(signature) || signature.starts_with(seen)
}

/// `PROXY TCP4 192.0.2.1 198.51.100.1 56324 443\r\n`.
fn parse_v1(seen: &[u8]) -> Result<Option<ProxyHeader>, ProxyHeaderError> {
    let end = seen
        .windows(2)
        .take(V1_MAX.saturating_sub(1))
        .position(|pair| pair == b"\r\n");
    let Some(end) = end else {
        return match seen.len() < V1_MAX {
            true => Ok(None),
            false => Err(Invalid("version 1 is longer than 107 bytes")),
        };
    };
    let line = seen.get(V1_SIGNATURE.len()..end).unwrap_or_default();
    let line = std::str::from_utf8(line).map_err(|_| Invalid("version 1 is not text"))?;
    let client = match line.split_once(' ') {
        Some(("TCP4", ends)) => Some(parse_ends::<Ipv4Addr>(ends)?.into()),
        Some(("TCP6", ends)) => Some(parse_ends::<Ipv6Addr>(ends)?.into()),
        Some(("UNKNOWN", _)) => None,
        None if line == "UNKNOWN" => None,
        _ => return Err(Invalid("a protocol other than TCP4, TCP6 and UNKNOWN")),
    };
    Ok(Some(ProxyHeader {
        client: client.map(|address: IpAddr| address.to_canonical()),
        len: end.saturating_add(2),
    }))
}

/// Returns the source address of `source destination port port`.
fn parse_ends<A: FromStr>(text: &str) -> Result<A, ProxyHeaderError> {
    let mut fields = text.split(' ');
    let mut next = || fields.next().unwrap_or_default();
    let (source, destination, ports) = (next().parse(), next().parse::<A>(), [next(), next()]);
    let is_port = |port: &str| {
        let is_number = port.bytes().all(|byte| byte.is_ascii_digit());
        is_number && (port == "0" || !port.starts_with('0')) && port.parse::<u16>().is_ok()
    };
    match (source, destination) {
        (Ok(source), Ok(_)) if ports.into_iter().all(is_port) && fields.next().is_none() => {
            Ok(source)
        }
        _ => Err(Invalid("an address or a port of version 1")),
    }
}

/// The signature, version and command, family and transport, the length of the rest, the
/// addresses, and values that are skipped.
fn parse_v2(seen: &[u8]) -> Result<Option<ProxyHeader>, ProxyHeaderError> {
    let Some((fixed, rest)) = seen.split_first_chunk::<V2_FIXED>() else {
        return Ok(None);
    };
    let [.., version_command, family_transport, high, low] = *fixed;
    let rest_len = usize::from(u16::from_be_bytes([high, low]));
    let len = V2_FIXED.saturating_add(rest_len);
    if len > V2_MAX {
        return Err(Invalid("version 2 is longer than 4096 bytes"));
    }
    let is_local = match version_command {
        0x20 => true,
        0x21 => false,
        _ => return Err(Invalid("a version other than 2, or an unknown command")),
    };
    let addresses_len = match family_transport {
        _ if is_local => 0,
        0x11 => 12,
        0x21 => 36,
        // Datagrams, sockets of Unix, or unspecified: no address of a client of TCP.
        0x00..=0x02 | 0x10 | 0x12 | 0x20 | 0x22 | 0x30..=0x32 => 0,
        _ => return Err(Invalid("an unknown family or transport of version 2")),
    };
    if rest_len < addresses_len {
        return Err(Invalid("version 2 is too short for its addresses"));
    }
    let Some(addresses) = rest.get(..addresses_len) else {
        return Ok(None);
    };
    Ok(Some(ProxyHeader {
        client: source_of(addresses).map(|address| address.to_canonical()),
        len,
    }))
}

/// Returns the first of two addresses.
fn source_of(addresses: &[u8]) -> Option<IpAddr> {
    match addresses.len() {
        12 => addresses.first_chunk::<4>().map(|v4| IpAddr::from(*v4)),
        36 => addresses.first_chunk::<16>().map(|v6| IpAddr::from(*v6)),
        _ => None,
    }
}

const V1_SIGNATURE: &[u8] = b"PROXY ";
/// With the line break.
const V1_MAX: usize = 107;
const V2_SIGNATURE: &[u8] = b"\r\n\r\n\0\r\nQUIT\n";
/// The bytes of version 2 before the addresses.
const V2_FIXED: usize = 16;
/// The format allows 64 KiB. What is skipped is counted against it.
const V2_MAX: usize = 4096;
/// More than the longest version 1, and than the addresses of version 2.
const READ_AT_ONCE: usize = 256;

#[cfg(test)]
mod tests {
    use proptest::prelude::*;
    use tokio::io::AsyncWriteExt as _;

    use super::*;

    /// Reads a whole header.
    fn client(bytes: &[u8]) -> Option<String> {
        let header = parse(bytes).unwrap().expect("it is whole");
        assert_eq!(header.len, bytes.len());
        header.client.map(|address| address.to_string())
    }

    fn v2(version_command: u8, family: u8, rest: &[u8]) -> Vec<u8> {
        let len = u16::try_from(rest.len()).unwrap().to_be_bytes();
        [V2_SIGNATURE, &[version_command, family], &len, rest].concat()
    }

    const V4_ENDS: &[u8] = &[192, 0, 2, 1, 198, 51, 100, 1, 0xdc, 4, 1, 0xbb];

    fn v6_ends() -> Vec<u8> {
        let [source, destination] =
            ["2001:db8::1", "2001:db8::2"].map(|text| text.parse::<Ipv6Addr>().unwrap().octets());
        [&source[..], &destination, &[0xdc, 4, 1, 0xbb]].concat()
    }

    #[test]
    fn version_1_names_the_client() {
        let longest = "ffff:ffff:ffff:ffff:ffff:ffff:ffff:ffff";
        for (line, expected) in [
            ("TCP4 192.0.2.1 198.51.100.1 56324 443", Some("192.0.2.1")),
            ("TCP4 0.0.0.0 0.0.0.0 0 0", Some("0.0.0.0")),
            ("TCP6 2001:db8::1 ::1 1 65535", Some("2001:db8::1")),
            ("TCP6 ::ffff:192.0.2.1 ::1 1 1", Some("192.0.2.1")),
            (
                &format!("TCP6 {longest} {longest} 65535 65535"),
                Some(longest),
            ),
            ("UNKNOWN", None),
            ("UNKNOWN 192.0.2.1 198.51.100.1 1 1", None),
            (&format!("UNKNOWN {longest} {longest} 65535 65535"), None),
        ] {
            let bytes = format!("PROXY {line}\r\n");
            assert_eq!(client(bytes.as_bytes()).as_deref(), expected, "{line}");
        }
    }

    #[test]
    fn version_1_is_read_strictly() {
        for line in [
            "TCP4 192.0.2.1 198.51.100.1 56324",
            "TCP4 192.0.2.1 198.51.100.1 56324 443 ",
            "TCP4 192.0.2.1 198.51.100.1 56324 443 1",
            "TCP4  192.0.2.1 198.51.100.1 56324 443",
            "TCP4\t192.0.2.1 198.51.100.1 56324 443",
            "TCP4 192.0.2.1 198.51.100.1 56324 65536",
            "TCP4 192.0.2.1 198.51.100.1 056324 443",
            "TCP4 192.0.2.1 198.51.100.1 +1 443",
            "TCP4 192.0.2.1 198.51.100.1 -1 443",
            "TCP4 192.0.2.1 2001:db8::1 1 1",
            "TCP4 2001:db8::1 2001:db8::1 1 1",
            "TCP6 192.0.2.1 198.51.100.1 1 1",
            "TCP4 192.0.2 198.51.100.1 1 1",
            "TCP4 192.0.2.1 198.51.100.1 1 1\n",
            "tcp4 192.0.2.1 198.51.100.1 1 1",
            "UDP4 192.0.2.1 198.51.100.1 1 1",
            "UNKNOWNX",
            "",
            " ",
        ] {
            let bytes = format!("PROXY {line}\r\n");
            let refused = parse(bytes.as_bytes());
            assert!(matches!(refused, Err(Invalid(_))), "{line:?}: {refused:?}");
        }
    }

    #[test]
    fn version_1_ends_within_107_bytes() {
        let padded = |padding: usize| format!("PROXY UNKNOWN {}\r\n", " ".repeat(padding));

        assert_eq!(padded(91).len(), V1_MAX);
        assert_eq!(client(padded(91).as_bytes()), None);
        for bytes in [padded(92), format!("PROXY {}", "1".repeat(200))] {
            assert!(matches!(parse(bytes.as_bytes()), Err(Invalid(_))));
        }
        assert!(matches!(
            parse(&padded(92).as_bytes()[..V1_MAX - 1]),
            Ok(None)
        ));
    }

    #[test]
    fn version_2_names_the_client() {
        let with_values = [V4_ENDS, &[0x04, 0, 2, 1, 2], &[0xee; 900]].concat();
        let mapped = [&[0; 10][..], &[0xff, 0xff, 192, 0, 2, 1], &[0; 20]].concat();
        for (bytes, expected) in [
            (v2(0x21, 0x11, V4_ENDS), Some("192.0.2.1")),
            (v2(0x21, 0x21, &v6_ends()), Some("2001:db8::1")),
            (v2(0x21, 0x21, &mapped), Some("192.0.2.1")),
            (v2(0x21, 0x11, &with_values), Some("192.0.2.1")),
            // The proxy speaks for itself, whatever else stands there.
            (v2(0x20, 0x00, &[]), None),
            (v2(0x20, 0x11, V4_ENDS), None),
            (v2(0x20, 0xff, &[1]), None),
            // Families without an address of TCP.
            (v2(0x21, 0x00, &[]), None),
            (v2(0x21, 0x00, &[1, 2, 3]), None),
            (v2(0x21, 0x12, V4_ENDS), None),
            (v2(0x21, 0x22, &v6_ends()), None),
            (v2(0x21, 0x31, &[0; 216]), None),
        ] {
            assert_eq!(client(&bytes).as_deref(), expected, "{bytes:?}");
        }
    }

    #[test]
    fn version_2_is_read_strictly() {
        for (bytes, why) in [
            (v2(0x11, 0x11, V4_ENDS), "version"),
            (v2(0x31, 0x11, V4_ENDS), "version"),
            (v2(0x22, 0x11, V4_ENDS), "command"),
            (v2(0x21, 0x13, V4_ENDS), "transport"),
            (v2(0x21, 0x41, V4_ENDS), "family"),
            (v2(0x21, 0x11, &V4_ENDS[..11]), "too short"),
            (v2(0x21, 0x21, V4_ENDS), "too short"),
            (v2(0x21, 0x11, &[0; 4081]), "longer"),
            (v2(0x20, 0x00, &[0; 65535]), "longer"),
        ] {
            let refused = parse(&bytes).unwrap_err().to_string();
            assert!(refused.contains(why), "{why}: {refused}");
        }
        assert!(parse(&v2(0x21, 0x11, &[0; 4080])).is_ok());
    }

    #[test]
    fn other_bytes_are_no_header() {
        for bytes in [
            &b"GET / HTTP/1.1\r\n"[..],
            b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n",
            b"PROXZ",
            b"proxy TCP4",
            b"\x16\x03\x01\x02\x00",
            b"\r\n\r\n\0\r\nQUIX",
            b"\r\n\r\nG",
        ] {
            assert!(matches!(parse(bytes), Err(Absent)), "{bytes:?}");
        }
    }

    #[test]
    fn no_beginning_of_a_header_is_a_header_or_an_error() {
        for bytes in [
            b"PROXY TCP4 192.0.2.1 198.51.100.1 56324 443\r\n".to_vec(),
            b"PROXY UNKNOWN\r\n".to_vec(),
            v2(0x21, 0x11, V4_ENDS),
            v2(0x21, 0x21, &v6_ends()),
        ] {
            for len in 0..bytes.len() {
                assert_eq!(parse(&bytes[..len]).unwrap(), None, "{len} of {bytes:?}");
            }
        }
    }

    async fn read_from(
        bytes: Vec<u8>,
        segment: usize,
    ) -> Result<(ProxyHeader, Vec<u8>), ProxyHeaderError> {
        let (mut proxy, mut gateway) = tokio::io::duplex(segment);
        let sending = async move {
            // The other end may have given up.
            let _sent = proxy.write_all(&bytes).await;
        };
        let receiving = async move {
            let (header, mut after) = read(&mut gateway).await?;
            gateway.read_to_end(&mut after).await.unwrap();
            Ok((header, after))
        };
        tokio::join!(sending, receiving).1
    }

    #[tokio::test]
    async fn a_header_is_read_to_its_end_in_segments_of_any_size() {
        let values = [&v6_ends()[..], &[0xee; 2000]].concat();
        for header in [
            b"PROXY TCP4 192.0.2.1 198.51.100.1 56324 443\r\n".to_vec(),
            v2(0x21, 0x11, V4_ENDS),
            v2(0x21, 0x21, &values),
            v2(0x20, 0x00, &[0; 4080]),
        ] {
            for segment in [1, 2, 7, 15, 16, 17, 255, 256, 257, 5000] {
                let sent = [&header[..], b"GET / HTTP/1.1\r\n\r\n"].concat();

                let (read, after) = read_from(sent, segment).await.unwrap();

                assert_eq!(read.len, header.len());
                assert_eq!(after, b"GET / HTTP/1.1\r\n\r\n", "{segment}");
            }
        }
    }

    #[tokio::test]
    async fn a_connection_that_ends_before_its_header_is_an_error() {
        for bytes in [
            vec![],
            b"PROXY TCP4".to_vec(),
            v2(0x21, 0x11, V4_ENDS)[..20].to_vec(),
            v2(0x21, 0x11, &[0; 900])[..700].to_vec(),
        ] {
            let read = read_from(bytes, 64).await;
            assert!(
                matches!(read, Err(ProxyHeaderError::Incomplete(_))),
                "{read:?}"
            );
        }
    }

    proptest! {
        #[test]
        fn no_bytes_make_it_panic_or_wait_for_more_than_it_may(
            start in 0_usize..4,
            rest in prop::collection::vec(any::<u8>(), 0..400),
        ) {
            let starts: [&[u8]; 4] = [b"", V1_SIGNATURE, V2_SIGNATURE, b"PROXY TCP4 1.2.3.4 "];
            let bytes = [starts[start], &rest].concat();
            match parse(&bytes) {
                Ok(None) => prop_assert!(bytes.len() < READ_AT_ONCE),
                Ok(Some(header)) => prop_assert!(header.len <= V2_MAX),
                Err(_) => {}
            }
        }

        #[test]
        fn what_is_read_does_not_depend_on_what_follows(
            source in any::<[u8; 16]>(),
            is_v6 in any::<bool>(),
            after in prop::collection::vec(any::<u8>(), 0..64),
        ) {
            let address = match is_v6 {
                true => IpAddr::from(source),
                false => IpAddr::from([source[0], source[1], source[2], source[3]]),
            };
            let family = if is_v6 { "TCP6" } else { "TCP4" };
            let other = if is_v6 { "::1" } else { "127.0.0.1" };
            let line = format!("PROXY {family} {address} {other} 1 2\r\n");
            let header = parse(&[line.as_bytes(), &after].concat()).unwrap().unwrap();
            prop_assert_eq!(header.client, Some(address.to_canonical()));
            prop_assert_eq!(header.len, line.len());
        }
    }
}
