//! `tollway token verify`: checks a token against a key, as a gateway would.
//!
//! With the directory of a gateway, its ledger is read as well: whether the token is revoked, and
//! how many uses are left. Without it, what was not checked is named.

use std::num::NonZeroU64;
use std::path::Path;

use l402::{
    Denial, Identifier, KeyRing, Macaroon, MasterKey, RequestContext, RevocationSet, RootKey,
    RootKeys, TokenId, UnixSeconds,
};
use serde_json::json;
use tollway_server::DataDir;
use tollway_server::keys::file::KeyFile;
use tollway_server::ledger::{LedgerReader, Reports as _};

use super::presented::Presented;
use super::revoke;
use crate::cli::{KeyArgs, VerifyArgs};
use crate::exit::Failure;
use crate::moment;
use crate::output::Output;

/// Checks the signature alone for a bare token, everything for a paid credential.
pub(super) async fn run(args: &VerifyArgs, output: Output) -> Result<(), Failure> {
    let presented = Presented::read(&args.token)?;
    let issuer = Issuer::open(&args.key)?;
    match &presented {
        Presented::Credential { credential, .. } => {
            let request = request(args)?;
            let verified = l402::verify(&*issuer.keys, &issuer.revoked, credential, &request)
                .map_err(Failure::general)?;
            let scope = verified.scope();
            let (expires_at, uses_max) = (scope.expires_at(), scope.uses_max());
            let uses_left = issuer
                .uses_left(scope.identifier().token_id, uses_max)
                .await?;
            let expires = expires_at.map_or_else(|| "never".to_owned(), moment::show);
            let service = &args.service;
            let checks = issuer.checks(uses_max, uses_left);
            let text = format!("valid: buys service `{service}`, expires {expires}{checks}");
            output.line(
                &text,
                &json!({
                    "valid": true,
                    "paid": true,
                    "service": service,
                    "expires_at": expires_at.map(UnixSeconds::as_secs),
                    "max_uses": uses_max,
                    "uses_left": uses_left,
                    "not_checked": issuer.not_checked(uses_max),
                }),
            )
        }
        Presented::Challenge { macaroon, .. } | Presented::Token(macaroon) => {
            issuer.check_signature(macaroon)?;
            let text =
                "signature holds; not paid: give the whole credential to check payment and caveats";
            let mut not_checked = vec!["payment", "caveats", "uses"];
            not_checked.extend(issuer.not_checked(None));
            output.line(
                text,
                &json!({ "valid": true, "paid": false, "not_checked": not_checked }),
            )
        }
    }
}

/// Whose tokens are checked.
struct Issuer {
    keys: Box<dyn RootKeys>,
    revoked: RevocationSet,
    /// `None` when only a key is known.
    books: Option<Books>,
}

/// A ledger, if tokens were ever sold.
struct Books(Option<LedgerReader>);

impl Issuer {
    fn open(args: &KeyArgs) -> Result<Self, Failure> {
        if let Some(keys) = given_keys(args)? {
            return Ok(Self {
                keys,
                revoked: RevocationSet::default(),
                books: None,
            });
        }
        let dir = revoke::data_dir(args.data_dir.as_ref())?;
        let key_file = DataDir::key_file(&dir);
        if args.data_dir.is_none() && !key_file.exists() {
            return Err(Failure::usage(format!(
                "no gateway has its keys in {}: name its directory with --data-dir, or give a key with --key-file, --key or --root-key",
                dir.display()
            )));
        }
        let keys = Box::new(ring(&key_file)?);
        let ledger = DataDir::open_reports(&dir).map_err(Failure::caused)?;
        let revoked = ledger.as_ref().map(revoke::revoked_by).transpose()?;
        Ok(Self {
            keys,
            revoked: revoked.unwrap_or_default(),
            books: Some(Books(ledger)),
        })
    }

    /// Returns the uses that are left of a counted token, if that is known.
    ///
    /// # Errors
    ///
    /// Fails when none is left.
    async fn uses_left(
        &self,
        token: TokenId,
        uses_max: Option<NonZeroU64>,
    ) -> Result<Option<u64>, Failure> {
        let (Some(Books(ledger)), Some(uses_max)) = (&self.books, uses_max) else {
            return Ok(None);
        };
        let record = match ledger {
            Some(ledger) => ledger.token(token).await.map_err(Failure::caused)?,
            None => None,
        };
        let used = record.map_or(0, |record| record.uses);
        match uses_max.get().saturating_sub(used) {
            0 => Err(Failure::general(format!(
                "every use of the token has been taken: {used} of {uses_max}"
            ))),
            left => Ok(Some(left)),
        }
    }

    fn check_signature(&self, macaroon: &Macaroon) -> Result<(), Failure> {
        let root = self
            .keys
            .root_key(macaroon.identifier())
            .ok_or_else(|| Failure::general(Denial::Forged))?;
        macaroon.verify(&root).map_err(Failure::general)?;
        let Ok(identifier) = Identifier::parse(macaroon.identifier()) else {
            return Ok(());
        };
        let token = identifier.token_id;
        if self.revoked.is_revoked(&token, self.keys.minted_at(&token)) {
            return Err(Failure::general(Denial::Revoked));
        }
        Ok(())
    }

    /// Returns what a gateway checks and this command could not.
    fn not_checked(&self, uses_max: Option<NonZeroU64>) -> Vec<&'static str> {
        match (&self.books, uses_max) {
            (Some(_), _) => Vec::new(),
            (None, None) => vec!["revocation"],
            (None, Some(_)) => vec!["revocation", "uses"],
        }
    }

    /// Returns the end of the line for people: what was checked with the ledger, or was not.
    fn checks(&self, uses_max: Option<NonZeroU64>, uses_left: Option<u64>) -> String {
        match (&self.books, uses_max, uses_left) {
            (None, None, _) => " (revocation is not checked: --data-dir checks it)".to_owned(),
            (None, Some(_), _) => {
                " (revocation and uses are not checked: --data-dir checks them)".to_owned()
            }
            (Some(_), Some(max), Some(left)) => {
                format!(", not revoked, {left} of {max} uses left")
            }
            (Some(_), _, _) => ", not revoked, any number of uses".to_owned(),
        }
    }
}

/// Returns the keys that were given without a directory.
fn given_keys(args: &KeyArgs) -> Result<Option<Box<dyn RootKeys>>, Failure> {
    let hex = |text: &str| {
        MasterKey::from_hex(text.trim())
            .map_err(|error| Failure::usage(format!("the key is {error}")))
    };
    if let Some(key) = &args.key {
        return Ok(Some(Box::new(KeyRing::new(hex(key)?))));
    }
    if let Some(file) = &args.key_file {
        return Ok(Some(Box::new(ring(file)?)));
    }
    let Some(root) = &args.root_key else {
        return Ok(None);
    };
    let root: l402::PaymentHash = root
        .parse()
        .map_err(|error| Failure::usage(format!("the root key is {error}")))?;
    Ok(Some(Box::new(RootKey::new(*root.as_bytes()))))
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
