//! Keeps machine code on disk, and gives back only what it wrote.
//!
//! Used by the component cache. Loading machine code is trusting it, so every file is sealed with a key that is kept elsewhere:
//! whoever can write to the directory, but has no key, can cost a recompilation and nothing else.

use std::io::Write;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicU64, Ordering};

use crate::model::seal;

/// Bytes of the seal before the code.
const SEAL_BYTES: usize = 32;
/// Bytes of code that are kept, of a thousand large components. Else the disk would fill up with what was registered once, or was refused
/// only when it was asked for its tasks.
const KEPT_BYTES_MAX: u64 = 4 << 30;
/// How the files of code are called; the key may lie beside them.
pub(super) const EXTENSION: &str = ".cwasm";

/// A directory of sealed files, mode 0700, the files 0600.
#[derive(Debug)]
pub(super) struct CodeDir {
    path: PathBuf,
    key: [u8; 32],
    kept_bytes_max: u64,
}

impl CodeDir {
    /// Creates the directory if there is none.
    pub(super) fn open(path: &Path, key: [u8; 32]) -> std::io::Result<Self> {
        use std::os::unix::fs::{DirBuilderExt, PermissionsExt};
        std::fs::DirBuilder::new().recursive(true).mode(0o700).create(path)?;
        std::fs::set_permissions(path, std::fs::Permissions::from_mode(0o700))?;
        Ok(Self { path: path.to_owned(), key, kept_bytes_max: KEPT_BYTES_MAX })
    }

    /// The code stored under `name`, or `None` if there is none, or none that can be trusted.
    pub(super) fn read(&self, name: &str) -> Option<Vec<u8>> {
        let mut file = std::fs::read(self.path.join(name)).ok()?;
        let code = file.split_off(file.len().min(SEAL_BYTES));
        if file.len() == SEAL_BYTES && seal::equal(&file, &self.seal(name, &code)) {
            return Some(code);
        }
        tracing::warn!(file = name, "cached code was changed by somebody else; compiling again");
        None
    }

    /// Stores `code` under `name`, which ends as files of code do: readers see all of it or none.
    pub(super) fn write(&self, name: &str, code: &[u8]) -> std::io::Result<()> {
        use std::os::unix::fs::OpenOptionsExt;
        // Two threads may write the same code: an attempt's and an upload's.
        static WRITES: AtomicU64 = AtomicU64::new(0);
        let write = WRITES.fetch_add(1, Ordering::Relaxed);
        let (temporary, to) = (self.path.join(format!("{name}.{}.{write}.new", std::process::id())), self.path.join(name));
        drop(std::fs::remove_file(&temporary));
        let mut file = std::fs::OpenOptions::new().write(true).create_new(true).mode(0o600).open(&temporary)?;
        let written = file.write_all(&self.seal(name, code)).and_then(|()| file.write_all(code));
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
        seal::seal(&self.key, &[name.as_bytes(), &[0], code])
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
        let dir = CodeDir { kept_bytes_max: 3 * (SEAL_BYTES as u64 + 4), ..CodeDir::open(parent.path(), [7; 32]).unwrap() };
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
}
