//! TLS of a client: one cipher suite and one curve, whatever the proxy prefers.
//!
//! The certificate is not verified: that would cost the load more than signing costs the proxy.
//! Sessions are not resumed.

use std::fmt;
use std::sync::Arc;

use anyhow::{Result, bail};
use rustls::client::danger::{HandshakeSignatureValid, ServerCertVerified, ServerCertVerifier};
use rustls::client::{ClientConnectionData, Resumption, UnbufferedClientConnection};
use rustls::crypto::aws_lc_rs::{self, cipher_suite, kx_group};
use rustls::crypto::{CryptoProvider, SupportedKxGroup};
use rustls::pki_types::{CertificateDer, IpAddr, Ipv4Addr, ServerName, UnixTime};
use rustls::unbuffered::{ConnectionState, UnbufferedStatus, WriteTraffic};
use rustls::version::TLS13;
use rustls::{ClientConfig, DigitallySignedStruct, SignatureScheme};
use serde::Deserialize;

/// How often a client shakes hands.
#[derive(Clone, Copy, Debug, Deserialize, Eq, PartialEq)]
#[serde(rename_all = "snake_case")]
pub(super) enum Handshakes {
    /// Before the run: connections are kept.
    Once,
    /// For each request: every one has a connection of its own.
    PerRequest,
}

/// Returns the configuration of all clients.
///
/// # Errors
///
/// When rustls lacks the suite.
pub(super) fn config() -> Result<Arc<ClientConfig>> {
    let provider = CryptoProvider {
        cipher_suites: vec![cipher_suite::TLS13_AES_256_GCM_SHA384],
        kx_groups: vec![CURVE],
        ..aws_lc_rs::default_provider()
    };
    let mut config = ClientConfig::builder_with_provider(Arc::new(provider))
        .with_protocol_versions(&[&TLS13])?
        .dangerous()
        .with_custom_certificate_verifier(Arc::new(Unverified))
        .with_no_client_auth();
    config.resumption = Resumption::disabled();
    config.alpn_protocols = vec![b"http/1.1".to_vec()];
    Ok(Arc::new(config))
}

const CURVE: &dyn SupportedKxGroup = kx_group::X25519;

/// TLS of one connection, without its socket.
pub(super) struct Session {
    connection: UnbufferedClientConnection,
    /// What was received; processed as soon as a record is complete.
    received: Vec<u8>,
    filled: usize,
    established: bool,
}

impl Session {
    pub(super) fn new(config: &Arc<ClientConfig>) -> Result<Self> {
        let name = ServerName::IpAddress(IpAddr::V4(Ipv4Addr::from([127, 0, 0, 1])));
        Ok(Self {
            connection: UnbufferedClientConnection::new(Arc::clone(config), name)?,
            received: vec![0; RECEIVED_BYTES],
            filled: 0,
            established: false,
        })
    }

    /// Returns whether the handshake is done.
    pub(super) const fn is_established(&self) -> bool {
        self.established
    }

    /// Returns where received bytes belong; [`filled`](Self::filled) states how many there are.
    pub(super) fn spare(&mut self) -> &mut [u8] {
        self.received.get_mut(self.filled..).unwrap_or_default()
    }

    pub(super) const fn filled(&mut self, received: usize) {
        self.filled = self.filled.saturating_add(received);
    }

    /// Processes the records that are complete: decrypted bytes go to `plain`, and what is to be
    /// sent is appended to `out`.
    ///
    /// # Errors
    ///
    /// When the connection is closed or violates the protocol, and those of `plain`.
    pub(super) fn process(
        &mut self,
        out: &mut Vec<u8>,
        mut plain: impl FnMut(&[u8]) -> Result<()>,
    ) -> Result<()> {
        let mut processed = 0_usize;
        loop {
            let rest = self.received.get_mut(processed..self.filled);
            let UnbufferedStatus { mut discard, state } = self
                .connection
                .process_tls_records(rest.unwrap_or_default());
            let mut waits = false;
            match state? {
                ConnectionState::ReadTraffic(mut traffic) => {
                    while let Some(record) = traffic.next_record() {
                        let record = record?;
                        discard = discard.saturating_add(record.discard);
                        plain(record.payload)?;
                    }
                }
                ConnectionState::EncodeTlsData(mut data) => {
                    append(out, FLIGHT_BYTES, |room| Ok(data.encode(room)?))?;
                }
                // The caller sends `out` before anything else.
                ConnectionState::TransmitTlsData(data) => data.done(),
                ConnectionState::BlockedHandshake => waits = true,
                ConnectionState::WriteTraffic(_) => {
                    self.established = true;
                    waits = true;
                }
                ConnectionState::PeerClosed | ConnectionState::Closed => {
                    bail!("the proxy closed a TLS connection")
                }
                ConnectionState::ReadEarlyData(_) | _ => bail!("not a state of a client"),
            }
            processed = processed.saturating_add(discard);
            if waits {
                break;
            }
        }
        self.received.copy_within(processed..self.filled, 0);
        self.filled = self.filled.saturating_sub(processed);
        Ok(())
    }

