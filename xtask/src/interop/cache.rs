//! Cache of installed peers, kept between runs.

use std::env;
use std::fs::{self, File};
use std::path::{Path, PathBuf};

use anyhow::{Context, Result};
use sha2::{Digest, Sha256};

/// Written into a folder whose installation went through.
const COMPLETE: &str = ".complete";

/// The folder `$TOLLWAY_CACHE`, or `~/.cache/tollway`.
#[derive(Debug)]
pub(super) struct Cache {
    root: PathBuf,
}

impl Cache {
    /// Finds the folder, and makes it.
    ///
    /// # Errors
    ///
    /// When neither `TOLLWAY_CACHE` nor `HOME` names a place that can be written to.
    pub(super) fn locate() -> Result<Self> {
        let root = match env::var_os("TOLLWAY_CACHE") {
            Some(chosen) => PathBuf::from(chosen),
            None => PathBuf::from(env::var_os("HOME").context("set HOME or TOLLWAY_CACHE")?)
                .join(".cache/tollway"),
        };
        fs::create_dir_all(&root).with_context(|| format!("cannot make {}", root.display()))?;
        Ok(Self { root })
    }

    /// The folder of one installation; `install` fills it unless an earlier run has.
    ///
    /// `recipe` is everything the installation depends on: another recipe is another folder.
    /// Runs that want the same folder at once take turns.
    ///
    /// # Errors
    ///
    /// What `install` answered. The next run starts it from an empty folder.
    pub(super) fn folder<E: From<anyhow::Error>>(
        &self,
        name: &str,
        recipe: &[&[u8]],
        install: impl FnOnce(&Path) -> Result<(), E>,
    ) -> Result<PathBuf, E> {
        let folder = self.place(name, recipe);
        let _turn = lock(&folder)?;
        if !folder.join(COMPLETE).exists() {
            empty(&folder)?;
            install(&folder)?;
            fs::write(folder.join(COMPLETE), "").context("cannot mark as complete")?;
        }
        Ok(folder)
    }

    /// The folder of an installation, if it has gone through.
    pub(super) fn complete(&self, name: &str, recipe: &[&[u8]]) -> Option<PathBuf> {
        let folder = self.place(name, recipe);
        folder.join(COMPLETE).exists().then_some(folder)
    }

    fn place(&self, name: &str, recipe: &[&[u8]]) -> PathBuf {
        self.root.join(format!("{name}-{}", fingerprint(recipe)))
    }
}

/// Held until dropped.
fn lock(folder: &Path) -> Result<File> {
    let path = folder.with_extension("lock");
    let file = File::create(&path).with_context(|| format!("cannot make {}", path.display()))?;
    file.lock()?;
    Ok(file)
}

fn empty(folder: &Path) -> Result<()> {
    if folder.exists() {
        fs::remove_dir_all(folder)?;
    }
    fs::create_dir_all(folder).with_context(|| format!("cannot make {}", folder.display()))
}

fn fingerprint(recipe: &[&[u8]]) -> String {
    let mut hash = Sha256::new();
    for part in recipe {
        hash.update(part.len().to_be_bytes());
        hash.update(part);
    }
    hex::encode(hash.finalize().get(..6).unwrap_or_default())
}

#[cfg(test)]
mod tests {
    use std::cell::Cell;

    use anyhow::bail;

    use super::*;

    fn cache(dir: &tempfile::TempDir) -> Cache {
        Cache {
            root: dir.path().to_owned(),
        }
    }

    #[test]
    fn an_installation_that_went_through_is_not_repeated() {
        let dir = tempfile::tempdir().unwrap();
        let runs = Cell::new(0);
        let install = || {
            cache(&dir).folder("peer", &[b"1"], |_| -> Result<()> {
                runs.set(runs.get() + 1);
                Ok(())
            })
        };

        assert_eq!(install().unwrap(), install().unwrap());
        assert_eq!(runs.get(), 1);
    }

    #[test]
    fn an_installation_that_failed_is_repeated_from_an_empty_folder() {
        let dir = tempfile::tempdir().unwrap();
        let broken = cache(&dir).folder("peer", &[b"1"], |folder| {
            fs::write(folder.join("half"), "")?;
            bail!("no network")
        });

        let folder = cache(&dir)
            .folder("peer", &[b"1"], |_| -> Result<()> { Ok(()) })
            .unwrap();

        assert!(broken.is_err());
        assert!(!folder.join("half").exists());
    }

    #[test]
    fn recipes_that_differ_only_in_where_they_are_cut_have_different_folders() {
        assert_ne!(fingerprint(&[b"ab", b"c"]), fingerprint(&[b"a", b"bc"]));
    }
}
