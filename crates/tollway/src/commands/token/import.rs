//! `tollway token import`: stores a token that was bought elsewhere.
//!
//! `tollway get` then presents it as one of its own. Nothing is paid and nothing counts against
//! a limit. That the seller accepts the token is not known before it is presented.

use http::Uri;
use l402::{Credential, Identifier, Msat};
use serde_json::json;
use tollway_client::Origin;
use tollway_client::book::{QueryHash, SoldToken, StoredCredential, TargetResource, UseCounts};

use super::id::StoredTokens;
use super::presented::Presented;
use crate::cli::ImportArgs;
use crate::exit::Failure;
use crate::input;
use crate::moment;
use crate::output::Output;

/// Stores a credential for the server that issued it.
pub(super) fn run(args: &ImportArgs, output: Output) -> Result<(), Failure> {
    let uri = input::url(&args.url).map_err(Failure::usage)?;
    let resource = resource(&uri)?;
    let stored = credential(&Presented::read(&args.credential)?, resource)?;
    let now = moment::now()?;
    if let Some(deadline) = stored.token.deadline().filter(|deadline| now >= *deadline) {
        let deadline = moment::show(deadline);
        return Err(Failure::usage(format!("the token expired {deadline}")));
    }
    let hash = stored.payment_hash();
    let tokens = StoredTokens::open()?;
    if !tokens.book.import(&stored).map_err(Failure::general)? {
        return Err(Failure::usage(format!(
            "the token {}, or one made from it, is stored already: `tollway token remove` makes room for this one",
            id(&hash.to_string())
        )));
    }
    let (origin, path) = (&stored.resource.origin, &stored.resource.path);
    let hash = hash.to_string();
    output.line(
        &format!(
            "stored {} for {origin}: `tollway get` presents it there",
            id(&hash)
        ),
        &json!({
            "id": id(&hash),
            "payment_hash": hash,
            "state": "stored",
            "origin": origin.to_string(),
            "path": path,
            "expires_at": stored.token.deadline().map(l402::UnixSeconds::as_secs),
        }),
    )
}

fn resource(uri: &Uri) -> Result<TargetResource, Failure> {
    Ok(TargetResource {
        origin: Origin::of(uri).map_err(Failure::usage)?,
        method: "GET".to_owned(),
        path: uri.path().to_owned(),
        query: QueryHash::new(uri.query()),
    })
}

/// Returns the credential as it is stored: the token as its issuer wrote it.
fn credential(
    presented: &Presented,
    resource: TargetResource,
) -> Result<StoredCredential, Failure> {
    let (credential, scheme, token) = match presented {
        Presented::Credential {
            credential,
            scheme,
            token,
        } => (credential, *scheme, token.clone()),
        Presented::Challenge { .. } => {
            return Err(Failure::usage(
                "this is a challenge, which is not paid: `tollway get URL` pays it",
            ));
        }
        Presented::Token(_) => {
            return Err(Failure::usage(
                "the preimage is missing: give `token:preimage` or the Authorization line",
            ));
        }
    };
    check_paid(credential)?;
    Ok(StoredCredential {
        resource,
        token: SoldToken::L402 {
            name: scheme,
            token,
        },
        preimage: credential.preimage().clone(),
        price: Msat::ZERO,
        fee: Msat::ZERO,
        bought_at: moment::now()?,
        holder: None,
        uses: UseCounts::default(),
    })
}

/// Refuses a preimage that is not the one of the token's payment: no server accepts it.
fn check_paid(credential: &Credential) -> Result<(), Failure> {
    let identifier = Identifier::parse(credential.macaroon().identifier())
        .map_err(|error| Failure::usage(format!("the token is not one of L402: {error}")))?;
    if credential.preimage().matches(&identifier.payment_hash) {
        return Ok(());
    }
    Err(Failure::usage(
        "the preimage is not the one of the token's payment: copy both from one credential",
    ))
}

fn id(hash: &str) -> &str {
    hash.get(..ID_LEN).unwrap_or(hash)
}

const ID_LEN: usize = 8;
