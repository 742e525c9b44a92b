//! The key file: the master keys of a gateway, newest first.
//!
//! ```text
//! <64 hexadecimal digits>
//! retired <64 hexadecimal digits> minted-until <Unix time in seconds>
//! ```
//!
//! The first key mints. Tokens of a retired key stay valid when they were minted until the time
//! given. Empty lines and lines that begin with `#` are skipped. The file must be readable by
//! its owner only; it is replaced as a whole, so a reader sees the old keys or the new ones.
//!
//! A key that may have leaked must be [removed](remove), not retired: its thief can write an
//! earlier time of minting into a token. Removing a key invalidates every token it minted.

use std::fs::{self, File, OpenOptions};
use std::io::{self, Write as _};
use std::path::{Path, PathBuf};

use l402::{HexError, KeyIdTaken, KeyRing, MasterKey, UnixSeconds};

use crate::rejection::EntropyError;

/// The keys in a key file.
#[derive(Clone, Debug)]
pub struct KeyFile {
    newest: MasterKey,
    retired: Vec<RetiredKey>,
}

/// A key that no longer mints.
#[derive(Clone, Debug)]
struct RetiredKey {
    key: MasterKey,
    minted_until: UnixSeconds,
}

/// The public name of a master key: the first bytes of the id of every token it minted.
#[derive(Clone, Copy, Eq, Hash, PartialEq)]
pub struct KeyId([u8; 4]);

/// A key as an operator may see it.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub struct KeySummary {
    /// Its public name.
    pub id: KeyId,
    /// Until when its tokens were minted; `None` for the key that mints.
    pub minted_until: Option<UnixSeconds>,
}

impl KeyFile {
    /// Reads a key file.
    ///
    /// # Errors
    ///
    /// [`KeyFileError`] when it is not there, readable by others, or damaged.
    pub fn read(path: &Path) -> Result<Self, KeyFileError> {
        owner_only(path)?;
        let text = fs::read_to_string(path).map_err(|source| unreadable(path, source))?;
        parse(path, &text)
    }

    /// Reads a key file, creating one with a new key when there is none.
    ///
    /// Processes that do so at once agree on one key. A file that cannot be read is an error
    /// and never replaced: that would invalidate every token sold.
    ///
    /// # Errors
    ///
    /// [`KeyFileError`], also when the file cannot be created.
    pub fn read_or_create(path: &Path) -> Result<Self, KeyFileError> {
        match path.try_exists() {
            Ok(false) => {
                fs::create_dir_all(folder(path)).map_err(|source| unreadable(path, source))?;
                let _lock = lock(path)?;
                if !path.exists() {
                    let file = Self {
                        newest: new_key()?,
                        retired: Vec::new(),
                    };
                    file.replace(path)?;
                }
            }
            Ok(true) => {}
            Err(source) => return Err(unreadable(path, source)),
        }
        Self::read(path)
    }

    /// Returns the ring of these keys.
    ///
    /// # Errors
    ///
    /// [`KeyIdTaken`] when two of them have one id.
    pub fn ring(&self) -> Result<KeyRing, KeyIdTaken> {
        let ring = KeyRing::new(self.newest.clone());
        self.retired.iter().try_fold(ring, |ring, retired| {
            ring.with_retired(retired.key.clone(), retired.minted_until)
        })
    }

    /// Returns what an operator may see of the keys, newest first.
    #[must_use]
    pub fn summaries(&self) -> Vec<KeySummary> {
        let newest = KeySummary {
            id: KeyId::of(&self.newest),
            minted_until: None,
        };
        let retired = self.retired.iter().map(|retired| KeySummary {
            id: KeyId::of(&retired.key),
            minted_until: Some(retired.minted_until),
        });
        std::iter::once(newest).chain(retired).collect()
    }

    /// Writes next to the file and renames, so that a crash leaves one or the other.
    fn replace(&self, path: &Path) -> Result<(), KeyFileError> {
        let draft = beside(path, "new");
        let written = || -> io::Result<()> {
            let mut options = OpenOptions::new();
            options.write(true).create(true).truncate(true);
            #[cfg(unix)]
            std::os::unix::fs::OpenOptionsExt::mode(&mut options, 0o600);
            let mut file = options.open(&draft)?;
            file.write_all(self.to_text().as_bytes())?;
            file.sync_all()?;
            fs::rename(&draft, path)?;
            File::open(folder(path))?.sync_all()
        };
        written().map_err(|source| unreadable(path, source))
    }

