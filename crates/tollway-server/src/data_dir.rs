//! Data directory of a gateway: its key file and its ledger, which belong together.
//!
//! Without the keys every token sold is forged; without the ledger, tokens that are used up or
//! revoked are good again. So neither is created while the other has been in use. The ledger
//! has a random id and records that there is a key; the key file contains that id.
//!
//! They are written in the order key, ledger, mark in the ledger, id in the key file, and read in
//! the opposite order: neither a crash in between nor processes that start at once are taken for
//! a loss.

use std::io;
use std::path::{Path, PathBuf};

use l402::UnixSeconds;

use crate::keys::LiveKeyRing;
use crate::keys::file::{self, KeyFile, KeyFileError, KeyId};
use crate::ledger::{LedgerId, LedgerOpenError, LedgerReader, Sale, SqliteLedger, identify};

/// The opened data directory of a gateway.
#[derive(Debug)]
pub struct DataDir {
    /// The keys.
    pub keys: LiveKeyRing,
    /// The ledger.
    pub ledger: SqliteLedger,
}

/// Why a data directory cannot be used.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum DataDirError {
    /// The folder cannot be created.
    #[error("the folder `{path}` cannot be created")]
    Folder {
        /// The folder.
        path: PathBuf,
        /// The error of the operating system.
        source: io::Error,
    },
    /// The keys cannot be used.
    #[error(transparent)]
    Keys(#[from] KeyFileError),
    /// There is a ledger, and the keys of the tokens in it are gone.
    #[error(
        "the key file `{key_file}` is missing, and the ledger `{ledger}` is in use: restore the \
         key file from a backup, or invalidate every token sold and start over with a new \
         folder: `mv {folder} {folder}.lost`"
    )]
    KeysLost {
        /// The file that is missing.
        key_file: PathBuf,
        /// The ledger.
        ledger: PathBuf,
        /// The folder.
        folder: PathBuf,
    },
    /// The ledger cannot be used.
    #[error(transparent)]
    Ledger(#[from] LedgerOpenError),
    /// There are keys, and the ledger of the tokens they minted is gone.
    #[error(
        "the ledger `{ledger}` is missing, empty or another one, and the keys in `{key_file}` are \
         in use: restore the ledger {id} from a backup, or invalidate every token sold and start \
         over with a new folder: `mv {folder} {folder}.lost`"
    )]
    LedgerLost {
        /// The key file.
        key_file: PathBuf,
        /// The ledger.
        ledger: PathBuf,
        /// The folder.
        folder: PathBuf,
        /// The id of the ledger that belongs to the keys.
        id: LedgerId,
    },
}

impl DataDir {
    /// Opens keys and ledger in `folder`, creating both if there is neither.
    ///
    /// Any number of processes may do so at once. Blocks on the disk: call it before serving.
    ///
    /// # Errors
    ///
    /// [`DataDirError`], naming the files and what to do about them.
    pub fn open(folder: &Path) -> Result<Self, DataDirError> {
        Self::open_to_sell(folder, None)
    }

    /// Opens keys and ledger in `folder` as [`open`](Self::open) does, to sell `sale` with them.
    ///
    /// # Errors
    ///
    /// As [`open`](Self::open), and [`SaleConflict`](crate::ledger::SaleConflict) when tokens
    /// sold with this directory for less, or for coins of another network, would be valid for
    /// what is sold.
    pub fn open_to_sell(folder: &Path, sale: Option<&Sale>) -> Result<Self, DataDirError> {
        let (key_file, ledger_file) = (Self::key_file(folder), Self::ledger_file(folder));
        // The ledger is looked at first: if it has a key by now, there has to be a key file.
        let has_key = identify(&ledger_file)?.has_key;
        if has_key && !exists(&key_file)? {
            return Err(DataDirError::KeysLost {
                key_file,
                ledger: ledger_file,
                folder: folder.to_owned(),
            });
        }
        std::fs::create_dir_all(folder).map_err(|source| DataDirError::Folder {
            path: folder.to_owned(),
            source,
        })?;
        let keys = KeyFile::read_or_create(&key_file)?;
        check_ledger(&keys, folder)?;
        let ledger = SqliteLedger::open_with_key(&ledger_file, sale)?;
        let id = file::bind(&key_file, ledger.id())?;
        if id != ledger.id() {
            return Err(DataDirError::LedgerLost {
                key_file,
                ledger: ledger_file,
                folder: folder.to_owned(),
                id,
            });
        }
        let keys = LiveKeyRing::open(&key_file)?;
        Ok(Self { keys, ledger })
    }

    /// Opens the ledger of a data directory in use.
    ///
    /// # Errors
    ///
    /// As [`open`](Self::open).
    pub fn open_ledger(folder: &Path) -> Result<SqliteLedger, DataDirError> {
        let (key_file, ledger_file) = (Self::key_file(folder), Self::ledger_file(folder));
        if exists(&key_file)? {
            check_ledger(&KeyFile::read(&key_file)?, folder)?;
        }
        Ok(SqliteLedger::open(&ledger_file)?)
    }

