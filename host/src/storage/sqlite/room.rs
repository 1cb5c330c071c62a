//! Room on the disk: new work is refused while there is still some left, and what must be written is written when there is none.
//!
//! Asked by the writer before each group, and again now and then while the disk is full. Two steps. Below a mark, whatever asks for more
//! to be stored is refused, and everything else goes on. When SQLite finds no room at all, a file that was kept for this is given up for
//! the outcomes of attempts in flight; it is made anew when there is room again. Knows nothing of SQL.

use std::fs::{File, OpenOptions};
use std::path::{Path, PathBuf};

use super::connection::beside;

/// When the disk counts as full again after it was: less than this is no room for work.
const WORK_BYTES_MIN: u64 = 1 << 20;

/// How much room is kept on the disk of the database.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Room {
    /// Bytes that must be free for new work to be accepted; 0: it always is.
    pub keep_free: u64,
    /// Bytes of the file beside the database that is given up when the disk is full; 0: there is none.
    pub ballast: u64,
}

impl Room {
    /// Nothing is kept.
    pub const NONE: Self = Self { keep_free: 0, ballast: 0 };
}

impl Default for Room {
    /// 256 MiB: minutes at full speed, for whoever watches to act. 32 MiB: the outcomes of all attempts that can be in flight.
    fn default() -> Self {
        Self { keep_free: 256 << 20, ballast: 32 << 20 }
    }
}

/// The disk that the database is on.
pub(super) struct Disk {
    folder: PathBuf,
    ballast: PathBuf,
    room: Room,
    low: bool,
    full: bool,
}

impl Disk {
    /// Of the database at `path`; makes its ballast if there is room for it.
    pub(super) fn of(path: &Path, room: Room) -> Self {
        let folder = path.parent().filter(|folder| !folder.as_os_str().is_empty()).unwrap_or(Path::new(".")).to_path_buf();
        let mut disk = Self { folder, ballast: beside(path, ".ballast"), room, low: false, full: false };
        if !disk.is_low() && !disk.make_ballast() {
            tracing::warn!(bytes = room.ballast, "no room could be set aside for a full disk");
        }
        disk
    }

    /// Whether callers are refused who want more stored. Tells the log when that changes.
    pub(super) fn is_low(&mut self) -> bool {
        // What can't be asked is not held against anybody: SQLite itself finds out when the disk is full.
        let free = if self.room.keep_free == 0 { u64::MAX } else { free(&self.folder).unwrap_or(u64::MAX) };
        // After it was found full, the room of the ballast is for what was promised.
        let low = free < self.room.keep_free || self.full;
        if low != std::mem::replace(&mut self.low, low) {
            match low {
                true => tracing::error!(free, keep_free = self.room.keep_free, "the disk is nearly full: new work is refused"),
                false => tracing::info!(free, "there is room on the disk again: new work is accepted"),
            }
        }
        low
    }

    /// SQLite found no room. True if the ballast was given up, so that trying again is worth it at once.
    pub(super) fn found_full(&mut self) -> bool {
        if !std::mem::replace(&mut self.full, true) {
            tracing::error!("the disk is full: no run starts until there is room again");
        }
        std::fs::remove_file(&self.ballast).is_ok()
    }

    /// Whether the disk was found full, and has not been seen with room since.
    pub(super) const fn is_full(&self) -> bool {
        self.full
    }

    /// Looks whether a full disk has room again. True if so, and never if it was not full.
    pub(super) fn has_recovered(&mut self) -> bool {
        let needed = self.room.keep_free.saturating_add(self.room.ballast).max(WORK_BYTES_MIN);
        if self.full && free(&self.folder).is_some_and(|free| free >= needed) && self.make_ballast() {
            self.full = false;
            tracing::info!("there is room on the disk again: runs start");
            return true;
        }
        false
    }

