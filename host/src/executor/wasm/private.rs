//! Folders and files that belong to this user alone: made so, checked, and read with a bound.
//!
//! Used where machine code and its key are kept. A file is opened first and judged by its descriptor, so that it can't be exchanged in between.

use std::fs::{DirBuilder, File, OpenOptions, Permissions};
use std::io::{Error, ErrorKind, Read, Result};
use std::os::unix::fs::{DirBuilderExt, MetadataExt, OpenOptionsExt, PermissionsExt};
use std::path::Path;

/// What nobody else may do: write to a folder or a file, or read it.
const OTHERS: u32 = 0o077;

/// A file that was read.
pub(super) struct Kept {
    pub(super) bytes: Vec<u8>,
    /// Whether no other user could read or write it. It is private from now on.
    pub(super) was_private: bool,
}

/// Makes the folder if there is none, and makes it private if other users could use it. Returns whether it was private.
///
/// # Errors
///
/// If it belongs to another user, or is a symbolic link or no folder.
pub(super) fn folder(path: &Path) -> Result<bool> {
    DirBuilder::new().recursive(true).mode(0o700).create(path).or_else(|error| match error.kind() {
        // Judged below.
        ErrorKind::AlreadyExists => Ok(()),
        _ => Err(error),
    })?;
    let opened = OpenOptions::new().read(true).custom_flags(libc::O_NOFOLLOW | libc::O_DIRECTORY).open(path);
    make_private(&opened.map_err(|error| explain(path, error))?, path)
}

/// Reads a file of at most `bytes_max` bytes. `None` if there is none.
///
/// # Errors
///
/// If it belongs to another user, is a symbolic link or no file, or is longer.
pub(super) fn read(path: &Path, bytes_max: u64) -> Result<Option<Kept>> {
    // A FIFO in its place would block.
    let file = match OpenOptions::new().read(true).custom_flags(libc::O_NOFOLLOW | libc::O_NONBLOCK).open(path) {
        Ok(file) => file,
        Err(error) if error.kind() == ErrorKind::NotFound => return Ok(None),
        Err(error) => return Err(explain(path, error)),
    };
    let metadata = file.metadata()?;
    if !metadata.is_file() {
        return Err(Error::other(format!("{} is not a regular file; delete it", path.display())));
    }
    if metadata.len() > bytes_max {
        return Err(Error::other(format!("{} has {} bytes, the limit is {bytes_max}; delete it", path.display(), metadata.len())));
    }
    let was_private = make_private(&file, path)?;
    let mut bytes = Vec::with_capacity(metadata.len() as usize);
    file.take(bytes_max).read_to_end(&mut bytes)?;
    Ok(Some(Kept { bytes, was_private }))
}

/// Makes a file that was not there, mode 0600.
pub(super) fn create(path: &Path) -> Result<File> {
    OpenOptions::new().write(true).create_new(true).mode(0o600).custom_flags(libc::O_NOFOLLOW).open(path)
}

fn make_private(file: &File, path: &Path) -> Result<bool> {
    let metadata = file.metadata()?;
    if metadata.uid() != own_user() {
        return Err(Error::other(format!(
            "{} belongs to another user (uid {}, this process has {}), who could put code of their own there; delete it, or start the host as that user",
            path.display(),
            metadata.uid(),
            own_user()
        )));
    }
    let was_private = metadata.mode() & OTHERS == 0;
    if !was_private {
        tracing::warn!(path = %path.display(), mode = format!("{:o}", metadata.mode() & 0o777), "other users could use it; it is made private");
        file.set_permissions(Permissions::from_mode(metadata.mode() & 0o700))?;
    }
    Ok(was_private)
}

#[allow(unsafe_code, reason = "it has no safe form")]
fn own_user() -> u32 {
    // SAFETY: it takes nothing, reads and writes no memory, and can't fail.
    unsafe { libc::geteuid() }
}

fn explain(path: &Path, error: Error) -> Error {
    match error.raw_os_error() {
        Some(libc::ELOOP) => Error::other(format!("{} is a symbolic link; name the place itself", path.display())),
        // O_NOFOLLOW with O_DIRECTORY says so of a link, too.
        Some(libc::ENOTDIR) if path.is_symlink() => Error::other(format!("{} is a symbolic link; name the place itself", path.display())),
        _ => error,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_belongs_to_another_user_is_refused() {
        // Every system has files of root, and nobody else can make one: as root, one is given away.
        let parent = tempfile::tempdir().unwrap();
        let (path, file) = (parent.path().join("folder"), parent.path().join("file"));
        assert!(folder(&path).unwrap());
        std::fs::write(&file, "x").unwrap();
        let (path, file) = match own_user() {
            0 => {
                for given in [&path, &file] {
                    std::os::unix::fs::chown(given, Some(12_345), None).unwrap();
                }
                (path, file)
            }
            _ => ("/usr".into(), "/etc/passwd".into()),
        };
        for refused in [folder(&path).unwrap_err(), read(&file, 1 << 20).err().unwrap()] {
            assert!(refused.to_string().contains("belongs to another user"), "{refused}");
        }
    }
}
