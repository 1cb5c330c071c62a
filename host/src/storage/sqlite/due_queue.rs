//! The runs that are due within the next seconds, and those that are in flight: in memory, in step with the database.
//!
//! This process is the only one that changes the database's runs, so what stands here can be exact. Two parties use it: workers take
//! due runs out without waiting for the disk; the writer arms, disarms and releases runs, after its commit (or, for
//! what must no longer start, before it, and takes that back when the commit fails).
//!
//! A run that is armed waits for its due time among the timers; from then on it stands in the ready queue of its namespace, in order of rank
//! (`ready.rs`). So a run of high priority goes first only once it is due.
//!
//! Every waiting run whose place is not beyond its namespace's `loaded`, nor beyond what its task's gate keeps in memory, is armed, parked or in
//! flight. Whatever lies beyond is only in the database, and the writer loads it in time. What concerns tasks with a gate is in `gated.rs`.

use std::cmp::Reverse;
use std::collections::{BinaryHeap, VecDeque};
use std::sync::{Arc, Mutex, MutexGuard};
use std::time::Duration;

use rustc_hash::{FxHashMap, FxHashSet};

use super::gate::Rules;
use super::gated::{Gates, Judged, Standing, Used};
use super::rates::LaneUsed;
use super::ready::{Place, Queue, Ready};
use super::recover::Suspects;
use super::rows::Waiting;
use super::verdict::Verdict;
use crate::model::{Hold, Progress, Timestamp};
use crate::storage::slots::Slots;
use crate::storage::{CancelSignal, Claim, NamespaceLoad, Slot};

/// How far ahead of their time runs are brought into memory.
pub(super) const LOOKAHEAD: i64 = Duration::from_secs(60).as_micros() as i64;
/// Runs armed at most, shared out among the namespaces. Bounds the memory: 16 Ki runs of at most 2 KiB of input each.
const ARMED_MAX: usize = 16_384;
/// What every namespace may have armed, however many there are.
const SHARE_MIN: usize = 256;
/// Due runs looked at, and left waiting, before whoever claims lets others have the queue.
const LOOKS_MAX: usize = 1_024;
/// A clock that was set back by as much is noticed by those who wait for a rate: microseconds.
const SET_BACK: i64 = 1_000_000;

#[derive(Default)]
pub(super) struct DueQueue {
    inner: Mutex<Inner>,
    slots: Arc<Slots>,
}

#[derive(Default)]
pub(super) struct Inner {
    /// Due time and id of what is armed and not yet due. A run that was disarmed leaves its entry behind, which is skipped.
    timers: BinaryHeap<Reverse<(i64, i64)>>,
    /// What is due. A run that was disarmed leaves its place behind here, too.
    pub(super) ready: Ready,
    /// Every waiting run that is in memory.
    pub(super) armed: FxHashMap<i64, Box<Waiting>>,
    pub(super) gates: Gates,
    pub(super) in_flight: FxHashMap<i64, InFlight>,
    /// The time at which runs were last taken.
    pub(super) now: i64,
    /// When some namespace should be loaded further.
    pub(super) load_at: i64,
    /// In cautious mode: claims whose commit the workers have to wait for.
    committed: VecDeque<Claim>,
    /// The runs that must have ended before cautious mode does.
    suspects: FxHashSet<i64>,
    /// Those of them that another crash would quarantine. They start one at a time, so that the one that kills its host takes no
    /// other down with it.
    pub(super) at_last_chance: FxHashSet<i64>,
    /// The one that is in flight.
    pub(super) alone: Option<i64>,
    /// Those that are due meanwhile.
    held_back: Vec<i64>,
    /// Namespaces that are being deleted: nothing of them is armed.
    closed: FxHashSet<i64>,
    /// Whether nothing is handed out for now.
    suspended: bool,
    stopped: bool,
}

/// What the writer should load next of a namespace.
pub(super) struct Wanted {
    pub(super) namespace: i64,
    /// From here on.
    pub(super) after: Place,
    /// Up to this rank.
    pub(super) until: i64,
    /// At most so many.
    pub(super) room: usize,
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
    /// Where it has its slot, if its task has a gate.
    pub(super) lane: Option<Arc<str>>,
}

