//! `tollway token`: stored tokens, and tokens in any other form.
//!
//! Nothing is sent or paid. A preimage is compared, and printed only as part of a credential
//! that was asked for.

mod attenuate;
mod facts;
mod fit;
mod id;
mod import;
mod inspect;
mod presented;
mod revoke;
mod stored;
mod typed;
mod verify;

pub(super) use self::revoke::revoked_by;
use crate::cli::TokenCommand;
use crate::exit::Failure;
use crate::output::Output;

/// Runs one of the token commands.
pub(crate) async fn run(command: &TokenCommand, output: Output) -> Result<(), Failure> {
    match command {
        TokenCommand::Attenuate(args) => attenuate::run(args, output),
        TokenCommand::Import(args) => import::run(args, output),
        TokenCommand::Inspect(args) => inspect::run(args, output),
        TokenCommand::List => stored::list(output),
        TokenCommand::Remove(args) => stored::remove(args, output),
        TokenCommand::Revoke(args) => revoke::run(args, output).await,
        TokenCommand::Show(args) => stored::show(args, output),
        TokenCommand::Verify(args) => verify::run(args, output).await,
    }
}
