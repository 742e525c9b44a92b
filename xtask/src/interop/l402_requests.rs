//! PyPI `l402-requests`, unmodified, buys from the gateway through its LND wallet.

use std::path::Path;
use std::process::Command;
use std::time::Duration;

use anyhow::Result;

use super::gateway::Gateway;
use super::report::{Checks, Halt};
use super::sandbox::Sandbox;
use super::{Setup, install, process, upstream};

const PATIENCE: Duration = Duration::from_secs(90);

pub(super) fn run(setup: &Setup, checks: &mut Checks<'_>) -> Result<(), Halt> {
    let python = install::python(setup, "l402_requests/requirements.txt")?;
    let tollway = setup.workspace.tollway()?;
    let sandbox = Sandbox::start(&tollway)?;
    let gateway = Gateway::start(&tollway, &sandbox.seller.lndconnect)?;

    let script = setup.workspace.interop("l402_requests/buy.py");
    checks.check(
        "a purchase, and a second request with what it bought",
        || buy(&python, &script, &sandbox, &gateway),
    )
}

fn buy(python: &Path, script: &Path, sandbox: &Sandbox, gateway: &Gateway) -> Result<()> {
    let wallet = &sandbox.buyer;
    let mut command = Command::new(python);
    command
        .arg(script)
        .args([&gateway.page(), upstream::GOODS])
        .env("LND_REST_HOST", &wallet.rest)
        .env("LND_MACAROON_HEX", hex::encode(wallet.admin_macaroon()?))
        .env("LND_TLS_CERT_PATH", &wallet.tls_cert);
    process::output(&mut command, PATIENCE).map(drop)
}