    /// Opens the ledger of a data directory to read its reports, while gateways use it or not.
    /// `None` when nothing was ever sold with the directory. Changes nothing in it.
    ///
    /// # Errors
    ///
    /// As [`open`](Self::open).
    pub fn open_reports(folder: &Path) -> Result<Option<LedgerReader>, DataDirError> {
        let (key_file, ledger) = (Self::key_file(folder), Self::ledger_file(folder));
        // The keys are read first: once they name a ledger, there has to be one.
        let expected = if exists(&key_file)? {
            KeyFile::read(&key_file)?.ledger()
        } else {
            None
        };
        let reader = LedgerReader::open(&ledger)?;
        match expected {
            Some(id) if reader.as_ref().map(LedgerReader::id) != Some(id) => {
                Err(DataDirError::LedgerLost {
                    key_file,
                    ledger,
                    folder: folder.to_owned(),
                    id,
                })
            }
            Some(_) | None => Ok(reader),
        }
    }

    /// Makes a new key the one that mints, as [`file::rotate`] does.
    ///
    /// Tokens minted before the clock was set back stay valid, too.
    ///
    /// # Errors
    ///
    /// [`DataDirError`]; the keys are then as they were.
    pub fn rotate_keys(folder: &Path, now: UnixSeconds) -> Result<KeyId, DataDirError> {
        let latest = identify(&Self::ledger_file(folder))?.latest;
        let now = latest.map_or(now, |latest| now.max(latest));
        Ok(file::rotate(&Self::key_file(folder), now)?)
    }

    /// Returns the path of the key file.
    #[must_use]
    pub fn key_file(folder: &Path) -> PathBuf {
        folder.join("master.key")
    }

    /// Returns the path of the ledger.
    #[must_use]
    pub fn ledger_file(folder: &Path) -> PathBuf {
        folder.join("ledger.sqlite")
    }
}

/// Checks that the ledger is the one that the keys belong to, if they belong to one.
fn check_ledger(keys: &KeyFile, folder: &Path) -> Result<(), DataDirError> {
    let ledger = DataDir::ledger_file(folder);
    match keys.ledger() {
        Some(id) if identify(&ledger)?.id != Some(id) => Err(DataDirError::LedgerLost {
            key_file: DataDir::key_file(folder),
            ledger,
            folder: folder.to_owned(),
            id,
        }),
        Some(_) | None => Ok(()),
    }
}

fn exists(key_file: &Path) -> Result<bool, KeyFileError> {
    key_file
        .try_exists()
        .map_err(|source| KeyFileError::file(key_file, source))
}

#[cfg(test)]
mod tests {
    use std::fs;
    use std::sync::Barrier;
    use std::thread;

    use l402::{Msat, Network};
    use tempfile::TempDir;

    use super::*;
    use crate::keys::file::Removal;
    use crate::ledger::{EventLog as _, LedgerEvent, Offer, RefusedEvent, SaleConflict};
    use crate::reason::ReasonCode;

    const NOW: UnixSeconds = UnixSeconds::new(1_800_000_000);

    #[test]
    fn what_is_created_opens_again_and_after_each_change_of_the_keys() {
        let folder = in_use();
        for _ in 0..2 {
            DataDir::open(folder.path()).unwrap();
        }
        let key_file = DataDir::key_file(folder.path());
        let old = KeyFile::read(&key_file).unwrap().summaries()[0].id;

        DataDir::rotate_keys(folder.path(), NOW).unwrap();
        DataDir::open(folder.path()).unwrap();
        file::remove(&key_file, old, Removal::AtOnce).unwrap();

        DataDir::open(folder.path()).unwrap();
    }

    #[test]
    fn missing_keys_next_to_a_ledger_in_use_are_not_replaced() {
        let folder = in_use();
        let key_file = DataDir::key_file(folder.path());
        fs::remove_file(&key_file).unwrap();

        let refused = DataDir::open(folder.path()).unwrap_err();

        assert!(matches!(refused, DataDirError::KeysLost { .. }));
        for name in ["master.key", "ledger.sqlite", "mv "] {
            assert!(refused.to_string().contains(name), "{refused}");
        }
        assert!(!key_file.exists());
    }

    #[cfg(unix)]
    #[test]
    fn a_link_to_keys_that_are_away_stays_a_link() {
        let folder = in_use();
        let (secrets, key_file) = (
            tempfile::tempdir().unwrap(),
            DataDir::key_file(folder.path()),
        );
        let away = secrets.path().join("not-mounted/master.key");
        fs::remove_file(&key_file).unwrap();
        std::os::unix::fs::symlink(&away, &key_file).unwrap();

        let refused = DataDir::open(folder.path()).unwrap_err();

        assert!(matches!(refused, DataDirError::KeysLost { .. }));
        assert!(key_file.is_symlink() && !away.exists());
    }

