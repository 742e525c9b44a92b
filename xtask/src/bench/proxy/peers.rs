//! Measured proxies: nginx, haproxy, and the gateway with and without verification.

use std::fs;
use std::net::{SocketAddr, TcpStream};
use std::path::Path;
use std::time::Duration;

use anyhow::Result;
use tempfile::TempDir;

use super::case::{Case, Part, Proxy};
use super::config::Config;
use crate::bench::cores::{Cores, PROXY_CORE};
use crate::bench::gateway::{self, Gateway, Terms};
use crate::bench::tools::Tool;
use crate::interop::certificate::Certificate;
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

/// A running proxy.
#[derive(Debug)]
pub(super) struct Peer {
    pub(super) proxy: Proxy,
    pub(super) address: SocketAddr,
    service: Service,
}

impl Peer {
    pub(super) fn pid(&self) -> u32 {
        self.service.id()
    }
}

/// Folders, certificate and wallet of the measured proxies.
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
    /// The certificate of all proxies.
    pub(super) certificate: &'a Certificate,
}

impl Setup<'_> {
    /// Starts the proxies of a case in front of `upstream` and returns them, nginx first.
    ///
    /// # Errors
    ///
    /// When one does not start.
    pub(super) fn start(&self, case: Case, upstream: SocketAddr) -> Result<Vec<Peer>> {
        let start = |proxy: &Proxy| self.start_one(*proxy, case.part(), upstream);
        case.proxies().iter().map(start).collect()
    }

    /// Buys a token that every later gateway with verification accepts.
    ///
    /// # Errors
    ///
    /// When the purchase fails.
    pub(super) fn buy(&self, upstream: SocketAddr, bench: &Path, buyer: &str) -> Result<String> {
        let gateway = self.start_one(Proxy::Tollway, Part::Http1, upstream)?;
        gateway::buy(bench, &format!("http://{}/item", gateway.address), buyer)
    }

    fn start_one(&self, proxy: Proxy, part: Part, upstream: SocketAddr) -> Result<Peer> {
        let (home, terms) = match proxy {
            Proxy::Nginx | Proxy::NginxUnbuffered | Proxy::Haproxy => {
                return self.other(proxy, part, upstream);
            }
            Proxy::Tollway => (self.home, Terms::Paid(self.seller)),
            Proxy::TollwayFree => (self.free_home, Terms::Free),
        };
        let gateway = Gateway::start(&gateway::Setup {
            tollway: self.tollway,
            home,
            upstream,
            terms,
            cores: Cores::Only(PROXY_CORE),
            certificate: (part == Part::Tls).then_some(self.certificate),
        })?;
        Ok(Peer {
            proxy,
            address: gateway.address,
            service: gateway.into_service(),
        })
    }

    fn other(&self, proxy: Proxy, part: Part, upstream: SocketAddr) -> Result<Peer> {
        let [ports] = Ports::free::<1>()?;
        let address = SocketAddr::from(([127, 0, 0, 1], ports.rpc));
        let (program, arguments): (_, &[&str]) = match proxy {
            Proxy::Haproxy => ("haproxy", &["-db", "-q", "-f"]),
            Proxy::Nginx | Proxy::NginxUnbuffered | Proxy::Tollway | Proxy::TollwayFree => {
                ("nginx", &["-c"])
            }
        };
        let dir = self.dir.join(format!("{proxy:?}"));
        fs::create_dir_all(&dir)?;
        let config = Config {
            proxy,
            part,
            listen: address,
            upstream,
            certificate: self.certificate,
            dir: &dir,
        };
        let file = config.write(self.workspace)?;
        let mut command = Cores::Only(PROXY_CORE).command(Path::new(program));
        command.args(arguments).arg(file);
        let mut service = Service::start(program, &mut command, &dir)?;
        service.ready(START, |_| Ok(TcpStream::connect(address)?))?;
        Ok(Peer {
            proxy,
            address,
            service,
        })
    }
}

const START: Duration = Duration::from_secs(10);