    fn to_text(&self) -> String {
        let mut text = format!("{}\n", self.newest.expose_hex());
        for RetiredKey { key, minted_until } in &self.retired {
            text.push_str(&format!(
                "{RETIRED} {} {MINTED_UNTIL} {}\n",
                key.expose_hex(),
                minted_until.as_secs()
            ));
        }
        text
    }
}

/// Makes a new key the one that mints, and retires the one that did. Returns the new key's
/// name.
///
/// The old key's tokens stay valid when they were minted until a few seconds after `now`:
/// running gateways mint with it until they have read the file again.
///
/// # Errors
///
/// [`KeyFileError`]; the file is then as it was.
pub fn rotate(path: &Path, now: UnixSeconds) -> Result<KeyId, KeyFileError> {
    let _lock = lock(path)?;
    let mut file = KeyFile::read(path)?;
    let retired = RetiredKey {
        key: std::mem::replace(&mut file.newest, new_key()?),
        minted_until: now.plus_secs(GRACE_SECS),
    };
    file.retired.insert(0, retired);
    file.ring().map_err(|source| KeyFileError::KeyTaken {
        path: path.to_owned(),
        source,
    })?;
    file.replace(path)?;
    Ok(KeyId::of(&file.newest))
}

/// Removes a retired key. Every token it minted becomes invalid.
///
/// # Errors
///
/// [`KeyFileError`], for the key that mints as well: [rotate] first. The file is then as it was.
pub fn remove(path: &Path, id: KeyId) -> Result<(), KeyFileError> {
    let _lock = lock(path)?;
    let mut file = KeyFile::read(path)?;
    if KeyId::of(&file.newest) == id {
        return Err(KeyFileError::Minting { id });
    }
    let before = file.retired.len();
    file.retired.retain(|retired| KeyId::of(&retired.key) != id);
    if file.retired.len() == before {
        return Err(KeyFileError::Unknown { id });
    }
    file.replace(path)
}

impl KeyId {
    /// Returns the name of a key.
    #[must_use]
    pub fn of(key: &MasterKey) -> Self {
        let token_id = KeyRing::new(key.clone()).token_id(UnixSeconds::new(0), [0; 20]);
        let [a, b, c, d, ..] = *token_id.as_bytes();
        Self([a, b, c, d])
    }
}

/// Eight hexadecimal digits.
impl std::fmt::Display for KeyId {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{:08x}", u32::from_be_bytes(self.0))
    }
}

impl std::fmt::Debug for KeyId {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "KeyId({self})")
    }
}

/// Reads eight hexadecimal digits.
impl std::str::FromStr for KeyId {
    type Err = KeyIdError;

    fn from_str(text: &str) -> Result<Self, KeyIdError> {
        let is_hex = text.len() == 8 && text.bytes().all(|digit| digit.is_ascii_hexdigit());
        let number = is_hex.then(|| u32::from_str_radix(text, 16).ok()).flatten();
        number
            .map(|number| Self(number.to_be_bytes()))
            .ok_or_else(|| KeyIdError {
                text: text.to_owned(),
            })
    }
}

/// Why a text does not name a key.
#[derive(Clone, Debug, Eq, PartialEq, thiserror::Error)]
#[error("`{text}` is not the id of a key: write its eight hexadecimal digits")]
pub struct KeyIdError {
    text: String,
}

