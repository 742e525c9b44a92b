//! What has been bought, is being bought, and may have been bought.
//!
//! A purchase is written here and flushed **before** the wallet is asked, and what became
//! of it is written after. Whatever kills the process in between, the payment hash, the
//! token and the price are on disk, so the payment can be looked up and is never repeated.
//!
//! The file is append-only text, one checksummed line per event, readable by its owner
//! alone. All journals of one directory, in this process or another, take turns by a lock
//! file: the limits are checked and the purchase is written in one turn, so two buyers
//! cannot both spend the last satoshi. What counts against the limits is added up from
//! the records themselves; there is no second sum that could disagree.
//!
//! # Who may end an open purchase
//!
//! The one who began it, while it lives: it waits for the wallet's answer. Once it has
//! recorded doubt, or is dead, anybody may look the payment up; see
//! [`resume`](crate::resume) for what each answer means.

use std::collections::HashSet;
use std::fmt;
use std::fs::File;
use std::io;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use l402::{PaymentHash, UnixSeconds};

use crate::disk;
use crate::origin::Origin;

mod book;
mod entry;
mod log;
pub(crate) mod record;
mod session;

pub use book::{Charge, ChargeKind};
pub use entry::{Entry, EntryState, Order, Owner, Receipt, WalletName};

use book::{Book, Page};
use log::{Durability, Log};
use record::{Begun, Hash, Record};
use session::Session;

/// The purchases of one data directory. Clones share one session.
#[derive(Clone)]
pub struct Journal {
    shared: Arc<Shared>,
}

struct Shared {
    lock: File,
    sessions: PathBuf,
    session: Session,
    /// What this session is waiting for a wallet about.
    working: Mutex<HashSet<PaymentHash>>,
    state: Mutex<State>,
}

struct State {
    log: Log,
    book: Book,
}

/// What became of a payment, as the wallet told it.
#[derive(Clone, Debug, Eq, PartialEq)]
pub enum Outcome {
    /// No money moved and none will.
    Failed {
        /// What the wallet said.
        reason: String,
    },
    /// The wallet could not say.
    InDoubt {
        /// What the wallet said.
        reason: String,
    },
    /// It settled.
    Paid(Receipt),
}

impl Outcome {
    fn record(self, hash: PaymentHash) -> Result<Record, JournalError> {
        match self {
            Self::Failed { reason } => Ok(Record::Failed {
                hash: Hash(hash),
                reason,
            }),
            Self::InDoubt { reason } => Ok(Record::InDoubt {
                hash: Hash(hash),
                reason,
            }),
            Self::Paid(receipt) if receipt.preimage.matches(&hash) => {
                Ok(book::paid(Hash(hash), &receipt))
            }
            Self::Paid(_) => Err(JournalError::NotItsPreimage { hash }),
        }
    }
}

/// Says that this process is working on a purchase, until dropped.
#[must_use = "dropped, it tells other processes that nobody waits for the wallet"]
pub struct Ticket {
    shared: Arc<Shared>,
    hash: PaymentHash,
}

impl Journal {
    /// Opens the journal in `dir`, creating both as needed.
    ///
    /// # Errors
    ///
    /// [`JournalError`] when the directory cannot be used. Damage inside the file is found
    /// by the first call that reads it.
    pub fn open(dir: &Path) -> Result<Self, JournalError> {
        let at = |path: &Path, source| JournalError::Io {
            path: path.to_owned(),
            source,
        };
        disk::create_private_dir(dir).map_err(|source| at(dir, source))?;
        let lock_path = dir.join(LOCK_FILE);
        let sessions = dir.join(SESSION_DIR);
        let lock = disk::private_file()
            .open(&lock_path)
            .map_err(|source| at(&lock_path, source))?;
        lock.lock().map_err(|source| at(&lock_path, source))?;
        let session = Session::start(&sessions);
        lock.unlock().map_err(|source| at(&lock_path, source))?;
        let session = session.map_err(|source| at(&sessions, source))?;
        let state = Mutex::new(State {
            log: Log::new(dir.join(LOG_FILE)),
            book: Book::default(),
        });
        Ok(Self {
            shared: Arc::new(Shared {
                lock,
                sessions,
                session,
                working: Mutex::default(),
                state,
            }),
        })
    }

