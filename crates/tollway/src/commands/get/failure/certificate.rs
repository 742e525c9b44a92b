//! Refused certificates, in words: what is wrong and what changes it.

use l402::UnixSeconds;
use rustls::CertificateError;
use rustls::pki_types::UnixTime;
use tollway_client::Origin;

use crate::moment;

/// Returns why the certificate of a server is refused, and what to do about it.
pub(super) fn refusal(origin: &Origin, reason: &CertificateError) -> String {
    format!(
        "the certificate of {origin} is refused: {}",
        why(origin, reason)
    )
}

#[expect(
    clippy::wildcard_enum_match_arm,
    reason = "the reasons that a person can act on"
)]
fn why(origin: &Origin, reason: &CertificateError) -> String {
    match reason {
        CertificateError::NotValidForNameContext { presented, .. } => wrong_name(origin, presented),
        CertificateError::ExpiredContext { not_after, .. } => {
            format!("it expired at {}", show(not_after))
        }
        CertificateError::NotValidYetContext { not_before, .. } => format!(
            "it is valid only from {} on: is the clock of this machine right?",
            show(not_before)
        ),
        CertificateError::UnknownIssuer => format!(
            "it was not issued by an authority that is trusted here; {}",
            trust(origin)
        ),
        // Only the text of webpki's own reasons is public.
        reason if format!("{reason:?}").contains("CaUsedAsEndEntity") => format!(
            "it is an authority's own and not among those that are trusted here; {}",
            trust(origin)
        ),
        other => other.to_string(),
    }
}

fn wrong_name(origin: &Origin, presented: &[String]) -> String {
    // As rustls writes them: DnsName("localhost").
    let names = presented.iter().map(|name| {
        let inner = name
            .split_once('(')
            .map_or(name.as_str(), |(_, inner)| inner);
        inner.trim_end_matches(')').trim_matches('"')
    });
    let names: Vec<&str> = names.collect();
    let host = origin.host();
    if names.is_empty() {
        return format!(
            "it names no host: issue it with -addext subjectAltName=DNS:{host}, or IP: before an address"
        );
    }
    format!("it is for {}, not for {host}", names.join(", "))
}

fn trust(origin: &Origin) -> String {
    let (host, port) = (origin.host(), origin.port());
    format!(
        "--ca-cert FILE (ca_cert in [get]) trusts its authority, or the certificate itself, which `openssl s_client -connect {host}:{port} </dev/null | openssl x509 >FILE` saves: compare it with the seller's"
    )
}

fn show(time: &UnixTime) -> String {
    moment::show(UnixSeconds::new(time.as_secs()))
}