/// What was taken out of the queue.
#[derive(Default)]
pub(super) struct Taken {
    pub(super) claims: Vec<Claim>,
    /// What these have used of their rates.
    pub(super) used: Vec<Used>,
    /// What was decided about others meanwhile.
    pub(super) verdicts: Vec<Verdict>,
}

/// How much there is in the queue.
pub(super) struct Counts {
    pub(super) armed: usize,
    pub(super) parked: usize,
    pub(super) running: usize,
    /// Due runs whose namespace may take no further slot.
    pub(super) waiting_for_slots: usize,
    /// How often a run waited for its rate.
    pub(super) rate_waits: u64,
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
        self.slots.on_wake(wake);
    }

    pub(super) fn wake(&self) {
        self.slots.wake();
    }

    /// Takes up to `limit` due runs; each is in flight from here on. `claim` makes the claim of a waiting run.
    pub(super) fn take(&self, limit: usize, now: i64, mut claim: impl FnMut(Box<Waiting>, CancelSignal, Slot) -> Option<Claim>) -> Taken {
        let mut taken = Taken::default();
        let mut inner = self.lock();
        if inner.stopped || inner.suspended {
            return taken;
        }
        inner.come_due(now);
        inner.ready.reconsider(&self.slots);
        let mut looks = 0;
        while taken.claims.len() < limit && looks < LOOKS_MAX {
            if let Some(claim) = inner.committed.pop_front() {
                taken.claims.push(claim);
                continue;
            }
            let Some((_, id)) = inner.pop(&self.slots) else { break };
            let due_at = inner.armed[&id].due_at;
            if due_at > now {
                // The clock was set back since it became due.
                inner.timers.push(Reverse((due_at, id)));
                continue;
            }
            let at_last_chance = inner.at_last_chance.contains(&id);
            if at_last_chance && inner.alone.is_some() {
                inner.held_back.push(id);
                continue;
            }
            let lane = if inner.gates.is_empty() {
                None
            } else {
                match inner.judge(id, now) {
                    Judged::Starts(lane) => lane,
                    Judged::Stays => {
                        looks += 1;
                        continue;
                    }
                }
            };
            let waiting = inner.remove(id).expect("it was there a moment ago");
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
                lane,
            };
            if in_flight.lane.is_some() {
                // The next of its lane, which may have room for several.
                inner.call(in_flight.task, in_flight.lane.as_deref());
            }
            let slot = self.slots.take(&inner.ready.queue(in_flight.namespace).held);
            match claim(waiting, cancel, slot) {
                Some(claim) => {
                    inner.in_flight.insert(id, in_flight);
                    if at_last_chance {
                        inner.alone = Some(id);
                    }
                    taken.claims.push(claim);
                }
                None => inner.leave_gate(id, &in_flight, true),
            }
        }
        taken.used = std::mem::take(&mut inner.gates.used);
        taken.verdicts = std::mem::take(&mut inner.gates.verdicts);
        drop(inner);
        if looks == LOOKS_MAX {
            self.wake();
        }
        taken
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

    /// Hands out nothing for now, or goes on.
    pub(super) fn suspend(&self, suspended: bool) {
        let before = std::mem::replace(&mut self.lock().suspended, suspended);
        if before && !suspended {
            self.wake();
        }
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
        inner.next_due(&self.slots)
    }

    /// Arms runs that wait, as far as they lie within what is loaded; the others are found when their time comes near.
    pub(super) fn arm(&self, waiting: impl IntoIterator<Item = Box<Waiting>>) {
        let earlier = {
            let mut inner = self.lock();
            let before = inner.soonest();
            for waiting in waiting {
                inner.arm(waiting);
            }
            inner.soonest() < before
        };
        if earlier {
            self.wake();
        }
    }

    /// Changes what concerns gates; who claims is woken if a run may start earlier by that.
    pub(super) fn with_gates<T>(&self, change: impl FnOnce(&mut Inner) -> T) -> T {
        let (done, earlier) = {
            let mut inner = self.lock();
            let before = inner.soonest();
            let done = change(&mut inner);
            (done, inner.soonest() < before)
        };
        if earlier {
            self.wake();
        }
        done
    }

    /// Takes a run out, so that it does not start at the time it has now.
    pub(super) fn disarm(&self, id: i64) -> Disarmed {
        let mut inner = self.lock();
        if inner.in_flight.contains_key(&id) {
            return Disarmed::InFlight;
        }
        inner.disarm(id).map_or(Disarmed::NotLoaded, Disarmed::Armed)
    }

    /// Lets runs go whose attempt has ended and is committed; `ended` are those that will have no further one.
    pub(super) fn release(&self, ids: &[i64], ended: &[i64]) {
        let mut inner = self.lock();
        let (before, mut woken) = (inner.soonest(), false);
        if inner.gates.is_empty() {
            for id in ids {
                inner.in_flight.remove(id);
            }
        } else {
            let ended: FxHashSet<i64> = ended.iter().copied().collect();
            for id in ids {
                if let Some(flight) = inner.in_flight.remove(id) {
                    inner.leave_gate(*id, &flight, ended.contains(id));
                }
            }
            ended.into_iter().for_each(|id| inner.give_up_slot(id));
        }
        if !inner.suspects.is_empty() {
            for id in ended {
                inner.suspects.remove(id);
                inner.at_last_chance.remove(id);
            }
        }
        if inner.alone.is_some_and(|alone| ids.contains(&alone)) {
            inner.alone = None;
            let held_back = std::mem::take(&mut inner.held_back);
            woken = !held_back.is_empty();
            for id in held_back {
                inner.make_ready(id);
            }
        }
        let earlier = woken || inner.soonest() < before;
        drop(inner);
        if earlier {
            self.wake();
        }
    }

    /// Reads or changes what is known of a run in flight.
    pub(super) fn in_flight<T>(&self, id: i64, read: impl FnOnce(&mut InFlight) -> T) -> Option<T> {
        self.lock().in_flight.get_mut(&id).map(read)
    }

    /// Serves these namespaces, and `closed` no more: nothing of them is handed out or brought into memory, and their attempts in flight are
    /// asked to end. Namespaces that are in neither are forgotten. Slots are shared out if `several` namespaces have tasks.
    pub(super) fn serve(&self, served: impl Iterator<Item = i64>, closed: impl Iterator<Item = i64>, several: bool) {
        self.slots.set_shared(several);
        let mut inner = self.lock();
        let closed: FxHashSet<i64> = closed.collect();
        let newly_closed: Vec<i64> = closed.difference(&inner.closed).copied().collect();
        let gone: Vec<i64> = inner.closed.difference(&closed).copied().collect();
        inner.closed = closed;
        newly_closed.into_iter().for_each(|namespace| inner.close(namespace));
        gone.into_iter().for_each(|namespace| inner.ready.forget(namespace));
        for namespace in served {
            inner.ready.queue(namespace);
        }
        inner.load_at = i64::MIN;
    }

    /// What of a namespace is in memory.
    pub(super) fn load_of(&self, namespace: i64) -> NamespaceLoad {
        let inner = self.lock();
        NamespaceLoad {
            armed: inner.ready.armed(namespace),
            parked: inner.gates.parked_of(namespace),
            running: inner.in_flight.values().filter(|flight| flight.namespace == namespace).count(),
        }
    }

    /// Whether something should be loaded.
    pub(super) fn is_hungry(&self, now: i64) -> bool {
        let inner = self.lock();
        inner.load_at <= now || inner.gates.reading
    }

    /// Whether gates wait for something from the database.
    pub(super) fn is_reading(&self) -> bool {
        self.lock().gates.reading
    }

    /// Where loading should go on, by namespace.
    pub(super) fn wants(&self, now: i64) -> Vec<Wanted> {
        let inner = self.lock();
        let share = inner.share();
        let hungry = inner.served().filter(|queue| hungry_from(queue, share) <= now);
        let wanted = |queue: &Queue| Wanted {
            namespace: queue.namespace,
            after: queue.loaded,
            until: now.saturating_add(LOOKAHEAD),
            room: share - queue.armed,
        };
        hungry.map(wanted).collect()
    }

    /// Everything of the namespace up to `place` was read from the database: `waiting` is what was not here yet, and more than that.
    #[expect(clippy::vec_box, reason = "it moves on as it is, into a map of boxes")]
    pub(super) fn loaded(&self, namespace: i64, place: Place, waiting: Vec<Box<Waiting>>) {
        self.lock().ready.queue(namespace).loaded = place;
        self.arm(waiting);
        let mut inner = self.lock();
        let share = inner.share();
        inner.load_at = inner.served().map(|queue| hungry_from(queue, share)).min().unwrap_or(i64::MAX);
    }

    /// Sets which tasks have a gate: their namespaces and rules.
    pub(super) fn govern(&self, rules: FxHashMap<i64, (i64, Rules)>, now: i64) {
        self.with_gates(|inner| inner.govern(rules, now));
    }

    /// What lanes have used of their rates, as far as their tasks still have one.
    pub(super) fn remember(&self, used: Vec<LaneUsed>, now: i64) {
        let mut inner = self.lock();
        for (task, lane, until) in used {
            inner
                .gates
                .by_task
                .get_mut(&task)
                .filter(|gate| gate.rules.rate.is_some())
                .into_iter()
                .for_each(|gate| gate.set_used(&lane, until, now));
        }
    }

    /// What keeps a run that waits, and is due, from starting; `None` if it is in flight.
    pub(super) fn hold(&self, waiting: &Waiting, id_origin: u64, now: i64) -> Option<Hold> {
        self.lock().hold(waiting, &self.slots, id_origin, now)
    }

    /// Sets how many slots the host has.
    pub(super) fn set_slots(&self, slots: usize) {
        self.slots.set_total(slots);
    }

    /// How much of what is here.
    pub(super) fn counts(&self) -> Counts {
        let inner = self.lock();
        let parked = inner.gates.parked();
        Counts {
            armed: inner.armed.len() - parked,
            parked,
            running: inner.in_flight.len(),
            waiting_for_slots: inner.ready.waiting_for_slots(),
            rate_waits: inner.gates.rate_waits,
        }
    }
}

