//! Commands and arguments of `tollway token`.

use std::net::IpAddr;
use std::path::PathBuf;

use clap::{Args, Subcommand};
use l402::UnixSeconds;

use crate::input::condition;
use crate::moment;

#[derive(Debug, Subcommand)]
pub(crate) enum TokenCommand {
    /// Add caveats: the result can do less, never more.
    #[command(after_help = condition::help())]
    Attenuate(AttenuateArgs),
    /// Show what a token, credential or challenge contains.
    Inspect(InspectArgs),
    /// List the stored tokens: what was bought, where, and how long it is good for.
    List,
    /// Remove a stored token, so that it is not presented again. What it cost still counts.
    Remove(StoredTokenArgs),
    /// Make a token invalid, or all minted before a moment; running gateways follow.
    Revoke(RevokeArgs),
    /// Show a stored token with its credential, which can be spent by anyone who sees it.
    Show(ShowTokenArgs),
    /// Check a token or credential against a key.
    Verify(Box<VerifyArgs>),
}

#[derive(Args, Debug)]
pub(crate) struct StoredTokenArgs {
    /// The ID that `tollway token list` shows, or the beginning of it.
    #[arg(value_name = "ID")]
    pub(crate) id: String,
}

#[derive(Args, Debug)]
pub(crate) struct ShowTokenArgs {
    /// The ID that `tollway token list` shows, or the beginning of it.
    #[arg(value_name = "ID")]
    pub(crate) id: String,
    /// Print the `Authorization` line alone, for `curl -H "$(tollway token show ID --header)"`.
    #[arg(long)]
    pub(crate) header: bool,
}

#[derive(Args, Debug)]
pub(crate) struct AttenuateArgs {
    /// The ID of a stored token, a token (base64, hex or JSON), `token:preimage` or an
    /// `Authorization` line; `-` reads standard input.
    pub(crate) token: String,
    /// Conditions to add, like `path=/v1` or `expires=1h`; the list is below.
    #[arg(required = true, value_name = "NAME=VALUE")]
    pub(crate) caveats: Vec<String>,
    /// Add what a tollway gateway does not know or would refuse, for another verifier.
    #[arg(long)]
    pub(crate) force: bool,
}

#[derive(Args, Debug)]
pub(crate) struct InspectArgs {
    /// The ID of a stored token, a token (base64, hex or JSON), `token:preimage`, an
    /// `Authorization` or a `WWW-Authenticate` line; `-` reads standard input.
    pub(crate) token: String,
}

#[derive(Args, Debug)]
#[command(group = clap::ArgGroup::new("revoked").required(true))]
pub(crate) struct RevokeArgs {
    /// A token id, the ID of a stored token, a token (base64, hex or JSON), `token:preimage`
    /// or an `Authorization` line; `-` reads standard input.
    #[arg(group = "revoked")]
    pub(crate) token: Option<String>,
    /// Revoke every token minted before this moment, a date or Unix seconds.
    #[arg(long, group = "revoked", value_name = "MOMENT", value_parser = moment::parse)]
    pub(crate) minted_before: Option<UnixSeconds>,
    /// The gateway's directory; default: gateway in the tollway folder.
    #[arg(long, value_name = "FOLDER")]
    pub(crate) data_dir: Option<PathBuf>,
}

#[derive(Args, Debug)]
pub(crate) struct VerifyArgs {
    /// The ID of a stored token, a token (base64, hex or JSON), `token:preimage` or an
    /// `Authorization` line; `-` reads standard input.
    pub(crate) token: String,
    #[command(flatten)]
    pub(crate) key: KeyArgs,
    /// The service the request is for.
    #[arg(long, default_value = "default", value_name = "NAME")]
    pub(crate) service: String,
    /// The capability the route needs.
    #[arg(long, value_name = "NAME")]
    pub(crate) capability: Option<String>,
    /// The method of the request.
    #[arg(long, default_value = "GET", value_name = "METHOD")]
    pub(crate) method: String,
    /// The path of the request.
    #[arg(long, default_value = "/", value_name = "PATH")]
    pub(crate) path: String,
    /// The client's address.
    #[arg(long, value_name = "ADDRESS")]
    pub(crate) ip: Option<IpAddr>,
    /// The request's Origin header.
    #[arg(long, value_name = "ORIGIN")]
    pub(crate) origin: Option<String>,
    /// When the request arrives, a date or Unix seconds; default now.
    #[arg(long, value_name = "MOMENT", value_parser = moment::parse)]
    pub(crate) at: Option<UnixSeconds>,
}

#[derive(Args, Debug)]
#[group(required = true, multiple = false)]
pub(crate) struct KeyArgs {
    /// The gateway's master key file.
    #[arg(long, value_name = "FILE")]
    pub(crate) key_file: Option<PathBuf>,
    /// The master key in hexadecimal. Other users of this machine can see it: prefer --key-file.
    #[arg(long, value_name = "HEX")]
    pub(crate) key: Option<String>,
    /// This one token's root key in hexadecimal.
    #[arg(long, value_name = "HEX")]
    pub(crate) root_key: Option<String>,
}
