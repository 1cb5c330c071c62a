//! The gates in the due queue: which due runs pass, which are parked, and which will never start.
//!
//! The part of the due queue that concerns tasks with a gate; for all others it is one look at an empty map. A run that may not start is
//! *parked*: it stays in memory without its input, counts no longer towards what its namespace may have armed, and waits in its lane. Whoever
//! may have got its turn is put back in the ready queue, as a hint: it is judged again when it is taken out there, and goes on waiting if
//! that was in vain. What will never start is decided here and written by `verdict.rs`; until then it stands aside.

use std::cmp::Reverse;
use std::collections::{BTreeSet, BinaryHeap};
use std::sync::Arc;

use rustc_hash::FxHashMap;

use super::due_queue::{InFlight, Inner};
use super::gate::{Entry, Gate, Rules};
use super::lane::Order;
use super::rows::Waiting;
use super::verdict::Verdict;
use crate::model::{Admission, Hold, LaneKey, RunId, Timestamp};
use crate::storage::slots::Slots;

/// Runs parked in memory, shared out among the gates: some 20 MiB. Beyond its share, what of a task goes last is left in the database.
const PARKED_MAX: usize = 65_536;
/// What every gate may have parked, however many there are.
const SHARE_MIN: usize = 256;
/// A parked run keeps an input of so few bytes, so that it need not be read again.
const PARKED_INPUT_BYTES_MAX: usize = 128;

/// How a waiting run stands in memory.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) enum Standing {
    /// It waits for its time, or for a worker.
    #[default]
    Armed,
    /// It is due, and its gate holds it.
    Parked,
    /// It will not start: that is being written.
    Leaving,
}

/// What a start has used of its lane's rate.
pub(super) struct Used {
    pub(super) task: i64,
    pub(super) lane: Arc<str>,
    pub(super) until: i64,
}

/// What became of a due run.
pub(super) enum Judged {
    /// It starts, in this lane if its task has a gate.
    Starts(Option<Arc<str>>),
    Stays,
}

/// A time, a task, and its lane.
type Alarm = (i64, i64, Option<Arc<str>>);

#[derive(Default)]
pub(super) struct Gates {
    pub(super) by_task: FxHashMap<i64, Gate>,
    /// Runs that wait for their next attempt and have kept their slot: of which task, in which lane.
    kept: FxHashMap<i64, (i64, Arc<str>)>,
    /// When to look at which task's lane again; without one, at all of them.
    alarms: BinaryHeap<Reverse<Alarm>>,
    /// When which parked run is too late to start.
    deadlines: BTreeSet<(i64, i64)>,
    /// What was decided since it was last asked for.
    pub(super) verdicts: Vec<Verdict>,
    pub(super) used: Vec<Used>,
    /// Whether something may have to be read from the database.
    pub(super) reading: bool,
    /// How often a run waited because of its rate.
    pub(super) rate_waits: u64,
}

impl Gates {
    pub(super) fn is_empty(&self) -> bool {
        self.by_task.is_empty()
    }

    fn share(&self) -> usize {
        (PARKED_MAX / self.by_task.len().max(1)).max(SHARE_MIN)
    }

    /// When something changes by itself.
    pub(super) fn next_alarm(&self) -> i64 {
        let alarm = self.alarms.peek().map_or(i64::MAX, |Reverse((at, ..))| *at);
        self.deadlines.first().map_or(alarm, |(at, _)| alarm.min(*at))
    }

    pub(super) fn parked(&self) -> usize {
        self.by_task.values().map(|gate| gate.parked).sum()
    }

    /// Those of one namespace.
    pub(super) fn parked_of(&self, namespace: i64) -> usize {
        self.by_task.values().filter(|gate| gate.namespace == namespace).map(|gate| gate.parked).sum()
    }

    /// Whether the run is to be left in the database, because its task has too many that go before it.
    pub(super) fn is_beyond(&self, waiting: &Waiting) -> bool {
        let beyond = self.by_task.get(&waiting.task).and_then(|gate| gate.beyond);
        beyond.is_some_and(|beyond| waiting.place() > beyond) && !self.kept.contains_key(&waiting.id)
    }

    pub(super) fn order(&self, waiting: &Waiting) -> Order {
        (!self.kept.contains_key(&waiting.id), waiting.place())
    }