    /// Sets room aside, unless that was done. False if there is none.
    fn make_ballast(&self) -> bool {
        if self.room.ballast == 0 {
            return true;
        }
        let mut options = OpenOptions::new();
        options.write(true).create(true).truncate(false);
        #[cfg(unix)]
        {
            use std::os::unix::fs::OpenOptionsExt;
            // A link would have another file filled with zeros.
            options.mode(0o600).custom_flags(libc::O_NOFOLLOW);
        }
        let made = options.open(&self.ballast).and_then(|file| allocate(&file, self.room.ballast));
        if made.is_err() {
            // What there is of it serves nobody.
            drop(std::fs::remove_file(&self.ballast));
        }
        made.is_ok()
    }
}

/// Bytes that this user may still write on the file system of `folder`; `None` if the system does not say.
fn free(folder: &Path) -> Option<u64> {
    #[cfg(unix)]
    {
        use std::os::unix::ffi::OsStrExt;
        let folder = std::ffi::CString::new(folder.as_os_str().as_bytes()).ok()?;
        let mut stat = std::mem::MaybeUninit::<libc::statvfs>::zeroed();
        // SAFETY: `folder` is a NUL-terminated string and `stat` is writable; both outlive the call, and all-zero is a valid `statvfs`.
        let stat = unsafe {
            if libc::statvfs(folder.as_ptr(), stat.as_mut_ptr()) != 0 {
                return None;
            }
            stat.assume_init()
        };
        #[allow(clippy::useless_conversion, reason = "the types differ between systems")]
        return Some(u64::from(stat.f_bavail).saturating_mul(u64::from(stat.f_frsize)));
    }
    #[cfg(not(unix))]
    None
}

/// Takes so many bytes of the disk for the file, for real: a file of zeros that were never written takes none.
fn allocate(file: &File, bytes: u64) -> std::io::Result<()> {
    #[cfg(target_os = "linux")]
    {
        use std::os::fd::AsRawFd;
        let length = libc::off_t::try_from(bytes).unwrap_or(libc::off_t::MAX);
        // SAFETY: the descriptor is that of an open file; the call touches no memory of ours.
        match unsafe { libc::posix_fallocate(file.as_raw_fd(), 0, length) } {
            0 => Ok(()),
            error => Err(std::io::Error::from_raw_os_error(error)),
        }
    }
    #[cfg(not(target_os = "linux"))]
    {
        use std::io::Write;
        if file.metadata()?.len() >= bytes {
            return Ok(());
        }
        let piece = vec![0xa5; 1 << 20];
        let mut left = bytes;
        while left > 0 {
            let count = left.min(piece.len() as u64);
            (&*file).write_all(&piece[..count as usize])?;
            left -= count;
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_ballast_is_there_until_the_disk_is_full_and_again_when_it_is_not() {
        let folder = tempfile::tempdir().unwrap();
        let ballast = folder.path().join("runs.db.ballast");
        let mut disk = Disk::of(&folder.path().join("runs.db"), Room { keep_free: 1, ballast: 1 << 20 });
        let blocks = |path: &Path| std::os::unix::fs::MetadataExt::blocks(&std::fs::metadata(path).unwrap());
        assert!(blocks(&ballast) * 512 >= 1 << 20, "it takes room for real");
        assert!(!disk.is_low() && !disk.is_full() && !disk.has_recovered());
        assert!(disk.found_full() && disk.is_full() && disk.is_low() && !ballast.exists());
        assert!(!disk.found_full(), "it is given up once");
        assert!(disk.has_recovered() && !disk.is_full() && ballast.exists());
    }

    #[test]
    fn what_must_be_free_decides() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("runs.db");
        let mut disk = Disk::of(&path, Room { keep_free: u64::MAX, ballast: 4_096 });
        assert!(disk.is_low() && !folder.path().join("runs.db.ballast").exists(), "no ballast is made where there is no room");
        disk.found_full();
        assert!(!disk.has_recovered());
        assert!(!Disk::of(&path, Room::NONE).is_low());
    }
}
