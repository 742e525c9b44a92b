//! LND connection data: address, certificate and macaroon of a node.
//!
//! Reads and writes `lndconnect://host:port?cert=…&macaroon=…`, the URI LND wallets exchange as
//! QR codes, and the same three facts from the files a node keeps. Everything is checked here,
//! so that a wrong byte is reported where it was written and not by the first payment. No error
//! repeats a text that could be the macaroon, wherever it was written.

use std::fmt;
use std::fs;
use std::io;
use std::path::Path;
use std::str::FromStr;

use base64::Engine as _;
use base64::alphabet::URL_SAFE as URL_SAFE_ALPHABET;
use base64::engine::{DecodePaddingMode, GeneralPurpose, GeneralPurposeConfig};
use l402::{Macaroon, MacaroonError};
use rustls::pki_types::pem::{self, PemObject as _};
use rustls::pki_types::{CertificateDer, ServerName};
use rustls::server::ParsedCertificate;

use crate::registry::plain_name;

/// Where a node is, the certificate it must show and the macaroon it wants to see.
///
/// Holding one means all three are well-formed. `Debug` shows the address only.
#[derive(Clone, Eq, PartialEq)]
pub struct LndConnect {
    address: Address,
    certificate: Option<CertificateDer<'static>>,
    macaroon: Macaroon,
}

impl LndConnect {
    /// Reads `lndconnect://host:port?cert=…&macaroon=…`.
    ///
    /// `cert` is the DER of the node's certificate, `macaroon` the content of a `.macaroon`
    /// file, both in URL-safe base64. Without `cert` the node must have a certificate that the
    /// web's authorities vouch for. Without a port, 10009 is meant.
    ///
    /// # Errors
    ///
    /// [`LndConnectError`], which never repeats the macaroon.
    pub fn parse(uri: &str) -> Result<Self, LndConnectError> {
        if uri.len() > MAX_URI_LEN {
            return Err(LndConnectError::TooLong { len: uri.len() });
        }
        let rest = after_scheme(uri).ok_or(LndConnectError::NotLndConnect)?;
        let (address, query) = rest.split_once('?').unwrap_or((rest, ""));
        let address = Address::parse(address)?;
        let parameters = Parameters::parse(query)?;
        Ok(Self {
            address,
            certificate: parameters.certificate()?,
            macaroon: parameters.macaroon()?,
        })
    }

    /// Reads the files of a node: `tls.cert` and one of the `.macaroon` files.
    ///
    /// `address` is `host:port`. Of a certificate chain the first, the node's own, is meant;
    /// without one the node must have a certificate that the web's authorities vouch for.
    ///
    /// # Errors
    ///
    /// [`LndConnectError`], which names the one of the three that is wrong.
    pub fn from_files(
        address: &str,
        tls_cert: Option<&Path>,
        macaroon: &Path,
    ) -> Result<Self, LndConnectError> {
        let unreadable = |path: &Path| {
            let file = shown_path(path);
            |source| LndConnectError::File { file, source }
        };
        let address = Address::parse(address)?;
        let certificate = match tls_cert {
            Some(path) => {
                let pem = fs::read(path).map_err(unreadable(path))?;
                Some(certificate_of_pem(&pem)?)
            }
            None => None,
        };
        let bytes = fs::read(macaroon).map_err(unreadable(macaroon))?;
        Ok(Self {
            address,
            certificate,
            macaroon: Macaroon::parse_v2(bytes).map_err(LndConnectError::Macaroon)?,
        })
    }

    /// Host and port, as `host:port`. Public.
    #[must_use]
    pub fn address(&self) -> String {
        self.address.to_string()
    }

    /// The whole URI, macaroon included: anyone who reads it holds the wallet. Never log it.
    #[must_use]
    pub fn expose_uri(&self) -> String {
        let mut uri = format!("{SCHEME}{}?", self.address);
        if let Some(certificate) = &self.certificate {
            uri.push_str("cert=");
            uri.push_str(&BASE64.encode(certificate));
            uri.push('&');
        }
        uri.push_str("macaroon=");
        uri.push_str(&BASE64.encode(self.macaroon.as_bytes()));
        uri
    }