    /// Appends encrypted bytes to `out`.
    ///
    /// # Errors
    ///
    /// Before the handshake is done.
    pub(super) fn encrypt(&mut self, plain: &[u8], out: &mut Vec<u8>) -> Result<()> {
        let room = plain.len().saturating_add(FLIGHT_BYTES);
        let mut traffic = self.traffic()?;
        append(out, room, |room| Ok(traffic.encrypt(plain, room)?))
    }

    /// Appends the message that ends the connection to `out`.
    ///
    /// # Errors
    ///
    /// Before the handshake is done.
    pub(super) fn close(&mut self, out: &mut Vec<u8>) -> Result<()> {
        let mut traffic = self.traffic()?;
        append(out, FLIGHT_BYTES, |room| {
            Ok(traffic.queue_close_notify(room)?)
        })
    }

    /// Returns what encrypts, between two reads: no record is complete, nothing to be discarded.
    fn traffic(&mut self) -> Result<WriteTraffic<'_, ClientConnectionData>> {
        let rest = self.received.get_mut(..self.filled).unwrap_or_default();
        let state = self.connection.process_tls_records(rest).state?;
        let ConnectionState::WriteTraffic(traffic) = state else {
            bail!("nothing can be sent in the state {state:?}");
        };
        Ok(traffic)
    }
}

impl fmt::Debug for Session {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Session")
            .field("filled", &self.filled)
            .field("established", &self.established)
            .finish_non_exhaustive()
    }
}

/// Appends what `write` writes into `room` bytes.
fn append(
    out: &mut Vec<u8>,
    room: usize,
    write: impl FnOnce(&mut [u8]) -> Result<usize>,
) -> Result<()> {
    let len = out.len();
    out.resize(len.saturating_add(room), 0);
    let written = write(out.get_mut(len..).unwrap_or_default())?;
    out.truncate(len.saturating_add(written));
    Ok(())
}

/// Accepts every certificate, and every signature with it.
#[derive(Debug)]
struct Unverified;

