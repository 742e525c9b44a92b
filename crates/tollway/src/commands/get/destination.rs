//! Destination of a response body.
//!
//! Opened before the request is sent. A regular file is replaced as a whole once the body
//! has arrived, so that a body that breaks off never replaces a good one; where a link leads
//! to one, the link stays. Everything else that a path can name (a pipe, a device) is written
//! through and stays what it is.
//!
//! A file whose directory cannot be written is overwritten in place, and so is one that turns
//! out to be a mount point or another user's in a sticky directory. A body that has arrived and
//! cannot be put in its place is kept under the name of its draft.
//!
//! No file of the book is a destination, by whatever path or link: what was bought would be lost.

use std::fs::{self, File, OpenOptions, Permissions};
use std::io::{self, Seek as _, Write as _};
use std::os::unix::ffi::OsStrExt as _;
use std::os::unix::fs::{MetadataExt as _, PermissionsExt as _};
use std::path::{Path, PathBuf};

use bytes::Bytes;
use http_body_util::BodyExt as _;
use serde_json::Value;
use tempfile::NamedTempFile;
use tollway_client::ResponseBody;

use super::{failure, request};
use crate::exit::Failure;
use crate::output::{self, Blocking};
use crate::startup;

/// What the arguments name.
#[derive(Clone, Copy, Debug)]
pub(super) enum Target<'a> {
    File(&'a Path),
    /// The JSON result, up to 16 MiB.
    Memory,
    Stdout,
}

/// An open destination.
#[derive(Debug)]
pub(super) struct Destination {
    /// The path that was named, if one was.
    path: Option<PathBuf>,
    sink: Sink,
}

#[derive(Debug)]
enum Sink {
    Draft(Draft),
    Memory,
    /// A regular file that keeps its identity: its content is cut off once a body arrives.
    Overwrite(File),
    Stream(Blocking),
}

/// A new file that takes the place of `target`.
#[derive(Debug)]
struct Draft {
    file: NamedTempFile,
    target: PathBuf,
    /// The file that is replaced.
    existing: Option<File>,
}

/// A body that arrived whole.
#[derive(Debug, Default)]
pub(super) struct Saved {
    /// Its length in bytes.
    pub(super) len: u64,
    /// The file it is in.
    pub(super) path: Option<PathBuf>,
    /// Its content under its name in the JSON result, if it is in memory.
    pub(super) content: Option<(&'static str, Value)>,
}

impl Destination {
    /// Opens the destination. Waits, as every program does, for a pipe's reader.
    ///
    /// # Errors
    ///
    /// Fails when the body could not be written there, or would replace something in the folder
    /// `book`. An existing file is unchanged.
    pub(super) async fn open(target: Target<'_>, book: &Path) -> Result<Self, Failure> {
        let path = match target {
            Target::File(path) => path.to_owned(),
            Target::Memory => return Ok(Self::memory()),
            Target::Stdout => {
                check_stdout()?;
                return Ok(Self {
                    path: None,
                    sink: Sink::Stream(output::stdout().map_err(Failure::general)?),
                });
            }
        };
        let (named, book) = (path.clone(), book.to_owned());
        let opened = tokio::task::spawn_blocking(move || open(&path, &book)).await;
        match opened.map_err(io::Error::from).flatten() {
            Ok(sink) => Ok(Self {
                path: Some(named),
                sink,
            }),
            Err(error) => Err(Failure::usage(format!(
                "cannot write to {}: {}",
                named.display(),
                request::words(&error)
            ))),
        }
    }

    /// Returns a destination in memory.
    pub(super) const fn memory() -> Self {
        Self {
            path: None,
            sink: Sink::Memory,
        }
    }

    /// Returns true for a path that the caller named.
    pub(super) const fn is_named(&self) -> bool {
        self.path.is_some()
    }