/// From when on this namespace should be loaded further: once half of what it may have armed is gone.
fn hungry_from(queue: &Queue, share: usize) -> i64 {
    if queue.armed < share / 2 { queue.loaded.0.saturating_sub(LOOKAHEAD / 2) } else { i64::MAX }
}

impl Inner {
    /// The queues of namespaces that are not being deleted.
    fn served(&self) -> impl Iterator<Item = &Queue> {
        self.ready.queues().iter().filter(|queue| !self.closed.contains(&queue.namespace))
    }

    /// Lets go of all that a namespace has waiting, and asks its attempts to end.
    fn close(&mut self, namespace: i64) {
        let waiting: Vec<i64> = self.armed.values().filter(|waiting| waiting.namespace == namespace).map(|waiting| waiting.id).collect();
        waiting.into_iter().for_each(|id| drop(self.disarm(id)));
        self.in_flight.values().filter(|flight| flight.namespace == namespace).for_each(|flight| flight.cancel.set());
    }

    /// What each namespace may have armed.
    fn share(&self) -> usize {
        (ARMED_MAX / self.ready.queues().len().max(1)).max(SHARE_MIN)
    }

    /// Puts what has become due in the ready queues.
    fn come_due(&mut self, now: i64) {
        let set_back = now < self.now - SET_BACK;
        self.now = now;
        if !self.gates.is_empty() {
            self.ring(now);
            if set_back {
                self.call_everybody(now);
            }
        }
        while let Some(&Reverse((due_at, id))) = self.timers.peek()
            && due_at <= now
        {
            self.timers.pop();
            if self.armed.get(&id).is_some_and(|waiting| waiting.due_at == due_at) {
                self.make_ready(id);
            }
        }
    }

