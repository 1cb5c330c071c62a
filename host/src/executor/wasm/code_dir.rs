//! Keeps machine code on disk, and gives back only what it wrote.
//!
//! Used by the component cache. Loading machine code is trusting it, so every file is signed with a key: a user who can write to the directory,
//! but has no key, can cost a recompilation and nothing else. Directory, key and files belong to this user alone ([`private`]).

use std::io::Write;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicU64, Ordering};

use crate::model::seal;

use super::compile_request::CODE_BYTES_MAX;
use super::private;

/// What each file begins with: the version of its form.
const HEADER: &[u8; 8] = b"RLCODE1\n";
/// Bytes of the seal between header and code.
const SEAL_BYTES: usize = 32;
const PREFIX_BYTES: usize = HEADER.len() + SEAL_BYTES;
/// Bytes of code that are kept, of a thousand large components. Else the disk would fill up with what was registered once, or was refused
/// only when it was asked for its tasks.
const KEPT_BYTES_MAX: u64 = 4 << 30;
/// How the files of code are called; the key may lie beside them.
pub(super) const EXTENSION: &str = ".cwasm";
/// Bytes of the key that signs compiled code.
const KEY_BYTES: usize = 32;

/// The key that signs the compiled code in `folder`, which lies in it as the file `key`. Made, with the folder, when there is none.
///
/// # Errors
///
/// If the folder or the key belongs to another user, or is a symbolic link. If other users could read or write them, they are made private with a
/// warning, and a new key is made: the code that was kept is compiled again.
pub fn code_key(folder: &Path) -> std::io::Result<[u8; KEY_BYTES]> {
    let was_private = private::folder(folder)?;
    let path = folder.join("key");
    let kept = private::read(&path, KEY_BYTES as u64)?;
    if let Some(kept) = kept {
        if was_private && kept.was_private {
            return kept.bytes.try_into().map_err(|_| std::io::Error::other("the key is damaged; delete the folder"));
        }
        tracing::warn!(path = %path.display(), "other users could read or write the key of compiled code; it is replaced, and components are compiled again");
        std::fs::remove_file(&path)?;
    }
    let mut key = [0; KEY_BYTES];
    getrandom::fill(&mut key).map_err(std::io::Error::other)?;
    match private::create(&path) {
        Ok(mut file) => file.write_all(&key).map(|()| key),
        // Another start was faster.
        Err(error) if error.kind() == std::io::ErrorKind::AlreadyExists => {
            let kept = private::read(&path, KEY_BYTES as u64)?.map(|kept| kept.bytes).unwrap_or_default();
            kept.try_into().map_err(|_| std::io::Error::other("the key is damaged; delete the folder"))
        }
        Err(error) => Err(error),
    }
}

/// A directory of signed files, mode 0700, the files 0600.
#[derive(Debug)]
pub(super) struct CodeDir {
    path: PathBuf,
    key: [u8; KEY_BYTES],
    kept_bytes_max: u64,
}

impl CodeDir {
    /// Creates the directory if there is none. Refuses one that belongs to another user.
    pub(super) fn open(path: &Path, key: [u8; KEY_BYTES]) -> std::io::Result<Self> {
        private::folder(path)?;
        Ok(Self { path: path.to_owned(), key, kept_bytes_max: KEPT_BYTES_MAX })
    }

    /// The code stored under `name`, or `None` if there is none, or none that can be trusted.
    pub(super) fn read(&self, name: &str) -> Option<Vec<u8>> {
        let kept = match private::read(&self.path.join(name), CODE_BYTES_MAX + PREFIX_BYTES as u64) {
            Ok(kept) => kept?,
            Err(error) => {
                tracing::warn!(file = name, %error, "cached code is not used; compiling again");
                return None;
            }
        };
        let mut prefix = kept.bytes;
        let code = prefix.split_off(prefix.len().min(PREFIX_BYTES));
        match prefix.strip_prefix(HEADER) {
            Some(seal) if seal::equal(seal, &self.seal(name, &code)) => Some(code),
            Some(_) => {
                tracing::warn!(file = name, "cached code was changed by somebody else; compiling again");
                None
            }
            None => {
                tracing::info!(file = name, "cached code has the form of another version; compiling again");
                None
            }
        }
    }