    pub(super) const fn certificate(&self) -> Option<&CertificateDer<'static>> {
        self.certificate.as_ref()
    }

    pub(super) const fn macaroon(&self) -> &Macaroon {
        &self.macaroon
    }

    /// The host without the brackets an IPv6 address is written in.
    pub(super) fn host(&self) -> &str {
        &self.address.host
    }
}

impl FromStr for LndConnect {
    type Err = LndConnectError;

    fn from_str(uri: &str) -> Result<Self, LndConnectError> {
        Self::parse(uri)
    }
}

impl fmt::Debug for LndConnect {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("LndConnect")
            .field("address", &self.address())
            .field("pinned", &self.certificate.is_some())
            .finish_non_exhaustive()
    }
}

/// Why a node cannot be named so. The text contains what to write instead, and never the macaroon.
#[derive(Debug, thiserror::Error)]
pub enum LndConnectError {
    /// The host or port is missing or malformed.
    #[error("{address} is no address: write host:port, like localhost:10009 or [::1]:10009")]
    Address {
        /// What was found, if it can be shown.
        address: String,
    },
    /// The certificate is not an X.509 certificate in DER, or the file not PEM.
    #[error("the certificate cannot be read: take the node's tls.cert")]
    Certificate,
    /// A file cannot be read.
    #[error("cannot read {file}: {source}")]
    File {
        /// Its path, if it can be shown.
        file: String,
        /// Why.
        source: io::Error,
    },
    /// The macaroon is not a macaroon.
    #[error("the macaroon cannot be read: take one of the node's .macaroon files")]
    Macaroon(#[source] MacaroonError),
    /// No `macaroon` parameter.
    #[error("no macaroon: write lndconnect://host:port?cert=…&macaroon=…")]
    MacaroonMissing,
    /// Another scheme, or none.
    #[error("not a lndconnect URI: write lndconnect://host:port?cert=…&macaroon=…")]
    NotLndConnect,
    /// A parameter is not URL-safe base64.
    #[error("parameter `{name}` is not URL-safe base64 (A-Z a-z 0-9 - _)")]
    NotBase64 {
        /// Its name.
        name: &'static str,
    },
    /// A parameter is there twice, so there are two readings.
    #[error("parameter `{name}` is given twice")]
    Repeated {
        /// Its name.
        name: &'static str,
    },
    /// Longer than any node's certificate and macaroon need.
    #[error("lndconnect URI of {len} bytes is longer than {MAX_URI_LEN}")]
    TooLong {
        /// Length found, in bytes.
        len: usize,
    },
    /// An undefined parameter; more likely a slip than an extension.
    #[error("unknown parameter {name}: lndconnect knows `cert` and `macaroon`")]
    UnknownParameter {
        /// Its name, if it can be shown.
        name: String,
    },
}

/// Schemes are the same in any case: RFC 3986, section 3.1.
fn after_scheme(uri: &str) -> Option<&str> {
    let (scheme, rest) = uri.split_at_checked(SCHEME.len())?;
    scheme.eq_ignore_ascii_case(SCHEME).then_some(rest)
}

/// A text from a place where a credential may stand by mistake, quoted.
fn shown(text: &str, otherwise: &str) -> String {
    plain_name(text).map_or_else(|| otherwise.to_owned(), |text| format!("`{text}`"))
}

/// A path, unless a part of it may be a credential that was written in its place.
fn shown_path(path: &Path) -> String {
    let text = path.display().to_string();
    let mut parts = text.split('/');
    if parts.any(|part| part.len() > PATH_PART_LEN_MAX) {
        return "the file: its name is as long as a credential, write a path".to_owned();
    }
    format!("`{text}`")
}

/// A host that TLS can check a certificate against, and a port.
#[derive(Clone, Eq, PartialEq)]
struct Address {
    host: String,
    port: u16,
}

impl Address {
    fn parse(text: &str) -> Result<Self, LndConnectError> {
        let refuse = || LndConnectError::Address {
            address: shown(text, "what stands there"),
        };
        let (host, port) = split_port(text).ok_or_else(refuse)?;
        let port = match port {
            Some(digits) => read_port(digits).ok_or_else(refuse)?,
            None => DEFAULT_PORT,
        };
        ServerName::try_from(host).map_err(|_malformed| refuse())?;
        Ok(Self {
            host: host.to_owned(),
            port,
        })
    }
}

impl fmt::Display for Address {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if self.host.contains(':') {
            write!(f, "[{}]:{}", self.host, self.port)
        } else {
            write!(f, "{}:{}", self.host, self.port)
        }
    }
}

