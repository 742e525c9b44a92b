//! The besieged proxies: the gateway, and nginx with the same pages to sell.

use std::fs;
use std::net::{SocketAddr, TcpStream};
use std::path::Path;
use std::process::Command;
use std::time::Duration;

use anyhow::{Context, Result};

use super::scenarios::Challenges;
use super::upstream::{Reached, Upstream};
use crate::bench::programs::Programs;
use crate::interop::certificate::Certificate;
use crate::interop::gateway::Gateway;
use crate::interop::ports::Ports;
use crate::interop::process::{Service, flag};
use crate::interop::workspace::Workspace;

/// What every scenario may use.
#[derive(Debug)]
pub(crate) struct Setup<'a> {
    pub(crate) workspace: &'a Workspace,
    pub(crate) programs: &'a Programs,
    /// Files of the proxies. A token bought from one gateway is good at the next.
    pub(crate) dir: &'a Path,
    pub(crate) certificate: &'a Certificate,
    /// The wallet that is paid.
    pub(crate) wallet: &'a str,
}

/// A running proxy, stopped when dropped.
#[derive(Debug)]
pub(super) struct Proxy {
    pub(super) name: &'static str,
    pub(super) http1: SocketAddr,
    pub(super) http2: SocketAddr,
    pub(super) https: SocketAddr,
    running: Running,
}

#[derive(Debug)]
enum Running {
    Gateway(Gateway),
    Nginx(Service),
}

impl Proxy {
    pub(super) fn pid(&self) -> u32 {
        match &self.running {
            Running::Gateway(gateway) => gateway.pid(),
            Running::Nginx(service) => service.id(),
        }
    }
}

impl Setup<'_> {
    /// Starts an upstream with these flags.
    ///
    /// # Errors
    ///
    /// When it does not start.
    pub(crate) fn upstream(&self, reached: Reached, flags: &[&str]) -> Result<Upstream> {
        Upstream::start(&self.programs.bench, self.certificate, reached, flags)
    }

    /// Starts the gateway as it comes, with one worker.
    ///
    /// # Errors
    ///
    /// When it does not start.
    pub(super) fn gateway(
        &self,
        upstream: &Upstream,
        descriptors: Option<u32>,
        challenges: Challenges,
    ) -> Result<Proxy> {
        let mut command = limited(&self.programs.tollway, descriptors);
        command
            .env("TOLLWAY_HOME", self.dir)
            .env("SSL_CERT_FILE", &self.certificate.chain);
        let url = upstream.url();
        let mut flags = vec!["--workers=1", "--price=10sat", "--upstream", &url];
        flags.extend(["--wallet", self.wallet, "--tls-listen=127.0.0.1:0"]);
        let (chain, key) = (&self.certificate.chain, &self.certificate.key);
        let tls = [flag("--tls-cert", chain), flag("--tls-key", key)];
        flags.extend(tls.iter().map(String::as_str));
        if challenges == Challenges::Unlimited {
            flags.push("--exempt-loopback");
        }
        let gateway = Gateway::start_with(command, self.dir, &flags)?;
        Ok(Proxy {
            name: "tollway",
            http1: gateway.addresses.http,
            http2: gateway.addresses.http,
            https: gateway.addresses.https.context("no TLS port")?,
            running: Running::Gateway(gateway),
        })
    }

    /// Starts nginx with one worker.
    ///
    /// # Errors
    ///
    /// When it does not start.
    pub(super) fn nginx(&self, upstream: &Upstream, descriptors: Option<u32>) -> Result<Proxy> {
        let [one, other] = Ports::free::<2>()?;
        let [http1, http2, https] =
            [one.rpc, one.p2p, other.rpc].map(|port| SocketAddr::from(([127, 0, 0, 1], port)));
        let template = self.workspace.bench_file("config/siege.conf");
        let text = fs::read_to_string(&template)
            .with_context(|| format!("no {}", template.display()))?
            .replace("@HTTP1@", &http1.to_string())
            .replace("@HTTP2@", &http2.to_string())
            .replace("@HTTPS@", &https.to_string())
            .replace("@CERT@", &self.certificate.chain.to_string_lossy())
            .replace("@KEY@", &self.certificate.key.to_string_lossy())
            .replace("@UPSTREAM@", &upstream.address().to_string())
            .replace("@TLS@", if upstream.has_tls() { "s" } else { "" })
            .replace("@DIR@", &self.dir.to_string_lossy());
        let file = self.dir.join("siege.conf");
        fs::write(&file, text)?;
        let mut command = limited(Path::new("nginx"), descriptors);
        command.arg("-c").arg(file);
        let mut service = Service::start("nginx", &mut command, self.dir)?;
        service.ready(START, |_| Ok(TcpStream::connect(http2)?))?;
        Ok(Proxy {
            name: "nginx",
            http1,
            http2,
            https,
            running: Running::Nginx(service),
        })
    }
}

/// A command that starts a program with a limit on its descriptors.
fn limited(program: &Path, descriptors: Option<u32>) -> Command {
    let Some(max) = descriptors else {
        return Command::new(program);
    };
    let mut shell = Command::new("sh");
    shell
        .args(["-c", "ulimit -n \"$0\" && exec \"$@\""])
        .arg(max.to_string())
        .arg(program);
    shell
}

const START: Duration = Duration::from_secs(10);
