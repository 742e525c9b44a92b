//! Owners of files that are created next to others.

use std::fs::{File, Metadata};
use std::io;

/// Gives `file` the owner of another.
#[cfg(unix)]
pub(crate) fn keep_owner(file: &File, of: &Metadata) -> io::Result<()> {
    use std::os::unix::fs::{MetadataExt as _, fchown};

    let own = file.metadata()?;
    if own.uid() != of.uid() {
        fchown(file, Some(of.uid()), None)?;
    }
    if own.gid() != of.gid() {
        // Left as it is where that is not permitted: the mode gives the group no access.
        let _not_a_member = fchown(file, None, Some(of.gid()));
    }
    Ok(())
}

#[cfg(not(unix))]
pub(crate) fn keep_owner(_file: &File, _of: &Metadata) -> io::Result<()> {
    Ok(())
}
