//! The journal's file: reading what others appended, appending, repairing, replacing.
//!
//! The caller holds the journal's lock throughout. Another process may have appended to
//! the file or replaced it since the last call, so [`Log::read_new`] comes first, always.
//!
//! A torn tail, a last line without its end or holding bytes the file system never wrote,
//! was never acknowledged to anyone: nothing was paid on its strength, and it is cut off.
//! Damage anywhere else may be a payment, and is an error for a person to look at.

use std::fs::File;
use std::io::{self, Read as _, Seek as _, SeekFrom, Write as _};
use std::path::{Path, PathBuf};

use super::JournalError;
use super::record::{self, Chain, Record};
use crate::disk;

/// A position in the journal's file, as far as it has been read.
#[derive(Debug)]
pub(super) struct Log {
    path: PathBuf,
    /// True once the file has been there: from then on its absence is an error, not a start.
    seen: bool,
    /// Which incarnation of the file the position belongs to; replaced at each compaction.
    generation: Option<[u8; 8]>,
    end: u64,
    lines: usize,
    chain: Chain,
}

/// What has been written since the last call.
pub(super) struct News {
    /// True when `records` start from an empty book: first call, or a replaced file.
    pub(super) is_whole: bool,
    /// Each with the number of its line.
    pub(super) records: Vec<(usize, Record)>,
}

/// Whether an appended record must survive a power cut before the call returns.
#[derive(Clone, Copy, Eq, PartialEq)]
pub(super) enum Durability {
    /// Yes: money depends on it.
    Flushed,
    /// No: losing it repeats harmless work.
    Eventual,
}

impl Log {
    pub(super) const fn new(path: PathBuf) -> Self {
        Self {
            path,
            seen: false,
            generation: None,
            end: 0,
            lines: 0,
            chain: Chain::start([0; 8]),
        }
    }

    pub(super) fn path(&self) -> &Path {
        &self.path
    }

    /// Length of what has been read, in bytes.
    pub(super) const fn len(&self) -> u64 {
        self.end
    }

    /// Number of the last line read or written, counted from 1.
    pub(super) const fn lines(&self) -> usize {
        self.lines
    }

    /// Forgets what has been read; the next call reads the whole file.
    pub(super) fn start_over(&mut self) {
        self.generation = None;
    }

    /// Reads every record appended since the last call, and repairs a torn tail.
    pub(super) fn read_new(&mut self) -> Result<News, JournalError> {
        let mut file = self.open_or_create()?;
        let is_whole = self.follow_generation(&mut file)?;
        let tail = self
            .read_tail(&mut file)
            .map_err(|source| self.io(source))?;
        let records = self.decode_tail(&tail)?;
        let read = self.end;
        if file.metadata().map_err(|source| self.io(source))?.len() > read {
            file.set_len(read).map_err(|source| self.io(source))?;
            file.sync_all().map_err(|source| self.io(source))?;
        }
        Ok(News { is_whole, records })
    }

    /// Appends one record. On error nothing was appended.
    pub(super) fn append(
        &mut self,
        record: &Record,
        durability: Durability,
    ) -> Result<(), JournalError> {
        let (line, chain) = record::encode(record, self.chain).map_err(|e| self.io(e.into()))?;
        let mut file = self.open_existing().map_err(|source| self.io(source))?;
        if let Err(source) = write_at(&mut file, self.end, line.as_bytes(), durability) {
            // Best effort: the next reader cuts an incomplete line off as well.
            let _ = file.set_len(self.end);
            return Err(self.io(source));
        }
        self.advance(line.len(), chain);
        Ok(())
    }

    /// Replaces the whole file at once.
    pub(super) fn replace(&mut self, records: &[Record]) -> Result<(), JournalError> {
        let generation = random_generation().map_err(|source| self.io(source))?;
        let mut text = header(generation);
        let mut chain = Chain::start(generation);
        for record in records {
            let (line, link) = record::encode(record, chain).map_err(|e| self.io(e.into()))?;
            text.push_str(&line);
            chain = link;
        }
        disk::replace(&self.path, text.as_bytes()).map_err(|source| self.io(source))?;
        self.generation = Some(generation);
        self.end = text.len() as u64;
        self.lines = records.len().saturating_add(1);
        self.chain = chain;
        Ok(())
    }

