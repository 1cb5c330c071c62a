//! The runs that are due within the next seconds, and those that are in flight: in memory, in step with the database.
//!
//! This process is the only one that changes the database's runs, so what stands here can be exact. Two parties use it: workers take
//! due runs out without waiting for the disk; the writer arms, disarms and releases runs, after its commit (or, for
//! what must no longer start, before it, and takes that back when the commit fails).
//!
//! Every waiting run whose place `(due_at, id)` is not beyond `loaded` is armed or in flight. Whatever lies beyond it is
//! only in the database, and the writer loads it in time.

use std::cmp::Reverse;
use std::collections::{BinaryHeap, VecDeque};
use std::sync::{Mutex, MutexGuard, OnceLock};
use std::time::Duration;

use rustc_hash::{FxHashMap, FxHashSet};

use super::recover::Suspects;
use super::rows::Waiting;
use crate::model::{Progress, Timestamp};
use crate::storage::{CancelSignal, Claim};

/// How far ahead of their time runs are brought into memory.
pub(super) const LOOKAHEAD: Duration = Duration::from_secs(60);
/// Runs armed at most. Bounds the memory: 16 Ki runs of at most 2 KiB of input each.
const ARMED_MAX: usize = 16_384;
/// Below this, more are loaded.
const ARMED_LOW: usize = ARMED_MAX / 2;

/// A place in the queue: everything up to it is loaded.
pub(super) type Place = (i64, i64);

#[derive(Default)]
pub(super) struct DueQueue {
    inner: Mutex<Inner>,
    wake: OnceLock<Box<dyn Fn() + Send + Sync>>,
}

#[derive(Default)]
struct Inner {
    /// Due time, then falling priority, then id. A run that was disarmed leaves its entry behind, which is skipped.
    heap: BinaryHeap<Reverse<(i64, u8, i64)>>,
    armed: FxHashMap<i64, Box<Waiting>>,
    in_flight: FxHashMap<i64, InFlight>,
    loaded: Place,
    /// In cautious mode: claims whose commit the workers have to wait for.
    committed: VecDeque<Claim>,
    /// The runs that must have ended before cautious mode does.
    suspects: FxHashSet<i64>,
    /// Those of them that another crash would quarantine. They start one at a time, so that the one that kills its host takes no
    /// other down with it.
    at_last_chance: FxHashSet<i64>,
    /// The one that is in flight.
    alone: Option<i64>,
    /// Those that are due meanwhile: what they had in the heap.
    held_back: Vec<Reverse<(i64, u8, i64)>>,
    stopped: bool,
}

/// What must be known of a run while its attempt is in flight.
pub(super) struct InFlight {
    pub(super) attempt: u32,
    pub(super) started_at: i64,
    pub(super) due_at: i64,
    pub(super) root: Option<i64>,
    pub(super) parent: Option<i64>,
    pub(super) task: i64,
    pub(super) namespace: i64,
    pub(super) cancel: CancelSignal,
    pub(super) progress: Option<Progress>,
}

/// What taking a run out of the queue found.
#[derive(Debug)]
pub(super) enum Disarmed {
    /// It was armed; to be armed again if the transaction fails.
    Armed(Box<Waiting>),
    /// It is in flight: too late.
    InFlight,
    /// It is not near its time.
    NotLoaded,
}

