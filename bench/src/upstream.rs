//! Upstream of a siege or a soak: HTTP/1.1, HTTP/2 and WebSocket on one port, with TLS on another.
//!
//! Serves until standard input ends. It can fail in ways that upstreams do.
#![expect(clippy::print_stdout, reason = "prints where it listens")]

mod failing;
mod pages;

use std::convert::Infallible;
use std::io::Read as _;
use std::net::{Ipv4Addr, SocketAddr};
use std::path::PathBuf;
use std::sync::Arc;

use anyhow::{Context as _, Result};
use hyper::service::service_fn;
use hyper_util::rt::{TokioExecutor, TokioIo};
use hyper_util::server::conn::auto;
use rustls::pki_types::pem::PemObject as _;
use rustls::pki_types::{CertificateDer, PrivateKeyDer};
use serde::Serialize;
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::net::{TcpListener, TcpSocket, TcpStream};
use tokio_rustls::TlsAcceptor;

/// Where and how it serves.
#[derive(Clone, Debug, clap::Args)]
pub(crate) struct Args {
    /// The port; 0 for any that is free.
    #[arg(long, default_value_t = 0)]
    port: u16,
    /// The certificate chain, PEM.
    #[arg(long, requires = "tls_key")]
    tls_cert: Option<PathBuf>,
    /// The private key, PEM.
    #[arg(long, requires = "tls_cert")]
    tls_key: Option<PathBuf>,
    /// Offer no HTTP/2 with TLS.
    #[arg(long)]
    tls_http1: bool,
    /// How a connection ends.
    #[arg(long, default_value = "stays")]
    ends: Ends,
    /// After how many responses it ends.
    #[arg(long, default_value_t = 3)]
    after: usize,
    /// How many milliseconds after that response.
    #[arg(long, default_value_t = 0)]
    delay_ms: u64,
}

/// How a connection ends.
#[derive(Clone, Copy, Debug, clap::ValueEnum)]
enum Ends {
    /// When the proxy closes it.
    Stays,
    /// Closed after a response that did not announce it; HTTP/2 with GOAWAY.
    Closes,
    /// The same with a TCP reset; HTTP/2 with GOAWAY.
    Resets,
}

/// Where it listens; printed first.
#[derive(Debug, Serialize)]
struct Announcement {
    http: SocketAddr,
    https: Option<SocketAddr>,
}

/// Serves until standard input ends.
///
/// # Errors
///
/// When it cannot listen, or its certificate cannot be read.
pub(crate) fn run(args: &Args) -> Result<()> {
    let runtime = tokio::runtime::Builder::new_multi_thread()
        .worker_threads(1)
        .enable_all()
        .build()?;
    {
        let _runtime = runtime.enter();
        serve(args)?;
    }
    let mut rest = Vec::new();
    std::io::stdin().read_to_end(&mut rest)?;
    runtime.shutdown_background();
    Ok(())
}

fn serve(args: &Args) -> Result<()> {
    let listener = listen(args.port)?;
    let mut announcement = Announcement {
        http: listener.local_addr()?,
        https: None,
    };
    let ends = args.clone();
    tokio::spawn(accept(listener, move |stream| {
        let args = ends.clone();
        async move {
            // An upstream that fails is what is wanted, and a proxy may leave.
            let _ended = match args.ends {
                Ends::Stays => serve_well(stream).await,
                Ends::Closes | Ends::Resets => failing::serve(stream, &args).await,
            };
        }
    }));
    if let (Some(cert), Some(key)) = (&args.tls_cert, &args.tls_key) {
        let listener = listen(0)?;
        announcement.https = Some(listener.local_addr()?);
        let chain = CertificateDer::pem_file_iter(cert)?.collect::<Result<Vec<_>, _>>()?;
        let provider = Arc::new(rustls::crypto::aws_lc_rs::default_provider());
        let mut config = rustls::ServerConfig::builder_with_provider(provider)
            .with_safe_default_protocol_versions()?
            .with_no_client_auth()
            .with_single_cert(chain, PrivateKeyDer::from_pem_file(key)?)?;
        config.alpn_protocols = vec![b"http/1.1".to_vec()];
        if !args.tls_http1 {
            config.alpn_protocols.insert(0, b"h2".to_vec());
        }
        let acceptor = TlsAcceptor::from(Arc::new(config));
        tokio::spawn(accept(listener, move |stream| {
            let acceptor = acceptor.clone();
            async move {
                if let Ok(stream) = acceptor.accept(stream).await {
                    let _ended = serve_well(stream).await;
                }
            }
        }));
    }
    println!("{}", serde_json::to_string(&announcement)?);
    Ok(())
}

/// Its connections hold little: what a proxy does not read is to stay with the upstream, and not in
/// the kernel, whose memory all of them share.
fn listen(port: u16) -> Result<TcpListener> {
    let socket = TcpSocket::new_v4()?;
    socket.set_reuseaddr(true)?;
    socket.set_send_buffer_size(SEND_BUFFER_BYTES)?;
    socket.bind(SocketAddr::from((Ipv4Addr::LOCALHOST, port)))?;
    socket.listen(BACKLOG).context("cannot listen")
}

async fn accept<F, R>(listener: TcpListener, handle: F)
where
    F: Fn(TcpStream) -> R,
    R: Future<Output = ()> + Send + 'static,
{
    while let Ok((stream, _)) = listener.accept().await {
        let _unsupported = stream.set_nodelay(true);
        tokio::spawn(handle(stream));
    }
}

async fn serve_well<S>(stream: S) -> Result<()>
where
    S: AsyncRead + AsyncWrite + Unpin + Send + 'static,
{
    let service =
        service_fn(|request| async { Ok::<_, Infallible>(pages::respond(request).await) });
    auto::Builder::new(TokioExecutor::new())
        .serve_connection_with_upgrades(TokioIo::new(stream), service)
        .await
        .map_err(|error| anyhow::anyhow!(error))
}

const SEND_BUFFER_BYTES: u32 = 64 * 1024;
const BACKLOG: u32 = 1024;
