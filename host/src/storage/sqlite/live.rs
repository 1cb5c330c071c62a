//! How many runs wait in each namespace: never more than the limit, and known without a write.
//!
//! A bound is kept: what may have waited when the file was opened, and all that was made to wait since. Runs that end are not counted off. Only when it
//! meets the limit does anybody ask for one namespace, and is counted there, by one at a time, on an index that holds nothing but what waits; where
//! little waits that costs little. What is not committed yet while it is counted may be left out: the limit is one of millions, and no promise to
//! the last run.

use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Mutex, PoisonError, RwLock};

use rustc_hash::FxHashMap;

use super::readers::Readers;
use crate::model::limits::LIVE_PER_NAMESPACE_MAX;
use crate::model::{NamespaceId, Timestamp};

/// No run takes less of the file, with its entries in the indexes. So a small file needs no counting.
const RUN_BYTES_MIN: u64 = 64;
/// So few are counted whenever somebody asks.
const FEW: u64 = 10_000;
/// How long a count of more is good for, for each run that was counted. Counting one takes a tenth of it at most.
const GOOD_FOR_MICROS: u64 = 1;

/// What is known.
pub(super) struct Live {
    /// Of each namespace that has no limit of its own.
    max: AtomicU64,
    /// The limits of single namespaces.
    own: RwLock<FxHashMap<NamespaceId, u64>>,
    /// The least of all these: what fits this fits every namespace.
    least: AtomicU64,
    /// Of all namespaces together, and so of each of them.
    bound: AtomicU64,
    counted: Mutex<FxHashMap<NamespaceId, Counted>>,
}

/// What was found in one namespace.
#[derive(Clone, Copy)]
struct Counted {
    waiting: u64,
    /// The bound of all then.
    bound: u64,
    /// Not again before then.
    again_at: i64,
}

impl Counted {
    /// How many may wait by now.
    fn bound(&self, all: u64) -> u64 {
        self.waiting.saturating_add(all.saturating_sub(self.bound))
    }
}

impl Live {
    /// Of a file of so many bytes.
    pub(super) fn new(file_bytes: u64) -> Self {
        let max = LIVE_PER_NAMESPACE_MAX;
        Self {
            max: max.into(),
            own: RwLock::default(),
            least: max.into(),
            bound: (file_bytes / RUN_BYTES_MIN).into(),
            counted: Mutex::default(),
        }
    }

    pub(super) fn set_max(&self, max: u64) {
        self.max.store(max, Ordering::Relaxed);
        self.find_least();
    }

    /// Sets the limits of single namespaces: all of them.
    pub(super) fn set_own(&self, own: FxHashMap<NamespaceId, u64>) {
        *self.own.write().unwrap_or_else(PoisonError::into_inner) = own;
        self.find_least();
    }

    fn find_least(&self) {
        let own = self.own.read().unwrap_or_else(PoisonError::into_inner);
        let least = own.values().copied().chain([self.max.load(Ordering::Relaxed)]).min();
        self.least.store(least.unwrap_or(0), Ordering::Relaxed);
    }

    /// A run waits that did not.
    pub(super) fn add(&self) {
        self.bound.fetch_add(1, Ordering::Relaxed);
    }

    /// Whether so many more may wait; else the limit.
    pub(super) fn has_room(
        &self,
        readers: &Readers,
        namespace: NamespaceId,
        runs: usize,
        now: Timestamp,
    ) -> rusqlite::Result<Result<(), u64>> {
        let all = self.bound.load(Ordering::Relaxed);
        if all.saturating_add(runs as u64) <= self.least.load(Ordering::Relaxed) {
            return Ok(Ok(()));
        }
        let own = self.own.read().unwrap_or_else(PoisonError::into_inner).get(&namespace).copied();
        let max = own.unwrap_or_else(|| self.max.load(Ordering::Relaxed));
        let fits = |bound: u64| bound.saturating_add(runs as u64) <= max;
        if fits(all) {
            return Ok(Ok(()));
        }
        let now = now.as_micros();
        let stale = {
            let mut counted = self.counted.lock().unwrap_or_else(PoisonError::into_inner);
            let known = counted.entry(namespace).or_insert(Counted { waiting: all, bound: all, again_at: i64::MIN });
            if fits(known.bound(all)) {
                return Ok(Ok(()));
            }
            let stale = known.again_at <= now;
            if stale {
                // Whoever asks meanwhile is told by what is known.
                known.again_at = now.saturating_add_unsigned(known.bound(all).saturating_mul(GOOD_FOR_MICROS));
            }
            stale
        };
        if !stale {
            return Ok(Err(max));
        }
        let sql = "-- live\nSELECT count(*) FROM runlater_runs WHERE namespace = ?1 AND due_at IS NOT NULL";
        let found = readers.read(|conn| conn.prepare_cached(sql)?.query_row([namespace.0], |row| row.get::<_, i64>(0)));
        let mut counted = self.counted.lock().unwrap_or_else(PoisonError::into_inner);
        let known = counted.entry(namespace).or_insert(Counted { waiting: all, bound: all, again_at: now });
        let waiting = found.inspect_err(|_| known.again_at = now)?.unsigned_abs();
        let good_for = if waiting <= FEW { 0 } else { waiting.saturating_mul(GOOD_FOR_MICROS) };
        *known = Counted { waiting, bound: all, again_at: now.saturating_add_unsigned(good_for) };
        Ok(if fits(known.bound(self.bound.load(Ordering::Relaxed))) { Ok(()) } else { Err(max) })
    }
}