/// Why a key file cannot be used. Contains no key.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum KeyFileError {
    /// There is no randomness for a new key.
    #[error(transparent)]
    Entropy(#[from] EntropyError),
    /// Others may read the file.
    #[error("others can read the key file `{path}` (mode {mode:o}): run `chmod 600` on it")]
    Exposed {
        /// The file.
        path: PathBuf,
        /// Its permission bits.
        mode: u32,
    },
    /// The file cannot be read or written.
    #[error("the key file `{path}` cannot be used")]
    File {
        /// The file.
        path: PathBuf,
        /// The error of the operating system.
        source: io::Error,
    },
    /// Two keys have one id.
    #[error("the key file `{path}` has two keys with one id")]
    KeyTaken {
        /// The file.
        path: PathBuf,
        /// What the ring makes of them.
        source: KeyIdTaken,
    },
    /// A line is not a key.
    #[error("line {line} of the key file `{path}` is damaged: restore the file from a backup")]
    Line {
        /// The file.
        path: PathBuf,
        /// The line, counted from 1; 0 when there is none.
        line: usize,
        /// What is wrong with its key, if that is it.
        source: Option<HexError>,
    },
    /// The key mints, so it cannot be removed.
    #[error("key {id} mints new tokens: rotate before removing it")]
    Minting {
        /// The key.
        id: KeyId,
    },
    /// The file has no such key.
    #[error("there is no key {id} in the file")]
    Unknown {
        /// The key.
        id: KeyId,
    },
}

fn parse(path: &Path, text: &str) -> Result<KeyFile, KeyFileError> {
    let damaged = |line, source| KeyFileError::Line {
        path: path.to_owned(),
        line,
        source,
    };
    let mut lines = (1..)
        .zip(text.lines().map(str::trim))
        .filter(|(_, line)| !line.is_empty() && !line.starts_with('#'));
    let (number, newest) = lines.next().ok_or_else(|| damaged(0, None))?;
    let newest = MasterKey::from_hex(newest).map_err(|error| damaged(number, Some(error)))?;
    let mut retired = Vec::new();
    for (number, line) in lines {
        let words: Vec<&str> = line.split_ascii_whitespace().collect();
        let &[RETIRED, key, MINTED_UNTIL, secs] = words.as_slice() else {
            return Err(damaged(number, None));
        };
        let key = MasterKey::from_hex(key).map_err(|error| damaged(number, Some(error)))?;
        let secs = secs.parse().map_err(|_number| damaged(number, None))?;
        retired.push(RetiredKey {
            key,
            minted_until: UnixSeconds::new(secs),
        });
    }
    Ok(KeyFile { newest, retired })
}

fn new_key() -> Result<MasterKey, EntropyError> {
    let mut bytes = [0; 32];
    getrandom::fill(&mut bytes).map_err(|_no_randomness| EntropyError)?;
    Ok(MasterKey::new(bytes))
}

/// Returns the folder a file is in; a bare name is in the current one.
fn folder(path: &Path) -> &Path {
    match path.parent() {
        Some(folder) if !folder.as_os_str().is_empty() => folder,
        Some(_) | None => Path::new("."),
    }
}

/// Held while the file is changed, so that no change is lost to another.
fn lock(path: &Path) -> Result<File, KeyFileError> {
    let locked = || {
        let mut options = OpenOptions::new();
        options.write(true).create(true).truncate(false);
        #[cfg(unix)]
        std::os::unix::fs::OpenOptionsExt::mode(&mut options, 0o600);
        let file = options.open(beside(path, "lock"))?;
        file.lock().map(|()| file)
    };
    locked().map_err(|source| unreadable(path, source))
}

fn beside(path: &Path, ending: &str) -> PathBuf {
    let mut name = path.as_os_str().to_owned();
    name.push(".");
    name.push(ending);
    PathBuf::from(name)
}

#[cfg(unix)]
fn owner_only(path: &Path) -> Result<(), KeyFileError> {
    use std::os::unix::fs::PermissionsExt as _;

    let metadata = fs::metadata(path).map_err(|source| unreadable(path, source))?;
    let mode = metadata.permissions().mode() & 0o777;
    if mode & 0o077 == 0 {
        return Ok(());
    }
    Err(KeyFileError::Exposed {
        path: path.to_owned(),
        mode,
    })
}

#[cfg(not(unix))]
fn owner_only(_path: &Path) -> Result<(), KeyFileError> {
    Ok(())
}

fn unreadable(path: &Path, source: io::Error) -> KeyFileError {
    KeyFileError::File {
        path: path.to_owned(),
        source,
    }
}

const RETIRED: &str = "retired";
const MINTED_UNTIL: &str = "minted-until";
/// Gateways read the file again within a second; their clocks may differ by a few more.
const GRACE_SECS: u64 = 10;

#[cfg(test)]
mod tests {
    use super::*;

    const NOW: UnixSeconds = UnixSeconds::new(1_800_000_000);