    fn make_ready(&mut self, id: i64) {
        if let Some(waiting) = self.armed.get(&id) {
            self.ready.push(waiting.namespace, waiting.place());
        }
    }

    /// The next ready run whose namespace may take a slot. It stays armed.
    fn pop(&mut self, slots: &Slots) -> Option<Place> {
        let armed = &self.armed;
        self.ready.pop(slots, |place| is_armed(armed, place))
    }

    fn next_due(&mut self, slots: &Slots) -> Option<Timestamp> {
        let armed = &self.armed;
        if let Some((_, id)) = self.ready.peek(slots, |place| is_armed(armed, place)) {
            return Timestamp::from_micros(self.armed[&id].due_at);
        }
        let alarm = self.gates.next_alarm();
        while let Some(Reverse((due_at, id))) = self.timers.peek() {
            if self.armed.get(id).is_some_and(|waiting| waiting.due_at == *due_at) {
                return Timestamp::from_micros(alarm.min(*due_at));
            }
            self.timers.pop();
        }
        Timestamp::from_micros(alarm)
    }

    /// A time before which nothing changes by itself. It may be too early, for what was disarmed meanwhile.
    fn soonest(&self) -> i64 {
        if !self.ready.is_idle() {
            return i64::MIN;
        }
        self.timers.peek().map_or(i64::MAX, |Reverse((due_at, _))| *due_at).min(self.gates.next_alarm())
    }

