//! The bodies of `tollway get`: what is sent, and where what comes back goes.

use std::io::Write as _;
use std::path::{Path, PathBuf};

use bytes::Bytes;
use http_body_util::BodyExt as _;
use hyper::body::Incoming;
use serde_json::Value;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tollway_client::Body;

use crate::exit::{Failure, FailureKind};

/// The body that `-d` asks for: text, `@FILE`, or `@-` for standard input.
pub(super) async fn of_argument(data: Option<&str>) -> Result<Body, Failure> {
    match data {
        None => Ok(Body::empty()),
        Some("@-") => {
            let mut all = Vec::new();
            let read = tokio::io::stdin().read_to_end(&mut all).await;
            read.map_err(|error| {
                Failure::usage(format!("standard input cannot be read: {error}"))
            })?;
            Ok(Body::from(Bytes::from(all)))
        }
        Some(data) => match data.strip_prefix('@') {
            Some(path) => Ok(Body::file(PathBuf::from(path))),
            None => Ok(Body::from(Bytes::copy_from_slice(data.as_bytes()))),
        },
    }
}

/// Where a response body goes.
#[derive(Clone, Copy, Debug)]
pub(super) enum Target<'a> {
    File(&'a Path),
    /// Into the JSON result, up to 16 MiB.
    Memory,
    Stdout,
}

/// What became of a body.
pub(super) struct Saved {
    /// Its length in bytes.
    pub(super) len: u64,
    /// Its content under the name it has in the JSON result, if it was kept in memory.
    pub(super) kept: Option<(&'static str, Value)>,
}

/// Moves a body where it belongs as it arrives.
pub(super) async fn save(incoming: Incoming, target: Target<'_>) -> Result<Saved, Failure> {
    match target {
        Target::File(path) => to_file(incoming, path).await,
        Target::Memory => to_memory(incoming).await,
        Target::Stdout => to_stdout(incoming).await,
    }
}

async fn to_stdout(mut incoming: Incoming) -> Result<Saved, Failure> {
    let mut stdout = tokio::io::stdout();
    let mut len = 0_u64;
    while let Some(data) = next(&mut incoming).await? {
        len = len.saturating_add(data.len() as u64);
        let written = async {
            stdout.write_all(&data).await?;
            stdout.flush().await
        };
        if let Err(error) = written.await {
            // Whoever read our output has had enough.
            let enough = error.kind() == std::io::ErrorKind::BrokenPipe;
            return if enough {
                Ok(Saved { len, kept: None })
            } else {
                Err(Failure::general(error))
            };
        }
    }
    Ok(Saved { len, kept: None })
}

/// Writes beside the target and moves the whole into place, so that a body that breaks off
/// never replaces a good one.
async fn to_file(mut incoming: Incoming, path: &Path) -> Result<Saved, Failure> {
    let failed = |error: std::io::Error| Failure::usage(format!("{}: {error}", path.display()));
    let folder = path
        .parent()
        .filter(|parent| !parent.as_os_str().is_empty())
        .unwrap_or(Path::new("."));
    let mut draft = tempfile::NamedTempFile::new_in(folder).map_err(failed)?;
    let mut len = 0_u64;
    while let Some(data) = next(&mut incoming).await? {
        len = len.saturating_add(data.len() as u64);
        draft.write_all(&data).map_err(failed)?;
    }
    draft.persist(path).map_err(|error| failed(error.error))?;
    Ok(Saved { len, kept: None })
}

async fn to_memory(mut incoming: Incoming) -> Result<Saved, Failure> {
    let mut all = Vec::new();
    while let Some(data) = next(&mut incoming).await? {
        all.extend_from_slice(&data);
        if all.len() > MEMORY_MAX {
            return Err(Failure::usage(format!(
                "the body is over {MEMORY_MAX} bytes: save it with -o FILE"
            )));
        }
    }
    let len = all.len() as u64;
    let kept = match String::from_utf8(all) {
        Ok(text) => ("body", Value::from(text)),
        Err(binary) => ("body_hex", Value::from(hex(binary.as_bytes()))),
    };
    Ok(Saved {
        len,
        kept: Some(kept),
    })
}

async fn next(incoming: &mut Incoming) -> Result<Option<Bytes>, Failure> {
    while let Some(frame) = incoming.frame().await {
        let frame = frame.map_err(|error| {
            Failure::new(FailureKind::Network, format!("the body broke off: {error}"))
        })?;
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
