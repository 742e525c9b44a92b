//! Upstream whose connections end after a few responses, without notice over HTTP/1.1.

use std::convert::Infallible;
use std::pin::pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use anyhow::Result;
use http::Request;
use hyper::body::Incoming;
use hyper::server::conn::http2;
use hyper::service::service_fn;
use hyper_util::rt::{TokioExecutor, TokioIo};
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpStream;
use tokio::sync::Notify;
use tokio::time::sleep;

use super::{Args, Ends, pages};

/// Serves a connection until it is to end.
pub(super) async fn serve(mut stream: TcpStream, args: &Args) -> Result<()> {
    let mut begun = [0; 3];
    while stream.peek(&mut begun).await? < begun.len() {
        sleep(Duration::from_millis(1)).await;
    }
    if begun == *b"PRI" {
        return serve_http2(stream, args).await;
    }
    for _ in 0..args.after {
        if !read_head(&mut stream).await? {
            return Ok(());
        }
        stream.write_all(&item()).await?;
    }
    if args.delay_ms > 0 {
        sleep(Duration::from_millis(args.delay_ms)).await;
    }
    if matches!(args.ends, Ends::Resets) {
        stream.set_zero_linger()?;
    }
    Ok(())
}

/// Reads a request without a body; returns false at the end of the connection.
async fn read_head(stream: &mut TcpStream) -> Result<bool> {
    let mut head = Vec::new();
    while !head.ends_with(b"\r\n\r\n") {
        if stream.read_buf(&mut head).await? == 0 {
            return Ok(false);
        }
    }
    Ok(true)
}

fn item() -> Vec<u8> {
    let head = format!(
        "HTTP/1.1 200 OK\r\nContent-Length: {}\r\n\r\n",
        pages::ITEM.len()
    );
    [head.as_bytes(), pages::ITEM].concat()
}

/// Sends GOAWAY after so many responses and finishes those that have begun.
async fn serve_http2(stream: TcpStream, args: &Args) -> Result<()> {
    let (served, enough) = (Arc::new(AtomicUsize::new(0)), Arc::new(Notify::new()));
    let (after, told) = (args.after, Arc::clone(&enough));
    let service = service_fn(move |request: Request<Incoming>| {
        let (served, told) = (Arc::clone(&served), Arc::clone(&told));
        async move {
            let response = pages::respond(request).await;
            if served.fetch_add(1, Ordering::Relaxed).saturating_add(1) == after {
                told.notify_one();
            }
            Ok::<_, Infallible>(response)
        }
    });
    let connection =
        http2::Builder::new(TokioExecutor::new()).serve_connection(TokioIo::new(stream), service);
    let mut connection = pin!(connection);
    tokio::select! {
        ended = connection.as_mut() => return Ok(ended?),
        () = enough.notified() => connection.as_mut().graceful_shutdown(),
    }
    Ok(connection.await?)
}