    /// Stores `code` under `name`, which ends as files of code do: readers see all of it or none.
    pub(super) fn write(&self, name: &str, code: &[u8]) -> std::io::Result<()> {
        // Two threads may write the same code: an attempt's and an upload's.
        static WRITES: AtomicU64 = AtomicU64::new(0);
        let write = WRITES.fetch_add(1, Ordering::Relaxed);
        let (temporary, to) = (self.path.join(format!("{name}.{}.{write}.new", std::process::id())), self.path.join(name));
        drop(std::fs::remove_file(&temporary));
        let mut file = private::create(&temporary)?;
        let written = file.write_all(HEADER).and_then(|()| file.write_all(&self.seal(name, code))).and_then(|()| file.write_all(code));
        // Not synced: a file that a crash cut short has a wrong seal.
        written.and_then(|()| std::fs::rename(&temporary, to)).inspect_err(|_| drop(std::fs::remove_file(&temporary)))?;
        self.make_room()
    }

    /// Deletes what was written first, until the rest is as much as is kept. Who needs it after all compiles it again.
    fn make_room(&self) -> std::io::Result<()> {
        let mut files = Vec::new();
        for entry in std::fs::read_dir(&self.path)? {
            let entry = entry?;
            // What a killed host left half written, too.
            if entry.file_name().to_string_lossy().contains(EXTENSION) {
                // Another thread may have made room meanwhile.
                let Ok(metadata) = entry.metadata() else { continue };
                files.push((metadata.modified()?, entry.path(), metadata.len()));
            }
        }
        files.sort_unstable();
        let mut kept: u64 = files.iter().map(|(.., bytes)| bytes).sum();
        for (_, path, bytes) in files {
            if kept <= self.kept_bytes_max {
                break;
            }
            std::fs::remove_file(path).or_else(|error| if error.kind() == std::io::ErrorKind::NotFound { Ok(()) } else { Err(error) })?;
            kept -= bytes;
        }
        Ok(())
    }

    /// The name is sealed too, so that no file can take another's place.
    fn seal(&self, name: &str, code: &[u8]) -> [u8; 32] {
        seal::seal(&self.key, &[HEADER, name.as_bytes(), &[0], code])
    }
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::PermissionsExt;

    use super::*;

    #[test]
    fn a_changed_file_is_not_given_back() {
        let parent = tempfile::tempdir().unwrap();
        let path = parent.path().join("code");
        let dir = CodeDir::open(&path, [7; 32]).unwrap();
        dir.write("a", b"machine code").unwrap();
        assert_eq!(dir.read("a").unwrap(), b"machine code");
        assert_eq!(dir.read("b"), None);
        let mode = |path: &Path| std::fs::metadata(path).unwrap().permissions().mode() & 0o777;
        assert_eq!((mode(&path), mode(&path.join("a"))), (0o700, 0o600));

        let good = std::fs::read(path.join("a")).unwrap();
        for at in 0..good.len() {
            let mut bad = good.clone();
            bad[at] ^= 1;
            std::fs::write(path.join("a"), &bad).unwrap();
            assert_eq!(dir.read("a"), None, "byte {at}");
            std::fs::write(path.join("a"), &good[..at]).unwrap();
            assert_eq!(dir.read("a"), None, "cut at {at}");
        }
        std::fs::write(path.join("b"), &good).unwrap();
        assert_eq!(dir.read("b"), None, "under another name");
        dir.write("a", b"again").unwrap();
        assert_eq!(dir.read("a").unwrap(), b"again");
        assert_eq!(CodeDir::open(&path, [8; 32]).unwrap().read("a"), None, "under another key");
    }

