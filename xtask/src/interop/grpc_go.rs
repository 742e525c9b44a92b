//! grpc-go's interoperability client against its server, through the gateway.
//!
//! The cases are those of gRPC's own suite that need no account of a cloud provider. Each runs
//! without TLS and with it on a gateway that charges nothing, and on one that is paid, where the
//! credential is metadata of the call.
#![expect(clippy::print_stdout, reason = "names the cases that passed")]

use std::net::{SocketAddr, TcpStream};
use std::path::Path;
use std::process::Command;
use std::time::Duration;

use anyhow::{Context, Result};
use serde_json::Value;
use tempfile::TempDir;

use super::certificate::Certificate;
use super::gateway::{Buyer, Gateway, at_home};
use super::ports::Ports;
use super::process::{self, Service, flag};
use super::report::{Checks, Halt};
use super::sandbox::Sandbox;
use super::{Setup, install, upstream};

pub(super) fn run(setup: &Setup, checks: &mut Checks<'_>) -> Result<(), Halt> {
    let programs = install::http2(setup)?;
    let tollway = setup.workspace.tollway()?;
    let dir = TempDir::new().context("no folder")?;
    let certificate =
        Certificate::create(dir.path()).map_err(|error| Halt::CouldNotRun(format!("{error:#}")))?;
    let (_server, server) = serve(&programs.join("server"), dir.path())?;
    let client = programs.join("client");

    let upstream = format!("--upstream=http://{server}");
    let free = Gateway::serve(
        &tollway,
        dir.path(),
        &[
            "--free",
            &upstream,
            "--tls-listen=127.0.0.1:0",
            &flag("--tls-cert", &certificate.chain),
            &flag("--tls-key", &certificate.key),
        ],
    )?;
    checks.check("without TLS", || cases(&client, free.addresses.http, &[]))?;
    let https = free.addresses.https.context("no TLS port")?;
    let tls = [
        "--use_tls".to_owned(),
        "--use_test_ca".to_owned(),
        flag("--ca_file", &certificate.chain),
        "--server_host_override=localhost".to_owned(),
    ];
    checks.check("with TLS", || cases(&client, https, &tls))?;

    checks.check("paid", || {
        let sandbox = Sandbox::start(&tollway)?;
        let home = TempDir::new()?;
        let authorization = buy(&tollway, home.path(), &sandbox)?;
        let paid = Gateway::serve(
            &tollway,
            home.path(),
            &[PRICE, "--wallet", &sandbox.seller.lndconnect, &upstream],
        )?;
        let metadata = format!("--additional_metadata=authorization:{authorization}");
        cases(&client, paid.addresses.http, &[metadata])
    })
}

/// Starts the server.
fn serve(program: &Path, dir: &Path) -> Result<(Service, SocketAddr)> {
    let [ports] = Ports::free::<1>()?;
    let address = SocketAddr::from(([127, 0, 0, 1], ports.rpc));
    let mut command = Command::new(program);
    command.arg(format!("--port={}", ports.rpc));
    let mut service = Service::start("grpc-go", &mut command, dir)?;
    service.ready(CASE, |_| Ok(TcpStream::connect(address)?))?;
    Ok((service, address))
}

/// Runs every case.
fn cases(client: &Path, gateway: SocketAddr, flags: &[String]) -> Result<()> {
    let mut passed = Vec::new();
    for case in CASES {
        let mut command = Command::new(client);
        command
            .arg("--server_host=127.0.0.1")
            .arg(format!("--server_port={}", gateway.port()))
            .arg(format!("--test_case={case}"))
            .args(flags);
        process::output(&mut command, CASE).with_context(|| format!("{case} failed"))?;
        passed.push(*case);
    }
    println!("      {} cases: {}", passed.len(), passed.join(", "));
    Ok(())
}

/// Buys a token from a gateway that keeps its keys in `home`, and returns the credential. It is
/// good for every gateway with these keys, whatever its upstream.
fn buy(tollway: &Path, home: &Path, sandbox: &Sandbox) -> Result<String> {
    let upstream = format!("--upstream=http://{}", upstream::serve()?);
    let wallet = &sandbox.seller.lndconnect;
    let gateway = Gateway::serve(tollway, home, &[PRICE, "--wallet", wallet, &upstream])?;
    let buyer = Buyer::new(tollway, &sandbox.buyer.lndconnect)?;
    buyer.get(&gateway.page())?;
    let mut show = at_home(tollway, buyer.home());
    show.args(["--json", "token", "show"]).arg(gateway.page());
    let shown: Value = serde_json::from_str(&process::output(&mut show, CASE)?)?;
    let authorization = shown.get("authorization").and_then(Value::as_str);
    Ok(authorization.context("no credential was shown")?.to_owned())
}

/// All that the client of grpc-go offers but: those that need an account (`*_creds`,
/// `oauth2_auth_token`, `*_credentials`), and those that fail on its own server without a gateway:
/// `pick_first_unary`, `orca_per_rpc` and `orca_oob`.
const CASES: &[&str] = &[
    "empty_unary",
    "large_unary",
    "client_streaming",
    "server_streaming",
    "ping_pong",
    "empty_stream",
    "timeout_on_sleeping_server",
    "cancel_after_begin",
    "cancel_after_first_response",
    "status_code_and_message",
    "special_status_message",
    "custom_metadata",
    "unimplemented_method",
    "unimplemented_service",
    "rpc_soak",
    "channel_soak",
];
const PRICE: &str = "--price=10sat";
const CASE: Duration = Duration::from_secs(30);
