//! Process that listens on a port, as far as Linux shows it.

use std::fs;
use std::net::SocketAddr;
use std::path::Path;

/// Returns the process that listens on the port of an address, such as `process 812 (nginx)`.
/// Processes of other users are not shown to an unprivileged one.
pub(crate) fn listener_on(address: SocketAddr) -> Option<String> {
    let sockets = ["/proc/net/tcp", "/proc/net/tcp6"];
    let tables = sockets
        .iter()
        .filter_map(|path| fs::read_to_string(path).ok());
    let inodes: Vec<String> = tables
        .flat_map(|table| listening(&table, address.port()))
        .collect();
    let processes = fs::read_dir("/proc").ok()?.flatten();
    // `self` is a link to a process that is there under its number as well.
    let mut processes = processes
        .map(|entry| entry.path())
        .filter(|path| is_numbered(path));
    let found = processes.find(|process| holds_one_of(process, &inodes))?;
    let pid = found.file_name()?.to_string_lossy().into_owned();
    let name = fs::read_to_string(found.join("comm")).unwrap_or_default();
    Some(format!("process {pid} ({})", name.trim()))
}

/// Returns the inodes of the sockets in a table that listen on a port.
fn listening(table: &str, port: u16) -> Vec<String> {
    let ending = format!(":{port:04X}");
    let rows = table.lines().skip(1).filter_map(|line| {
        let mut fields = line.split_whitespace();
        let local = fields.nth(1)?;
        let state = fields.nth(1)?;
        let inode = fields.nth(5)?;
        (local.ends_with(&ending) && state == LISTEN).then(|| inode.to_owned())
    });
    rows.collect()
}

fn is_numbered(process: &Path) -> bool {
    let name = process.file_name().unwrap_or_default().to_string_lossy();
    name.bytes().all(|digit| digit.is_ascii_digit())
}

fn holds_one_of(process: &Path, inodes: &[String]) -> bool {
    let files = fs::read_dir(process.join("fd"))
        .into_iter()
        .flatten()
        .flatten();
    let mut targets = files.filter_map(|file| fs::read_link(file.path()).ok());
    targets.any(|target| {
        let target = target.to_string_lossy();
        let inode = target
            .strip_prefix("socket:[")
            .and_then(|rest| rest.strip_suffix(']'));
        inode.is_some_and(|inode| inodes.iter().any(|wanted| wanted == inode))
    })
}

/// The state of a listening socket.
const LISTEN: &str = "0A";

#[cfg(test)]
mod tests {
    use std::net::TcpListener;

    use super::*;

    #[cfg(target_os = "linux")]
    #[test]
    fn the_process_that_listens_is_named() {
        let taken = TcpListener::bind("127.0.0.1:0").unwrap();

        let owner = listener_on(taken.local_addr().unwrap()).unwrap();

        assert!(
            owner.starts_with(&format!("process {} (", std::process::id())),
            "{owner}"
        );
    }

    #[test]
    fn a_row_is_read_by_port_and_state() {
        let table = "\
  sl  local_address rem_address   st tx_queue rx_queue tr tm->when retrnsmt   uid  timeout inode
   0: 0100007F:20D2 00000000:0000 0A 00000000:00000000 00:00000000 00000000     0        0 4711 1 0
   1: 0100007F:20D2 0100007F:9999 01 00000000:00000000 00:00000000 00000000     0        0 4712 1 0
   2: 0100007F:20D3 00000000:0000 0A 00000000:00000000 00:00000000 00000000     0        0 4713 1 0
";

        assert_eq!(listening(table, 8402), ["4711"]);
    }
}