    /// Writes a purchase down, if `admit` finds room for it beside everything charged so far.
    ///
    /// Reading the charges, `admit` and writing happen in one turn of the lock. When this
    /// returns, the record is flushed and the wallet may be asked; keep the ticket until
    /// the outcome is [settled](Self::settle). What `admit` answers is handed back with it.
    ///
    /// # Errors
    ///
    /// On any [`BeginError`] nothing was written and the wallet must not be asked.
    pub fn begin<T, R>(
        &self,
        order: &Order,
        admit: impl FnOnce(&[Charge]) -> Result<T, R>,
    ) -> Result<(Ticket, T), BeginError<R>> {
        let mut turn = self.turn()?;
        if let Some(page) = turn.book().blocking(order) {
            let page = page.clone();
            let entry = self.entry(&page).map_err(|source| turn.io(source))?;
            return Err(BeginError::AlreadyBegun(Box::new(entry)));
        }
        let admitted = admit(&turn.book().charges()).map_err(BeginError::Refused)?;
        turn.compact_if_long(order.begun_at)?;
        let record = Record::Begun(Begun::new(order, self.shared.session.id()));
        turn.write(&record, Durability::Flushed)?;
        Ok((self.ticket(order.payment_hash), admitted))
    }

    /// Writes down what became of a purchase, flushed.
    ///
    /// A purchase that was settled before stays as it was, so that whoever comes second
    /// with the same news changes nothing.
    ///
    /// # Errors
    ///
    /// [`JournalError`] when it cannot be written: the purchase then stays as it was, and
    /// a later look-up will find the same outcome.
    pub fn settle(&self, hash: &PaymentHash, outcome: Outcome) -> Result<(), JournalError> {
        let mut turn = self.turn()?;
        let may_change = match turn.book().page(hash).map(|page| &page.state) {
            Some(EntryState::Begun | EntryState::InDoubt { .. }) => true,
            Some(EntryState::Failed { .. }) => matches!(outcome, Outcome::Paid(_)),
            Some(EntryState::Paid(_) | EntryState::Kept(_)) => false,
            None => return Err(JournalError::Unknown { hash: *hash }),
        };
        if !may_change {
            return Ok(());
        }
        turn.write(&outcome.record(*hash)?, Durability::Flushed)
    }

    /// Writes down that a paid credential is in the store. Of a purchase that is not known
    /// to be paid it says nothing: that has to be settled first, by a look-up.
    ///
    /// # Errors
    ///
    /// [`JournalError`] when it cannot be written; the token is then stored once more later.
    pub fn mark_kept(&self, hash: &PaymentHash) -> Result<(), JournalError> {
        let mut turn = self.turn()?;
        match turn.book().page(hash).map(|page| &page.state) {
            Some(EntryState::Paid(_)) => {
                turn.write(&Record::Kept { hash: Hash(*hash) }, Durability::Eventual)
            }
            Some(
                EntryState::Begun
                | EntryState::InDoubt { .. }
                | EntryState::Failed { .. }
                | EntryState::Kept(_),
            )
            | None => Ok(()),
        }
    }

    /// Every purchase of which it is not known whether money moved.
    ///
    /// # Errors
    ///
    /// [`JournalError`] when the journal cannot be read.
    pub fn open_entries(&self) -> Result<Vec<Entry>, JournalError> {
        self.entries_where(Entry::is_open)
    }

    /// Every purchase that was paid and whose token may be missing from the store.
    ///
    /// # Errors
    ///
    /// [`JournalError`] when the journal cannot be read.
    pub fn unkept_entries(&self) -> Result<Vec<Entry>, JournalError> {
        self.entries_where(|entry| matches!(entry.state, EntryState::Paid(_)))
    }

    /// Every purchase the journal still lists, in no order that means anything.
    ///
    /// # Errors
    ///
    /// [`JournalError`] when the journal cannot be read.
    pub fn entries(&self) -> Result<Vec<Entry>, JournalError> {
        self.entries_where(|_entry| true)
    }

