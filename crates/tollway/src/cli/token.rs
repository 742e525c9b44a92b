//! Commands and arguments of `tollway token`.

use std::net::IpAddr;
use std::path::PathBuf;

use clap::{Args, Subcommand};
use l402::UnixSeconds;

use super::heading;
use crate::input::{Secret, condition};
use crate::moment;

#[derive(Debug, Subcommand)]
#[command(after_help = EXAMPLES)]
pub(crate) enum TokenCommand {
    /// Add caveats: the result can do less, never more.
    Attenuate(AttenuateArgs),
    /// Store a token that was bought elsewhere, to present it.
    Import(ImportArgs),
    /// Show what a token, credential, challenge or invoice contains.
    Inspect(InspectArgs),
    /// List the stored tokens: where from, and what they are good for.
    #[command(after_help = "Examples:\n  tollway token list\n  tollway token list --json")]
    List,
    /// Remove a stored token: it is not presented again.
    Remove(RemoveTokenArgs),
    /// Make tokens that were sold invalid: one, or all until now.
    Revoke(RevokeArgs),
    /// Show a stored token with its credential, which is money.
    Show(ShowTokenArgs),
    /// Check a token or credential against a key.
    Verify(Box<VerifyArgs>),
}

#[derive(Args, Debug)]
#[command(group = clap::ArgGroup::new("removed").required(true), after_help = REMOVE_EXAMPLES)]
pub(crate) struct RemoveTokenArgs {
    /// IDs or URLs in `tollway token list`.
    #[arg(value_name = "ID", group = "removed")]
    pub(crate) ids: Vec<String>,
    /// Remove every token that is not usable.
    #[arg(long, group = "removed")]
    pub(crate) unusable: bool,
}

#[derive(Args, Debug)]
#[command(after_help = SHOW_EXAMPLES)]
pub(crate) struct ShowTokenArgs {
    /// Its ID or its URL in `tollway token list`.
    #[arg(value_name = "ID")]
    pub(crate) id: String,
    /// Print the `Authorization` line alone, for curl -H @-.
    #[arg(long, help_heading = heading::OUTPUT)]
    pub(crate) header: bool,
}

#[derive(Args, Debug)]
#[command(after_help = attenuate_help())]
pub(crate) struct AttenuateArgs {
    /// ID, token, `token:preimage`, header line, @FILE, or - (stdin).
    pub(crate) token: Secret,
    /// Conditions to add, from the list below.
    #[arg(required = true, value_name = "NAME=VALUE")]
    pub(crate) caveats: Vec<String>,
    /// Add what a tollway gateway does not know or would refuse.
    #[arg(long)]
    pub(crate) force: bool,
}

#[derive(Args, Debug)]
#[command(after_help = IMPORT_EXAMPLES)]
pub(crate) struct ImportArgs {
    /// The URL that it is for; it is presented to all of its origin.
    pub(crate) url: String,
    /// `token:preimage`, header line, @FILE, or - for stdin.
    pub(crate) credential: Secret,
}

#[derive(Args, Debug)]
#[command(after_help = INSPECT_EXAMPLES)]
pub(crate) struct InspectArgs {
    /// ID, token, header line, whole response, invoice, @FILE, or -.
    pub(crate) token: Secret,
}

#[derive(Args, Debug)]
#[command(
    group = clap::ArgGroup::new("revoked").required(true),
    after_help = REVOKE_EXAMPLES,
    override_usage = "tollway token revoke [OPTIONS] <TOKEN>",
)]
pub(crate) struct RevokeArgs {
    /// ID of a sale or a stored token, token id, token, @FILE, or -.
    #[arg(group = "revoked")]
    pub(crate) token: Option<Secret>,
    /// All minted before a date, now, … [default: none]
    #[arg(long, group = "revoked", value_name = "MOMENT", value_parser = moment::parse)]
    pub(crate) minted_before: Option<UnixSeconds>,
    /// Everything sold until now.
    #[arg(long, group = "revoked")]
    pub(crate) all: bool,
    /// Print what is revoked, and revoke nothing.
    #[arg(long, group = "revoked")]
    pub(crate) list: bool,
    /// The gateway's [default: gateway in the tollway folder]
    #[arg(long, value_name = "DIR", help_heading = heading::STORAGE)]
    pub(crate) data_dir: Option<PathBuf>,
}