    /// Up to how many more of the task's runs should be read from the database, if it needs some.
    pub(super) fn room(&self, gate: &Gate) -> Option<usize> {
        let share = self.share();
        (gate.beyond.is_some() && gate.parked < share / 2).then(|| share - gate.parked)
    }
}

impl Inner {
    /// Decides about a run that is due and was taken out of the ready queue. One that starts is still there, to be removed.
    pub(super) fn judge(&mut self, id: i64, now: i64) -> Judged {
        if self.gates.is_beyond(&self.armed[&id]) {
            // Others of its task that go first are in the database only, and it is read after them.
            let task = self.armed[&id].task;
            self.remove(id);
            self.note_room(task);
            return Judged::Stays;
        }
        let waiting = self.armed.get_mut(&id).expect("it was found a moment ago");
        let task = waiting.task;
        let Some(gate) = self.gates.by_task.get_mut(&task) else { return Judged::Starts(None) };
        if waiting.attempt == 0 && gate.rules.is_too_late(waiting.trigger_at, now) {
            self.expire(id);
            return Judged::Stays;
        }
        if waiting.lane.is_none() {
            waiting.lane = lane_of(&gate.rules.key, waiting);
        }
        let Some(lane) = waiting.lane.clone() else {
            gate.unread.insert(id);
            self.gates.reading = true;
            self.park(id);
            return Judged::Stays;
        };
        // Whoever was let in once, or has been started before, waits for its turn whatever others do meanwhile.
        if waiting.attempt == 0 && !std::mem::replace(&mut waiting.judged, true) && gate.admit(id, &lane, now) == Admission::Skip {
            let holder = gate.holder(&lane, now).unwrap_or((id, now));
            let named = (gate.rules.key != LaneKey::Constant).then(|| lane.clone());
            let concurrency = gate.rules.concurrency.clone();
            let verdict = Verdict::Overlap { run: id, due_at: waiting.due_at, lane: named, holder, concurrency };
            self.set_aside(id, verdict);
            return Judged::Stays;
        }
        let order = (!self.gates.kept.contains_key(&id), waiting.place());
        let entry = gate.enter(id, order, &lane, now);
        for (run, newcomer) in gate.make_way(&lane, now) {
            // It may be the very run that starts now.
            let attempt = self.in_flight.get(&run).map_or(waiting.attempt + 1, |flight| flight.attempt);
            let concurrency = gate.rules.concurrency.clone();
            self.gates.verdicts.push(Verdict::MakeWay { run, attempt, newcomer, concurrency });
        }
        match entry {
            Entry::Start(used) => {
                if let Some(until) = used {
                    self.gates.used.push(Used { task, lane: lane.clone(), until });
                }
                self.gates.kept.remove(&id);
                Judged::Starts(Some(lane))
            }
            Entry::Wait(alarm) => {
                self.gates.rate_waits += u64::from(alarm.is_some());
                if let Some(at) = alarm {
                    self.gates.alarms.push(Reverse((at, task, Some(lane))));
                }
                self.park(id);
                self.call(task, None);
                Judged::Stays
            }
        }
    }

    /// Lets a run wait in memory without what only its attempt will need.
    fn park(&mut self, id: i64) {
        let waiting = self.armed.get_mut(&id).expect("it was found a moment ago");
        if waiting.standing == Standing::Parked {
            return;
        }
        waiting.standing = Standing::Parked;
        if waiting.lane.is_some() && waiting.input.as_ref().is_some_and(|input| input.bytes().len() > PARKED_INPUT_BYTES_MAX) {
            waiting.input = None;
        }
        let (task, namespace) = (waiting.task, waiting.namespace);
        let gate = self.gates.by_task.get_mut(&task).expect("it has a gate");
        gate.parked += 1;
        if waiting.attempt == 0
            && let Some(deadline) = gate.rules.deadline(waiting.trigger_at)
        {
            self.gates.deadlines.insert((deadline, id));
        }
        let too_many = gate.parked > self.gates.share();
        self.uncount(namespace);
        if too_many {
            self.shed_parked(task);
        }
    }

