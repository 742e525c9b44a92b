//! What a request sends, in a form that can be sent again.
//!
//! A priced request is sent at least twice: once to learn the price, once with the
//! credential. A body that cannot be sent again is found out before paying, not after.

use std::fmt;
use std::fs::File;
use std::io;
use std::path::PathBuf;
use std::sync::{Mutex, PoisonError};

use bytes::Bytes;
use futures_util::TryStreamExt as _;
use http_body::Frame;
use http_body_util::combinators::UnsyncBoxBody;
use http_body_util::{BodyExt as _, Full, StreamBody};
use tokio_util::io::ReaderStream;

/// A request body.
#[derive(Default)]
pub struct Body(Source);

#[derive(Default)]
enum Source {
    Bytes(Bytes),
    File(PathBuf),
    /// Never locked: a mutex lets what is not `Sync` be part of something that is.
    Once(Mutex<Outgoing>),
    #[default]
    Sent,
}

/// A body on its way to the wire.
pub(crate) type Outgoing = UnsyncBoxBody<Bytes, io::Error>;

impl Body {
    /// No body.
    #[must_use]
    pub fn empty() -> Self {
        Self::from(Bytes::new())
    }

    /// The content of a file, opened again each time it is sent.
    #[must_use]
    pub fn file(path: impl Into<PathBuf>) -> Self {
        Self(Source::File(path.into()))
    }

    /// A stream that can be sent once. A request with it is refused before paying, so it
    /// suits servers whose credential is already in the store.
    pub fn once<B>(body: B) -> Self
    where
        B: http_body::Body<Data = Bytes, Error = io::Error> + Send + 'static,
    {
        Self(Source::Once(Mutex::new(body.boxed_unsync())))
    }

    /// True when it can be sent again.
    #[must_use]
    pub const fn is_replayable(&self) -> bool {
        match self.0 {
            Source::Bytes(_) | Source::File(_) => true,
            Source::Once(_) | Source::Sent => false,
        }
    }

    /// The next sending of it, and its length where only we can know it.
    pub(crate) async fn open(&mut self) -> io::Result<(Outgoing, Option<u64>)> {
        match &mut self.0 {
            Source::Bytes(bytes) => {
                let full = Full::new(bytes.clone()).map_err(|never| match never {});
                Ok((full.boxed_unsync(), None))
            }
            Source::File(path) => open_file(path.clone()).await,
            once @ (Source::Once(_) | Source::Sent) => match std::mem::take(once) {
                Source::Once(body) => {
                    let body = body.into_inner().unwrap_or_else(PoisonError::into_inner);
                    Ok((body, None))
                }
                Source::Bytes(_) | Source::File(_) | Source::Sent => {
                    Err(io::Error::other("the body was sent already"))
                }
            },
        }
    }
}

async fn open_file(path: PathBuf) -> io::Result<(Outgoing, Option<u64>)> {
    let open = move || {
        let file = File::open(path)?;
        let len = file.metadata()?.len();
        Ok::<_, io::Error>((file, len))
    };
    let (file, len) = tokio::task::spawn_blocking(open).await??;
    let stream = ReaderStream::new(tokio::fs::File::from_std(file)).map_ok(Frame::data);
    Ok((StreamBody::new(stream).boxed_unsync(), Some(len)))
}

impl<T: Into<Bytes>> From<T> for Body {
    fn from(bytes: T) -> Self {
        Self(Source::Bytes(bytes.into()))
    }
}

impl fmt::Debug for Body {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &self.0 {
            Source::Bytes(bytes) => write!(f, "Body({} bytes)", bytes.len()),
            Source::File(path) => write!(f, "Body({})", path.display()),
            Source::Once(_) => f.write_str("Body(once)"),
            Source::Sent => f.write_str("Body(sent)"),
        }
    }
}