    /// The error for a record on `line` that makes no sense.
    pub(super) fn corrupt(&self, line: usize, reason: impl Into<String>) -> JournalError {
        JournalError::Corrupt {
            path: self.path.clone(),
            line,
            reason: reason.into(),
        }
    }

    fn io(&self, source: io::Error) -> JournalError {
        JournalError::Io {
            path: self.path.clone(),
            source,
        }
    }

    fn open_existing(&self) -> io::Result<File> {
        File::options().read(true).write(true).open(&self.path)
    }

    fn open_or_create(&mut self) -> Result<File, JournalError> {
        match self.open_existing() {
            Err(error) if error.kind() == io::ErrorKind::NotFound && !self.seen => {
                // Written whole and renamed, so that no crash leaves half a header.
                let generation = random_generation().map_err(|source| self.io(source))?;
                disk::replace(&self.path, header(generation).as_bytes())
                    .and_then(|()| self.open_existing())
                    .map_err(|source| self.io(source))
            }
            opened => opened.map_err(|source| self.io(source)),
        }
    }

    /// Starts again from the header when the file is not the one read before.
    fn follow_generation(&mut self, file: &mut File) -> Result<bool, JournalError> {
        let mut text = [0; HEADER_LEN];
        file.read_exact(&mut text)
            .map_err(|_short| self.corrupt(1, "the header is incomplete"))?;
        let generation = read_header(&text).ok_or_else(|| {
            self.corrupt(
                1,
                format!("the header is not `{MAGIC}` and 16 hexadecimal digits"),
            )
        })?;
        if self.generation == Some(generation) {
            return Ok(false);
        }
        self.seen = true;
        self.generation = Some(generation);
        self.end = HEADER_LEN as u64;
        self.lines = 1;
        self.chain = Chain::start(generation);
        Ok(true)
    }

    fn read_tail(&self, file: &mut File) -> io::Result<Vec<u8>> {
        if file.metadata()?.len() < self.end {
            return Err(io::Error::new(
                io::ErrorKind::InvalidData,
                "the journal is shorter than it was: records were removed",
            ));
        }
        file.seek(SeekFrom::Start(self.end))?;
        let mut tail = Vec::new();
        file.read_to_end(&mut tail)?;
        Ok(tail)
    }

    fn decode_tail(&mut self, tail: &[u8]) -> Result<Vec<(usize, Record)>, JournalError> {
        let mut records = Vec::new();
        let mut lines = tail.split_inclusive(|byte| *byte == b'\n').peekable();
        while let Some(line) = lines.next() {
            if lines.peek().is_none() && is_torn(line) {
                break;
            }
            let number = self.lines.saturating_add(1);
            let text = line.strip_suffix(b"\n").unwrap_or(line);
            let (record, chain) =
                record::decode(text, self.chain).map_err(|reason| self.corrupt(number, reason))?;
            self.advance(line.len(), chain);
            records.push((number, record));
        }
        Ok(records)
    }

    fn advance(&mut self, bytes: usize, chain: Chain) {
        self.end = self.end.saturating_add(bytes as u64);
        self.lines = self.lines.saturating_add(1);
        self.chain = chain;
    }
}

/// True for a last line that cannot have been flushed: unfinished, or with a hole in it.
/// JSON text holds no zero byte.
fn is_torn(line: &[u8]) -> bool {
    !line.ends_with(b"\n") || line.contains(&0)
}

fn write_at(file: &mut File, at: u64, bytes: &[u8], durability: Durability) -> io::Result<()> {
    file.seek(SeekFrom::Start(at))?;
    file.write_all(bytes)?;
    match durability {
        Durability::Flushed => file.sync_data(),
        Durability::Eventual => Ok(()),
    }
}

fn header(generation: [u8; 8]) -> String {
    format!("{MAGIC} {}\n", hex::encode(generation))
}

fn read_header(text: &[u8; HEADER_LEN]) -> Option<[u8; 8]> {
    let digits = text
        .strip_prefix(MAGIC.as_bytes())?
        .strip_prefix(b" ")?
        .strip_suffix(b"\n")?;
    hex::decode(digits).ok()?.try_into().ok()
}

fn random_generation() -> io::Result<[u8; 8]> {
    let mut generation = [0; 8];
    getrandom::fill(&mut generation).map_err(io::Error::other)?;
    Ok(generation)
}

const MAGIC: &str = "tollway-journal 1";
const HEADER_LEN: usize = MAGIC.len() + 1 + 16 + 1;