    /// Lets those of a task's parked runs go that come last. They are read again when there is room.
    fn shed_parked(&mut self, task: i64) {
        let kept = self.gates.share() / 2;
        let parked = |waiting: &Waiting| waiting.task == task && waiting.standing == Standing::Parked && waiting.lane.is_some();
        let mut places: Vec<_> = self.armed.values().filter(|waiting| parked(waiting)).map(|waiting| waiting.place()).collect();
        if places.len() <= kept {
            return;
        }
        let (_, last, _) = places.select_nth_unstable(kept);
        let last = *last;
        let gates = &mut self.gates;
        let doomed: Vec<i64> = self
            .armed
            .values()
            .filter(|waiting| parked(waiting) && waiting.place() > last && !gates.kept.contains_key(&waiting.id))
            .map(|waiting| waiting.id)
            .collect();
        for id in doomed {
            let waiting = self.armed.remove(&id).expect("it was there a moment ago");
            self.unpark(&waiting);
        }
        let gate = self.gates.by_task.get_mut(&task).expect("it has a gate");
        gate.beyond = Some(gate.beyond.map_or(last, |beyond| beyond.min(last)));
    }

    /// Forgets what is known of a parked run that is parked no longer.
    pub(super) fn unpark(&mut self, waiting: &Waiting) {
        let order = self.gates.order(waiting);
        let Some(gate) = self.gates.by_task.get_mut(&waiting.task) else { return };
        gate.parked -= 1;
        if let Some(deadline) = gate.rules.deadline(waiting.trigger_at) {
            self.gates.deadlines.remove(&(deadline, waiting.id));
        }
        if let Some(lane) = &waiting.lane {
            gate.leave(waiting.id, order, lane);
        }
        self.note_room(waiting.task);
    }

    /// Has those of a task read that are in the database only, if there is room for some.
    fn note_room(&mut self, task: i64) {
        let wanted = self.gates.by_task.get(&task).and_then(|gate| self.gates.room(gate));
        self.gates.reading |= wanted.is_some();
    }

    /// A parked run is gone: whoever stood behind it may have got its turn.
    pub(super) fn pass_on(&mut self, waiting: &Waiting) {
        self.call(waiting.task, waiting.lane.as_deref());
    }

    /// Puts those back in the ready queue who may have got their turn, in this lane and in the task's.
    pub(super) fn call(&mut self, task: i64, lane: Option<&str>) {
        let Some(gate) = self.gates.by_task.get_mut(&task) else { return };
        let (called, namespace) = (lane.and_then(|lane| gate.call(lane)), gate.namespace);
        let turn = gate.call_turn();
        called.into_iter().chain(turn).for_each(|place| self.ready.push(namespace, place));
    }

    fn call_all(&mut self, task: i64, now: i64) {
        let Some(gate) = self.gates.by_task.get_mut(&task) else { return };
        let namespace = gate.namespace;
        gate.call_all(now).into_iter().for_each(|place| self.ready.push(namespace, place));
    }

    /// The clock was set back: what was to be looked at later may be possible sooner.
    pub(super) fn call_everybody(&mut self, now: i64) {
        let tasks: Vec<i64> = self.gates.by_task.keys().copied().collect();
        tasks.into_iter().for_each(|task| self.call_all(task, now));
    }

    /// Looks at what was to be looked at by now.
    pub(super) fn ring(&mut self, now: i64) {
        while let Some(Reverse((at, ..))) = self.gates.alarms.peek()
            && *at <= now
        {
            let Some(Reverse((_, task, lane))) = self.gates.alarms.pop() else { return };
            match (lane, self.gates.by_task.get_mut(&task)) {
                (Some(lane), Some(gate)) => {
                    gate.rung(&lane);
                    self.call(task, Some(&lane));
                }
                _ => self.call_all(task, now),
            }
        }
        while let Some((at, id)) = self.gates.deadlines.first().copied()
            && at <= now
        {
            self.gates.deadlines.remove(&(at, id));
            if self.armed.get(&id).is_some_and(|waiting| waiting.standing == Standing::Parked) {
                self.expire(id);
            }
        }
    }

    fn expire(&mut self, id: i64) {
        let waiting = &self.armed[&id];
        let deadline = self.gates.by_task.get(&waiting.task).and_then(|gate| gate.rules.start_deadline).unwrap_or(0);
        let verdict = Verdict::Expired { run: id, due_at: waiting.due_at, deadline };
        self.set_aside(id, verdict);
    }