    /// Everything that counts against a limit.
    ///
    /// # Errors
    ///
    /// [`JournalError`] when the journal cannot be read.
    pub fn charges(&self) -> Result<Vec<Charge>, JournalError> {
        Ok(self.turn()?.book().charges())
    }

    /// Replaces finished purchases by their sums, whatever the journal's length.
    ///
    /// # Errors
    ///
    /// [`JournalError`] when it cannot be rewritten; it is then as it was.
    pub fn compact(&self, now: UnixSeconds) -> Result<(), JournalError> {
        self.turn()?.compact(now)
    }

    /// Says that this process is working on a purchase.
    fn ticket(&self, hash: PaymentHash) -> Ticket {
        lock(&self.shared.working).insert(hash);
        Ticket {
            shared: Arc::clone(&self.shared),
            hash,
        }
    }

    fn entries_where(&self, wanted: impl Fn(&Entry) -> bool) -> Result<Vec<Entry>, JournalError> {
        let mut turn = self.turn()?;
        let mut entries = Vec::new();
        for page in turn.book().pages() {
            entries.push(self.entry(page));
        }
        let entries: io::Result<Vec<Entry>> = entries.into_iter().collect();
        let mut entries = entries.map_err(|source| turn.io(source))?;
        entries.retain(wanted);
        Ok(entries)
    }

    fn entry(&self, page: &Page) -> io::Result<Entry> {
        Ok(Entry {
            order: page.order.clone(),
            state: page.state.clone(),
            owner: self.owner(page)?,
        })
    }

    fn owner(&self, page: &Page) -> io::Result<Owner> {
        let is_working = match page.state {
            EntryState::Begun if page.session == *self.shared.session.id() => {
                lock(&self.shared.working).contains(&page.order.payment_hash)
            }
            EntryState::Begun => session::is_alive(&self.shared.sessions, &page.session)?,
            // Whoever recorded an outcome has stopped waiting for one.
            EntryState::InDoubt { .. }
            | EntryState::Failed { .. }
            | EntryState::Paid(_)
            | EntryState::Kept(_) => false,
        };
        Ok(if is_working {
            Owner::Working
        } else {
            Owner::Gone
        })
    }

    /// Waits for this journal's turn and reads what the others wrote meanwhile.
    fn turn(&self) -> Result<Turn<'_>, JournalError> {
        let state = lock(&self.shared.state);
        let lock = &self.shared.lock;
        lock.lock().map_err(|source| JournalError::Io {
            path: state.log.path().with_file_name(LOCK_FILE),
            source,
        })?;
        let mut turn = Turn { lock, state };
        turn.catch_up()?;
        Ok(turn)
    }
}

/// Exclusive use of the journal, up to date.
struct Turn<'a> {
    lock: &'a File,
    state: MutexGuard<'a, State>,
}

impl Turn<'_> {
    fn book(&mut self) -> &mut Book {
        &mut self.state.book
    }

    fn io(&self, source: io::Error) -> JournalError {
        JournalError::Io {
            path: self.state.log.path().to_owned(),
            source,
        }
    }

    fn catch_up(&mut self) -> Result<(), JournalError> {
        let State { log, book } = &mut *self.state;
        let read = log.read_new().and_then(|news| {
            if news.is_whole {
                *book = Book::default();
            }
            news.records.into_iter().try_for_each(|(line, record)| {
                book.apply(&record)
                    .map_err(|reason| log.corrupt(line, reason))
            })
        });
        if read.is_err() {
            // Half a book must never be mistaken for a whole one: the next turn starts over.
            log.start_over();
        }
        read
    }

    /// Writes a record that follows from the ones before it; any other is refused unwritten.
    fn write(&mut self, record: &Record, durability: Durability) -> Result<(), JournalError> {
        let State { log, book } = &mut *self.state;
        let change = book
            .check(record)
            .map_err(|reason| log.corrupt(log.lines(), reason))?;
        log.append(record, durability)?;
        book.commit(change);
        Ok(())
    }

    fn compact_if_long(&mut self, now: UnixSeconds) -> Result<(), JournalError> {
        if self.state.log.len() < COMPACT_AT_BYTES {
            return Ok(());
        }
        self.compact(now)
    }

    fn compact(&mut self, now: UnixSeconds) -> Result<(), JournalError> {
        let State { log, book } = &mut *self.state;
        let records = book.compacted(now.utc_day());
        log.replace(&records)?;
        *book = Book::default();
        records
            .iter()
            .try_for_each(|record| book.apply(record))
            .map_err(|reason| log.corrupt(log.lines(), reason))
    }
}

