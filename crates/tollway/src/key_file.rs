//! The gateway's master key on disk: 64 hexadecimal digits, readable by its owner only.
//!
//! Made on first use. A key that cannot be read is an error and never a reason to make
//! another: that would make every token sold invalid.

use std::fs::{self, File, Permissions};
use std::io::{self, Write as _};
use std::os::unix::fs::PermissionsExt as _;
use std::path::Path;

use l402::MasterKey;

use crate::exit::Failure;

/// Reads the key, or makes one if there is no file.
pub(crate) fn open_or_make(path: &Path) -> Result<MasterKey, Failure> {
    match path.try_exists() {
        Ok(true) => read(path),
        Ok(false) => make(path),
        Err(error) => Err(failure(path, &error.to_string())),
    }
}

fn read(path: &Path) -> Result<MasterKey, Failure> {
    let text = fs::read_to_string(path).map_err(|error| failure(path, &error.to_string()))?;
    owner_only(path)?;
    MasterKey::from_hex(text.trim()).map_err(|error| failure(path, &format!("the key is {error}")))
}

fn make(path: &Path) -> Result<MasterKey, Failure> {
    let mut bytes = [0; 32];
    getrandom::fill(&mut bytes)
        .map_err(|error| failure(path, &format!("no randomness for a key: {error}")))?;
    let key = MasterKey::new(bytes);
    match write(path, &key.expose_hex()) {
        Ok(()) => Ok(key),
        // Another gateway that starts at the same moment was first.
        Err(error) if error.kind() == io::ErrorKind::AlreadyExists => read(path),
        Err(error) => Err(failure(path, &error.to_string())),
    }
}

/// Written to another file and linked into place: two gateways that start at once agree on
/// one key, and a crash leaves none rather than half of one.
fn write(path: &Path, text: &str) -> io::Result<()> {
    let directory = path.parent().unwrap_or(Path::new("."));
    fs::create_dir_all(directory)?;
    let mut draft = tempfile::Builder::new()
        .permissions(Permissions::from_mode(0o600))
        .tempfile_in(directory)?;
    draft.write_all(format!("{text}\n").as_bytes())?;
    draft.as_file().sync_all()?;
    draft.persist_noclobber(path).map_err(|error| error.error)?;
    File::open(directory)?.sync_all()
}

fn owner_only(path: &Path) -> Result<(), Failure> {
    let mode = fs::metadata(path)
        .map_err(|error| failure(path, &error.to_string()))?
        .permissions()
        .mode();
    if mode & 0o077 == 0 {
        return Ok(());
    }
    let shown = mode & 0o777;
    Err(failure(
        path,
        &format!("others can read the master key (mode {shown:o}): run chmod 600 on it"),
    ))
}

fn failure(path: &Path, reason: &str) -> Failure {
    Failure::usage(format!("{}: {reason}", path.display()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_key_is_made_once_and_read_ever_after() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("gateway/master.key");

        let made = open_or_make(&path).unwrap().expose_hex();

        assert_eq!(open_or_make(&path).unwrap().expose_hex(), made);
        assert_eq!(
            fs::metadata(&path).unwrap().permissions().mode() & 0o777,
            0o600
        );
        assert_eq!(
            fs::read_dir(path.parent().unwrap()).unwrap().count(),
            1,
            "no draft is left behind"
        );
    }

    #[test]
    fn gateways_that_start_at_once_agree_on_one_key() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("master.key");

        let keys: Vec<String> = std::thread::scope(|scope| {
            let open = || open_or_make(&path).unwrap().expose_hex();
            let threads: Vec<_> = (0..8).map(|_| scope.spawn(open)).collect();
            let joined = threads.into_iter().map(|thread| thread.join().unwrap());
            joined.collect()
        });

        assert!(keys.iter().all(|key| *key == keys[0]));
    }

    #[test]
    fn a_damaged_or_exposed_key_is_an_error_and_is_not_replaced() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("master.key");
        fs::write(&path, "abc").unwrap();
        assert!(
            open_or_make(&path)
                .unwrap_err()
                .to_string()
                .contains("chmod 600")
        );

        fs::set_permissions(&path, Permissions::from_mode(0o600)).unwrap();
        assert!(
            open_or_make(&path)
                .unwrap_err()
                .to_string()
                .contains("3 bytes long")
        );
        assert_eq!(fs::read_to_string(&path).unwrap(), "abc");
    }
}