    /// A run will not start: it stands aside until that is written.
    fn set_aside(&mut self, id: i64, verdict: Verdict) {
        let mut waiting = self.armed.remove(&id).expect("it was found a moment ago");
        match std::mem::replace(&mut waiting.standing, Standing::Leaving) {
            Standing::Armed => self.uncount(waiting.namespace),
            Standing::Parked => {
                self.unpark(&waiting);
                self.pass_on(&waiting);
            }
            Standing::Leaving => {}
        }
        self.armed.insert(id, waiting);
        self.gates.verdicts.push(verdict);
    }

    /// An attempt has ended and is committed. `final_`: so has its run.
    pub(super) fn leave_gate(&mut self, run: i64, flight: &InFlight, final_: bool) {
        let Some(gate) = self.gates.by_task.get_mut(&flight.task) else { return };
        let Some(lane) = &flight.lane else {
            // Its lane was still to be read.
            gate.unread.remove(&run);
            self.call_all(flight.task, self.now);
            return;
        };
        let keep = !final_ && gate.rules.concurrency.keeps_order();
        gate.end(run, lane, keep);
        if keep {
            self.gates.kept.insert(run, (flight.task, lane.clone()));
        }
        self.call(flight.task, Some(lane));
    }

    /// A run that kept its slot has ended, or is gone.
    pub(super) fn give_up_slot(&mut self, run: i64) {
        let Some((task, lane)) = self.gates.kept.remove(&run) else { return };
        if let Some(gate) = self.gates.by_task.get_mut(&task) {
            gate.give_up(run, &lane);
        }
        self.call(task, Some(&lane));
    }

    /// Sets which tasks have a gate, and by which rules. Everything that this changes for waiting runs holds at once.
    pub(super) fn govern(&mut self, mut rules: FxHashMap<i64, (i64, Rules)>, now: i64) {
        let gone: Vec<i64> = self.gates.by_task.keys().copied().filter(|task| !rules.contains_key(task)).collect();
        gone.into_iter().for_each(|task| drop(self.dissolve(task)));
        rules.retain(|task, (_, rules)| self.gates.by_task.get(task).is_none_or(|gate| gate.rules != *rules));
        for (task, (namespace, rules)) in rules {
            let pause_ends = rules.pause.as_ref().and_then(|pause| pause.until);
            let same_lanes = self.gates.by_task.get(&task).is_some_and(|gate| {
                let before = &gate.rules;
                before.key == rules.key
                    && before.concurrency.keeps_order() == rules.concurrency.keeps_order()
                    && before.start_deadline == rules.start_deadline
            });
            if same_lanes {
                if let Some(gate) = self.gates.by_task.get_mut(&task) {
                    gate.rules = rules;
                }
                self.call_all(task, now);
            } else {
                let key = rules.key.clone();
                let before = self.dissolve(task);
                self.build(task, Gate::new(namespace, rules), now);
                if let Some(mut before) = before
                    && before.rules.key == key
                    && let Some(gate) = self.gates.by_task.get_mut(&task)
                {
                    before.take_used().into_iter().for_each(|(lane, until)| gate.set_used(&lane, until, now));
                }
            }
            if let Some(until) = pause_ends {
                self.gates.alarms.push(Reverse((until.as_micros(), task, None)));
            }
        }
    }

    /// Puts a gate up, in which those have their slots that are in flight.
    fn build(&mut self, task: i64, mut gate: Gate, now: i64) {
        for (run, flight) in self.in_flight.iter_mut().filter(|(_, flight)| flight.task == task) {
            if gate.rules.key == LaneKey::Constant {
                let lane = flight.lane.insert("".into());
                gate.seat(*run, lane, flight.started_at, now);
            } else {
                flight.lane = None;
                gate.unread.insert(*run);
            }
        }
        gate.kept_after = gate.rules.concurrency.keeps_order().then_some(i64::MIN);
        self.gates.reading |= gate.is_unread();
        self.gates.by_task.insert(task, gate);
    }

