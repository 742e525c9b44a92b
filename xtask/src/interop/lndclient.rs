//! A Go program on `lndclient`, the library of LND's own companion programs, against
//! the sandbox and, with the same arguments, against LND.

use std::path::Path;
use std::process::Command;
use std::time::Duration;

use anyhow::Result;

use super::lnd_command::Lncli;
use super::lnd_network::LndNetwork;
use super::report::{Checks, Halt};
use super::sandbox::Sandbox;
use super::{Setup, install, process};

/// The program gives up by itself before.
const PATIENCE: Duration = Duration::from_secs(60);

pub(super) fn run(setup: &Setup, checks: &mut Checks<'_>) -> Result<(), Halt> {
    let programs = install::lnd(setup)?;
    let client = install::lndclient(setup)?;

    // LND first: a client that fails there proves nothing about the sandbox.
    checks.check("on LND", || {
        let network = LndNetwork::start(&programs)?;
        buy(&client, network.seller.lncli(), network.buyer.lncli())
    })?;
    checks.check("on the sandbox", || {
        let sandbox = Sandbox::start(&setup.workspace.tollway()?)?;
        buy(
            &client,
            &sandbox.seller.lncli(&programs),
            &sandbox.buyer.lncli(&programs),
        )
    })
}

fn buy(client: &Path, seller: &Lncli, buyer: &Lncli) -> Result<()> {
    let mut command = Command::new(client);
    for wallet in [seller, buyer] {
        command.arg(wallet.address()).arg(wallet.dir());
    }
    process::output(&mut command, PATIENCE).map(drop)
}