impl Drop for Turn<'_> {
    fn drop(&mut self) {
        // Unlocking a file that is locked does not fail; the process's end unlocks as well.
        let _ = self.lock.unlock();
    }
}

impl Drop for Ticket {
    fn drop(&mut self) {
        lock(&self.shared.working).remove(&self.hash);
    }
}

impl fmt::Debug for Ticket {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Ticket({})", self.hash)
    }
}

impl fmt::Debug for Journal {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Journal")
            .field("session", &self.shared.session)
            .finish_non_exhaustive()
    }
}

impl Book {
    /// The purchase that must end before `order` may begin: one of the same payment hash
    /// that did not fail, or one for the same origin and path that is open, or whose
    /// credential has yet to reach the store.
    fn blocking(&self, order: &Order) -> Option<&Page> {
        let same_hash = self
            .page(&order.payment_hash)
            .filter(|page| !matches!(page.state, EntryState::Failed { .. }));
        same_hash.or_else(|| {
            self.pages()
                .find(|page| page.is_unfinished_at(&order.origin, &order.path))
        })
    }
}

impl Page {
    fn is_unfinished_at(&self, origin: &Origin, path: &str) -> bool {
        let is_finished = match self.state {
            EntryState::Begun | EntryState::InDoubt { .. } | EntryState::Paid(_) => false,
            EntryState::Failed { .. } | EntryState::Kept(_) => true,
        };
        !is_finished && self.order.origin == *origin && self.order.path == path
    }
}

/// Why a purchase was not written down. Nothing may be paid.
#[derive(Debug, thiserror::Error)]
pub enum BeginError<R> {
    /// It, or another purchase of the same origin and path, was begun before.
    #[error("a purchase with payment hash {} is not finished", .0.order.payment_hash)]
    AlreadyBegun(Box<Entry>),
    /// The journal cannot be used.
    #[error(transparent)]
    Journal(#[from] JournalError),
    /// It does not fit the limits.
    #[error("refused by the limits")]
    Refused(R),
}

/// Why the journal cannot be used.
#[derive(Debug, thiserror::Error)]
pub enum JournalError {
    /// A record is damaged or does not follow from the ones before it.
    #[error(
        "{} is damaged at line {line}: {reason}; compare the wallet's payments with it, then move it away",
        path.display()
    )]
    Corrupt {
        /// The file.
        path: PathBuf,
        /// Counted from 1.
        line: usize,
        /// What is wrong with it.
        reason: String,
    },
    /// The file system refused.
    #[error("cannot use {}", path.display())]
    Io {
        /// The file or directory.
        path: PathBuf,
        /// What the system said.
        source: io::Error,
    },
    /// The preimage offered as proof belongs to another payment.
    #[error("the wallet's preimage does not match payment hash {hash}")]
    NotItsPreimage {
        /// The hash it should have matched.
        hash: PaymentHash,
    },
    /// No such purchase is listed.
    #[error("no purchase with payment hash {hash} is in the journal")]
    Unknown {
        /// The hash asked for.
        hash: PaymentHash,
    },
}

/// A panic elsewhere leaves these values whole: each is changed in one step.
fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

const LOG_FILE: &str = "journal.log";
const LOCK_FILE: &str = "journal.lock";
const SESSION_DIR: &str = "sessions";

/// A few hundred purchases: reading this much takes about a millisecond.
const COMPACT_AT_BYTES: u64 = 256 * 1024;

#[cfg(test)]
mod tests;
