//! `tollway token verify`: checks a token against a key, as a gateway would.

use std::path::Path;

use l402::{KeyRing, MasterKey, RequestContext, RevocationSet, RootKey, RootKeys, UnixSeconds};
use serde_json::json;
use tollway_server::keys::file::KeyFile;

use super::presented::Presented;
use crate::cli::{KeyArgs, VerifyArgs};
use crate::exit::Failure;
use crate::moment;
use crate::output::Output;

/// Checks the signature alone for a bare token, everything for a paid credential.
pub(super) fn run(args: &VerifyArgs, output: Output) -> Result<(), Failure> {
    let presented = Presented::read(&args.token)?;
    let keys = keys(&args.key)?;
    match &presented {
        Presented::Credential { credential, .. } => {
            let request = request(args)?;
            let verified = l402::verify(&*keys, &RevocationSet::default(), credential, &request)
                .map_err(Failure::general)?;
            let expires_at = verified.scope().expires_at();
            let expires = expires_at.map_or_else(|| "never".to_owned(), moment::show);
            let text = format!("valid: buys service `{}`, expires {expires}", args.service);
            let expires_at = expires_at.map(UnixSeconds::as_secs);
            output.line(&text, &json!({ "valid": true, "paid": true, "service": args.service, "expires_at": expires_at }))
        }
        Presented::Challenge { macaroon, .. } | Presented::Token(macaroon) => {
            let root = keys
                .root_key(macaroon.identifier())
                .ok_or_else(|| Failure::general(l402::Denial::Forged))?;
            macaroon.verify(&root).map_err(Failure::general)?;
            let text =
                "signature holds; not paid: give the whole credential to check payment and caveats";
            output.line(text, &json!({ "valid": true, "paid": false }))
        }
    }
}

fn keys(args: &KeyArgs) -> Result<Box<dyn RootKeys>, Failure> {
    let hex = |text: &str| {
        MasterKey::from_hex(text.trim())
            .map_err(|error| Failure::usage(format!("the key is {error}")))
    };
    match (&args.key, &args.key_file, &args.root_key) {
        (Some(key), None, None) => Ok(Box::new(KeyRing::new(hex(key)?))),
        (None, Some(file), None) => Ok(Box::new(ring(file)?)),
        (None, None, Some(root)) => {
            let root: l402::PaymentHash = root
                .parse()
                .map_err(|error| Failure::usage(format!("the root key is {error}")))?;
            Ok(Box::new(RootKey::new(*root.as_bytes())))
        }
        (None, None, None)
        | (Some(_), Some(_), _)
        | (Some(_), _, Some(_))
        | (_, Some(_), Some(_)) => Err(Failure::usage(
            "give one key: --key-file FILE, --key HEX or --root-key HEX",
        )),
    }
}

/// Reads every key of a gateway, the retired ones included.
fn ring(file: &Path) -> Result<KeyRing, Failure> {
    let keys = KeyFile::read(file).map_err(Failure::usage)?;
    keys.ring().map_err(Failure::usage)
}

fn request(args: &VerifyArgs) -> Result<RequestContext<'_>, Failure> {
    let now = match args.at {
        Some(at) => at,
        None => moment::now()?,
    };
    Ok(
        RequestContext::new(&args.service, &args.method, &args.path, now)
            .with_capability(args.capability.as_deref())
            .with_client_ip(args.ip)
            .with_origin(args.origin.as_deref()),
    )
}
