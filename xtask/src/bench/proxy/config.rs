//! Configuration of nginx and haproxy: a file of `bench/config` with its words filled in.

use std::fs;
use std::net::SocketAddr;
use std::path::{Path, PathBuf};

use anyhow::{Context, Result};

use super::case::{Part, Proxy};
use crate::interop::certificate::Certificate;
use crate::interop::workspace::Workspace;

/// What is filled in.
#[derive(Clone, Copy, Debug)]
pub(super) struct Config<'a> {
    pub(super) proxy: Proxy,
    pub(super) part: Part,
    pub(super) listen: SocketAddr,
    pub(super) upstream: SocketAddr,
    pub(super) certificate: &'a Certificate,
    /// Files of this proxy alone.
    pub(super) dir: &'a Path,
}

impl Config<'_> {
    /// Writes the file and returns where it is.
    ///
    /// # Errors
    ///
    /// When a file cannot be read or written.
    pub(super) fn write(&self, workspace: &Workspace) -> Result<PathBuf> {
        let name = match (self.proxy, self.part) {
            (Proxy::Haproxy, Part::Grpc) => "haproxy-grpc.cfg",
            (Proxy::Haproxy, _) => "haproxy.cfg",
            (_, Part::Grpc) => "nginx-grpc.conf",
            (_, _) => "nginx.conf",
        };
        let template = workspace.bench_file("config").join(name);
        let text = fs::read_to_string(&template)
            .with_context(|| format!("no {}", template.display()))?
            .replace("@LISTEN@", &self.listen()?)
            .replace("@CERTIFICATE@", &self.certificate())
            .replace("@BUFFERING@", self.buffering())
            .replace("@UPSTREAM@", &self.upstream.to_string())
            .replace("@DIR@", &self.dir.to_string_lossy());
        let file = self.dir.join(name);
        fs::write(&file, text)?;
        Ok(file)
    }

    fn listen(&self) -> Result<String> {
        let address = self.listen;
        Ok(match (self.proxy, self.part) {
            (Proxy::Haproxy, Part::Tls) => {
                let Certificate { chain, key } = self.certificate;
                let both = self.dir.join("both.pem");
                fs::write(&both, [fs::read(chain)?, fs::read(key)?].concat())?;
                format!("{address} ssl crt {}", both.display())
            }
            (_, Part::Tls) => format!("{address} ssl"),
            (_, Part::Http1 | Part::Bodies | Part::Grpc) => address.to_string(),
        })
    }

    fn certificate(&self) -> String {
        let Certificate { chain, key } = self.certificate;
        match self.part {
            Part::Tls => format!(
                "ssl_protocols TLSv1.3; ssl_certificate {}; ssl_certificate_key {};",
                chain.display(),
                key.display()
            ),
            Part::Http1 | Part::Bodies | Part::Grpc => String::new(),
        }
    }

    const fn buffering(&self) -> &'static str {
        match self.proxy {
            Proxy::NginxUnbuffered => "proxy_buffering off; proxy_request_buffering off;",
            Proxy::Nginx | Proxy::Haproxy | Proxy::Tollway | Proxy::TollwayFree => "",
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::bench::programs::PROFILE;

    #[test]
    fn every_word_is_filled_in() {
        let dir = tempfile::tempdir().unwrap();
        let certificate = Certificate {
            chain: dir.path().join("cert.pem"),
            key: dir.path().join("key.pem"),
        };
        fs::write(&certificate.chain, "chain").unwrap();
        fs::write(&certificate.key, "key").unwrap();
        for proxy in [Proxy::Nginx, Proxy::NginxUnbuffered, Proxy::Haproxy] {
            for part in [Part::Http1, Part::Bodies, Part::Tls, Part::Grpc] {
                let config = Config {
                    proxy,
                    part,
                    listen: "127.0.0.1:1".parse().unwrap(),
                    upstream: "127.0.0.1:2".parse().unwrap(),
                    certificate: &certificate,
                    dir: dir.path(),
                };

                let file = config.write(&Workspace::new(PROFILE)).unwrap();

                let text = fs::read_to_string(file).unwrap();
                assert!(!text.contains('@'), "{proxy:?} {part:?}: {text}");
                assert_eq!(text.contains(" ssl"), part == Part::Tls, "{text}");
            }
        }
    }
}
