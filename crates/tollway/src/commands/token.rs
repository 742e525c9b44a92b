//! `tollway token`: explains a token, narrows one, checks one.
//!
//! All but `revoke` work on text alone: nothing is sent, paid or stored. A preimage is
//! compared and never printed.

mod inspect;
mod presented;
mod revoke;
mod verify;

use crate::cli::{AttenuateArgs, TokenCommand};
use crate::exit::Failure;
use crate::output::Output;

use self::presented::Presented;

/// Runs one of the token commands.
pub(crate) async fn run(command: &TokenCommand, output: Output) -> Result<(), Failure> {
    match command {
        TokenCommand::Attenuate(args) => attenuate(args, output),
        TokenCommand::Inspect(args) => inspect::run(args, output),
        TokenCommand::Revoke(args) => revoke::run(args, output).await,
        TokenCommand::Verify(args) => verify::run(args, output),
    }
}

/// Adds caveats and prints the result in the form the token came in.
fn attenuate(args: &AttenuateArgs, output: Output) -> Result<(), Failure> {
    let presented = Presented::read(&args.token)?;
    let mut macaroon = presented.macaroon().clone();
    for text in &args.caveats {
        let caveat = l402::Caveat::parse(text).map_err(Failure::usage)?;
        macaroon = macaroon
            .with_caveat(caveat.as_str().as_bytes())
            .map_err(Failure::usage)?;
    }
    let text = presented.with_macaroon(macaroon)?;
    output.line(&text, &serde_json::json!({ "token": text }));
    Ok(())
}
