//! Connections that only read, shared by whoever needs one.
//!
//! They are opened by name when they are needed. If another file has that name by then, what it holds is not what the writer
//! writes, and nobody is told of it as if it were.

use std::path::{Path, PathBuf};
use std::sync::Mutex;

use rusqlite::Connection;

use super::connection::open_reader;
use super::writer;
use crate::storage::StorageError;
use crate::time_limit;

/// Connections that are kept when nobody uses them.
const KEPT_MAX: usize = 8;

pub(super) struct Readers {
    path: PathBuf,
    /// The file that the writer has open; `None` where the system has no such thing.
    file: Option<(u64, u64)>,
    idle: Mutex<Vec<Connection>>,
}

impl Readers {
    /// Of the file that the writer has just opened under this name.
    pub(super) fn new(path: PathBuf) -> Self {
        Self { file: identity(&path), path, idle: Mutex::default() }
    }

    /// Reads with a connection of its own for as long as that takes.
    pub(super) fn read<T>(&self, read: impl FnOnce(&Connection) -> rusqlite::Result<T>) -> rusqlite::Result<T> {
        let idle = self.idle.lock().expect("nothing panics while it holds this").pop();
        let conn = match idle {
            Some(conn) => conn,
            None => self.open()?,
        };
        let done = read(&conn);
        let mut idle = self.idle.lock().expect("nothing panics while it holds this");
        // One that is still in a transaction would show an old state.
        if idle.len() < KEPT_MAX && conn.is_autocommit() {
            idle.push(conn);
        }
        done
    }

    fn open(&self) -> rusqlite::Result<Connection> {
        let conn = open_reader(&self.path)?;
        if identity(&self.path) == self.file {
            return Ok(conn);
        }
        let error = rusqlite::ffi::Error::new(rusqlite::ffi::SQLITE_CANTOPEN);
        let text =
            format!("{} is not the file any more that this host has open; put that one back, or start the host again", self.path.display());
        Err(rusqlite::Error::SqliteFailure(error, Some(text)))
    }

    pub(super) fn close(&self) {
        self.idle.lock().expect("nothing panics while it holds this").clear();
    }
}

/// Ends a walk through rows when the time limit of the thread is over. SQLite looks at the limit too, but not while rows are decoded.
pub(super) fn stop_if_over() -> rusqlite::Result<()> {
    if !time_limit::is_over() {
        return Ok(());
    }
    Err(rusqlite::Error::SqliteFailure(rusqlite::ffi::Error::new(rusqlite::ffi::SQLITE_INTERRUPT), None))
}

/// What it means that reading failed.
pub(super) fn sort(error: rusqlite::Error) -> StorageError {
    match error {
        rusqlite::Error::FromSqlConversionFailure(column, _, what) => {
            StorageError::Corrupt(format!("column {column} of a run holds {what}"))
        }
        error
        @ (rusqlite::Error::InvalidColumnType(..) | rusqlite::Error::IntegralValueOutOfRange(..) | rusqlite::Error::Utf8Error(..)) => {
            StorageError::Corrupt(format!("of a run: {error}"))
        }
        other => writer::sort(&other, false),
    }
}

/// Which file has this name: its device and its number there.
fn identity(path: &Path) -> Option<(u64, u64)> {
    #[cfg(unix)]
    {
        use std::os::unix::fs::MetadataExt;
        std::fs::metadata(path).ok().map(|meta| (meta.dev(), meta.ino()))
    }
    #[cfg(not(unix))]
    None
}