    /// Lets the later half of a namespace's share go. It is found in the database when there is room again; what goes first is never
    /// kept out.
    fn shed(&mut self, namespace: i64) {
        let kept = self.share() / 2;
        let sheds = self.armed.values().filter(|waiting| waiting.namespace == namespace && waiting.standing == Standing::Armed);
        let mut places: Vec<Place> = sheds.map(|waiting| waiting.place()).collect();
        let (_, last, _) = places.select_nth_unstable(kept - 1);
        let last = *last;
        self.let_go(namespace, last);
    }

    /// Lets go of what is armed beyond this place: it is loaded again, after what goes before it.
    pub(super) fn let_go(&mut self, namespace: i64, last: Place) {
        let before = self.armed.len();
        self.armed.retain(|_, waiting| waiting.namespace != namespace || waiting.standing != Standing::Armed || waiting.place() <= last);
        let gone = before - self.armed.len();
        let queue = self.ready.queue(namespace);
        queue.loaded = queue.loaded.min(last);
        queue.armed -= gone;
        let armed = &self.armed;
        self.timers.retain(|Reverse((due_at, id))| armed.get(id).is_some_and(|waiting| waiting.due_at == *due_at));
        self.ready.retain(namespace, |place| is_armed(armed, place));
    }

    fn arm(&mut self, waiting: Box<Waiting>) {
        let (place, namespace, due_at, id) = (waiting.place(), waiting.namespace, waiting.due_at, waiting.id);
        if self.closed.contains(&namespace) {
            return;
        }
        let there = self.armed.get(&id).is_some_and(|armed| armed.place() == place);
        if place > self.ready.queue(namespace).loaded || there || self.in_flight.contains_key(&id) {
            return;
        }
        if !self.gates.is_empty() && self.gates.is_beyond(&waiting) {
            // One that stood elsewhere is there no longer.
            self.disarm(id);
            return;
        }
        let share = self.share();
        if self.ready.queue(namespace).armed >= share {
            self.shed(namespace);
            if place > self.ready.queue(namespace).loaded {
                return;
            }
        }
        // One that stood elsewhere is replaced.
        self.disarm(id);
        self.ready.queue(namespace).armed += 1;
        self.armed.insert(id, waiting);
        if due_at <= self.now {
            self.ready.push(namespace, place);
        } else {
            self.timers.push(Reverse((due_at, id)));
        }
    }

    fn disarm(&mut self, id: i64) -> Option<Box<Waiting>> {
        let was_parked = self.armed.get(&id)?.standing == Standing::Parked;
        let waiting = self.remove(id)?;
        if was_parked {
            self.pass_on(&waiting);
        }
        Some(waiting)
    }

    /// Takes a waiting run out, however it stands.
    pub(super) fn remove(&mut self, id: i64) -> Option<Box<Waiting>> {
        let mut waiting = self.armed.remove(&id)?;
        match std::mem::take(&mut waiting.standing) {
            Standing::Armed => self.uncount(waiting.namespace),
            Standing::Parked => self.unpark(&waiting),
            Standing::Leaving => {}
        }
        Some(waiting)
    }

    /// The namespace has one run less that is armed.
    pub(super) fn uncount(&mut self, namespace: i64) {
        let share = self.share();
        let queue = self.ready.queue(namespace);
        queue.armed -= 1;
        self.load_at = self.load_at.min(hungry_from(queue, share));
    }
}

/// Whether a place in the ready queue still means something: a run stands there, and may start.
fn is_armed(armed: &FxHashMap<i64, Box<Waiting>>, (rank, id): Place) -> bool {
    armed.get(&id).is_some_and(|waiting| waiting.place().0 == rank && waiting.standing != Standing::Leaving)
}