    #[test]
    fn what_was_written_first_goes_first() {
        let parent = tempfile::tempdir().unwrap();
        let dir = CodeDir { kept_bytes_max: 3 * (PREFIX_BYTES as u64 + 4), ..CodeDir::open(parent.path(), [7; 32]).unwrap() };
        std::fs::write(parent.path().join("key"), [7; 1_000]).unwrap();
        for (number, name) in ["c.cwasm", "b.cwasm", "a.cwasm", "e.cwasm", "d.cwasm"].into_iter().enumerate() {
            dir.write(name, b"code").unwrap();
            // Whatever the file system's clock makes of them.
            let written = std::time::UNIX_EPOCH + std::time::Duration::from_secs(number as u64);
            std::fs::File::open(parent.path().join(name)).unwrap().set_modified(written).unwrap();
        }
        let kept = ["a.cwasm", "b.cwasm", "c.cwasm", "d.cwasm", "e.cwasm"].map(|name| dir.read(name).is_some());
        assert_eq!(kept, [true, false, false, true, true]);
        assert!(parent.path().join("key").exists());
    }

    #[test]
    fn a_key_that_others_could_read_or_replace_is_replaced() {
        let parent = tempfile::tempdir().unwrap();
        let folder = parent.path().join("code");
        let set = |path: &Path, mode| std::fs::set_permissions(path, std::fs::Permissions::from_mode(mode)).unwrap();
        let mode = |path: &Path| std::fs::metadata(path).unwrap().permissions().mode() & 0o777;
        let (key, file) = (code_key(&folder).unwrap(), folder.join("key"));
        assert_eq!((code_key(&folder).unwrap(), mode(&folder), mode(&file)), (key, 0o700, 0o600));
        set(&file, 0o644);
        let second = code_key(&folder).unwrap();
        assert_ne!(second, key);
        set(&folder, 0o770);
        let third = code_key(&folder).unwrap();
        assert_ne!(third, second);
        assert_eq!((code_key(&folder).unwrap(), mode(&folder), mode(&file)), (third, 0o700, 0o600));
        std::fs::write(&file, "short").unwrap();
        assert!(code_key(&folder).unwrap_err().to_string().contains("damaged"));
        std::fs::write(&file, [0; 33]).unwrap();
        assert!(code_key(&folder).unwrap_err().to_string().contains("33 bytes"));
    }

    #[test]
    fn links_are_not_followed() {
        let parent = tempfile::tempdir().unwrap();
        let (real, link) = (parent.path().join("real"), parent.path().join("link"));
        std::fs::create_dir(&real).unwrap();
        std::os::unix::fs::symlink(&real, &link).unwrap();
        for refused in [code_key(&link).unwrap_err(), CodeDir::open(&link, [7; 32]).unwrap_err()] {
            assert!(refused.to_string().contains("symbolic link"), "{refused}");
        }
        std::fs::write(parent.path().join("elsewhere"), [7; 32]).unwrap();
        std::os::unix::fs::symlink(parent.path().join("elsewhere"), real.join("key")).unwrap();
        assert!(code_key(&real).unwrap_err().to_string().contains("symbolic link"));

        let dir = CodeDir::open(&real, [7; 32]).unwrap();
        dir.write("a.cwasm", b"code").unwrap();
        std::fs::rename(real.join("a.cwasm"), parent.path().join("moved")).unwrap();
        std::os::unix::fs::symlink(parent.path().join("moved"), real.join("a.cwasm")).unwrap();
        assert_eq!(dir.read("a.cwasm"), None);
        std::fs::remove_file(real.join("a.cwasm")).unwrap();
        // A sparse file that is longer than all code is not read.
        std::fs::File::create(real.join("a.cwasm")).unwrap().set_len(1 << 40).unwrap();
        assert_eq!(dir.read("a.cwasm"), None);
        std::fs::write(real.join("a.cwasm"), b"code of an older form").unwrap();
        assert_eq!(dir.read("a.cwasm"), None);
    }
}
