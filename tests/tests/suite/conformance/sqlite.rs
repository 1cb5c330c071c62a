//! The suite for SQLite.

use std::path::PathBuf;
use std::sync::Arc;

use runlater::Timestamp;
use runlater::storage::sqlite::SqliteStorage;
use runlater::storage::{Storage, StorageError};

use super::world::Place;

/// A file in a folder of its own.
pub(crate) struct File {
    folder: tempfile::TempDir,
}

impl File {
    pub(crate) fn new() -> Self {
        Self { folder: tempfile::tempdir().expect("a folder") }
    }

    pub(crate) fn path(&self) -> PathBuf {
        self.folder.path().join("runs.db")
    }
}

impl Place for File {
    fn open(&self, now: Timestamp) -> Result<Arc<dyn Storage>, StorageError> {
        Ok(Arc::new(SqliteStorage::open(self.path(), now)?))
    }

    /// The write-ahead log first: whatever a checkpoint moves meanwhile is then in both, never in neither.
    fn after_crash(&self) -> Box<dyn Place> {
        let copy = File::new();
        for suffix in ["-wal", ""] {
            let name = format!("runs.db{suffix}");
            std::fs::copy(self.folder.path().join(&name), copy.folder.path().join(&name)).expect("a copy of the file");
        }
        Box::new(copy)
    }

    fn size(&self) -> u64 {
        let conn = rusqlite::Connection::open_with_flags(self.path(), rusqlite::OpenFlags::SQLITE_OPEN_READ_ONLY).expect("a second look");
        conn.query_row("PRAGMA page_count", [], |row| row.get::<_, i64>(0)).expect("it has pages") as u64
    }

    fn at(&self, copy: &std::path::Path) -> Box<dyn Place> {
        let place = File::new();
        std::fs::rename(copy, place.path()).expect("a file to be moved");
        Box::new(place)
    }
}

fn place() -> Box<dyn Place> {
    Box::new(File::new())
}

verbs!();
