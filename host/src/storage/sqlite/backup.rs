//! Copies the database to another file while work goes on.

use std::path::Path;
use std::time::Duration;

use rusqlite::Connection;
use rusqlite::backup::{Backup, StepResult};

use super::SqliteStorage;
use super::connection::open_reader;
use crate::storage::StorageError;

/// Pages copied at once: 4 MiB.
const STEP_PAGES: i32 = 1_024;

impl SqliteStorage {
    /// Copies a database file to a new one, without opening it as a host would: also one that a host is using, or that is damaged in part.
    /// `progress` gets pages done and in all.
    pub fn copy_file(from: impl AsRef<Path>, to: impl AsRef<Path>, progress: impl Fn(u64, u64)) -> Result<(), StorageError> {
        backup(from.as_ref(), to.as_ref(), &progress)
    }
}

/// The copy is of one moment: the reader's snapshot is held from the first page to the last.
pub(super) fn backup(from: &Path, to: &Path, progress: &dyn Fn(u64, u64)) -> Result<(), StorageError> {
    let trouble = |error: &dyn std::fmt::Display| StorageError::Unavailable(format!("the backup to {} failed: {error}", to.display()));
    // `create_new` refuses an existing file in the same breath as it makes ours, so nothing is ever overwritten.
    let mut options = std::fs::OpenOptions::new();
    options.write(true).create_new(true);
    // The copy holds the same inputs and outputs as the file itself.
    #[cfg(unix)]
    std::os::unix::fs::OpenOptionsExt::mode(&mut options, 0o600);
    let fresh = options.open(to);
    drop(fresh.map_err(|error| trouble(&error))?);
    let copy = || -> rusqlite::Result<()> {
        let source = open_reader(from)?;
        source.execute_batch("BEGIN")?;
        source.query_row("SELECT count(*) FROM sqlite_schema", [], |_| Ok(()))?;
        let mut target = Connection::open(to)?;
        let backup = Backup::new(&source, &mut target)?;
        loop {
            let step = backup.step(STEP_PAGES)?;
            let pages = backup.progress();
            progress((pages.pagecount - pages.remaining).max(0) as u64, pages.pagecount.max(0) as u64);
            match step {
                StepResult::Done => return Ok(()),
                StepResult::More => {}
                _ => std::thread::sleep(Duration::from_millis(10)),
            }
        }
    };
    copy().map_err(|error| {
        drop(std::fs::remove_file(to));
        trouble(&error)
    })
}