impl ServerCertVerifier for Unverified {
    fn verify_server_cert(
        &self,
        _: &CertificateDer<'_>,
        _: &[CertificateDer<'_>],
        _: &ServerName<'_>,
        _: &[u8],
        _: UnixTime,
    ) -> Result<ServerCertVerified, rustls::Error> {
        Ok(ServerCertVerified::assertion())
    }

    fn verify_tls12_signature(
        &self,
        _: &[u8],
        _: &CertificateDer<'_>,
        _: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, rustls::Error> {
        Ok(HandshakeSignatureValid::assertion())
    }

    fn verify_tls13_signature(
        &self,
        _: &[u8],
        _: &CertificateDer<'_>,
        _: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, rustls::Error> {
        Ok(HandshakeSignatureValid::assertion())
    }

    fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
        vec![SignatureScheme::ECDSA_NISTP256_SHA256]
    }
}

/// Four records.
const RECEIVED_BYTES: usize = 72 * 1024;
/// More than any message of a client's handshake, and than TLS adds to a request.
const FLIGHT_BYTES: usize = 1024;

#[cfg(test)]
mod tests {
    use std::io::{Read as _, Write as _};

    use rustls::pki_types::PrivateKeyDer;
    use rustls::{ServerConfig, ServerConnection};

    use super::*;

    #[test]
    fn records_are_read_wherever_they_are_split() {
        for piece in [1, 5, 1_000, 16_384, 20_000] {
            let (mut client, mut server) = established(piece);
            let body: Vec<u8> = (0..40_000_u32)
                .map(|number| number.to_le_bytes()[0])
                .collect();
            server.writer().write_all(&body).unwrap();

            let mut received = Vec::new();
            deliver(&mut server, &mut client, piece, |plain| {
                received.extend_from_slice(plain);
            });

            assert!(received == body, "in pieces of {piece} bytes");
        }
    }

    #[test]
    fn a_request_arrives_as_it_was_sent() {
        let (mut client, mut server) = established(20_000);
        let mut out = Vec::new();
        client.encrypt(b"GET / HTTP/1.1\r\n\r\n", &mut out).unwrap();
        receive(&mut server, &out);

        let mut request = [0; 18];
        server.reader().read_exact(&mut request).unwrap();
        assert_eq!(&request, b"GET / HTTP/1.1\r\n\r\n");
    }

    #[test]
    fn suite_and_curve_are_not_the_choice_of_the_server() {
        let (_client, server) = established(20_000);

        let suite = server.negotiated_cipher_suite().unwrap();
        let curve = server.negotiated_key_exchange_group().unwrap();
        assert_eq!(suite, cipher_suite::TLS13_AES_256_GCM_SHA384);
        assert_eq!(curve.name(), CURVE.name());
        assert_eq!(server.alpn_protocol(), Some(&b"http/1.1"[..]));
    }

    #[test]
    fn a_closed_connection_is_an_error() {
        let (mut client, mut server) = established(20_000);
        server.send_close_notify();
        let mut bytes = Vec::new();
        server.write_tls(&mut bytes).unwrap();
        fill(&mut client, &bytes);

        assert!(client.process(&mut Vec::new(), |_| Ok(())).is_err());
    }

    #[test]
    fn nothing_is_encrypted_before_the_handshake() {
        let mut client = Session::new(&config().unwrap()).unwrap();

        assert!(client.encrypt(b"early", &mut Vec::new()).is_err());
    }

    /// Returns both ends after a handshake in which the client reads so many bytes at once.
    fn established(piece: usize) -> (Session, ServerConnection) {
        let mut client = Session::new(&config().unwrap()).unwrap();
        let mut server = ServerConnection::new(server_config()).unwrap();
        let mut out = Vec::new();
        client.process(&mut out, |_| Ok(())).unwrap();
        while !client.is_established() {
            receive(&mut server, &out);
            out = deliver(&mut server, &mut client, piece, |_| {});
        }
        receive(&mut server, &out);
        // Tickets.
        deliver(&mut server, &mut client, piece, |_| {});
        (client, server)
    }

    fn receive(server: &mut ServerConnection, mut bytes: &[u8]) {
        while !bytes.is_empty() {
            server.read_tls(&mut bytes).unwrap();
            server.process_new_packets().unwrap();
        }
    }

    /// Passes on what the server sends and returns what the client sends then.
    fn deliver(
        server: &mut ServerConnection,
        client: &mut Session,
        piece: usize,
        mut plain: impl FnMut(&[u8]),
    ) -> Vec<u8> {
        let (mut bytes, mut out) = (Vec::new(), Vec::new());
        while server.wants_write() {
            server.write_tls(&mut bytes).unwrap();
        }
        for piece in bytes.chunks(piece) {
            fill(client, piece);
            client
                .process(&mut out, |bytes| {
                    plain(bytes);
                    Ok(())
                })
                .unwrap();
        }
        out
    }

    fn fill(client: &mut Session, bytes: &[u8]) {
        client.spare()[..bytes.len()].copy_from_slice(bytes);
        client.filled(bytes.len());
    }

    fn server_config() -> Arc<ServerConfig> {
        let signed = rcgen::generate_simple_self_signed(["localhost".to_owned()]).unwrap();
        let key = PrivateKeyDer::Pkcs8(signed.signing_key.serialize_der().into());
        let provider = Arc::new(aws_lc_rs::default_provider());
        let mut config = ServerConfig::builder_with_provider(provider)
            .with_safe_default_protocol_versions()
            .unwrap()
            .with_no_client_auth()
            .with_single_cert(vec![signed.cert.der().clone()], key)
            .unwrap();
        config.alpn_protocols = vec![b"h2".to_vec(), b"http/1.1".to_vec()];
        Arc::new(config)
    }
}