#[derive(Args, Debug)]
#[command(after_help = VERIFY_EXAMPLES, override_usage = "tollway token verify [OPTIONS] <TOKEN>")]
pub(crate) struct VerifyArgs {
    /// ID, token, `token:preimage`, header line, @FILE, or - (stdin).
    pub(crate) token: Secret,
    #[command(flatten)]
    pub(crate) key: KeyArgs,
    /// The service the request is for.
    #[arg(long, default_value = "default", value_name = "NAME", help_heading = heading::REQUEST)]
    pub(crate) service: String,
    /// The capability the route needs [default: none]
    #[arg(long, value_name = "NAME", help_heading = heading::REQUEST)]
    pub(crate) capability: Option<String>,
    /// The method of the request.
    #[arg(long, default_value = "GET", value_name = "METHOD", help_heading = heading::REQUEST)]
    pub(crate) method: String,
    /// The path of the request.
    #[arg(long, default_value = "/", value_name = "PATH", help_heading = heading::REQUEST)]
    pub(crate) path: String,
    /// The client's address [default: unknown]
    #[arg(long, value_name = "ADDRESS", help_heading = heading::REQUEST)]
    pub(crate) ip: Option<IpAddr>,
    /// The request's Origin header [default: none]
    #[arg(long, value_name = "ORIGIN", help_heading = heading::REQUEST)]
    pub(crate) origin: Option<String>,
    /// When it arrives, a date or seconds [default: now]
    #[arg(long, value_name = "MOMENT", value_parser = moment::parse, help_heading = heading::REQUEST)]
    pub(crate) at: Option<UnixSeconds>,
}

#[derive(Args, Debug)]
#[group(multiple = false)]
pub(crate) struct KeyArgs {
    /// A gateway's [default: gateway in the tollway folder]
    #[arg(long, value_name = "DIR", help_heading = heading::KEY)]
    pub(crate) data_dir: Option<PathBuf>,
    /// A master key file, without a ledger [default: none]
    #[arg(long, value_name = "FILE", help_heading = heading::KEY)]
    pub(crate) key_file: Option<PathBuf>,
    /// The master key; others can see it here [default: none]
    #[arg(long, value_name = "HEX", help_heading = heading::KEY)]
    pub(crate) key: Option<Secret>,
    /// This one token's root key [default: none]
    #[arg(long, value_name = "HEX", help_heading = heading::KEY)]
    pub(crate) root_key: Option<Secret>,
}

fn attenuate_help() -> String {
    format!("{ATTENUATE_EXAMPLES}\n\n{}", condition::help())
}

const EXAMPLES: &str = "\
Examples:
  tollway token list
  tollway token show 3f0a9c1e --header
  tollway token attenuate 3f0a9c1e path=/v1 expires=1h";

const ATTENUATE_EXAMPLES: &str = "\
Examples:
  tollway token attenuate 3f0a9c1e path=/v1 expires=1h
  tollway token attenuate - method=GET < token.txt";

const IMPORT_EXAMPLES: &str = "\
Examples:
  tollway token import localhost:8402 @credential.txt
  tollway token attenuate 3f0a9c1e path=/v1 | tollway token import :8402 -";

const INSPECT_EXAMPLES: &str = "\
Examples:
  tollway token inspect 3f0a9c1e
  curl -si localhost:8402/joke | tollway token inspect -";

const REVOKE_EXAMPLES: &str = "\
Examples:
  tollway token revoke 3f0a9c1e
  tollway token revoke --minted-before '2027-01-31 12:00'
  tollway token revoke --all";

const SHOW_EXAMPLES: &str = "\
Examples:
  tollway token show 3f0a9c1e
  tollway token show 3f0a9c1e --header | curl -H @- localhost:8402/joke";

const VERIFY_EXAMPLES: &str = "\
Examples:
  tollway token verify 3f0a9c1e --path /v1
  tollway token verify @token.txt --key-file master.key";

const REMOVE_EXAMPLES: &str = "\
Examples:
  tollway token remove 3f0a9c1e
  tollway token remove --unusable

What a token cost still counts against the limits.";