    /// Writes a body as it arrives, after `head`, which memory leaves out.
    ///
    /// # Errors
    ///
    /// Fails when the body breaks off or cannot be written. An existing regular file is
    /// then unchanged.
    pub(super) async fn save(self, head: &[u8], mut body: ResponseBody) -> Result<Saved, Failure> {
        let shown = self.path.as_deref().unwrap_or(Path::new("standard output"));
        let failed = |error: io::Error| {
            let kind = output::kind_of_unwritten(&error);
            Failure::new(
                kind,
                format!("cannot write to {}: {error}", shown.display()),
            )
        };
        let (len, content) = match self.sink {
            Sink::Draft(mut draft) => {
                let len = draft.write(head, &mut body, failed).await?;
                draft.persist().map_err(failed)?;
                (len, None)
            }
            Sink::Memory => {
                let (len, content) = to_memory(&mut body).await?;
                (len, Some(content))
            }
            Sink::Overwrite(file) => {
                file.set_len(0).map_err(failed)?;
                (
                    to_stream(head, &mut body, Blocking(file), failed).await?,
                    None,
                )
            }
            Sink::Stream(file) => (to_stream(head, &mut body, file, failed).await?, None),
        };
        Ok(Saved {
            len,
            path: self.path,
            content,
        })
    }
}

/// Refuses a closed standard output, where what is paid for would be lost.
///
/// # Errors
///
/// Fails when the process was started without one.
pub(super) fn check_stdout() -> Result<(), Failure> {
    if startup::stdout_was_closed() {
        return Err(Failure::usage(
            "standard output is closed, so nothing was requested: redirect it, or write the body to a file with -o FILE",
        ));
    }
    Ok(())
}

fn open(path: &Path, book: &Path) -> io::Result<Sink> {
    if names_directory(path) {
        return Err(io::ErrorKind::IsADirectory.into());
    }
    if is_in_book(path, book)? {
        return Err(io::Error::other(
            "it is in the folder of the tokens and purchases",
        ));
    }
    match fs::symlink_metadata(path) {
        Ok(found) if found.is_file() => replace(path, &found),
        Ok(found) if found.is_symlink() => open_link(path),
        Ok(_) => write_through(path),
        Err(error) if error.kind() == io::ErrorKind::NotFound => draft(path),
        Err(error) => Err(error),
    }
}

/// Returns true for what is in the folder of the book, or would be, by whatever path or link.
fn is_in_book(path: &Path, book: &Path) -> io::Result<bool> {
    let Ok(book) = fs::canonicalize(book) else {
        // There is none yet.
        return Ok(false);
    };
    if linked(path)?.is_some_and(|target| target.starts_with(&book)) {
        return Ok(true);
    }
    let Ok(found) = fs::metadata(path) else {
        return Ok(false);
    };
    for entry in fs::read_dir(book)? {
        if is_same(&found, &entry?.metadata()?) {
            return Ok(true);
        }
    }
    Ok(false)
}

/// Returns true for `foo/` and `foo/.`, whether or not there is such a directory.
fn names_directory(path: &Path) -> bool {
    let last = path.as_os_str().as_bytes().rsplit(|byte| *byte == b'/');
    last.take(1)
        .any(|name| [&b""[..], b".", b".."].contains(&name))
}

fn open_link(path: &Path) -> io::Result<Sink> {
    let Some(target) = linked(path)? else {
        return write_through(path);
    };
    match fs::symlink_metadata(&target) {
        Ok(found) => replace(&target, &found),
        Err(error) if error.kind() == io::ErrorKind::NotFound => draft(&target),
        Err(error) => Err(error),
    }
}

/// Returns the regular file, or the unused name, that a link leads to. A link in /proc, which
/// /dev/stdout is one of, leads to an open file, whatever its name.
fn linked(path: &Path) -> io::Result<Option<PathBuf>> {
    let mut path = path.to_owned();
    for _ in 0..LINKS_MAX {
        let directory = fs::canonicalize(parent(&path))?;
        let Some(name) = path.file_name().filter(|_| !directory.starts_with("/proc")) else {
            return Ok(None);
        };
        path = directory.join(name);
        match fs::symlink_metadata(&path) {
            Ok(found) if found.is_symlink() => path = directory.join(fs::read_link(&path)?),
            Ok(found) => return Ok(found.is_file().then_some(path)),
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(Some(path)),
            Err(error) => return Err(error),
        }
    }
    Ok(None)
}

/// A file that may be written in a directory that may not is overwritten in place.
fn replace(path: &Path, found: &fs::Metadata) -> io::Result<Sink> {
    let existing = OpenOptions::new().write(true).open(path)?;
    let mode = Permissions::from_mode(found.permissions().mode() & 0o777);
    match new_file(path, &mode) {
        Ok(file) => {
            // The umask may have taken off what the old file has.
            file.as_file().set_permissions(mode)?;
            Ok(Sink::Draft(Draft {
                file,
                target: path.to_owned(),
                existing: Some(existing),
            }))
        }
        Err(error) if is_closed_directory(&error) => Ok(Sink::Overwrite(existing)),
        Err(error) => Err(error),
    }
}

fn is_closed_directory(error: &io::Error) -> bool {
    [
        io::ErrorKind::PermissionDenied,
        io::ErrorKind::ReadOnlyFilesystem,
    ]
    .contains(&error.kind())
}

fn draft(path: &Path) -> io::Result<Sink> {
    Ok(Sink::Draft(Draft {
        file: new_file(path, &Permissions::from_mode(0o666))?,
        target: path.to_owned(),
        existing: None,
    }))
}

/// Creates a file next to `path`. The system takes the umask off its mode.
fn new_file(path: &Path, mode: &Permissions) -> io::Result<NamedTempFile> {
    tempfile::Builder::new()
        .permissions(mode.clone())
        .tempfile_in(parent(path))
}

fn parent(path: &Path) -> &Path {
    path.parent()
        .filter(|parent| !parent.as_os_str().is_empty())
        .unwrap_or(Path::new("."))
}

fn write_through(path: &Path) -> io::Result<Sink> {
    let file = OpenOptions::new()
        .write(true)
        .create(true)
        .truncate(false)
        .open(path)?;
    let stdout = output::stdout()?;
    if is_same(&file.metadata()?, &stdout.0.metadata()?) {
        // /dev/stdout, opened again, would start at the beginning of a file that `>>` extends.
        Ok(Sink::Stream(stdout))
    } else if file.metadata()?.is_file() {
        Ok(Sink::Overwrite(file))
    } else {
        Ok(Sink::Stream(Blocking(file)))
    }
}

fn is_same(one: &fs::Metadata, other: &fs::Metadata) -> bool {
    (one.dev(), one.ino()) == (other.dev(), other.ino())
}

impl Draft {
    async fn write(
        &mut self,
        head: &[u8],
        body: &mut ResponseBody,
        failed: impl Fn(io::Error) -> Failure,
    ) -> Result<u64, Failure> {
        let mut len = 0_u64;
        self.file.write_all(head).map_err(&failed)?;
        while let Some(data) = next(body).await? {
            len = len.saturating_add(data.len() as u64);
            self.file.write_all(&data).map_err(&failed)?;
        }
        Ok(len)
    }

