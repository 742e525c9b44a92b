//! The key file: the master keys of a gateway, newest first.
//!
//! ```text
//! <64 hexadecimal digits>
//! ledger <32 hexadecimal digits>
//! retired <64 hexadecimal digits> minted-until <Unix time in seconds>
//! ```
//!
//! The first key mints. Tokens of a retired key stay valid when they were minted until the time
//! given. The line `ledger` has the id of the ledger that the keys belong to. Empty lines and
//! lines that begin with `#` are skipped. The file must be readable by its owner only; it is
//! replaced as a whole, so a reader sees the old keys or the new ones, and keeps its owner and its
//! mode. A symbolic link to it stays a link.
//!
//! A key that may have leaked must be [removed](remove), not retired: its thief can write an
//! earlier time of minting into a token. Removing a key invalidates every token it minted.

mod disk;
mod error;
mod id;

use std::path::Path;

use l402::{KeyIdTaken, KeyRing, MasterKey, UnixSeconds};

use self::disk::LockedFile;
pub(super) use self::disk::open;
pub use self::error::KeyFileError;
pub use self::id::{KeyId, KeyIdError};
use crate::ledger::LedgerId;
use crate::rejection::EntropyError;
use crate::terms::INVOICE_EXPIRY_SECS;

/// The keys in a key file.
#[derive(Clone, Debug)]
pub struct KeyFile {
    newest: MasterKey,
    retired: Vec<RetiredKey>,
    /// The ledger of what these keys minted; `None` before the first start.
    ledger: Option<LedgerId>,
}

/// A key that no longer mints.
#[derive(Clone, Debug)]
struct RetiredKey {
    key: MasterKey,
    minted_until: UnixSeconds,
}

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
        parse(path, &disk::read(path)?)
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
        let unusable = |source| KeyFileError::file(path, source);
        if !path.try_exists().map_err(unusable)? {
            disk::create_folder(path).map_err(unusable)?;
            let locked = LockedFile::open(path).map_err(unusable)?;
            if !locked.exists() {
                let file = Self {
                    newest: new_key()?,
                    retired: Vec::new(),
                    ledger: None,
                };
                locked.replace(&file.to_text()).map_err(unusable)?;
            }
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

    /// Returns the id of the ledger that the keys belong to.
    #[must_use]
    pub const fn ledger(&self) -> Option<LedgerId> {
        self.ledger
    }

    fn to_text(&self) -> String {
        let mut text = format!("{}\n", self.newest.expose_hex());
        if let Some(ledger) = self.ledger {
            text.push_str(&format!("{LEDGER} {ledger}\n"));
        }
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
    let unusable = |source| KeyFileError::file(path, source);
    let locked = LockedFile::open(path).map_err(unusable)?;
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
    locked.replace(&file.to_text()).map_err(unusable)?;
    Ok(KeyId::of(&file.newest))
}

/// When a retired key is removed.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum Removal {
    /// Only if no invoice of its tokens can be paid any more at `now`.
    AfterInvoices {
        /// The present.
        now: UnixSeconds,
    },
    /// At once: an invoice that is paid afterwards buys nothing.
    AtOnce,
}

/// Removes a retired key. Every token it minted becomes invalid.
///
/// # Errors
///
/// [`KeyFileError`], for the key that mints as well: [rotate] first. The file is then as it was.
pub fn remove(path: &Path, id: KeyId, removal: Removal) -> Result<(), KeyFileError> {
    let unusable = |source| KeyFileError::file(path, source);
    let locked = LockedFile::open(path).map_err(unusable)?;
    let mut file = KeyFile::read(path)?;
    if KeyId::of(&file.newest) == id {
        return Err(KeyFileError::Minting { id });
    }
    let is_it = |retired: &RetiredKey| KeyId::of(&retired.key) == id;
    let Some(found) = file.retired.iter().find(|retired| is_it(retired)) else {
        let known = file.summaries().iter().map(|key| key.id).collect();
        return Err(KeyFileError::Unknown { id, known });
    };
    let payable_until = found
        .minted_until
        .plus_secs(INVOICE_EXPIRY_SECS.get().into());
    match removal {
        Removal::AfterInvoices { now } if now < payable_until => {
            return Err(KeyFileError::Payable {
                id,
                secs: payable_until.as_secs().saturating_sub(now.as_secs()),
            });
        }
        Removal::AfterInvoices { .. } | Removal::AtOnce => {}
    }
    file.retired.retain(|retired| !is_it(retired));
    locked.replace(&file.to_text()).map_err(unusable)
}

