//! Failures to start, with the flag that changes the outcome.

use std::io;
use std::net::SocketAddr;
use std::path::Path;

use tollway_gateway::{PemProblem, StartError, TlsError};

use crate::cli::ServeArgs;
use crate::exit::{Failure, FailureKind, with_sources};
use crate::port_owner::listener_on;

/// Returns the failure of a gateway that did not start.
pub(super) fn of(error: &StartError, args: &ServeArgs) -> Failure {
    match error {
        StartError::Listen { address, source } => listen(*address, source, flag_of(*address, args)),
        StartError::OwnUpstream { upstream } => Failure::usage(format!(
            "--upstream {upstream} is this gateway's own address: name the service behind it, or another address with --listen"
        )),
        StartError::Tls(error) => tls(error, args),
        StartError::NoTrustedProxies => Failure::usage(
            "--proxy-protocol needs the addresses of the proxies: add --trusted-proxy, like --trusted-proxy 10.0.0.0/8",
        ),
        error @ (StartError::NothingToListenOn
        | StartError::Routing(_)
        | StartError::Thread(_)
        | _) => Failure::general(with_sources(error)),
    }
}

/// Returns why an address cannot be listened on, and who uses it as far as that is known.
pub(crate) fn listen(address: SocketAddr, error: &io::Error, flag: &str) -> Failure {
    let (kind, reason) = if error.kind() == io::ErrorKind::AddrInUse {
        let owner = listener_on(address).map(|owner| format!(" by {owner}"));
        let reason = format!("the port is in use{}", owner.unwrap_or_default());
        (FailureKind::PortInUse, reason)
    } else if error.kind() == io::ErrorKind::PermissionDenied {
        let reason = format!("{error}: ports below 1024 need privileges");
        (FailureKind::General, reason)
    } else {
        (FailureKind::General, error.to_string())
    };
    let message = format!("cannot listen on {address}: {reason}; {flag} chooses another address");
    Failure::new(kind, message)
}

fn flag_of(address: SocketAddr, args: &ServeArgs) -> &'static str {
    if args.listen == address {
        "--listen"
    } else if args.tls_listen == Some(address) {
        "--tls-listen"
    } else {
        "--admin"
    }
}

fn tls(error: &TlsError, args: &ServeArgs) -> Failure {
    match error {
        TlsError::File { path, problem } => {
            let is_key =
                args.tls_key.as_deref() == Some(path) && !matches!(problem, PemProblem::HoldsKey);
            let flag = if is_key { "--tls-key" } else { "--tls-cert" };
            let remedy = remedy(path, problem, is_key);
            Failure::usage(format!("{flag} {}: {problem}; {remedy}", path.display()))
        }
        TlsError::KeyMismatch { certificate, key } => Failure::usage(format!(
            "--tls-key {} does not belong to --tls-cert {}: name the key it was made with, or make a new pair: {NEW_PAIR}",
            key.display(),
            certificate.display()
        )),
        error @ (TlsError::NoAuthorities { .. }
        | TlsError::Setup(_)
        | TlsError::UnnameableHost { .. }
        | TlsError::Unusable { .. }
        | _) => Failure::usage(format!(
            "{} (--tls-cert and --tls-key name the files); a pair that works: {NEW_PAIR}",
            with_sources(error)
        )),
    }
}

fn remedy(path: &Path, problem: &PemProblem, is_key: bool) -> String {
    let path = path.display();
    match problem {
        PemProblem::HoldsKey | PemProblem::HoldsCertificate => {
            "are --tls-cert and --tls-key swapped?".to_owned()
        }
        PemProblem::Der if is_key => {
            format!("convert it: openssl pkey -inform der -in {path} -out key.pem")
        }
        PemProblem::Der => {
            format!("convert it: openssl x509 -inform der -in {path} -out cert.pem")
        }
        PemProblem::Exposed => format!("chmod 600 {path}"),
        PemProblem::Encrypted => format!("decrypt it: openssl pkey -in {path} -out key.pem"),
        PemProblem::Empty
        | PemProblem::Malformed(_)
        | PemProblem::NotPem
        | PemProblem::Unreadable(_)
        | _ => format!("to make a self-signed pair: {NEW_PAIR}"),
    }
}

/// Makes a certificate that strict clients accept once they trust it: for names, and not of an
/// authority.
const NEW_PAIR: &str = "openssl req -x509 -newkey rsa:2048 -nodes -days 365 -subj /CN=localhost -addext subjectAltName=DNS:localhost,IP:127.0.0.1 -addext basicConstraints=critical,CA:FALSE -keyout key.pem -out cert.pem";
