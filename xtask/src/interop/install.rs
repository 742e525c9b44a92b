//! Installation of peers from the registries their users use: Go modules, PyPI, npm.
//!
//! What cannot be fetched or has no toolchain here ends the part as "could not run". What was
//! fetched and does not build is a failure.
#![expect(
    clippy::print_stdout,
    reason = "progress of installations that take minutes"
)]

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::Duration;

use anyhow::{Context, Result};

use super::Setup;
use super::process::{self, shown};
use super::report::Halt;

/// Fetching, on a slow line.
const FETCH: Duration = Duration::from_secs(8 * 60);
/// LND from nothing takes four minutes of two cores.
const BUILD: Duration = Duration::from_secs(15 * 60);

/// LND's services that its clients expect; its releases are built with these and more.
const LND_TAGS: &str = "chainrpc invoicesrpc peersrpc routerrpc signrpc walletrpc";
const LND_PROGRAMS: [&str; 4] = [
    "github.com/btcsuite/btcd",
    "github.com/btcsuite/btcd/cmd/btcctl",
    "github.com/lightningnetwork/lnd/cmd/lncli",
    "github.com/lightningnetwork/lnd/cmd/lnd",
];
const HTTP2_PROGRAMS: [&str; 3] = [
    "github.com/summerwind/h2spec/cmd/h2spec",
    "google.golang.org/grpc/interop/client",
    "google.golang.org/grpc/interop/server",
];

/// The folder with `btcd`, `btcctl`, `lnd` and `lncli`.
///
/// # Errors
///
/// [`Halt::CouldNotRun`] without Go or its module proxy.
pub(super) fn lnd(setup: &Setup) -> Result<PathBuf, Halt> {
    let module = setup.workspace.interop("lnd");
    let recipe = lnd_recipe(&module)?;
    let recipe: Vec<_> = recipe.iter().map(Vec::as_slice).collect();
    setup.cache.folder("lnd", &recipe, |folder| {
        fetch(go(&module).args(["mod", "download"]))?;
        build(
            go(&module)
                .args(["build", "-tags", LND_TAGS, "-o"])
                .arg(folder)
                .args(LND_PROGRAMS),
        )
    })
}

/// The same folder, if an earlier run has filled it.
///
/// # Errors
///
/// When the recipe cannot be read.
pub(super) fn lnd_if_built(setup: &Setup) -> Result<Option<PathBuf>> {
    let recipe = lnd_recipe(&setup.workspace.interop("lnd"))?;
    let recipe: Vec<_> = recipe.iter().map(Vec::as_slice).collect();
    Ok(setup.cache.complete("lnd", &recipe))
}

fn lnd_recipe(module: &Path) -> Result<[Vec<u8>; 3]> {
    Ok([
        read(&module.join("go.mod"))?,
        read(&module.join("go.sum"))?,
        LND_TAGS.into(),
    ])
}

/// The program in `tests/interop/lnd/client`.
///
/// # Errors
///
/// [`Halt::CouldNotRun`] without Go or its module proxy.
pub(super) fn lndclient(setup: &Setup) -> Result<PathBuf, Halt> {
    let module = setup.workspace.interop("lnd");
    let recipe = ["go.mod", "go.sum", "client/main.go"]
        .map(|file| read(&module.join(file)))
        .into_iter()
        .collect::<Result<Vec<_>>>()?;
    let recipe: Vec<_> = recipe.iter().map(Vec::as_slice).collect();
    let folder = setup.cache.folder("lndclient", &recipe, |folder| {
        fetch(go(&module).args(["mod", "download"]))?;
        build(
            go(&module)
                .args(["build", "-o"])
                .arg(folder)
                .arg("./client"),
        )
    })?;
    Ok(folder.join("client"))
}

/// The folder with `h2spec`, and grpc-go's `client` and `server`.
///
/// # Errors
///
/// [`Halt::CouldNotRun`] without Go or its module proxy.
pub(super) fn http2(setup: &Setup) -> Result<PathBuf, Halt> {
    let module = setup.workspace.interop("http2");
    let recipe = [read(&module.join("go.mod"))?, read(&module.join("go.sum"))?];
    let recipe: Vec<_> = recipe.iter().map(Vec::as_slice).collect();
    setup.cache.folder("http2", &recipe, |folder| {
        fetch(go(&module).args(["mod", "download"]))?;
        build(
            go(&module)
                .args(["build", "-o"])
                .arg(folder)
                .args(HTTP2_PROGRAMS),
        )
    })
}

/// A Python with the packages of a `requirements.txt`.
///
/// # Errors
///
/// [`Halt::CouldNotRun`] without Python 3, its `venv`, or PyPI.
pub(super) fn python(setup: &Setup, requirements: &str) -> Result<PathBuf, Halt> {
    let requirements = setup.workspace.interop(requirements);
    let packages = read(&requirements)?;
    let version = fetch(Command::new("python3").arg("--version"))?;
    let folder = setup
        .cache
        .folder("python", &[&packages, version.as_bytes()], |folder| {
            fetch(Command::new("python3").args(["-m", "venv"]).arg(folder))?;
            fetch(
                Command::new(folder.join("bin/python"))
                    .args([
                        "-m",
                        "pip",
                        "install",
                        "--quiet",
                        "--disable-pip-version-check",
                        "-r",
                    ])
                    .arg(&requirements),
            )
            .map(drop)
        })?;
    Ok(folder.join("bin/python"))
}

/// A `node_modules` with the packages of a folder's `package-lock.json`.
///
/// # Errors
///
/// [`Halt::CouldNotRun`] without Node.js or the npm registry.
pub(super) fn node_modules(setup: &Setup, package: &str) -> Result<PathBuf, Halt> {
    let package = setup.workspace.interop(package);
    let files = ["package.json", "package-lock.json"];
    let contents = files
        .map(|file| read(&package.join(file)))
        .into_iter()
        .collect::<Result<Vec<_>>>()?;
    fetch(Command::new("node").arg("--version"))?;
    let recipe: Vec<_> = contents.iter().map(Vec::as_slice).collect();
    let folder = setup.cache.folder("npm", &recipe, |folder| {
        for (file, content) in files.iter().zip(&contents) {
            fs::write(folder.join(file), content).context("cannot write")?;
        }
        let npm = [
            "ci",
            "--ignore-scripts",
            "--no-audit",
            "--no-fund",
            "--loglevel=error",
        ];
        fetch(Command::new("npm").args(npm).current_dir(folder)).map(drop)
    })?;
    Ok(folder.join("node_modules"))
}

fn go(module: &Path) -> Command {
    let mut go = Command::new("go");
    go.current_dir(module)
        .env("GOFLAGS", "-mod=readonly")
        .env("CGO_ENABLED", "0");
    go
}

/// A command whose failure is this machine's or its network's doing.
fn fetch(command: &mut Command) -> Result<String, Halt> {
    println!("   {}", shown(command));
    process::output(command, FETCH).map_err(|error| Halt::CouldNotRun(format!("{error:#}")))
}

fn build(command: &mut Command) -> Result<(), Halt> {
    println!("   {}", shown(command));
    process::output(command, BUILD)?;
    Ok(())
}

fn read(path: &Path) -> Result<Vec<u8>> {
    fs::read(path).with_context(|| format!("cannot read {}", path.display()))
}
