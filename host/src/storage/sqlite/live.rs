//! How many runs wait in each namespace: never more than the limit, and known without a write.
//!
//! Of each namespace a bound is kept: what waited when it was last counted, and all that was made to wait since. Runs that end are not counted off.
//! Only when the bound meets the limit is counted anew, by one at a time, on an index that holds nothing but what waits; where little waits that
//! costs little. What is not committed yet while it is counted may be left out: the limit is one of millions, and no promise to the last run.

use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Mutex, MutexGuard};

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

/// What is known of each namespace.
pub(super) struct Live {
    max: AtomicU64,
    /// What may have waited in any of them when the file was opened.
    before: u64,
    known: Mutex<FxHashMap<i64, Known>>,
}

struct Known {
    bound: u64,
    /// Not before then.
    count_at: i64,
}

impl Live {
    /// Of a file of so many bytes.
    pub(super) fn new(file_bytes: u64) -> Self {
        Self { max: AtomicU64::new(LIVE_PER_NAMESPACE_MAX), before: file_bytes / RUN_BYTES_MIN, known: Mutex::default() }
    }

    pub(super) fn set_max(&self, max: u64) {
        self.max.store(max, Ordering::Relaxed);
    }

    fn known(&self) -> MutexGuard<'_, FxHashMap<i64, Known>> {
        self.known.lock().expect("nothing panics while it holds this")
    }

    fn with<T>(&self, namespace: i64, act: impl FnOnce(&mut Known) -> T) -> T {
        act(self.known().entry(namespace).or_insert(Known { bound: self.before, count_at: i64::MIN }))
    }

    /// A run waits that did not.
    pub(super) fn add(&self, namespace: i64) {
        self.with(namespace, |known| known.bound += 1);
    }

    /// Whether so many more may wait; else the limit. What is being written at the moment may be counted later.
    pub(super) fn has_room(
        &self,
        readers: &Readers,
        namespace: NamespaceId,
        runs: usize,
        now: Timestamp,
    ) -> rusqlite::Result<Result<(), u64>> {
        let max = self.max.load(Ordering::Relaxed);
        let fits = |known: &mut Known| known.bound.saturating_add(runs as u64) <= max;
        let now = now.as_micros();
        let counts = self.with(namespace.0, |known| {
            let counts = !fits(known) && known.count_at <= now;
            if counts {
                // Whoever asks meanwhile is told by what is known.
                known.count_at = now.saturating_add_unsigned(known.bound.saturating_mul(GOOD_FOR_MICROS));
            }
            counts.then_some(known.bound)
        });
        if let Some(before) = counts {
            let sql = "-- live\nSELECT count(*) FROM runlater_runs WHERE namespace = ?1 AND due_at IS NOT NULL";
            let counted = readers.read(|conn| conn.prepare_cached(sql)?.query_row([namespace.0], |row| row.get::<_, i64>(0)));
            let waiting = counted.inspect_err(|_| self.with(namespace.0, |known| known.count_at = now))?.unsigned_abs();
            let good_for = if waiting <= FEW { 0 } else { waiting.saturating_mul(GOOD_FOR_MICROS) };
            self.with(namespace.0, |known| {
                // With what came meanwhile.
                *known = Known { bound: waiting + known.bound.saturating_sub(before), count_at: now.saturating_add_unsigned(good_for) };
            });
        }
        Ok(if self.with(namespace.0, fits) { Ok(()) } else { Err(max) })
    }
}
