//! Credentials that were paid for, kept until they are of no use.
//!
//! One file per credential, named by its payment hash, in a directory per origin:
//!
//! ```text
//! tokens/https_example.com_443/<payment hash>.json            may be used
//! tokens/https_example.com_443/<payment hash>.refused         not at these paths, one a line
//! tokens/https_example.com_443/refused/<payment hash>.json    no longer tried, never deleted
//! ```
//!
//! A credential's file is written whole, flushed, renamed into place and never written
//! again, so a reader takes no lock and nothing learnt later can damage what was paid for.
//! Writers take turns by a lock file, across processes. Refusals are not flushed: one that
//! a power cut forgets costs a round trip.
//!
//! # Which credential is tried
//!
//! A credential belongs to its origin and is tried anywhere on it: what it opens is the
//! seller's decision and not always visible in it. Those bought at the longest matching
//! path prefix come first, then the others, newest first. One that is refused is not tried
//! at that path again; refused at the path it was bought for, it is set aside for good.

use std::cmp::Reverse;
use std::collections::HashSet;
use std::fs::{self, File};
use std::io::{self, Write as _};
use std::path::{Path, PathBuf};

use http::HeaderValue;
use l402::{Msat, PaymentHash, Preimage, SchemeName, Token, UnixSeconds};

use crate::disk;
use crate::journal::{Order, Receipt};
use crate::origin::Origin;

mod file;

/// The credentials of one data directory.
#[derive(Clone, Debug)]
pub struct Store {
    dir: PathBuf,
}

/// A credential that was paid for, and how it came to be.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct StoredToken {
    /// Who sold it. It is never sent anywhere else.
    pub origin: Origin,
    /// The path it was bought for.
    pub path: String,
    /// How the seller spelled the scheme, and wants it spelled back.
    pub scheme: SchemeName,
    /// The token, exactly as received.
    pub token: Token,
    /// The proof of payment.
    pub preimage: Preimage,
    /// What was paid, without fees, in millisatoshis.
    pub price: Msat,
    /// What routing cost, in millisatoshis.
    pub fee: Msat,
    /// When it was bought.
    pub bought_at: UnixSeconds,
    /// Whether and where it is still tried. Putting a credential in the store ignores it.
    pub standing: Standing,
}

/// Whether and where a credential is still tried.
#[derive(Clone, Debug, Eq, PartialEq)]
pub enum Standing {
    /// Anywhere on its origin but at these paths, where it was refused.
    Usable {
        /// At most [`REFUSED_PATHS_MAX`].
        refused_at: Vec<String>,
    },
    /// Nowhere: it was refused at the path it was bought for.
    Refused,
}

/// Everything in a store.
#[derive(Debug, Default)]
pub struct Listing {
    /// Every credential, refused ones included, oldest first.
    pub tokens: Vec<StoredToken>,
    /// Files that could not be read, and why. They do not keep the others from being used.
    pub unreadable: Vec<StoreError>,
}

impl StoredToken {
    /// What a settled purchase has bought.
    pub(crate) fn bought(order: &Order, receipt: &Receipt) -> Self {
        Self {
            origin: order.origin.clone(),
            path: order.path.clone(),
            scheme: order.scheme,
            token: order.token.clone(),
            preimage: receipt.preimage.clone(),
            price: order.price,
            fee: receipt.fee,
            bought_at: order.begun_at,
            standing: Standing::default(),
        }
    }

    /// The payment that bought it; names it.
    #[must_use]
    pub fn payment_hash(&self) -> PaymentHash {
        self.preimage.payment_hash()
    }

    /// The value of the `Authorization` line to present: the token byte for byte as it was
    /// sold, under the scheme name it was sold under. Marked sensitive, so its `Debug` is empty.
    #[must_use]
    pub fn authorization(&self) -> HeaderValue {
        let text = format!(
            "{} {}:{}",
            self.scheme,
            self.token.as_str(),
            self.preimage.expose_hex()
        );
        let value = HeaderValue::try_from(text);
        let mut value = value.expect("a scheme name, base64 and hexadecimal are visible ASCII");
        value.set_sensitive(true);
        value
    }

    /// True when it was bought for this path or one above it.
    #[must_use]
    pub fn covers(&self, path: &str) -> bool {
        is_path_prefix(&self.path, path)
    }

    fn is_tried_at(&self, path: &str) -> bool {
        match &self.standing {
            Standing::Refused => false,
            Standing::Usable { refused_at } if refused_at.len() >= REFUSED_PATHS_MAX => {
                self.covers(path) && !refused_at.iter().any(|at| at == path)
            }
            Standing::Usable { refused_at } => !refused_at.iter().any(|at| at == path),
        }
    }
}

