//! Why the book cannot be used.

use std::io;
use std::path::PathBuf;

use l402::PaymentHash;

/// Why the book cannot be used.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum BookError {
    /// Another process holds the database for too long.
    #[error("{} is in use by another process: try again later", path.display())]
    Busy {
        /// The file.
        path: PathBuf,
    },
    /// The database cannot be used.
    #[error("cannot use {}: {source}{}", path.display(), hint(source))]
    Database {
        /// The file.
        path: PathBuf,
        /// What SQLite reported.
        source: rusqlite::Error,
    },
    /// The database is damaged. Nothing is bought with it.
    #[error(
        "{} is damaged: {reason}; nothing is bought until it is moved away: compare the wallet's payments with it first",
        path.display()
    )]
    Damaged {
        /// The file.
        path: PathBuf,
        /// What is wrong with it. Never its content.
        reason: String,
    },
    /// Others may read the file.
    #[error("others can read {} (mode {mode:o}): run `chmod 600` on it", path.display())]
    Exposed {
        /// The file.
        path: PathBuf,
        /// Its permission bits.
        mode: u32,
    },
    /// The file is a database of another program.
    #[error("{} is a database of another program: use another directory", path.display())]
    Foreign {
        /// The file.
        path: PathBuf,
    },
    /// A process is working on the purchase.
    #[error("a running process is paying {hash}: wait until it has ended")]
    InUse {
        /// The payment hash.
        hash: PaymentHash,
    },
    /// The file system refused.
    #[error("cannot use {}: {source}", path.display())]
    Io {
        /// The file or directory.
        path: PathBuf,
        /// What the system reported.
        source: io::Error,
    },
    /// There was a database, and it is missing or empty. Nothing is bought without it.
    #[error(
        "{} is missing or empty: restore it, or remove {} to accept that the tokens and the spending it held are forgotten",
        path.display(),
        marker.display()
    )]
    Lost {
        /// The file.
        path: PathBuf,
        /// The file that shows that there was one.
        marker: PathBuf,
    },
    /// A later version of this program wrote the file.
    #[error("{} was written by a later version of this program", path.display())]
    Newer {
        /// The file.
        path: PathBuf,
    },
    /// The proof is of another payment.
    #[error("the preimage does not match payment hash {hash}")]
    NotItsPreimage {
        /// The payment hash.
        hash: PaymentHash,
    },
    /// The database is not the one that was here before. Nothing is bought with it.
    #[error(
        "{} is another book than the one that was here: restore that one, or remove {} to accept this one with its tokens and spending",
        path.display(),
        marker.display()
    )]
    Replaced {
        /// The file.
        path: PathBuf,
        /// The file that holds the id of the one that was here.
        marker: PathBuf,
    },
    /// No such purchase.
    #[error("there is no such purchase: {hash}")]
    Unknown {
        /// The payment hash.
        hash: PaymentHash,
    },
}

/// Returns what SQLite's text for a failed write leaves open.
fn hint(error: &rusqlite::Error) -> &'static str {
    if error.sqlite_error_code() == Some(rusqlite::ErrorCode::SystemIoFailure) {
        "; is its disk full?"
    } else {
        ""
    }
}
