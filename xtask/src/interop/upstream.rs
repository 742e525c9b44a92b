//! Upstream to sell: a web server with one page.

use std::io::{BufRead, BufReader, Write};
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::thread;

use anyhow::Result;

/// The text of the page.
pub(super) const GOODS: &str = "what was paid for";

/// Serves [`GOODS`] at every path until this process ends.
///
/// # Errors
///
/// When no port can be bound.
pub(super) fn serve() -> Result<SocketAddr> {
    let listener = TcpListener::bind("127.0.0.1:0")?;
    let address = listener.local_addr()?;
    thread::spawn(move || {
        for connection in listener.incoming().flatten() {
            // A client that hangs up early does no harm.
            let _ = answer(&connection);
        }
    });
    Ok(address)
}

fn answer(mut connection: &TcpStream) -> std::io::Result<()> {
    for line in BufReader::new(connection).lines() {
        if line?.is_empty() {
            break;
        }
    }
    write!(
        connection,
        "HTTP/1.1 200 OK\r\ncontent-type: text/plain\r\ncontent-length: {}\r\nconnection: close\r\n\r\n{GOODS}",
        GOODS.len()
    )
}