impl Store {
    /// Opens the store in `dir`, creating it as needed.
    ///
    /// # Errors
    ///
    /// [`StoreError::Io`] when the directory cannot be made.
    pub fn open(dir: &Path) -> Result<Self, StoreError> {
        let dir = dir.join(TOKEN_DIR);
        disk::create_private_dir(&dir).map_err(|source| io_error(&dir, source))?;
        Ok(Self { dir })
    }

    /// Keeps a credential. One that is there already stays as it is, and where it is.
    ///
    /// # Errors
    ///
    /// [`StoreError`] when it cannot be written and flushed.
    pub fn put(&self, token: &StoredToken) -> Result<(), StoreError> {
        let _turn = self.lock()?;
        let hash = token.payment_hash();
        if self.holds(&token.origin, &hash) {
            return Ok(());
        }
        let path = self.usable_path(&token.origin, &hash);
        let write = || {
            disk::create_private_dir(&self.origin_dir(&token.origin))?;
            disk::replace(&path, file::encode(token)?.as_bytes())
        };
        write().map_err(|source| io_error(&path, source))
    }

    /// The credentials worth trying for a path, best first.
    ///
    /// Unreadable files are left out here and named by [`all`](Self::all).
    ///
    /// # Errors
    ///
    /// [`StoreError::Io`] when the directory cannot be read.
    pub fn candidates(&self, origin: &Origin, path: &str) -> Result<Vec<StoredToken>, StoreError> {
        let mut listing = Listing::default();
        read_dir(&self.origin_dir(origin), Shelf::Usable, &mut listing)?;
        let mut tokens = listing.tokens;
        tokens.retain(|token| token.origin == *origin && token.is_tried_at(path));
        tokens.sort_by_key(|token| {
            let matched = token.covers(path).then_some(token.path.len());
            Reverse((matched, token.bought_at.as_secs()))
        });
        Ok(tokens)
    }

    /// True when there is a credential bought for this path, or above it, that is worth
    /// trying and not among the `known`.
    ///
    /// # Errors
    ///
    /// [`StoreError::Io`] when the directory cannot be read.
    pub fn offers_besides(
        &self,
        known: &HashSet<PaymentHash>,
        origin: &Origin,
        path: &str,
    ) -> Result<bool, StoreError> {
        let candidates = self.candidates(origin, path)?;
        Ok(candidates
            .iter()
            .any(|token| token.covers(path) && !known.contains(&token.payment_hash())))
    }

    /// Remembers that a credential was refused at a path.
    ///
    /// # Errors
    ///
    /// [`StoreError`] when that cannot be written; the credential is then as it was.
    pub fn refuse(
        &self,
        origin: &Origin,
        hash: &PaymentHash,
        path: &str,
    ) -> Result<(), StoreError> {
        let _turn = self.lock()?;
        let usable = self.usable_path(origin, hash);
        // Read again under the lock: another process may have learnt something meanwhile.
        let Some(token) = read_if_there(&usable, Shelf::Usable)? else {
            return Ok(());
        };
        let noted = if token.path == path {
            self.set_aside(origin, hash)
        } else {
            note_refusal(&usable.with_extension(REFUSED_AT), &token, path)
        };
        noted.map_err(|source| io_error(&usable, source))
    }

    /// Forgets every refusal of a credential, so that it is tried again.
    ///
    /// # Errors
    ///
    /// [`StoreError`] when that cannot be written; the credential is then as it was.
    pub fn forgive(&self, origin: &Origin, hash: &PaymentHash) -> Result<(), StoreError> {
        let _turn = self.lock()?;
        let usable = self.usable_path(origin, hash);
        let refused = self.refused_path(origin, hash);
        let forgive = || {
            if refused.exists() {
                disk::rename(&refused, &usable)?;
            }
            disk::remove(&usable.with_extension(REFUSED_AT))
        };
        forgive().map_err(|source| io_error(&usable, source))
    }

    /// True when a payment's credential is here, usable or refused.
    #[must_use]
    pub fn holds(&self, origin: &Origin, hash: &PaymentHash) -> bool {
        self.usable_path(origin, hash).exists() || self.refused_path(origin, hash).exists()
    }

    /// Every credential of every origin, refused ones included.
    ///
    /// # Errors
    ///
    /// [`StoreError::Io`] when a directory cannot be read.
    pub fn all(&self) -> Result<Listing, StoreError> {
        let mut listing = Listing::default();
        for entry in fs::read_dir(&self.dir).map_err(|source| io_error(&self.dir, source))? {
            let dir = entry.map_err(|source| io_error(&self.dir, source))?.path();
            if dir.is_dir() {
                read_dir(&dir, Shelf::Usable, &mut listing)?;
                read_dir(&dir.join(REFUSED_DIR), Shelf::Refused, &mut listing)?;
            }
        }
        listing
            .tokens
            .sort_by_key(|token| (token.bought_at.as_secs(), token.payment_hash()));
        Ok(listing)
    }

