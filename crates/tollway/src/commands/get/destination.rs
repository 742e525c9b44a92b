//! Destination of a response body.
//!
//! Opened before the request is sent. A regular file is replaced as a whole once the body
//! has arrived, so that a body that breaks off never replaces a good one. Everything else
//! that a path can name (a pipe, a device, a link) is written through and stays what it is.

use std::fs::{self, File, OpenOptions, Permissions};
use std::io::{self, Write as _};
use std::os::fd::AsFd as _;
use std::os::unix::fs::{MetadataExt as _, PermissionsExt as _};
use std::path::{Path, PathBuf};

use bytes::Bytes;
use http_body_util::BodyExt as _;
use serde_json::Value;
use tempfile::NamedTempFile;
use tokio::io::AsyncWriteExt as _;
use tollway_client::ResponseBody;

use super::failure;
use crate::exit::Failure;

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
    Stream(File),
}

/// A new file that takes the place of `path`.
#[derive(Debug)]
struct Draft {
    file: NamedTempFile,
    /// The mode of the file that is replaced.
    mode: Option<Permissions>,
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
    /// Fails when the body could not be written there. An existing file is unchanged.
    pub(super) async fn open(target: Target<'_>) -> Result<Self, Failure> {
        let path = match target {
            Target::File(path) => path.to_owned(),
            Target::Memory => return Ok(Self::memory()),
            Target::Stdout => {
                return Ok(Self {
                    path: None,
                    sink: Sink::Stream(stdout().map_err(Failure::general)?),
                });
            }
        };
        let named = path.clone();
        let opened = tokio::task::spawn_blocking(move || open(&path)).await;
        match opened.map_err(io::Error::from).flatten() {
            Ok(sink) => Ok(Self {
                path: Some(named),
                sink,
            }),
            Err(error) => Err(Failure::usage(format!("{}: {error}", named.display()))),
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

    /// Writes a body as it arrives.
    ///
    /// # Errors
    ///
    /// Fails when the body breaks off or cannot be written. An existing regular file is
    /// then unchanged.
    pub(super) async fn save(self, mut body: ResponseBody) -> Result<Saved, Failure> {
        let shown = self.path.as_deref().unwrap_or(Path::new("standard output"));
        let failed = |error: io::Error| {
            Failure::general(format!("cannot write to {}: {error}", shown.display()))
        };
        let (len, content) = match self.sink {
            Sink::Draft(mut draft) => {
                let len = draft.write(&mut body, failed).await?;
                draft.persist(shown).map_err(failed)?;
                (len, None)
            }
            Sink::Memory => {
                let (len, content) = to_memory(&mut body).await?;
                (len, Some(content))
            }
            Sink::Overwrite(file) => {
                file.set_len(0).map_err(failed)?;
                (to_stream(&mut body, file, failed).await?, None)
            }
            Sink::Stream(file) => (to_stream(&mut body, file, failed).await?, None),
        };
        Ok(Saved {
            len,
            path: self.path,
            content,
        })
    }
}

fn open(path: &Path) -> io::Result<Sink> {
    match fs::symlink_metadata(path) {
        Ok(found) if found.is_file() => replace(path, &found),
        Ok(_) => write_through(path),
        Err(error) if error.kind() == io::ErrorKind::NotFound => draft(path, None),
        Err(error) => Err(error),
    }
}

/// A file that may be written in a directory that may not is overwritten in place.
fn replace(path: &Path, found: &fs::Metadata) -> io::Result<Sink> {
    let existing = OpenOptions::new().write(true).open(path)?;
    match draft(path, Some(found.permissions())) {
        Err(error) if error.kind() == io::ErrorKind::PermissionDenied => {
            Ok(Sink::Overwrite(existing))
        }
        sink => sink,
    }
}

fn draft(path: &Path, mode: Option<Permissions>) -> io::Result<Sink> {
    let directory = path
        .parent()
        .filter(|parent| !parent.as_os_str().is_empty())
        .unwrap_or(Path::new("."));
    if path.file_name().is_none() {
        return Err(io::ErrorKind::IsADirectory.into());
    }
    let file = tempfile::Builder::new()
        // The system takes the umask off.
        .permissions(Permissions::from_mode(0o666))
        .tempfile_in(directory)?;
    Ok(Sink::Draft(Draft { file, mode }))
}

fn write_through(path: &Path) -> io::Result<Sink> {
    let file = OpenOptions::new()
        .write(true)
        .create(true)
        .truncate(false)
        .open(path)?;
    let stdout = stdout()?;
    let (theirs, ours) = (file.metadata()?, stdout.metadata()?);
    if (theirs.dev(), theirs.ino()) == (ours.dev(), ours.ino()) {
        // /dev/stdout, opened again, would start at the beginning of a file that `>>` extends.
        Ok(Sink::Stream(stdout))
    } else if theirs.is_file() {
        Ok(Sink::Overwrite(file))
    } else {
        Ok(Sink::Stream(file))
    }
}

/// Standard output without a buffer, as a file of its own.
fn stdout() -> io::Result<File> {
    Ok(File::from(io::stdout().as_fd().try_clone_to_owned()?))
}

impl Draft {
    async fn write(
        &mut self,
        body: &mut ResponseBody,
        failed: impl Fn(io::Error) -> Failure,
    ) -> Result<u64, Failure> {
        let mut len = 0_u64;
        while let Some(data) = next(body).await? {
            len = len.saturating_add(data.len() as u64);
            self.file.write_all(&data).map_err(&failed)?;
        }
        Ok(len)
    }

    fn persist(self, path: &Path) -> io::Result<()> {
        if let Some(mode) = self.mode {
            self.file.as_file().set_permissions(mode)?;
        }
        self.file.persist(path).map_err(|error| error.error)?;
        Ok(())
    }
}

/// Writes each piece as it arrives. A reader that leaves has read what it wanted.
async fn to_stream(
    body: &mut ResponseBody,
    file: File,
    failed: impl Fn(io::Error) -> Failure,
) -> Result<u64, Failure> {
    let mut file = tokio::fs::File::from_std(file);
    let mut len = 0_u64;
    while let Some(data) = next(body).await? {
        len = len.saturating_add(data.len() as u64);
        match file.write_all(&data).await {
            Err(error) if error.kind() == io::ErrorKind::BrokenPipe => return Ok(len),
            written => written.map_err(&failed)?,
        }
    }
    match file.flush().await {
        Err(error) if error.kind() == io::ErrorKind::BrokenPipe => Ok(len),
        flushed => flushed.map(|()| len).map_err(&failed),
    }
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
