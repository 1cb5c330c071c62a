//! How many bytes the runs of each namespace hold, and how many they may.
//!
//! The writer counts exactly. Each run's row holds what the run is charged, so deleting the row gives back what it took. The sum of a namespace is
//! in memory, and in its row of `runlater_namespaces`, which each group of writes updates once for each namespace that it changed. Nothing is
//! counted again at a start.

use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Mutex, MutexGuard, PoisonError};

use rusqlite::{Connection, OptionalExtension};
use rustc_hash::FxHashMap;

use crate::model::NamespaceId;
use crate::model::limits::RUN_BYTES_PER_NAMESPACE_MAX;
use crate::storage::RunBytesFull as Full;

/// What a run is charged for its row and the entries of its indexes. Otherwise a namespace could hold any number of empty runs.
const ROW_BYTES: usize = 256;

/// What a run of this input is charged when it is created.
pub(super) fn charge_of(input: &[u8], metadata: Option<&str>, unique_key: Option<&str>) -> i64 {
    (ROW_BYTES + input.len() + metadata.map_or(0, str::len) + unique_key.map_or(0, str::len)) as i64
}

/// The sums of all namespaces.
#[derive(Default)]
pub(super) struct RunBytes {
    /// The limit of each namespace without one of its own.
    max: AtomicU64,
    state: Mutex<State>,
}

#[derive(Default)]
struct State {
    /// What each namespace holds, the group under way included.
    held: FxHashMap<i64, i64>,
    /// What the group under way has added or taken away, in order. The rows of the namespaces do not have it yet.
    changes: Vec<(i64, i64)>,
    limits: FxHashMap<i64, u64>,
}

impl State {
    fn undo_from(&mut self, mark: usize) {
        for (namespace, bytes) in self.changes.split_off(mark) {
            *self.held.entry(namespace).or_default() -= bytes;
        }
    }
}

impl RunBytes {
    pub(super) fn new() -> Self {
        Self { max: RUN_BYTES_PER_NAMESPACE_MAX.into(), state: Mutex::default() }
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Reads the sums when the database is opened.
    pub(super) fn load(&self, conn: &Connection) -> rusqlite::Result<()> {
        let mut statement = conn.prepare("-- run bytes: load\nSELECT id, run_bytes FROM runlater_namespaces")?;
        let held = statement.query_map([], |row| Ok((row.get(0)?, row.get(1)?)))?.collect::<rusqlite::Result<_>>()?;
        self.state().held = held;
        Ok(())
    }

    /// Sets the limit of each namespace without one of its own.
    pub(super) fn set_max(&self, max: u64) {
        self.max.store(max, Ordering::Relaxed);
    }

    /// Sets the limit of one namespace, or takes it back.
    pub(super) fn set_limit(&self, namespace: NamespaceId, max: Option<u64>) {
        let limits = &mut self.state().limits;
        match max {
            Some(max) => limits.insert(namespace.0, max),
            None => limits.remove(&namespace.0),
        };
    }

    /// What a namespace holds.
    pub(super) fn held(&self, namespace: NamespaceId) -> u64 {
        self.state().held.get(&namespace.0).map_or(0, |held| held.max(&0).unsigned_abs())
    }

    /// Whether a namespace may hold this many bytes more.
    pub(super) fn has_room(&self, namespace: NamespaceId, bytes: i64) -> Result<(), Full> {
        let state = self.state();
        let held = state.held.get(&namespace.0).copied().unwrap_or(0);
        let max = state.limits.get(&namespace.0).copied().unwrap_or_else(|| self.max.load(Ordering::Relaxed));
        let fits = u64::try_from(held.saturating_add(bytes)).is_ok_and(|sum| sum <= max) || bytes <= 0;
        if fits { Ok(()) } else { Err(Full { held: held.max(0).unsigned_abs(), max }) }
    }

    /// Notes that the transaction under way adds this many bytes, or takes them away.
    pub(super) fn add(&self, namespace: i64, bytes: i64) {
        if bytes != 0 {
            let mut state = self.state();
            *state.held.entry(namespace).or_default() += bytes;
            state.changes.push((namespace, bytes));
        }
    }

    /// Reads the sum of one namespace again, within the writer's transaction: another connection may have added to its row.
    pub(super) fn reread(&self, conn: &Connection, namespace: i64) -> rusqlite::Result<()> {
        let row: Option<i64> = conn
            .prepare_cached("-- run bytes: read\nSELECT run_bytes FROM runlater_namespaces WHERE id = ?1")?
            .query_row([namespace], |row| row.get(0))
            .optional()?;
        let mut state = self.state();
        let under_way: i64 = state.changes.iter().filter(|(changed, _)| *changed == namespace).map(|(_, bytes)| bytes).sum();
        state.held.insert(namespace, row.unwrap_or(0) + under_way);
        Ok(())
    }

    /// How far the transaction under way has come: what a savepoint is to the database.
    pub(super) fn mark(&self) -> usize {
        self.state().changes.len()
    }

    /// Takes back what came after the mark.
    pub(super) fn undo_to(&self, mark: usize) {
        self.state().undo_from(mark);
    }

    /// Writes the sums that the transaction under way changes, before its commit.
    pub(super) fn write(&self, conn: &Connection) -> rusqlite::Result<()> {
        let state = self.state();
        let mut sums: FxHashMap<i64, i64> = FxHashMap::default();
        for (namespace, bytes) in &state.changes {
            *sums.entry(*namespace).or_default() += bytes;
        }
        for (namespace, bytes) in sums.into_iter().filter(|(_, bytes)| *bytes != 0) {
            add_to_row(conn, namespace, bytes)?;
        }
        Ok(())
    }

    /// The transaction is committed.
    pub(super) fn committed(&self) {
        self.state().changes.clear();
    }

    /// The transaction is rolled back.
    pub(super) fn rolled_back(&self) {
        self.state().undo_from(0);
    }
}

/// Adds to the sum in a namespace's row.
pub(super) fn add_to_row(conn: &Connection, namespace: i64, bytes: i64) -> rusqlite::Result<()> {
    conn.prepare_cached("-- run bytes\nUPDATE runlater_namespaces SET run_bytes = run_bytes + ?2 WHERE id = ?1")?
        .execute((namespace, bytes))
        .map(drop)
}

#[cfg(test)]
mod tests {
    use super::*;

    const ONE: NamespaceId = NamespaceId(1);

    #[test]
    fn a_rolled_back_group_changes_nothing() {
        let bytes = RunBytes::new();
        bytes.add(1, 100);
        bytes.committed();
        bytes.add(1, 50);
        let mark = bytes.mark();
        bytes.add(1, 7);
        bytes.add(2, 9);
        bytes.undo_to(mark);
        assert_eq!((bytes.held(ONE), bytes.held(NamespaceId(2))), (150, 0));
        bytes.rolled_back();
        assert_eq!(bytes.held(ONE), 100);
    }

    #[test]
    fn a_limit_of_its_own_counts_before_the_common_one() {
        let bytes = RunBytes::new();
        bytes.set_max(100);
        bytes.add(1, 100);
        assert_eq!(bytes.has_room(ONE, 1), Err(Full { held: 100, max: 100 }));
        assert_eq!(bytes.has_room(ONE, -1), Ok(()), "what takes less is never refused");
        bytes.set_limit(ONE, Some(101));
        assert_eq!(bytes.has_room(ONE, 1), Ok(()));
        bytes.set_limit(ONE, None);
        assert!(bytes.has_room(ONE, 1).is_err());
    }
}