    fn set_aside(&self, origin: &Origin, hash: &PaymentHash) -> io::Result<()> {
        let usable = self.usable_path(origin, hash);
        disk::create_private_dir(&self.origin_dir(origin).join(REFUSED_DIR))?;
        fs::rename(&usable, self.refused_path(origin, hash))
    }

    fn lock(&self) -> Result<File, StoreError> {
        let path = self.dir.join(LOCK_FILE);
        let lock = || {
            let file = disk::private_file().open(&path)?;
            file.lock()?;
            Ok(file)
        };
        lock().map_err(|source| io_error(&path, source))
    }

    fn origin_dir(&self, origin: &Origin) -> PathBuf {
        self.dir.join(origin.directory_name())
    }

    fn usable_path(&self, origin: &Origin, hash: &PaymentHash) -> PathBuf {
        self.origin_dir(origin).join(format!("{hash}.json"))
    }

    fn refused_path(&self, origin: &Origin, hash: &PaymentHash) -> PathBuf {
        self.origin_dir(origin)
            .join(REFUSED_DIR)
            .join(format!("{hash}.json"))
    }
}

impl Default for Standing {
    fn default() -> Self {
        Self::Usable {
            refused_at: Vec::new(),
        }
    }
}

/// True when `path` is `prefix` or lies below it.
fn is_path_prefix(prefix: &str, path: &str) -> bool {
    let prefix = prefix.strip_suffix('/').unwrap_or(prefix);
    path.strip_prefix(prefix)
        .is_some_and(|rest| rest.is_empty() || rest.starts_with('/'))
}

/// Where a credential's file is.
#[derive(Clone, Copy)]
enum Shelf {
    Refused,
    Usable,
}

fn note_refusal(list: &Path, token: &StoredToken, path: &str) -> io::Result<()> {
    match &token.standing {
        Standing::Usable { refused_at } if refused_at.len() < REFUSED_PATHS_MAX => {
            let mut file = disk::private_file().append(true).open(list)?;
            writeln!(file, "{path}")
        }
        Standing::Usable { .. } | Standing::Refused => Ok(()),
    }
}

fn read_if_there(path: &Path, shelf: Shelf) -> Result<Option<StoredToken>, StoreError> {
    let bytes = match fs::read(path) {
        Ok(bytes) => bytes,
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(None),
        Err(source) => return Err(io_error(path, source)),
    };
    let token = file::decode(&bytes).map_err(|reason| StoreError::Unreadable {
        path: path.to_owned(),
        reason,
    })?;
    let standing = match shelf {
        Shelf::Refused => Standing::Refused,
        Shelf::Usable => Standing::Usable {
            refused_at: read_refusals(&path.with_extension(REFUSED_AT)),
        },
    };
    Ok(Some(StoredToken { standing, ..token }))
}

/// A list that is missing or unreadable refuses nothing: trying again costs a round trip.
fn read_refusals(list: &Path) -> Vec<String> {
    let text = fs::read_to_string(list).unwrap_or_default();
    text.lines().map(str::to_owned).collect()
}

/// Reads the credentials directly in `dir`; a directory that is not there holds none.
fn read_dir(dir: &Path, shelf: Shelf, listing: &mut Listing) -> Result<(), StoreError> {
    let entries = match fs::read_dir(dir) {
        Ok(entries) => entries,
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(()),
        Err(source) => return Err(io_error(dir, source)),
    };
    for entry in entries {
        let path = entry.map_err(|source| io_error(dir, source))?.path();
        if path
            .extension()
            .is_some_and(|extension| extension == "json")
        {
            match read_if_there(&path, shelf) {
                Ok(token) => listing.tokens.extend(token),
                Err(error) => listing.unreadable.push(error),
            }
        }
    }
    Ok(())
}

fn io_error(path: &Path, source: io::Error) -> StoreError {
    StoreError::Io {
        path: path.to_owned(),
        source,
    }
}

/// Why the store cannot be used.
#[derive(Debug, thiserror::Error)]
pub enum StoreError {
    /// The file system refused.
    #[error("cannot use {}", path.display())]
    Io {
        /// The file or directory.
        path: PathBuf,
        /// What the system said.
        source: io::Error,
    },
    /// A file is not a credential of ours.
    #[error("{} is not a stored credential: {reason}", path.display())]
    Unreadable {
        /// The file.
        path: PathBuf,
        /// What is wrong with it. Never its content.
        reason: String,
    },
}

const TOKEN_DIR: &str = "tokens";
const REFUSED_DIR: &str = "refused";
const REFUSED_AT: &str = "refused";
const LOCK_FILE: &str = "lock";

/// How many paths a credential may be refused at and still be tried at unrelated ones.
pub const REFUSED_PATHS_MAX: usize = 8;

#[cfg(test)]
mod tests;
