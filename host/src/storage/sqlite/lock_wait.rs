//! What the writer does while another program holds the database's write lock.
//!
//! The writer tries again and again, and everything it has stays where it is. After [`LONG_AFTER`] health says so, and no run starts, so that
//! outcomes do not pile up in memory. After [`WRITE_LOCK_WAIT_MAX`] the calls that wait are withdrawn and further ones refused. Once the lock is free,
//! the writer goes on by itself. Outcomes of attempts are never withdrawn.

use std::sync::atomic::Ordering;
use std::time::{Duration, Instant};

use rusqlite::Connection;

use super::group::Group;
use super::queue::Op;
use super::writer::{Shared, to_retry};
use crate::model::limits::WRITE_LOCK_WAIT_MAX;
use crate::storage::StorageError;

/// How long one try waits, so that a stop and the bounds are noticed. SQLite looks every 25 ms or more often.
pub(super) const LOCK_TRY: Duration = Duration::from_millis(100);
/// Between two tries, for what SQLite refuses without waiting.
pub(super) const LOCK_PAUSE: Duration = Duration::from_millis(5);
/// Well beyond an ordinary transaction of an embedder.
const LONG_AFTER: Duration = Duration::from_secs(1);

/// How long the writer has been waiting for the write lock.
#[derive(Default)]
pub(super) struct LockWait {
    since: Option<Instant>,
    long: bool,
}

impl LockWait {
    /// Whether the last try failed.
    pub(super) const fn is_waiting(&self) -> bool {
        self.since.is_some()
    }

    /// Whether health says so, and no run starts.
    pub(super) const fn is_long(&self) -> bool {
        self.long
    }

    /// Whether calls are refused.
    pub(super) fn is_over(&self) -> bool {
        self.waited() >= WRITE_LOCK_WAIT_MAX
    }

    fn waited(&self) -> Duration {
        self.since.map_or(Duration::ZERO, |since| since.elapsed())
    }

    /// A try failed. Withdraws the calls in `group` and in the queue once the wait has taken too long.
    pub(super) fn missed(&mut self, shared: &Shared, group: &mut Vec<Op>) {
        self.since.get_or_insert_with(Instant::now);
        if !self.long && self.waited() >= LONG_AFTER {
            tracing::warn!(
                "another program holds the write lock of the database: nothing can be stored and no run starts until it lets go"
            );
            self.long = true;
            shared.locked.store(true, Ordering::Release);
            shared.due.suspend(true);
        }
        if self.is_over() {
            shared.withdraw(group);
        }
    }

    /// A try succeeded. No run starts yet while the disk is full.
    pub(super) fn obtained(&mut self, shared: &Shared, disk_is_full: bool) {
        let waited = self.waited();
        self.since = None;
        shared.accept();
        if std::mem::take(&mut self.long) {
            tracing::warn!(waited_ms = waited.as_millis() as u64, "the write lock of the database is free again: the host goes on");
            shared.locked.store(false, Ordering::Release);
            shared.due.suspend(disk_is_full);
        }
    }
}

/// Tries the write lock, and lets go of it.
pub(super) fn try_lock(conn: &Connection) -> Result<Group, StorageError> {
    let tried = conn.prepare_cached("BEGIN IMMEDIATE").and_then(|mut begin| begin.execute([]));
    match tried.and_then(|_| conn.execute_batch("ROLLBACK")) {
        Ok(()) => Ok(Group::Committed),
        Err(error) => to_retry(&error),
    }
}