/// Records the ledger that the keys belong to, unless one is recorded. Returns the one recorded.
///
/// # Errors
///
/// [`KeyFileError`]; the file is then as it was.
#[cfg(feature = "sqlite")]
pub(crate) fn bind(path: &Path, ledger: LedgerId) -> Result<LedgerId, KeyFileError> {
    let unusable = |source| KeyFileError::file(path, source);
    if let Some(bound) = KeyFile::read(path)?.ledger {
        return Ok(bound);
    }
    let locked = LockedFile::open(path).map_err(unusable)?;
    let mut file = KeyFile::read(path)?;
    let bound = *file.ledger.get_or_insert(ledger);
    locked.replace(&file.to_text()).map_err(unusable)?;
    Ok(bound)
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
    let mut ledger = None;
    for (number, line) in lines {
        let words: Vec<&str> = line.split_ascii_whitespace().collect();
        if let &[LEDGER, id] = words.as_slice() {
            ledger = Some(id.parse().map_err(|_id| damaged(number, None))?);
            continue;
        }
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
    Ok(KeyFile {
        newest,
        retired,
        ledger,
    })
}

fn new_key() -> Result<MasterKey, EntropyError> {
    let mut bytes = [0; 32];
    getrandom::fill(&mut bytes).map_err(|_no_randomness| EntropyError)?;
    Ok(MasterKey::new(bytes))
}

const LEDGER: &str = "ledger";
const RETIRED: &str = "retired";
const MINTED_UNTIL: &str = "minted-until";
/// Gateways read the file again within a second; their clocks may differ by a few more.
const GRACE_SECS: u64 = 10;

#[cfg(test)]
mod tests {
    use std::fs;
    use std::path::PathBuf;

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
            remove(&path, old, Removal::AtOnce),
            Err(KeyFileError::Minting { .. })
        ));
        rotate(&path, NOW).unwrap();

        remove(&path, old, Removal::AtOnce).unwrap();

        assert_eq!(KeyFile::read(&path).unwrap().summaries().len(), 1);
        let unknown = remove(&path, old, Removal::AtOnce).unwrap_err();
        let minting = KeyFile::read(&path).unwrap().summaries()[0].id;
        for id in [old, minting] {
            assert!(unknown.to_string().contains(&id.to_string()), "{unknown}");
        }
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

    #[cfg(unix)]
    #[test]
    fn a_link_to_the_file_stays_a_link_and_the_file_is_changed() {
        for exists in [true, false] {
            let (vault, target) = written(&"01".repeat(32));
            let folder = tempfile::tempdir().unwrap();
            let (path, middle) = (folder.path().join("master.key"), vault.path().join("link"));
            std::os::unix::fs::symlink("master.key", &middle).unwrap();
            std::os::unix::fs::symlink(&middle, &path).unwrap();
            if !exists {
                fs::remove_file(&target).unwrap();
            }

            let old = KeyFile::read_or_create(&path).unwrap().summaries()[0].id;
            rotate(&path, NOW).unwrap();
            remove(&path, old, Removal::AtOnce).unwrap();

            assert!(path.is_symlink() && middle.is_symlink());
            let read = |path| KeyFile::read(path).unwrap().summaries();
            assert_eq!(read(&target), read(&path));
            assert!(read(&target).iter().all(|key| key.id != old));
            let left = fs::read_dir(folder.path()).unwrap().count();
            assert_eq!(left, 1, "the lock is next to the file");
        }
    }

    #[cfg(unix)]
    #[test]
    fn a_pipe_in_place_of_the_file_is_an_error_at_once() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("master.key");
        let made = std::process::Command::new("mkfifo").arg(&path).status();
        assert!(made.unwrap().success());

        let refused = KeyFile::read_or_create(&path);

        assert!(
            matches!(refused, Err(KeyFileError::File { .. })),
            "{refused:?}"
        );
    }

    #[cfg(unix)]
    #[test]
    fn links_in_a_circle_are_an_error() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("master.key");
        std::os::unix::fs::symlink(&path, &path).unwrap();

        assert!(KeyFile::read_or_create(&path).is_err());
        assert!(path.is_symlink());
    }

    /// Another owner can be given by root only; the mode is compared in any case.
    #[cfg(unix)]
    #[test]
    fn a_changed_file_keeps_its_owner_and_its_mode() {
        use std::os::unix::fs::{MetadataExt as _, PermissionsExt as _};

        let (folder, path) = written(&"01".repeat(32));
        fs::set_permissions(&path, fs::Permissions::from_mode(0o400)).unwrap();
        let _root_only = std::os::unix::fs::chown(&path, Some(12_345), Some(54_321));
        let access = |path: &Path| {
            let metadata = fs::metadata(path).unwrap();
            (metadata.uid(), metadata.gid(), metadata.mode())
        };
        let before = access(&path);

        for _ in 0..2 {
            rotate(&path, NOW).unwrap();
            assert_eq!(access(&path), before);
        }

        for file in fs::read_dir(folder.path()).unwrap() {
            let (uid, ..) = access(&file.unwrap().path());
            assert_eq!(uid, before.0, "the owner can lock its file");
        }
    }

    #[cfg(unix)]
    #[test]
    fn a_draft_that_a_crash_left_is_not_in_the_way() {
        use std::os::unix::fs::PermissionsExt as _;

        let (folder, path) = written(&"01".repeat(32));
        let draft = folder.path().join("master.key.new");
        fs::write(&draft, "half").unwrap();
        fs::set_permissions(&draft, fs::Permissions::from_mode(0o444)).unwrap();

        rotate(&path, NOW).unwrap();

        assert!(!draft.exists());
        let mode = fs::metadata(&path).unwrap().permissions().mode();
        assert_eq!(mode & 0o777, 0o600);
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