/// Splits off the port; a bare IPv6 address has colons of its own and must stand in brackets.
fn split_port(text: &str) -> Option<(&str, Option<&str>)> {
    if let Some(bracketed) = text.strip_prefix('[') {
        let (host, rest) = bracketed.split_once(']')?;
        let is_ipv6 = host.contains(':');
        return match rest.strip_prefix(':') {
            Some(port) if is_ipv6 => Some((host, Some(port))),
            None if is_ipv6 && rest.is_empty() => Some((host, None)),
            Some(_) | None => None,
        };
    }
    match text.split_once(':') {
        Some((_, port)) if port.contains(':') => None,
        Some((host, port)) => Some((host, Some(port))),
        None => Some((text, None)),
    }
}

fn read_port(digits: &str) -> Option<u16> {
    let all_digits = digits.bytes().all(|digit| digit.is_ascii_digit());
    let port = digits.parse().ok()?;
    (all_digits && port != 0).then_some(port)
}

/// The two parameters, still in base64.
#[derive(Default)]
struct Parameters<'a> {
    cert: Option<&'a str>,
    macaroon: Option<&'a str>,
}

impl<'a> Parameters<'a> {
    fn parse(query: &'a str) -> Result<Self, LndConnectError> {
        let mut parameters = Self::default();
        for parameter in query.split('&').filter(|parameter| !parameter.is_empty()) {
            let (name, value) = parameter.split_once('=').unwrap_or((parameter, ""));
            let (name, slot) = match name {
                "cert" => ("cert", &mut parameters.cert),
                "macaroon" => ("macaroon", &mut parameters.macaroon),
                _ => {
                    let name = shown(name, "(not shown)");
                    return Err(LndConnectError::UnknownParameter { name });
                }
            };
            if slot.replace(value).is_some() {
                return Err(LndConnectError::Repeated { name });
            }
        }
        Ok(parameters)
    }

    /// An empty `cert=` is how some wallets write that there is none.
    fn certificate(&self) -> Result<Option<CertificateDer<'static>>, LndConnectError> {
        match self.cert {
            None | Some("") => Ok(None),
            Some(text) => checked(CertificateDer::from(decode("cert", text)?)).map(Some),
        }
    }

    fn macaroon(&self) -> Result<Macaroon, LndConnectError> {
        match self.macaroon {
            None | Some("") => Err(LndConnectError::MacaroonMissing),
            Some(text) => {
                Macaroon::parse_v2(decode("macaroon", text)?).map_err(LndConnectError::Macaroon)
            }
        }
    }
}

fn decode(name: &'static str, text: &str) -> Result<Vec<u8>, LndConnectError> {
    BASE64
        .decode(text)
        .map_err(|_not_base64| LndConnectError::NotBase64 { name })
}

fn certificate_of_pem(pem: &[u8]) -> Result<CertificateDer<'static>, LndConnectError> {
    let first: Result<_, pem::Error> = CertificateDer::from_pem_slice(pem);
    checked(first.map_err(|_not_pem| LndConnectError::Certificate)?)
}

fn checked(
    certificate: CertificateDer<'static>,
) -> Result<CertificateDer<'static>, LndConnectError> {
    match ParsedCertificate::try_from(&certificate) {
        Ok(_) => Ok(certificate),
        Err(_) => Err(LndConnectError::Certificate),
    }
}