    #[test]
    fn a_ledger_that_was_removed_emptied_or_exchanged_is_an_error() {
        let other = in_use();
        let changes: [&dyn Fn(&Path); 3] = [
            &|ledger| fs::remove_file(ledger).unwrap(),
            &|ledger| fs::write(ledger, "").unwrap(),
            &|ledger| {
                fs::copy(DataDir::ledger_file(other.path()), ledger).unwrap();
            },
        ];
        for change in changes {
            let folder = in_use();
            let ledger = DataDir::ledger_file(folder.path());
            change(&ledger);

            for refused in [
                DataDir::open(folder.path()).unwrap_err(),
                DataDir::open_ledger(folder.path()).unwrap_err(),
            ] {
                assert!(matches!(refused, DataDirError::LedgerLost { .. }));
                for name in ["master.key", "ledger.sqlite", "mv "] {
                    assert!(refused.to_string().contains(name), "{refused}");
                }
            }
        }
    }

    #[test]
    fn a_crash_during_the_first_start_is_no_loss() {
        let only_key = tempfile::tempdir().unwrap();
        KeyFile::read_or_create(&DataDir::key_file(only_key.path())).unwrap();
        let unmarked = tempfile::tempdir().unwrap();
        KeyFile::read_or_create(&DataDir::key_file(unmarked.path())).unwrap();
        drop(SqliteLedger::open(&DataDir::ledger_file(unmarked.path())));
        let unbound = tempfile::tempdir().unwrap();
        KeyFile::read_or_create(&DataDir::key_file(unbound.path())).unwrap();
        drop(SqliteLedger::open_with_key(
            &DataDir::ledger_file(unbound.path()),
            None,
        ));
        let only_ledger = tempfile::tempdir().unwrap();
        drop(SqliteLedger::open(&DataDir::ledger_file(
            only_ledger.path(),
        )));

        for folder in [only_key, unmarked, unbound, only_ledger] {
            for _ in 0..2 {
                DataDir::open(folder.path()).unwrap();
            }
        }
    }

    #[test]
    fn a_fresh_folder_can_be_opened_by_many_at_once() {
        for _ in 0..4 {
            let parent = tempfile::tempdir().unwrap();
            let folder = parent.path().join("gateway");
            let together = Barrier::new(8);
            thread::scope(|scope| {
                for _ in 0..8 {
                    scope.spawn(|| {
                        together.wait();
                        DataDir::open(&folder).unwrap();
                    });
                }
            });
        }
    }

    #[test]
    fn the_same_is_not_sold_for_two_prices_by_gateways_that_are_running() {
        let folder = in_use();
        let open = |sale| DataDir::open_to_sell(folder.path(), Some(&sale));
        let cheap = open(sale("weather", 1, "http://one")).unwrap();

        let refused = open(sale("weather", 100, "http://two")).unwrap_err();

        assert!(is_price_conflict(&refused), "{refused:?}");
        for allowed in [
            sale("weather", 100, "http://one"),
            sale("weather", 1, "http://two"),
            sale("news", 100, "http://two"),
        ] {
            drop(open(allowed).unwrap());
        }
        drop(cheap);
        assert!(open(sale("weather", 100, "http://two")).is_ok());
    }

    #[test]
    fn a_ledger_stays_with_the_network_of_its_first_wallet() {
        let folder = in_use();
        let regtest = sale("weather", 1, "http://one");
        drop(DataDir::open_to_sell(folder.path(), Some(&regtest)).unwrap());
        let mainnet = Sale {
            network: Network::Mainnet,
            ..regtest
        };

        let refused = DataDir::open_to_sell(folder.path(), Some(&mainnet)).unwrap_err();

        let DataDirError::Ledger(LedgerOpenError::Sale { source, .. }) = refused else {
            panic!("{refused:?}");
        };
        assert!(matches!(source, SaleConflict::Network { .. }), "{source}");
    }

    fn is_price_conflict(error: &DataDirError) -> bool {
        let DataDirError::Ledger(LedgerOpenError::Sale { source, .. }) = error else {
            return false;
        };
        matches!(source, SaleConflict::Price { .. })
    }

    fn sale(service: &str, price_msat: u64, upstream: &str) -> Sale {
        Sale {
            network: Network::Regtest,
            offers: vec![Offer {
                service: service.parse().unwrap(),
                tier: 0,
                capability: None,
                price: Msat::from_msat(price_msat),
                upstream: upstream.to_owned(),
            }],
        }
    }

    #[test]
    fn a_rotation_with_a_clock_that_was_set_back_keeps_what_was_sold_before() {
        let folder = in_use();
        let opened = DataDir::open(folder.path()).unwrap();
        opened.ledger.record(LedgerEvent::Refused(RefusedEvent {
            service: "weather".parse().unwrap(),
            reason: ReasonCode::NoCredential,
            at: NOW.plus_secs(60),
        }));
        drop(opened);

        DataDir::rotate_keys(folder.path(), NOW).unwrap();

        let keys = KeyFile::read(&DataDir::key_file(folder.path())).unwrap();
        let retired = keys.summaries()[1].minted_until.unwrap();
        assert!(retired >= NOW.plus_secs(60), "{retired}");
    }

    fn in_use() -> TempDir {
        let folder = tempfile::tempdir().unwrap();
        DataDir::open(folder.path()).unwrap();
        folder
    }
}
