//! The gateway's master key on disk: 64 hexadecimal digits, readable by its owner only.
//!
//! Made on first use. A key that cannot be read is an error and never a reason to make
//! another: that would void every token sold.

use std::fs::{self, File, OpenOptions};
use std::io::{self, Write as _};
use std::os::unix::fs::{OpenOptionsExt as _, PermissionsExt as _};
use std::path::Path;

use l402::MasterKey;

use crate::exit::Failure;

/// Reads the key, or makes one if there is no file.
pub(crate) fn open_or_make(path: &Path) -> Result<MasterKey, Failure> {
    match fs::read_to_string(path) {
        Ok(text) => {
            owner_only(path)?;
            MasterKey::from_hex(text.trim())
                .map_err(|error| failure(path, &format!("the key is {error}")))
        }
        Err(error) if error.kind() == io::ErrorKind::NotFound => make(path),
        Err(error) => Err(failure(path, &error.to_string())),
    }
}

fn make(path: &Path) -> Result<MasterKey, Failure> {
    let mut bytes = [0; 32];
    getrandom::fill(&mut bytes)
        .map_err(|error| failure(path, &format!("no randomness for a key: {error}")))?;
    let key = MasterKey::new(bytes);
    write(path, &key.expose_hex()).map_err(|error| failure(path, &error.to_string()))?;
    Ok(key)
}

/// Written beside and linked into place: two gateways that start at once agree on one key,
/// and a crash leaves none rather than half of one.
fn write(path: &Path, text: &str) -> io::Result<()> {
    let folder = path.parent().unwrap_or(Path::new("."));
    fs::create_dir_all(folder)?;
    let draft = path.with_extension(format!("draft-{}", std::process::id()));
    let mut file = OpenOptions::new()
        .write(true)
        .create_new(true)
        .mode(0o600)
        .open(&draft)?;
    let linked = file
        .write_all(format!("{text}\n").as_bytes())
        .and_then(|()| file.sync_all())
        .and_then(|()| fs::hard_link(&draft, path));
    fs::remove_file(&draft)?;
    linked?;
    File::open(folder)?.sync_all()
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

        fs::set_permissions(&path, fs::Permissions::from_mode(0o600)).unwrap();
        assert!(
            open_or_make(&path)
                .unwrap_err()
                .to_string()
                .contains("3 bytes long")
        );
        assert_eq!(fs::read_to_string(&path).unwrap(), "abc");
    }
}
