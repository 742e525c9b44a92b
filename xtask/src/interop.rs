//! Interoperability suite: other projects' programs against ours.
//!
//! Each part installs a peer by its package name (LND, btcd and h2spec from the Go module
//! proxy, clients from PyPI and npm) and puts it to work against our programs. Parts share nothing
//! but the folder their installations are kept in, and run alone: `cargo xtask interop lncli`.
//!
//! A peer that cannot be installed here is reported and skipped. One that can must pass.

mod btcd;
mod cache;
pub(crate) mod certificate;
pub(crate) mod gateway;
mod grpc_go;
mod h2spec;
mod install;
mod l402_requests;
mod lncli;
mod lnd;
mod lnd_command;
pub(crate) mod lnd_network;
mod lndclient;
mod macaroon_crate;
mod macaroons;
pub(crate) mod ports;
pub(crate) mod process;
mod report;
pub(crate) mod sandbox;
mod upstream;
pub(crate) mod workspace;

use std::path::PathBuf;

use anyhow::{Result, bail};

use cache::Cache;
use report::{Checks, Halt, Report};
use workspace::Workspace;

/// Arguments of `cargo xtask interop`.
#[derive(Debug, clap::Args)]
pub(crate) struct Args {
    /// Parts to run; all of them when none is named.
    parts: Vec<PartName>,

    /// The cargo profile our own programs are built with.
    #[arg(long, default_value = "release")]
    profile: String,
}

/// One peer, or one family of peers.
#[derive(Clone, Copy, Debug, Eq, PartialEq, clap::ValueEnum)]
enum PartName {
    /// Tokens round-trip with the crate macaroon, both ways.
    MacaroonCrate,
    /// Tokens round-trip with PyPI pymacaroons, both ways.
    Pymacaroons,
    /// Tokens round-trip with npm macaroon, both ways.
    NpmMacaroon,
    /// LND's own command line against the sandbox.
    Lncli,
    /// A Go program on lndclient against the sandbox, and against LND.
    Lndclient,
    /// PyPI l402-requests buys from the gateway through the sandbox.
    L402Requests,
    /// The wallet traits' contract, and a whole purchase, on LND.
    Lnd,
    /// The conformance suite of HTTP/2 against the gateway.
    H2spec,
    /// grpc-go's interoperability client and server, through the gateway.
    GrpcGo,
}

impl PartName {
    /// In the order they run: the quick ones first.
    const ALL: [Self; 9] = [
        Self::Pymacaroons,
        Self::NpmMacaroon,
        Self::L402Requests,
        Self::H2spec,
        Self::GrpcGo,
        Self::Lncli,
        Self::Lndclient,
        Self::Lnd,
        Self::MacaroonCrate,
    ];

    fn as_str(self) -> &'static str {
        match self {
            Self::MacaroonCrate => "macaroon-crate",
            Self::Pymacaroons => "pymacaroons",
            Self::NpmMacaroon => "npm-macaroon",
            Self::Lncli => "lncli",
            Self::Lndclient => "lndclient",
            Self::L402Requests => "l402-requests",
            Self::Lnd => "lnd",
            Self::H2spec => "h2spec",
            Self::GrpcGo => "grpc-go",
        }
    }

    fn run(self, setup: &Setup, checks: &mut Checks<'_>) -> Result<(), Halt> {
        match self {
            Self::MacaroonCrate => macaroon_crate::run(setup, checks),
            Self::Pymacaroons => macaroons::with_python(setup, checks),
            Self::NpmMacaroon => macaroons::with_node(setup, checks),
            Self::Lncli => lncli::run(setup, checks),
            Self::Lndclient => lndclient::run(setup, checks),
            Self::L402Requests => l402_requests::run(setup, checks),
            Self::Lnd => lnd::run(setup, checks),
            Self::H2spec => h2spec::run(setup, checks),
            Self::GrpcGo => grpc_go::run(setup, checks),
        }
    }
}

/// What every part may use.
#[derive(Debug)]
struct Setup {
    workspace: Workspace,
    cache: Cache,
}

/// The programs of LND and btcd, if an earlier run has built them.
///
/// # Errors
///
/// When their place cannot be worked out.
pub(crate) fn lnd_if_built() -> Result<Option<PathBuf>> {
    install::lnd_if_built(&Setup {
        workspace: Workspace::new(""),
        cache: Cache::locate()?,
    })
}

/// Runs the parts named, or all, and prints the result of each.
///
/// # Errors
///
/// When a check failed, or the suite has no folder to work in.
pub(crate) fn run(args: &Args) -> Result<()> {
    process::end_in_good_order()?;
    let setup = Setup {
        workspace: Workspace::new(&args.profile),
        cache: Cache::locate()?,
    };
    let mut report = Report::default();
    for part in PartName::ALL {
        if args.parts.is_empty() || args.parts.contains(&part) {
            report.part(part.as_str(), |checks| part.run(&setup, checks));
        }
    }
    report.finish();
    match report.failed() {
        0 => Ok(()),
        failed => bail!("{failed} interop checks failed"),
    }
}