/// Longer than the names of LND's files, shorter than any macaroon.
const PATH_PART_LEN_MAX: usize = 80;
const SCHEME: &str = "lndconnect://";
const DEFAULT_PORT: u16 = 10_009;
/// A QR code holds 4296 characters; a certificate with many names may be longer than that.
const MAX_URI_LEN: usize = 16_384;
/// Written without padding, as LND does; read with or without.
const BASE64: GeneralPurpose = GeneralPurpose::new(
    &URL_SAFE_ALPHABET,
    GeneralPurposeConfig::new()
        .with_encode_padding(false)
        .with_decode_padding_mode(DecodePaddingMode::Indifferent),
);

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_uri_reads_and_writes_back() {
        let uri = uri("node.example:10010");

        let connect = LndConnect::parse(&uri).unwrap();

        assert_eq!(connect.address(), "node.example:10010");
        assert!(connect.certificate().is_some());
        assert_eq!(connect.expose_uri(), uri);
    }

    #[test]
    fn the_host_may_be_a_name_or_an_address_of_either_kind() {
        for (written, address, host) in [
            ("localhost", "localhost:10009", "localhost"),
            ("127.0.0.1:1", "127.0.0.1:1", "127.0.0.1"),
            ("[::1]:65535", "[::1]:65535", "::1"),
            ("[fe80::1]", "[fe80::1]:10009", "fe80::1"),
        ] {
            let connect = LndConnect::parse(&uri(written)).unwrap();
            assert_eq!(connect.address(), address);
            assert_eq!(connect.host(), host);
        }
    }

    #[test]
    fn a_certificate_is_optional_and_may_be_left_empty() {
        let macaroon = BASE64.encode(macaroon());
        for query in [
            format!("macaroon={macaroon}"),
            format!("cert=&macaroon={macaroon}"),
            format!("macaroon={macaroon}&cert="),
        ] {
            let connect = LndConnect::parse(&format!("lndconnect://h:1?{query}")).unwrap();
            assert!(connect.certificate().is_none(), "{query}");
        }
    }

    #[test]
    fn padding_is_read_and_never_written() {
        let padded = base64::engine::general_purpose::URL_SAFE.encode(macaroon());
        assert!(padded.ends_with('='), "the vector must need padding");

        let connect = LndConnect::parse(&format!("lndconnect://h:1?macaroon={padded}")).unwrap();

        assert!(!connect.expose_uri().ends_with('='));
    }

    #[test]
    fn addresses_with_no_or_two_readings_are_refused() {
        for address in [
            "",
            ":10009",
            "host:",
            "host:0",
            "host:65536",
            "host:+1",
            "host:-1",
            "host:1:2",
            "::1",
            "[::1",
            "[::1]x",
            "[::1]:",
            "[]:1",
            "[host]:1",
            "[127.0.0.1]:1",
            "ho st:1",
            "host/:1",
            "host:1/",
            "user@host:1",
            "host:1#x",
            "höst:1",
            "host:１",
        ] {
            let refused = LndConnect::parse(&uri(address)).unwrap_err();
            assert!(
                matches!(&refused, LndConnectError::Address { .. }),
                "{address}: {refused}"
            );
            let shown = format!("`{address}` is no address");
            let can_be_shown = plain_name(address).is_some();
            assert_eq!(refused.to_string().contains(&shown), can_be_shown);
        }
    }

    #[test]
    fn the_scheme_may_be_in_any_case() {
        let usual = uri("h:1");
        let shouted = usual.replacen("lndconnect", "LNDCONNECT", 1);

        let connect = LndConnect::parse(&shouted).unwrap();

        assert_eq!(connect.expose_uri(), usual);
    }

    #[test]
    fn other_schemes_are_refused() {
        for text in ["", "lndconnect:", "https://h:1?macaroon=AgE", "h:10009"] {
            let refused = LndConnect::parse(text).unwrap_err();
            assert!(
                matches!(refused, LndConnectError::NotLndConnect),
                "{text}: {refused}"
            );
        }
    }

    #[test]
    fn each_parameter_is_well_formed_or_named() {
        let macaroon = BASE64.encode(macaroon());
        let hex = hex::encode(self::macaroon());
        for (query, expected) in [
            (String::new(), "no macaroon"),
            ("macaroon=".to_owned(), "no macaroon"),
            ("macaroon".to_owned(), "no macaroon"),
            ("cert=AAAA".to_owned(), "the certificate cannot be read"),
            (
                format!("cert=!&macaroon={macaroon}"),
                "`cert` is not URL-safe base64",
            ),
            (
                format!("cert=AAAA&macaroon={macaroon}"),
                "the certificate cannot be read",
            ),
            (
                format!("macaroon={macaroon}&macaroon={macaroon}"),
                "`macaroon` is given twice",
            ),
            (
                format!("cert=&cert=&macaroon={macaroon}"),
                "`cert` is given twice",
            ),
            (
                format!("macaroon={macaroon}&admin=1"),
                "unknown parameter `admin`",
            ),
            (
                format!("Macaroon={macaroon}"),
                "unknown parameter `Macaroon`",
            ),
            (
                format!("macaroon={macaroon}%3D"),
                "`macaroon` is not URL-safe base64",
            ),
            (
                format!("macaroon={macaroon} "),
                "`macaroon` is not URL-safe base64",
            ),
            (
                "macaroon=+/+/".to_owned(),
                "`macaroon` is not URL-safe base64",
            ),
            ("macaroon=AgE".to_owned(), "the macaroon cannot be read"),
            (format!("macaroon={hex}"), "the macaroon cannot be read"),
        ] {
            let refused = LndConnect::parse(&format!("lndconnect://h:1?{query}")).unwrap_err();
            assert!(refused.to_string().contains(expected), "{query}: {refused}");
        }
    }

    #[test]
    fn endless_uris_are_refused_unread() {
        let uri = format!("lndconnect://h:1?macaroon={}", "A".repeat(MAX_URI_LEN));
        let refused = LndConnect::parse(&uri).unwrap_err();
        assert!(
            matches!(refused, LndConnectError::TooLong { .. }),
            "{refused}"
        );
    }

    #[test]
    fn the_files_of_a_node_say_the_same_as_its_uri() {
        let folder = tempfile::tempdir().unwrap();
        let [cert, mac] = ["tls.cert", "admin.macaroon"].map(|name| folder.path().join(name));
        let certified = certified();
        fs::write(&cert, certified.cert.pem()).unwrap();
        fs::write(&mac, macaroon()).unwrap();

        let connect = LndConnect::from_files("localhost:10009", Some(&cert), &mac).unwrap();

        assert_eq!(connect.certificate(), Some(certified.cert.der()));
        assert_eq!(LndConnect::parse(&connect.expose_uri()).unwrap(), connect);
    }

    #[test]
    fn missing_and_swapped_files_are_refused_by_name() {
        let folder = tempfile::tempdir().unwrap();
        let [cert, mac, none] = ["c", "m", "none"].map(|name| folder.path().join(name));
        fs::write(&cert, certified().cert.pem()).unwrap();
        fs::write(&mac, macaroon()).unwrap();
        for (cert, mac, expected) in [
            (&none, &mac, "none`"),
            (&cert, &none, "none`"),
            (&mac, &mac, "the certificate cannot be read"),
            (&cert, &cert, "the macaroon cannot be read"),
        ] {
            let refused = LndConnect::from_files("h:1", Some(cert), mac).unwrap_err();
            assert!(refused.to_string().contains(expected), "{refused}");
        }
    }

    #[test]
    fn neither_debug_nor_errors_leak_the_macaroon() {
        let uri = uri("localhost:10009");
        let shown = format!("{:?}", LndConnect::parse(&uri).unwrap());
        assert_eq!(
            shown,
            r#"LndConnect { address: "localhost:10009", pinned: true, .. }"#
        );

        let secret = BASE64.encode(macaroon());
        let damaged =
            LndConnect::parse(&format!("lndconnect://h:1?macaroon={secret}A")).unwrap_err();
        assert!(!format!("{damaged} {damaged:?}").contains(&secret));
    }

    proptest::proptest! {
        #[test]
        fn no_text_makes_the_parser_panic(text in "(lndconnect://)?\\PC{0,200}") {
            drop(LndConnect::parse(&text));
        }

        #[test]
        fn what_is_accepted_is_written_back_to_the_same_node(
            address in "[a-z\\[\\]:.0-9]{1,20}",
        ) {
            let secret = BASE64.encode(macaroon());
            let uri = format!("lndconnect://{address}?macaroon={secret}");
            if let Ok(connect) = LndConnect::parse(&uri) {
                let again = LndConnect::parse(&connect.expose_uri()).unwrap();
                proptest::prop_assert_eq!(again, connect);
            }
        }
    }

    fn uri(address: &str) -> String {
        let cert = BASE64.encode(certified().cert.der());
        let macaroon = BASE64.encode(macaroon());
        format!("lndconnect://{address}?cert={cert}&macaroon={macaroon}")
    }

    fn macaroon() -> Vec<u8> {
        let root = l402::RootKey::new([7; 32]);
        let minted = Macaroon::mint(&root, "lnd", b"a root key of ours").unwrap();
        minted.as_bytes().to_owned()
    }

    fn certified() -> rcgen::CertifiedKey<rcgen::KeyPair> {
        rcgen::generate_simple_self_signed(["localhost".to_owned()]).unwrap()
    }
}
