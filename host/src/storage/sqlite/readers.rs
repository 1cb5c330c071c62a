//! Connections that only read, shared by whoever needs one.

use std::path::PathBuf;
use std::sync::Mutex;

use rusqlite::Connection;

use super::connection::open_reader;

/// Connections that are kept when nobody uses them.
const KEPT_MAX: usize = 8;

pub(super) struct Readers {
    path: PathBuf,
    idle: Mutex<Vec<Connection>>,
}

impl Readers {
    pub(super) fn new(path: PathBuf) -> Self {
        Self { path, idle: Mutex::default() }
    }

    /// Reads with a connection of its own for as long as that takes.
    pub(super) fn read<T>(&self, read: impl FnOnce(&Connection) -> rusqlite::Result<T>) -> rusqlite::Result<T> {
        let idle = self.idle.lock().expect("nothing panics while it holds this").pop();
        let conn = match idle {
            Some(conn) => conn,
            None => open_reader(&self.path)?,
        };
        let done = read(&conn);
        let mut idle = self.idle.lock().expect("nothing panics while it holds this");
        if idle.len() < KEPT_MAX {
            idle.push(conn);
        }
        done
    }

    pub(super) fn close(&self) {
        self.idle.lock().expect("nothing panics while it holds this").clear();
    }
}
