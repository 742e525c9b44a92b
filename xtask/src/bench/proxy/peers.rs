//! Measured proxies: nginx, haproxy, and ours with and without verification.

use std::fs;
use std::net::{SocketAddr, TcpStream};
use std::path::Path;
use std::time::Duration;

use anyhow::{Context, Result};
use tempfile::TempDir;

use crate::bench::cores::{Cores, PROXY_CORE};
use crate::bench::gateway::{self, Gateway, Terms};
use crate::bench::tools::Tool;
use crate::interop::ports::Ports;
use crate::interop::process::Service;
use crate::interop::workspace::Workspace;

/// The other proxies, and the tools that measure gRPC.
pub(super) const TOOLS: &[Tool] = &[
    Tool {
        program: "nginx",
        package: "nginx",
    },
    Tool {
        program: "haproxy",
        package: "haproxy",
    },
    Tool {
        program: "h2load",
        package: "nghttp2-client",
    },
    Tool {
        program: "nghttpd",
        package: "nghttp2-server",
    },
];

/// The protocol on both sides of a proxy.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(super) enum Protocol {
    Http1,
    /// Over HTTP/2 without TLS.
    Grpc,
}

/// A running proxy.
#[derive(Debug)]
pub(super) struct Peer {
    pub(super) name: &'static str,
    pub(super) address: SocketAddr,
    pub(super) authorization: Option<String>,
    service: Service,
}

impl Peer {
    pub(super) fn pid(&self) -> u32 {
        self.service.id()
    }
}

/// Folders, upstream and wallet of the measured proxies.
#[derive(Debug)]
pub(super) struct Setup<'a> {
    pub(super) workspace: &'a Workspace,
    pub(super) tollway: &'a Path,
    /// Files of the other proxies.
    pub(super) dir: &'a Path,
    /// Files of our gateway with verification: a token bought once is valid at the next start.
    pub(super) home: &'a TempDir,
    /// Files of our gateway without verification.
    pub(super) free_home: &'a TempDir,
    /// The wallet that is paid.
    pub(super) seller: &'a str,
}

impl Setup<'_> {
    /// Starts all proxies in front of `upstream` and returns them, nginx first.
    ///
    /// # Errors
    ///
    /// When one does not start.
    pub(super) fn start(&self, protocol: Protocol, upstream: SocketAddr) -> Result<Vec<Peer>> {
        let [nginx, haproxy] =
            Ports::free::<2>()?.map(|ports| SocketAddr::from(([127, 0, 0, 1], ports.rpc)));
        let (nginx_file, haproxy_file) = match protocol {
            Protocol::Http1 => ("nginx.conf", "haproxy.cfg"),
            Protocol::Grpc => ("nginx-grpc.conf", "haproxy-grpc.cfg"),
        };
        Ok(vec![
            self.other("nginx", &["-c"], nginx_file, nginx, upstream)?,
            self.other(
                "haproxy",
                &["-db", "-q", "-f"],
                haproxy_file,
                haproxy,
                upstream,
            )?,
            self.ours("tollway", self.home, Terms::Paid(self.seller), upstream)?,
            self.ours("tollway, no check", self.free_home, Terms::Free, upstream)?,
        ])
    }

    fn other(
        &self,
        program: &'static str,
        arguments: &[&str],
        config: &str,
        address: SocketAddr,
        upstream: SocketAddr,
    ) -> Result<Peer> {
        let template = self.workspace.bench_file("config").join(config);
        let text = fs::read_to_string(&template)
            .with_context(|| format!("no {}", template.display()))?
            .replace("@LISTEN@", &address.to_string())
            .replace("@UPSTREAM@", &upstream.to_string())
            .replace("@DIR@", &self.dir.to_string_lossy());
        let file = self.dir.join(config);
        fs::write(&file, text)?;
        let mut command = Cores::Only(PROXY_CORE).command(Path::new(program));
        command.args(arguments).arg(file);
        let mut service = Service::start(program, &mut command, self.dir)?;
        service.ready(START, |_| Ok(TcpStream::connect(address)?))?;
        Ok(Peer {
            name: program,
            address,
            authorization: None,
            service,
        })
    }

    fn ours(
        &self,
        name: &'static str,
        home: &TempDir,
        terms: Terms<'_>,
        upstream: SocketAddr,
    ) -> Result<Peer> {
        let cores = Cores::Only(PROXY_CORE);
        let gateway = Gateway::start(self.tollway, home, upstream, terms, cores)?;
        Ok(Peer {
            name,
            address: gateway.address,
            authorization: None,
            service: gateway.into_service(),
        })
    }
}

/// Buys a token from the gateway that verifies, and adds it to the requests to every proxy.
///
/// All requests carry it, so that all proxies read the same bytes; only ours verifies it.
///
/// # Errors
///
/// When the purchase fails.
pub(super) fn buy_for(peers: &mut [Peer], bench: &Path, buyer: &str) -> Result<String> {
    let ours = peers
        .iter()
        .find(|peer| peer.name == "tollway")
        .context("no gateway to buy from")?;
    let url = format!("http://{}/item", ours.address);
    let token = gateway::buy(bench, &url, buyer)?;
    give(peers, &token);
    Ok(token)
}

/// Adds `token` to the requests to every proxy.
pub(super) fn give(peers: &mut [Peer], token: &str) {
    for peer in peers {
        peer.authorization = Some(token.to_owned());
    }
}

const START: Duration = Duration::from_secs(10);
