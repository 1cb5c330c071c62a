//! Copies the write-ahead log into the database file, out of the way of commits.
//!
//! SQLite's automatic checkpoint runs inside a commit and stalls it for up to 100 ms. Here a thread of its own copies while the writer
//! goes on. The log starts over only once all of it is copied, so the writer itself must copy what came last: a long log is copied again
//! and again until that is little, and whatever it is only when the log has grown very long.

use std::cell::Cell;
use std::path::Path;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, mpsc};

use rusqlite::Connection;
use rusqlite::config::DbConfig;

use super::connection::open_checkpointer;
use super::writer::{Shared, sort};
use crate::storage::StorageError;

/// Pages of 4 KiB in the log from which on it is copied.
const PAGES_LOW: i64 = 1_000;
/// Pages from which on the log is to start over: 16 MiB.
const PAGES_HIGH: i64 = 4_096;
/// Pages that the writer copies itself then. A thousand scattered ones, measured, take 150 ms to reach the disk; these, a few.
const REST_PAGES: i64 = 64;
/// Pages at which it copies whatever is left: 128 MiB, which the thread can't keep up with.
const PAGES_MAX: i64 = 32_768;

pub(super) struct Checkpointer {
    /// Dropped first, which ends the thread.
    ask: Option<mpsc::SyncSender<()>>,
    busy: Arc<AtomicBool>,
    /// The log's length when it was last copied.
    copied: Cell<i64>,
    /// Whether the writer has copied what was left of it, and to no avail so far.
    tried: Cell<bool>,
    thread: Option<std::thread::JoinHandle<()>>,
}

impl Checkpointer {
    pub(super) fn start(path: &Path, shared: Arc<Shared>) -> rusqlite::Result<Self> {
        let conn = open_checkpointer(path)?;
        let (ask, asked) = mpsc::sync_channel::<()>(1);
        let busy = Arc::new(AtomicBool::new(false));
        let still = busy.clone();
        let run = move || {
            while asked.recv().is_ok() {
                copy_or_give_up(&conn, &shared);
                still.store(false, Ordering::Release);
            }
            if shared.broken.load(Ordering::Acquire) {
                leave_log(&conn);
            }
        };
        let thread = std::thread::Builder::new().name("runlater-wal".into()).spawn(run).ok();
        Ok(Self { ask: Some(ask), busy, copied: 0.into(), tried: false.into(), thread })
    }

    /// Called by the writer after each commit.
    pub(super) fn after_commit(&self, conn: &mut Connection, shared: &Shared) {
        let pages = shared.wal_pages.load(Ordering::Relaxed);
        if pages < self.copied.get() {
            // The log has started over.
            self.copied.set(0);
            self.tried.set(false);
        }
        if pages < PAGES_LOW || self.busy.load(Ordering::Acquire) {
            return;
        }
        let rest = pages - self.copied.get();
        // Once in a while only: whoever reads an old state for long keeps the log from starting over.
        let is_little = rest <= REST_PAGES && !self.tried.get();
        if pages >= PAGES_MAX && rest >= PAGES_LOW || pages >= PAGES_HIGH && is_little {
            // The thread has just copied all but these. Once they are copied too, the next commit starts over.
            copy_or_give_up(conn, shared);
            self.copied.set(pages);
            self.tried.set(true);
        } else if rest >= PAGES_LOW || pages >= PAGES_HIGH && rest > REST_PAGES {
            self.copied.set(pages);
            self.tried.set(false);
            self.busy.store(true, Ordering::Release);
            if let Some(ask) = &self.ask
                && ask.try_send(()).is_err()
            {
                self.busy.store(false, Ordering::Release);
            }
        }
    }

    /// Copies everything and empties the log: the host stops.
    pub(super) fn finish(&self, conn: &Connection) {
        if let Err(error) = conn.query_row("PRAGMA wal_checkpoint(TRUNCATE)", [], |_| Ok(())) {
            tracing::warn!(%error, "the write-ahead log was not emptied; the next start does it");
        }
    }
}

impl Drop for Checkpointer {
    fn drop(&mut self) {
        self.ask = None;
        if let Some(thread) = self.thread.take() {
            drop(thread.join());
        }
    }
}

/// Has the log stay as it is when the connection is closed, for a host that starts anew to read.
///
/// SQLite's last connection copies the log and deletes it. After a failed sync that would decide in passing, and by chance, what became of
/// the commit that failed, and on a disk that is known to fail.
pub(super) fn leave_log(conn: &Connection) {
    if let Err(error) = conn.set_db_config(DbConfig::SQLITE_DBCONFIG_NO_CKPT_ON_CLOSE, true) {
        tracing::warn!(%error, "the write-ahead log is copied although the disk failed");
    }
}

/// Copies. What a disk that is full or busy does not take now it takes later; a disk that fails is not built upon.
fn copy_or_give_up(conn: &Connection, shared: &Shared) {
    match copy(conn).map_err(|error| sort(&error, false)) {
        Ok(()) => {}
        Err(error @ (StorageError::OutcomeUnknown(_) | StorageError::Corrupt(_))) => shared.give_up(error),
        Err(error) => tracing::warn!(%error, "a checkpoint failed; it is tried again"),
    }
}

fn copy(conn: &Connection) -> rusqlite::Result<()> {
    failpoint!("checkpoint:before");
    conn.query_row("PRAGMA wal_checkpoint(PASSIVE)", [], |_| Ok(()))?;
    failpoint!("checkpoint:after");
    Ok(())
}
