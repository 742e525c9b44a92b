//! The machine that a page runs on: a fresh home folder, free ports in the place of the documented
//! ones, and a `PATH` that begins with the binary.
//!
//! A page is written for `/home/me` and the documented ports. Commands and files are translated
//! to what is there, output is translated back.

use std::fs;
use std::net::SocketAddr;
use std::os::unix::fs::PermissionsExt as _;
use std::path::{Path, PathBuf};

use tempfile::TempDir;
use tokio::net::TcpSocket;

use super::api::Api;
use super::page::WrittenFile;
use super::session::Session;

#[derive(Debug)]
pub struct Machine {
    folder: TempDir,
    ports: Vec<Port>,
    _api: Api,
}

/// A documented port, and the free one in its place.
#[derive(Debug)]
struct Port {
    documented: u16,
    real: u16,
    /// Bound and never listening: the port is given to no other program, and a program of the
    /// page can listen on it.
    _claim: TcpSocket,
}

impl Machine {
    pub async fn new() -> Self {
        let folder = tempfile::tempdir().unwrap();
        for name in ["bin", "home", "io"] {
            fs::create_dir(folder.path().join(name)).unwrap();
        }
        let ports: Vec<Port> = DOCUMENTED.iter().map(|port| Port::claim(*port)).collect();
        let upstream = ports.iter().find(|port| port.documented == UPSTREAM);
        let api = Api::start(upstream.unwrap().real).await;
        let machine = Self {
            folder,
            ports,
            _api: api,
        };
        machine.write_commands(machine._api.control());
        machine
    }

    pub async fn session(&self) -> Session {
        let path = std::env::var("PATH").unwrap();
        let bin = self.folder.path().join("bin");
        let environment = [
            ("HOME", self.home().display().to_string()),
            ("LANG", "C.UTF-8".to_owned()),
            ("PATH", format!("{}:{path}", bin.display())),
            ("TZ", "UTC".to_owned()),
        ];
        Session::start(&self.folder.path().join("io"), &self.home(), &environment).await
    }

    pub fn write(&self, file: &WrittenFile) {
        let path = file.path.replacen('~', DOCUMENTED_HOME, 1);
        let path = self.home().join(self.to_real(&path));
        fs::create_dir_all(path.parent().unwrap()).unwrap();
        fs::write(path, self.to_real(&file.content)).unwrap();
    }

    /// Translates what the page writes to what the machine has.
    pub fn to_real(&self, text: &str) -> String {
        let ports = self.ports.iter().map(|port| (port.documented, port.real));
        replace_ports(text, &ports.collect::<Vec<_>>())
            .replace(DOCUMENTED_HOME, &self.home().display().to_string())
    }

    /// Translates what the machine prints to what the page shows.
    pub fn to_documented(&self, text: &str) -> String {
        let ports = self.ports.iter().map(|port| (port.real, port.documented));
        replace_ports(text, &ports.collect::<Vec<_>>())
            .replace(&self.home().display().to_string(), DOCUMENTED_HOME)
    }

    fn home(&self) -> PathBuf {
        self.folder.path().join("home")
    }

    fn real(&self, documented: u16) -> u16 {
        let port = self.ports.iter().find(|port| port.documented == documented);
        port.unwrap().real
    }

    fn write_commands(&self, control: SocketAddr) {
        let binary = binary();
        let wrapper = WRAPPER
            .replace("@BINARY@", &binary.display().to_string())
            .replace("@GATEWAY@", &self.real(8_402).to_string())
            .replace("@SELLER@", &self.real(10_009).to_string())
            .replace("@BUYER@", &self.real(10_010).to_string());
        self.write_command("tollway", &wrapper);
        for order in ["start", "stop"] {
            let script = CONTROL
                .replace("@PORT@", &control.port().to_string())
                .replace("@ORDER@", order);
            self.write_command(&format!("{order}-upstream"), &script);
        }
    }

    fn write_command(&self, name: &str, script: &str) {
        let path = self.folder.path().join("bin").join(name);
        fs::write(&path, script).unwrap();
        fs::set_permissions(path, fs::Permissions::from_mode(0o755)).unwrap();
    }
}

impl Port {
    fn claim(documented: u16) -> Self {
        let claim = TcpSocket::new_v4().unwrap();
        claim.bind(SocketAddr::from(([127, 0, 0, 1], 0))).unwrap();
        // After it was bound, and to no port that another socket has: from here on others may
        // listen on it that also allow reuse, as servers do.
        claim.set_reuseaddr(true).unwrap();
        Self {
            documented,
            real: claim.local_addr().unwrap().port(),
            _claim: claim,
        }
    }
}

