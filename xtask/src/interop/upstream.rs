//! Upstream to sell: a web server with one page.

use std::io::{BufRead, BufReader, Error, ErrorKind, Read as _, Write};
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
            thread::spawn(move || answer(&connection));
        }
    });
    Ok(address)
}

/// Reads a whole request, so that no response is sent before the request has been checked.
fn answer(mut connection: &TcpStream) -> std::io::Result<()> {
    let mut request = BufReader::new(connection);
    let (mut length, mut is_chunked) = (0, false);
    loop {
        let line = line(&mut request)?;
        let (name, value) = line.split_once(':').unwrap_or((&line, ""));
        match name {
            "" => break,
            "content-length" => length = value.trim().parse().map_err(Error::other)?,
            "transfer-encoding" => is_chunked = true,
            _ => {}
        }
    }
    skip(&mut request, length)?;
    while is_chunked {
        let size = u64::from_str_radix(&line(&mut request)?, 16).map_err(Error::other)?;
        skip(&mut request, size)?;
        line(&mut request)?;
        is_chunked = size > 0;
    }
    write!(
        connection,
        "HTTP/1.1 200 OK\r\ncontent-type: text/plain\r\ncontent-length: {}\r\nconnection: close\r\n\r\n{GOODS}",
        GOODS.len()
    )
}

fn line(request: &mut impl BufRead) -> std::io::Result<String> {
    let mut line = String::new();
    request.read_line(&mut line)?;
    Ok(line.trim_end().to_ascii_lowercase())
}

/// Fails when the request ends earlier.
fn skip(request: &mut impl BufRead, length: u64) -> std::io::Result<()> {
    let skipped = std::io::copy(&mut request.take(length), &mut std::io::sink())?;
    if skipped < length {
        return Err(Error::from(ErrorKind::UnexpectedEof));
    }
    Ok(())
}
