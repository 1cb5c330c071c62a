//! Copies the database to another file while work goes on.

use std::path::Path;
use std::time::Duration;

use rusqlite::backup::{Backup, StepResult};
use rusqlite::{Connection, ErrorCode};

use super::SqliteStorage;
use super::connection::{beside, open_reader, unreadable};
use super::ownership::refuse_orphaned_log;
use crate::model::Invalid;
use crate::storage::{BackupError, StorageError};

/// Pages copied at once: 4 MiB.
const STEP_PAGES: i32 = 1_024;
/// Between two tries to write a copy that another program has locked, and how many there are: 5 s.
const LOCKED_PAUSE: Duration = Duration::from_millis(10);
const LOCKED_STEPS_MAX: u32 = 500;

impl SqliteStorage {
    /// Copies a database file to a new one, without opening it as a host would: also one that a host is using, or that is damaged in part.
    /// `progress` gets pages done and in all.
    pub fn copy_file(from: impl AsRef<Path>, to: impl AsRef<Path>, progress: impl Fn(u64, u64)) -> Result<(), StorageError> {
        backup(from.as_ref(), to.as_ref(), &progress).map_err(|error| match error {
            BackupError::Storage(error) => error,
            BackupError::Invalid(invalid) => {
                StorageError::Unavailable(format!("the backup to {} failed: {}", to.as_ref().display(), invalid.reason))
            }
        })
    }
}

/// The copy is of one moment: the reader's snapshot is held from the first page to the last. It has its name only once it is whole:
/// a copy that was cut short must not be taken for a backup.
pub(super) fn backup(from: &Path, to: &Path, progress: &dyn Fn(u64, u64)) -> Result<(), BackupError> {
    let refused = |reason: String| Err(Invalid::new("invalid-path", "path", reason).seen(to.display().to_string()).into());
    let trouble = |error: &dyn std::fmt::Display| StorageError::Unavailable(format!("the backup to {} failed: {error}", to.display()));
    if to.symlink_metadata().is_ok() {
        return refused("there is a file of this name, and a backup never overwrites".into());
    }
    // SQLite would take it for the log of the database of that name.
    let asked = to.file_name().unwrap_or_default().to_string_lossy().into_owned();
    let of_log = ["-journal", "-wal", "-shm"].into_iter().find_map(|suffix| asked.strip_suffix(suffix));
    if let Some(database) = of_log.filter(|database| to.with_file_name(database).symlink_metadata().is_ok()) {
        return refused(format!("SQLite keeps a log of {database} under this name; choose another one"));
    }
    refuse_orphaned_log(&std::fs::canonicalize(from).unwrap_or_else(|_| from.to_path_buf()))?;
    let draft = beside(to, ".partial");
    let mut options = std::fs::OpenOptions::new();
    options.write(true).create_new(true);
    // The copy holds the same inputs and outputs as the file itself.
    #[cfg(unix)]
    std::os::unix::fs::OpenOptionsExt::mode(&mut options, 0o600);
    match options.open(&draft) {
        Ok(_) => {}
        Err(error) if error.kind() == std::io::ErrorKind::AlreadyExists => {
            return refused(format!("{} is what another backup has written so far, or was cut short; remove it", draft.display()));
        }
        Err(error) => return refused(format!("no file can be made there: {error}")),
    }
    let no_room = || StorageError::Unavailable(format!("the backup to {} failed: the disk is full; choose another one", to.display()));
    let named = copy(from, &draft, progress)
        .map_err(|error| match error.sqlite_error_code() {
            // It is the copy's disk, of which the host knows nothing.
            Some(ErrorCode::DiskFull) => no_room(),
            Some(ErrorCode::NotADatabase | ErrorCode::DatabaseCorrupt) => unreadable(from, error),
            _ => trouble(&error),
        })
        .and_then(|()| name(&draft, to).map_err(|error| trouble(&error)));
    // On a full disk SQLite leaves its journal behind, too.
    for left in [beside(&draft, "-journal"), draft] {
        drop(std::fs::remove_file(left));
    }
    named.map_err(Into::into)
}

fn copy(from: &Path, to: &Path, progress: &dyn Fn(u64, u64)) -> rusqlite::Result<()> {
    let source = open_reader(from)?;
    source.execute_batch("BEGIN")?;
    source.query_row("SELECT count(*) FROM sqlite_schema", [], |_| Ok(()))?;
    let mut target = Connection::open(to)?;
    let backup = Backup::new(&source, &mut target)?;
    let mut locked = 0;
    loop {
        let step = backup.step(STEP_PAGES)?;
        let pages = backup.progress();
        progress((pages.pagecount - pages.remaining).max(0) as u64, pages.pagecount.max(0) as u64);
        match step {
            StepResult::Done => return Ok(()),
            StepResult::More => locked = 0,
            // Somebody opened the copy.
            _ if locked < LOCKED_STEPS_MAX => {
                locked += 1;
                std::thread::sleep(LOCKED_PAUSE);
            }
            _ => return Err(rusqlite::Error::SqliteFailure(rusqlite::ffi::Error::new(rusqlite::ffi::SQLITE_BUSY), None)),
        }
    }
}

/// Gives the draft its name, durably. A second name of one file, and not a renaming: that would replace what came there meanwhile.
fn name(draft: &Path, to: &Path) -> std::io::Result<()> {
    std::fs::hard_link(draft, to)?;
    std::fs::File::open(to.parent().filter(|folder| !folder.as_os_str().is_empty()).unwrap_or(Path::new(".")))?.sync_all()
}