/// The binary that pages run: the one of this build, unless the environment names another.
fn binary() -> PathBuf {
    std::env::var_os("TOLLWAY_TRANSCRIPTS_BINARY").map_or_else(
        || Path::new(env!("CARGO_BIN_EXE_tollway")).to_owned(),
        PathBuf::from,
    )
}

/// Replaces numbers that are ports. An amount like `3000 sat` and a decimal are none.
fn replace_ports(text: &str, ports: &[(u16, u16)]) -> String {
    let mut replaced = String::new();
    let mut rest = text;
    while !rest.is_empty() {
        let is_word = rest.starts_with(|first: char| is_of_word(first));
        let end = rest
            .find(|other: char| is_of_word(other) != is_word)
            .unwrap_or(rest.len());
        let (run, after) = rest.split_at(end);
        let port = ports.iter().find(|(from, _to)| from.to_string() == run);
        match port {
            Some((_from, to)) if !is_amount(&replaced, after) => replaced.push_str(&to.to_string()),
            _ => replaced.push_str(run),
        }
        rest = after;
    }
    replaced
}

fn is_of_word(character: char) -> bool {
    character.is_alphanumeric() || character == '_'
}

fn is_amount(before: &str, after: &str) -> bool {
    let is_decimal = |text: &str| text.starts_with(|digit: char| digit.is_ascii_digit());
    before.ends_with('.')
        || after.strip_prefix('.').is_some_and(is_decimal)
        || [" sat", " msat"].iter().any(|unit| after.starts_with(unit))
}

/// Gateway, TLS, operations, upstream, and the sandbox's seller and buyer.
const DOCUMENTED: &[u16] = &[8_402, 8_443, 9_402, UPSTREAM, 10_009, 10_010];
const UPSTREAM: u16 = 3_000;
const DOCUMENTED_HOME: &str = "/home/me";

/// Adds the ports of the machine where a command relies on its defaults.
const WRAPPER: &str = r#"#!/usr/bin/env bash
has() {
  local word wanted=$1
  shift
  for word; do
    case $word in "$wanted" | "$wanted"=*) return 0 ;; esac
  done
  return 1
}
command= skip=
for word; do
  if [[ -n $skip ]]; then skip=; continue; fi
  case $word in
    --config) skip=1 ;;
    -*) ;;
    *) command=$word; break ;;
  esac
done
added=()
if ! has --help "$@" && ! has -h "$@"; then
  case $command in
    demo) has --listen "$@" || added+=(--listen 127.0.0.1:@GATEWAY@) ;;
    serve)
      if has --upstream "$@" && ! has --listen "$@"; then
        added+=(--listen 127.0.0.1:@GATEWAY@)
      fi ;;
    sandbox)
      has --seller-port "$@" || added+=(--seller-port @SELLER@)
      has --buyer-port "$@" || added+=(--buyer-port @BUYER@) ;;
  esac
fi
exec -a tollway '@BINARY@' "$@" "${added[@]}"
"#;

/// Starts or stops the upstream, in the process that runs the page.
const CONTROL: &str = "#!/usr/bin/env bash
exec 3<>/dev/tcp/127.0.0.1/@PORT@ && echo @ORDER@ >&3 && read -r _done <&3
";

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_ports_are_translated() {
        let ports = [(3_000, 41_000), (8_402, 42_000)];
        for (text, expected) in [
            ("curl 127.0.0.1:3000/v1", "curl 127.0.0.1:41000/v1"),
            ("--listen :8402", "--listen :42000"),
            ("--listen 8402 x", "--listen 42000 x"),
            ("3000msat 3000 sat 3000 msat", "3000msat 3000 sat 3000 msat"),
            ("0.3000 3000.5 13000 a3000", "0.3000 3000.5 13000 a3000"),
            ("at 127.0.0.1:3000.", "at 127.0.0.1:41000."),
        ] {
            assert_eq!(replace_ports(text, &ports), expected);
        }
    }

    #[tokio::test]
    async fn a_server_can_listen_on_a_claimed_port_and_no_other_claim_gets_it() {
        let port = Port::claim(1);
        assert!(std::net::TcpStream::connect(("127.0.0.1", port.real)).is_err());
        let server = std::net::TcpListener::bind(("127.0.0.1", port.real)).unwrap();
        assert!(std::net::TcpListener::bind(("127.0.0.1", port.real)).is_err());
        drop(server);
        let strict = TcpSocket::new_v4().unwrap();
        assert!(
            strict
                .bind(SocketAddr::from(([127, 0, 0, 1], port.real)))
                .is_err()
        );
    }
}