impl DueQueue {
    fn lock(&self) -> MutexGuard<'_, Inner> {
        self.inner.lock().expect("nothing panics while it holds the queue")
    }

    /// Sets what is called when a run may start earlier than was known.
    pub(super) fn on_due(&self, wake: Box<dyn Fn() + Send + Sync>) {
        if self.wake.set(wake).is_err() {
            tracing::warn!("a second observer of due runs is ignored");
        }
    }

    pub(super) fn wake(&self) {
        if let Some(wake) = self.wake.get() {
            wake();
        }
    }

    /// Takes up to `limit` due runs; each is in flight from here on. `claim` makes the claim of a waiting run.
    pub(super) fn take(&self, limit: usize, now: i64, mut claim: impl FnMut(Box<Waiting>, CancelSignal) -> Option<Claim>) -> Vec<Claim> {
        let mut claims = Vec::new();
        let mut inner = self.lock();
        if inner.stopped {
            return claims;
        }
        while claims.len() < limit {
            if let Some(claim) = inner.committed.pop_front() {
                claims.push(claim);
                continue;
            }
            match inner.heap.peek() {
                Some(Reverse((due_at, ..))) if *due_at <= now => {}
                _ => break,
            }
            let Some(entry) = inner.heap.pop() else { break };
            let Reverse((due_at, _, id)) = entry;
            if inner.armed.get(&id).is_none_or(|waiting| waiting.due_at != due_at) {
                continue;
            }
            let at_last_chance = inner.at_last_chance.contains(&id);
            if at_last_chance && inner.alone.is_some() {
                inner.held_back.push(entry);
                continue;
            }
            let waiting = inner.armed.remove(&id).expect("it was there a moment ago");
            let cancel = CancelSignal::default();
            let in_flight = InFlight {
                attempt: waiting.attempt + 1,
                started_at: now,
                due_at,
                root: waiting.lineage.map(|(_, root, _)| root),
                parent: waiting.lineage.map(|(parent, ..)| parent),
                task: waiting.task,
                namespace: waiting.namespace,
                cancel: cancel.clone(),
                progress: None,
            };
            if let Some(claim) = claim(waiting, cancel) {
                inner.in_flight.insert(id, in_flight);
                if at_last_chance {
                    inner.alone = Some(id);
                }
                claims.push(claim);
            }
        }
        claims
    }

    /// Hands out claims whose commit was waited for.
    pub(super) fn put_committed(&self, claims: Vec<Claim>) {
        self.lock().committed.extend(claims);
        self.wake();
    }

    /// Whether claims must be committed before their guests start.
    pub(super) fn is_cautious(&self) -> bool {
        !self.lock().suspects.is_empty()
    }

    /// Enters cautious mode until these runs have ended.
    pub(super) fn suspect(&self, runs: Suspects) {
        let mut inner = self.lock();
        inner.suspects.extend(runs.all);
        inner.at_last_chance.extend(runs.at_last_chance);
    }

    /// Hands out nothing more.
    pub(super) fn stop(&self) {
        self.lock().stopped = true;
    }

    /// When something will be due, as far as is loaded.
    pub(super) fn next_due(&self) -> Option<Timestamp> {
        let mut inner = self.lock();
        if inner.stopped {
            return None;
        }
        if !inner.committed.is_empty() {
            return Some(Timestamp::MIN);
        }
        loop {
            let Reverse((due_at, _, id)) = *inner.heap.peek()?;
            if inner.armed.get(&id).is_some_and(|waiting| waiting.due_at == due_at) {
                return Timestamp::from_micros(due_at);
            }
            inner.heap.pop();
        }
    }

    /// Arms runs that wait, as far as they lie within what is loaded; the others are found when their time comes near.
    pub(super) fn arm(&self, waiting: impl IntoIterator<Item = Box<Waiting>>) {
        let earlier = {
            let mut inner = self.lock();
            let before = inner.heap.peek().map(|Reverse((due_at, ..))| *due_at);
            for waiting in waiting {
                inner.arm(waiting);
            }
            let after = inner.heap.peek().map(|Reverse((due_at, ..))| *due_at);
            after.is_some() && (before.is_none() || after < before)
        };
        if earlier {
            self.wake();
        }
    }

    /// Takes a run out, so that it does not start at the time it has now.
    pub(super) fn disarm(&self, id: i64) -> Disarmed {
        let mut inner = self.lock();
        if inner.in_flight.contains_key(&id) {
            return Disarmed::InFlight;
        }
        inner.armed.remove(&id).map_or(Disarmed::NotLoaded, Disarmed::Armed)
    }

    /// Lets a run go whose attempt has ended and is committed.
    pub(super) fn release(&self, ids: &[i64], ended: &[i64]) {
        let mut inner = self.lock();
        for id in ids {
            inner.in_flight.remove(id);
        }
        if inner.suspects.is_empty() {
            return;
        }
        for id in ended {
            inner.suspects.remove(id);
            inner.at_last_chance.remove(id);
        }
        if inner.alone.is_some_and(|alone| ids.contains(&alone)) {
            inner.alone = None;
            let held_back = std::mem::take(&mut inner.held_back);
            let any = !held_back.is_empty();
            inner.heap.extend(held_back);
            drop(inner);
            if any {
                self.wake();
            }
        }
    }

    /// Reads or changes what is known of a run in flight.
    pub(super) fn in_flight<T>(&self, id: i64, read: impl FnOnce(&mut InFlight) -> T) -> Option<T> {
        self.lock().in_flight.get_mut(&id).map(read)
    }

    /// Where loading should go on, if it should: after this place, up to this due time.
    pub(super) fn wants(&self, now: i64) -> Option<(Place, i64)> {
        let inner = self.lock();
        let (half, whole) = (LOOKAHEAD.as_micros() as i64 / 2, LOOKAHEAD.as_micros() as i64);
        (inner.armed.len() < ARMED_LOW && inner.loaded.0 < now.saturating_add(half)).then(|| (inner.loaded, now.saturating_add(whole)))
    }

    /// Everything up to `place` was read from the database: `waiting` is what was not here yet.
    #[expect(clippy::vec_box, reason = "it moves on as it is, into a map of boxes")]
    pub(super) fn loaded(&self, place: Place, waiting: Vec<Box<Waiting>>) {
        self.lock().loaded = place;
        self.arm(waiting);
    }

    /// Room for runs that are loaded.
    pub(super) fn room(&self) -> usize {
        ARMED_MAX.saturating_sub(self.lock().armed.len())
    }

    /// Runs armed, and attempts in flight.
    pub(super) fn counts(&self) -> (usize, usize) {
        let inner = self.lock();
        (inner.armed.len(), inner.in_flight.len())
    }
}

impl Inner {
    /// Lets the later half go. It is found in the database when there is room again; what is due first is never kept out.
    fn shed(&mut self) {
        let mut places: Vec<Place> = self.armed.values().map(|waiting| (waiting.due_at, waiting.id)).collect();
        let (_, last, _) = places.select_nth_unstable(ARMED_LOW - 1);
        let last = *last;
        self.loaded = self.loaded.min(last);
        self.armed.retain(|id, waiting| (waiting.due_at, *id) <= last);
        let armed = &self.armed;
        self.heap.retain(|Reverse((due_at, _, id))| armed.get(id).is_some_and(|waiting| waiting.due_at == *due_at));
    }

    fn arm(&mut self, waiting: Box<Waiting>) {
        let place = (waiting.due_at, waiting.id);
        let there = self.armed.get(&waiting.id).is_some_and(|armed| armed.due_at == waiting.due_at);
        if place > self.loaded || there || self.in_flight.contains_key(&waiting.id) {
            return;
        }
        if self.armed.len() >= ARMED_MAX {
            self.shed();
            if place > self.loaded {
                return;
            }
        }
        self.heap.push(Reverse((waiting.due_at, u8::MAX - waiting.priority, waiting.id)));
        self.armed.insert(waiting.id, waiting);
    }
}