    #[test]
    fn a_key_is_created_once_and_read_from_then_on() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("gateway/master.key");

        let created = KeyFile::read_or_create(&path).unwrap().summaries();

        assert_eq!(KeyFile::read_or_create(&path).unwrap().summaries(), created);
        assert_eq!(created.len(), 1);
    }

    #[test]
    fn a_bare_name_is_a_file_in_the_current_folder() {
        assert_eq!(folder(Path::new("master.key")), Path::new("."));
        assert_eq!(folder(Path::new("a/master.key")), Path::new("a"));
    }

    #[test]
    fn the_digits_alone_are_a_key_file() {
        let (_folder, path) = written(&format!("# ours\n\n{}\n", "01".repeat(32)));

        let file = KeyFile::read(&path).unwrap();

        let id = KeyId::of(&MasterKey::new([1; 32]));
        assert_eq!(file.summaries()[0].id, id);
        assert_eq!(id.to_string().parse(), Ok(id));
    }

    #[test]
    fn rotation_retires_the_key_that_minted() {
        let (_folder, path) = written(&"01".repeat(32));
        let old = KeyFile::read(&path).unwrap().summaries()[0].id;

        let newer = rotate(&path, NOW).unwrap();
        let newest = rotate(&path, NOW.plus_secs(60)).unwrap();

        let summary = |id, secs| KeySummary {
            id,
            minted_until: Some(NOW.plus_secs(secs)),
        };
        let file = KeyFile::read(&path).unwrap();
        assert_eq!(file.summaries()[0].id, newest);
        assert_eq!(
            file.summaries()[1..],
            [summary(newer, 70), summary(old, 10)]
        );
        assert!(file.ring().is_ok());
    }

    #[test]
    fn a_retired_key_can_be_removed_and_the_one_that_mints_cannot() {
        let (_folder, path) = written(&"01".repeat(32));
        let old = KeyFile::read(&path).unwrap().summaries()[0].id;
        assert!(matches!(
            remove(&path, old),
            Err(KeyFileError::Minting { .. })
        ));
        rotate(&path, NOW).unwrap();

        remove(&path, old).unwrap();

        assert_eq!(KeyFile::read(&path).unwrap().summaries().len(), 1);
        assert!(matches!(
            remove(&path, old),
            Err(KeyFileError::Unknown { .. })
        ));
    }

    #[test]
    fn a_damaged_file_is_an_error_that_names_the_line_and_no_key() {
        let key = "01".repeat(32);
        for (text, line) in [
            ("", 0),
            ("abc", 1),
            (&*format!("{key}\n{key}"), 2),
            (&format!("{key}\nretired {key}"), 2),
            (&format!("{key}\n#\nretired {key} minted-until soon"), 3),
            (&format!("{key}\nretired abc minted-until 5"), 2),
        ] {
            let (_folder, path) = written(text);

            let error = KeyFile::read_or_create(&path).unwrap_err();

            let KeyFileError::Line { line: found, .. } = &error else {
                panic!("{error}");
            };
            assert_eq!(*found, line, "{text}");
            assert!(!format!("{error:?}").contains(&key));
            assert_eq!(fs::read_to_string(&path).unwrap(), text, "left alone");
        }
    }

    #[cfg(unix)]
    #[test]
    fn a_file_that_others_can_read_is_refused_and_none_is_written() {
        use std::os::unix::fs::PermissionsExt as _;

        let (folder, path) = written(&"01".repeat(32));
        rotate(&path, NOW).unwrap();
        for file in fs::read_dir(folder.path()).unwrap() {
            let mode = file.unwrap().metadata().unwrap().permissions().mode();
            assert_eq!(mode & 0o777, 0o600);
        }

        fs::set_permissions(&path, fs::Permissions::from_mode(0o640)).unwrap();

        let error = KeyFile::read(&path).unwrap_err();
        assert!(error.to_string().contains("chmod 600"), "{error}");
    }

    fn written(text: &str) -> (tempfile::TempDir, PathBuf) {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("master.key");
        fs::write(&path, text).unwrap();
        #[cfg(unix)]
        {
            use std::os::unix::fs::PermissionsExt as _;
            fs::set_permissions(&path, fs::Permissions::from_mode(0o600)).unwrap();
        }
        (folder, path)
    }
}
