//! A key ring that follows its file.
//!
//! A thread of its own looks at the file twice a second, so rotating and removing keys takes
//! effect in running gateways, off the request path. A file that cannot be used leaves the ring
//! in force as it is and is logged once.

use std::hash::{DefaultHasher, Hash, Hasher};
use std::io::Read as _;
use std::path::{Path, PathBuf};
use std::sync::mpsc::{self, RecvTimeoutError, Sender};
use std::sync::{Arc, Mutex, PoisonError};
use std::thread::{self, JoinHandle};
use std::time::Duration;
use std::{fs, io};

use arc_swap::ArcSwap;
use l402::KeyRing;
use tokio::sync::watch;

use super::file::{self, KeyFile, KeyFileError};
use super::{KeySource, RingRef};

/// The key ring in a [key file](super::file), read again whenever the file changes.
#[derive(Debug)]
pub struct LiveKeyRing {
    watched: Arc<Watched>,
    /// `None` only while dropping: closing this is what ends the thread.
    stop: Option<Sender<()>>,
    /// Closed when the thread has ended.
    running: watch::Receiver<()>,
    thread: Option<JoinHandle<()>>,
}

impl LiveKeyRing {
    /// Reads the file at `path`, creating it if there is none, and follows it from then on.
    ///
    /// # Errors
    ///
    /// [`KeyFileError`] when it cannot be read or created.
    pub fn open(path: &Path) -> Result<Self, KeyFileError> {
        KeyFile::read_or_create(path)?;
        let seen = fingerprint(path);
        let watched = Arc::new(Watched {
            current: ArcSwap::from_pointee(read(path)?),
            seen: Mutex::new(seen),
            path: path.to_owned(),
        });
        let (stop, stopped) = mpsc::channel();
        let (ends_with_thread, running) = watch::channel(());
        let follower = Arc::clone(&watched);
        let thread = thread::Builder::new()
            .name("key ring".to_owned())
            .spawn(move || {
                let _ends_with_thread = ends_with_thread;
                while stopped.recv_timeout(LOOK_EVERY) == Err(RecvTimeoutError::Timeout) {
                    follower.refresh();
                }
            })
            .map_err(|source| KeyFileError::File {
                path: path.to_owned(),
                source,
            })?;
        Ok(Self {
            watched,
            stop: Some(stop),
            running,
            thread: Some(thread),
        })
    }

    /// Waits until the file is no longer followed: the thread that does so has panicked.
    pub fn stopped(&self) -> impl Future<Output = ()> + Send + use<> {
        let mut running = self.running.clone();
        async move { while running.changed().await.is_ok() {} }
    }

    /// Reads the file again if it has changed, without waiting for the next look.
    pub fn refresh(&self) {
        self.watched.refresh();
    }
}

impl KeySource for LiveKeyRing {
    fn ring(&self) -> RingRef<'_> {
        RingRef::live(self.watched.current.load())
    }
}

impl Drop for LiveKeyRing {
    fn drop(&mut self) {
        self.stop = None;
        if let Some(thread) = self.thread.take() {
            // A thread that panicked has nothing left to wait for.
            let _panicked = thread.join();
        }
    }
}

#[derive(Debug)]
struct Watched {
    path: PathBuf,
    current: ArcSwap<KeyRing>,
    /// What the file looked like when it was last read.
    seen: Mutex<u64>,
}

impl Watched {
    fn refresh(&self) {
        let mut seen = self.seen.lock().unwrap_or_else(PoisonError::into_inner);
        let found = fingerprint(&self.path);
        if *seen == found {
            return;
        }
        *seen = found;
        match read(&self.path) {
            Ok(ring) => {
                tracing::info!(path = %self.path.display(), ?ring, "the key file has changed");
                self.current.store(Arc::new(ring));
            }
            Err(error) => {
                let error: &(dyn std::error::Error + 'static) = &error;
                tracing::error!(
                    error,
                    "the key file cannot be used; its last keys stay in force"
                );
            }
        }
    }
}

fn read(path: &Path) -> Result<KeyRing, KeyFileError> {
    let file = KeyFile::read(path)?;
    file.ring().map_err(|source| KeyFileError::KeyTaken {
        path: path.to_owned(),
        source,
    })
}

/// Returns a number that changes with the content and the permissions of the file.
fn fingerprint(path: &Path) -> u64 {
    let mut hasher = DefaultHasher::new();
    let mut content = Vec::new();
    match file::open(path).and_then(|mut file| file.read_to_end(&mut content)) {
        Ok(_length) => content.hash(&mut hasher),
        Err(error) => error.kind().hash(&mut hasher),
    }
    mode(path).ok().hash(&mut hasher);
    hasher.finish()
}

#[cfg(unix)]
fn mode(path: &Path) -> io::Result<u32> {
    use std::os::unix::fs::PermissionsExt as _;

    Ok(fs::metadata(path)?.permissions().mode())
}

#[cfg(not(unix))]
fn mode(_path: &Path) -> io::Result<u32> {
    Ok(0)
}

/// A change is to be in force within a second.
const LOOK_EVERY: Duration = Duration::from_millis(500);
