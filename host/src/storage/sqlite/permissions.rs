//! Who may write the database's files, and who may read them.
//!
//! Called when the storage opens, under the lock: owners are looked at before SQLite reads anything, and modes are changed once the database is found
//! in order, because what is refused is left as it was. A file that another user owns is refused: that user could change what
//! runs at any time. A file of this user that others may write is made private, and the log says so. Whether others may read the file of an embedder
//! is the embedder's decision; that of a host of its own is made private by [`make_private`].
//!
//! Files are looked at and changed by their names and never opened here: closing a descriptor would release the locks of an embedder's connections.

use std::path::Path;

use super::connection::beside;
use crate::storage::StorageError;

/// The database, and what SQLite keeps beside it.
const SUFFIXES: [&str; 4] = ["", "-wal", "-shm", "-journal"];

/// Refuses files of another user, and symbolic links in place of a log. Changes nothing.
pub(super) fn refuse_others(path: &Path) -> Result<(), StorageError> {
    SUFFIXES.iter().try_for_each(|suffix| restrict(&beside(path, suffix), 0))
}

/// Takes the right to write from all other users.
pub(super) fn restrict_writers(path: &Path) -> Result<(), StorageError> {
    SUFFIXES.iter().try_for_each(|suffix| restrict(&beside(path, suffix), 0o022))
}

/// The same, and takes the right to read from all users outside of the file's group.
pub(super) fn make_private(path: &Path) -> Result<(), StorageError> {
    SUFFIXES.iter().try_for_each(|suffix| restrict(&beside(path, suffix), 0o027))
}

#[cfg(unix)]
fn restrict(path: &Path, forbidden: u32) -> Result<(), StorageError> {
    use std::os::unix::fs::{MetadataExt, PermissionsExt};
    let meta = match std::fs::symlink_metadata(path) {
        Ok(meta) => meta,
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => return Ok(()),
        Err(error) => return Err(StorageError::Unavailable(format!("{} can't be looked at: {error}", path.display()))),
    };
    if !meta.is_file() {
        return Err(StorageError::Unavailable(format!("{} is not a file; move it away", path.display())));
    }
    refuse_other_owner(path, meta.uid())?;
    let mode = meta.permissions().mode() & 0o7777;
    if mode & forbidden == 0 {
        return Ok(());
    }
    let private = mode & !forbidden;
    std::fs::set_permissions(path, std::fs::Permissions::from_mode(private)).map_err(|error| {
        let others = if mode & 0o022 == 0 { "read" } else { "write" };
        StorageError::Unavailable(format!(
            "other users may {others} {}, and this one can't change that ({error}); run: chmod {private:o} '{}'",
            path.display(),
            path.display()
        ))
    })?;
    tracing::warn!(file = %path.display(), "other users had access to the file (mode {mode:o}); it has mode {private:o} now");
    Ok(())
}

#[cfg(not(unix))]
fn restrict(_path: &Path, _forbidden: u32) -> Result<(), StorageError> {
    Ok(())
}

/// Refuses what belongs to a user who is neither this one nor root, who can change everything in any case.
#[cfg(unix)]
pub(super) fn refuse_other_owner(path: &Path, owner: u32) -> Result<(), StorageError> {
    // SAFETY: the call has no arguments and can't fail.
    let own = unsafe { libc::geteuid() };
    if owner == own || owner == 0 {
        return Ok(());
    }
    Err(StorageError::Unavailable(format!(
        "{} belongs to user {owner}, who could change what this host (user {own}) runs; run as that user, or take it over: chown {own} '{}'",
        path.display(),
        path.display()
    )))
}
