//! Marker of a book: a file next to the database that holds the book's random id.
//!
//! Spending limits and tokens are only as durable as the database, and a missing database looks
//! like a first start. The marker distinguishes the two: a database that is missing, empty or of
//! another id while there is a marker is an error, and nothing is bought.
//!
//! The id is committed with the tables. The marker is written before the first transaction that
//! writes, under its lock, and is durable before that transaction commits. A process that dies
//! before leaves a database without a marker, which the next one marks. No process sees a marker
//! and then no database, as long as it reads the marker first.

use std::fs::{self, OpenOptions};
use std::io::{self, Write as _};
use std::path::{Path, PathBuf};

use crate::book::BookError;
use crate::disk;

/// The marker of the database in one directory.
#[derive(Debug)]
pub(super) struct Marker {
    path: PathBuf,
}

/// The random id of a database.
#[derive(Clone, Debug, Eq, PartialEq)]
pub(super) struct BookId(String);

impl BookId {
    pub(super) const fn new(id: String) -> Self {
        Self(id)
    }
}

impl Marker {
    pub(super) fn new(dir: &Path) -> Self {
        Self {
            path: dir.join(FILE),
        }
    }

    /// Returns the id of the database that has to be there, if there was one.
    pub(super) fn read(&self) -> Result<Option<BookId>, BookError> {
        match fs::read_to_string(&self.path) {
            Ok(text) => Ok(Some(BookId::new(text.trim_end().to_owned()))),
            Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(None),
            Err(error) => Err(self.error(error)),
        }
    }

    /// Writes the marker if there is none. Callers hold the write lock of the database.
    pub(super) fn ensure(&self, id: &BookId, database: &Path) -> Result<(), BookError> {
        match self.read()? {
            Some(marked) if marked == *id => Ok(()),
            Some(_other) => Err(self.replaced(database)),
            None => self.write(id).map_err(|error| self.error(error)),
        }
    }

    fn write(&self, BookId(id): &BookId) -> io::Result<()> {
        // The entry of the database must not be less durable than the marker's.
        disk::sync_parent(&self.path)?;
        let draft = self.path.with_extension("id.new");
        let mut file = OpenOptions::truncate(&mut disk::private_file(), true).open(&draft)?;
        writeln!(file, "{id}")?;
        file.sync_all()?;
        fs::rename(&draft, &self.path)?;
        disk::sync_parent(&self.path)
    }

    /// The error for a database that is not there, or empty.
    pub(super) fn lost(&self, database: &Path) -> BookError {
        BookError::Lost {
            path: database.to_owned(),
            marker: self.path.clone(),
        }
    }

    /// The error for a database with another id.
    pub(super) fn replaced(&self, database: &Path) -> BookError {
        BookError::Replaced {
            path: database.to_owned(),
            marker: self.path.clone(),
        }
    }

    fn error(&self, source: io::Error) -> BookError {
        BookError::Io {
            path: self.path.clone(),
            source,
        }
    }
}

const FILE: &str = "client.id";
