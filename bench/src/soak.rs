//! Mixed traffic of paying customers, for as long as it is wanted, with a book of every request.
//!
//! HTTP/1.1 and HTTP/2, gRPC streams, WebSockets, uploads, events, clients that leave early and
//! clients that do not pay. Responses may fail while the upstream restarts: what is wanted of
//! each request is that the proxy counts it once. Each has an `X-Request-Id` of its own, by which
//! the book can be compared with the access log of the proxy.

mod clients;

use std::fs::File;
use std::io::{BufWriter, Write as _};
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, PoisonError};

use anyhow::{Context as _, Result, ensure};
use tokio::task::JoinSet;
use tokio::time::{Duration, Instant, sleep};

use clients::{Client, Ended};

/// The proxy and its customers.
#[derive(Clone, Debug, clap::Args)]
pub(crate) struct Args {
    /// Where it serves without TLS.
    #[arg(long)]
    proxy: SocketAddr,
    /// The value of the customers' `Authorization` line.
    #[arg(long, env = "CUSTOMER", hide_env_values = true)]
    customer: String,
    /// How long.
    #[arg(long)]
    seconds: f64,
    /// The file to write the book to: for each request that was sent its id and how it ended.
    #[arg(long)]
    book: PathBuf,
}

/// Sends traffic, and writes the book.
///
/// # Errors
///
/// When the proxy is not this machine, or the book cannot be written.
pub(crate) fn run(args: &Args) -> Result<()> {
    ensure!(args.proxy.ip().is_loopback(), "only for this machine");
    let runtime = tokio::runtime::Builder::new_multi_thread()
        .worker_threads(1)
        .enable_all()
        .build()?;
    runtime.block_on(traffic(args))
}

async fn traffic(args: &Args) -> Result<()> {
    let book = Arc::new(Book::create(&args.book)?);
    let args = Arc::new(args.clone());
    let length = Duration::try_from_secs_f64(args.seconds)?;
    let until = Instant::now().checked_add(length).context("too long")?;
    let mut clients = JoinSet::new();
    for client in Client::ALL {
        let (args, book) = (Arc::clone(&args), Arc::clone(&book));
        clients.spawn(async move { keep_on(client, &args, &book, until).await });
    }
    while let Some(ended) = clients.join_next().await {
        ended??;
    }
    book.close()
}

async fn keep_on(client: Client, args: &Args, book: &Book, until: Instant) -> Result<()> {
    let mut kept = None;
    let mut number = 0_u64;
    while Instant::now() < until {
        let id = format!("{}:{number}", client.name());
        let ended = client.ask(args, &id, &mut kept).await;
        book.enter(&id, &ended)?;
        number = number.saturating_add(1);
        sleep(PAUSE).await;
    }
    Ok(())
}

/// A line for each request that was sent.
struct Book(Mutex<BufWriter<File>>);

impl Book {
    fn create(path: &Path) -> Result<Self> {
        let file = File::create(path).with_context(|| path.display().to_string())?;
        Ok(Self(Mutex::new(BufWriter::new(file))))
    }

    fn enter(&self, id: &str, ended: &Ended) -> Result<()> {
        let mut file = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        match ended {
            Ended::Unsent => {}
            Ended::Complete(status) => writeln!(file, "{id} complete {status}")?,
            Ended::Cut(status) => writeln!(file, "{id} cut {status}")?,
            Ended::Left => writeln!(file, "{id} left")?,
            Ended::Failed => writeln!(file, "{id} failed")?,
            Ended::Lost(error) => writeln!(file, "{id} lost {error}")?,
        }
        Ok(())
    }

    fn close(&self) -> Result<()> {
        let mut file = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        Ok(file.flush()?)
    }
}

/// Between two requests of one client. It is about what is counted and kept, not about speed.
const PAUSE: Duration = Duration::from_millis(50);