    /// Takes a gate away: what it held is judged anew.
    fn dissolve(&mut self, task: i64) -> Option<Gate> {
        let gate = self.gates.by_task.remove(&task)?;
        self.gates.kept.retain(|_, (of, _)| *of != task);
        self.in_flight.values_mut().filter(|flight| flight.task == task).for_each(|flight| flight.lane = None);
        let (ready, deadlines) = (&mut self.ready, &mut self.gates.deadlines);
        let mut armed = 0;
        for waiting in self.armed.values_mut().filter(|waiting| waiting.task == task) {
            waiting.lane = None;
            if waiting.standing == Standing::Parked {
                waiting.standing = Standing::Armed;
                if let Some(deadline) = gate.rules.deadline(waiting.trigger_at) {
                    deadlines.remove(&(deadline, waiting.id));
                }
                ready.push(gate.namespace, waiting.place());
                armed += 1;
            }
        }
        ready.queue(gate.namespace).armed += armed;
        if let Some(beyond) = gate.beyond {
            // Others of its task lie there that are in the database only: nobody may go before them.
            self.let_go(gate.namespace, beyond);
            self.load_at = i64::MIN;
        }
        Some(gate)
    }

    /// The lanes of these runs were read, if they are still there and the task's lanes are still of this kind.
    pub(super) fn lanes_read(&mut self, task: i64, key: &LaneKey, read: Vec<(i64, Option<Arc<str>>)>, now: i64) {
        let Some(gate) = self.gates.by_task.get_mut(&task).filter(|gate| gate.rules.key == *key) else { return };
        for (run, lane) in read {
            gate.unread.remove(&run);
            let Some(lane) = lane else { continue };
            if let Some(flight) = self.in_flight.get_mut(&run) {
                gate.seat(run, &lane, flight.started_at, now);
                flight.lane = Some(lane);
            } else if let Some(waiting) = self.armed.get_mut(&run).filter(|waiting| waiting.task == task) {
                waiting.lane = Some(lane);
                self.ready.push(waiting.namespace, waiting.place());
            }
        }
        self.call_all(task, now);
    }

    /// These runs of the task wait for their next attempt, and so keep their slots; there are more after `next`.
    pub(super) fn kept_read(&mut self, task: i64, key: &LaneKey, read: Vec<(i64, Arc<str>, i64)>, next: Option<i64>, now: i64) {
        let Some(gate) = self.gates.by_task.get_mut(&task).filter(|gate| gate.rules.key == *key) else { return };
        for (run, lane, since) in read {
            if self.in_flight.contains_key(&run) || self.gates.kept.contains_key(&run) {
                continue;
            }
            gate.keep(run, &lane, since, now);
            if let Some(waiting) = self.armed.get(&run)
                && waiting.standing == Standing::Parked
            {
                gate.reorder((true, waiting.place()), (false, waiting.place()), &lane);
            }
            self.gates.kept.insert(run, (task, lane));
        }
        gate.kept_after = next;
        self.call_all(task, now);
    }

    /// What keeps a waiting run that is due.
    pub(super) fn hold(&self, waiting: &Waiting, slots: &Slots, id_origin: u64, now: i64) -> Option<Hold> {
        if self.in_flight.contains_key(&waiting.id) {
            return None;
        }
        if let Some(alone) = self.alone.filter(|_| self.at_last_chance.contains(&waiting.id)) {
            return Some(Hold::LastChance { run: RunId::from_key(alone, id_origin) });
        }
        let held = self.gates.by_task.get(&waiting.task).and_then(|gate| {
            let lane = lane_of(&gate.rules.key, waiting)?;
            gate.hold(waiting.id, self.gates.order(waiting), &lane, id_origin, now)
        });
        Some(held.unwrap_or_else(|| match self.ready.held(waiting.namespace) {
            Some(held) if !slots.may_take(held) => Hold::NamespaceFull { running: held.count() },
            _ => Hold::HostFull { running: self.in_flight.len() as u64 },
        }))
    }
}

/// The lane of a run, as far as what is in memory of it tells.
fn lane_of(key: &LaneKey, waiting: &Waiting) -> Option<Arc<str>> {
    let lane = match key {
        LaneKey::Constant => return Some("".into()),
        LaneKey::Metadata(_) => key.lane_of_stored(&crate::model::Payload::null(), &waiting.metadata),
        LaneKey::Input(_) => key.lane_of_stored(waiting.input.as_ref()?, &waiting.metadata),
    };
    Some(lane.into())
}

/// The time, for what the model says in words.
pub(super) fn time(micros: i64) -> Timestamp {
    Timestamp::from_micros(micros.max(0)).unwrap_or(Timestamp::MAX)
}