    /// Puts the file in the place of its target, or its content where the system refuses that.
    fn persist(self) -> io::Result<()> {
        let Err(refused) = self.file.persist(&self.target) else {
            return Ok(());
        };
        let file = refused.file;
        let copied = match &self.existing {
            Some(existing) => overwrite(existing, &self.target, file.as_file()),
            None => Err(refused.error),
        };
        copied.or_else(|error| {
            let (_file, kept) = file.keep().map_err(|error| error.error)?;
            let text = format!("{error}; the body is kept in {}", kept.display());
            Err(io::Error::new(error.kind(), text))
        })
    }
}

fn overwrite(mut existing: &File, target: &Path, mut draft: &File) -> io::Result<()> {
    if !is_same(&existing.metadata()?, &fs::symlink_metadata(target)?) {
        return Err(io::Error::other("it was exchanged meanwhile"));
    }
    draft.rewind()?;
    existing.set_len(0)?;
    io::copy(&mut draft, &mut existing)?;
    Ok(())
}

/// Writes each piece as it arrives.
async fn to_stream(
    head: &[u8],
    body: &mut ResponseBody,
    mut file: Blocking,
    failed: impl Fn(io::Error) -> Failure,
) -> Result<u64, Failure> {
    let mut len = 0_u64;
    file.write_all(head).map_err(&failed)?;
    while let Some(data) = next(body).await? {
        len = len.saturating_add(data.len() as u64);
        let writing = tokio::task::spawn_blocking(move || {
            let written = file.write_all(&data);
            (file, written)
        });
        let (returned, written) = writing.await.map_err(io::Error::from).map_err(&failed)?;
        file = returned;
        written.map_err(&failed)?;
    }
    Ok(len)
}

async fn to_memory(body: &mut ResponseBody) -> Result<(u64, (&'static str, Value)), Failure> {
    let mut all = Vec::new();
    while let Some(data) = next(body).await? {
        all.extend_from_slice(&data);
        if all.len() > MEMORY_MAX {
            return Err(Failure::general(format!(
                "the body is over {MEMORY_MAX} bytes: save it with -o FILE"
            )));
        }
    }
    let len = all.len() as u64;
    let content = match String::from_utf8(all) {
        Ok(text) => ("body", Value::from(text)),
        Err(binary) => ("body_hex", Value::from(hex(binary.as_bytes()))),
    };
    Ok((len, content))
}

async fn next(body: &mut ResponseBody) -> Result<Option<Bytes>, Failure> {
    while let Some(frame) = body.frame().await {
        let frame = frame.map_err(failure::of)?;
        if let Ok(data) = frame.into_data() {
            return Ok(Some(data));
        }
    }
    Ok(None)
}

fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}

const MEMORY_MAX: usize = 16 * 1_024 * 1_024;
/// As many links as Linux follows.
const LINKS_MAX: usize = 40;
