//! The gate of one task: which of its due runs start, and which wait for what.
//!
//! A part of the due queue, which asks for each run that is due and says what ended. Decides by the task's policy as it is now, through
//! `model`. Knows places, not runs, and no database. When something changes it tells whose turn it may be: that is a hint to look, and who
//! is looked at in vain goes on waiting.

use std::collections::VecDeque;
use std::sync::Arc;

use rustc_hash::{FxHashMap, FxHashSet};

use super::gated::time;
use super::lane::{Lane, Order, Slot};
use super::ready::Place;
use crate::model::{Admission, Concurrency, HeldBy, Hold, LaneKey, Pause, RateLimit, RunId, Task, Timestamp};

/// Lanes of one task that are remembered for nothing but what they have used of their rate: some 50 MiB. Beyond it those are forgotten
/// that would be full again first.
const LANES_MAX: usize = 262_144;
/// Lanes from which on those that are idle are cleared away.
const LANES_KEPT: usize = 1_024;
/// How many of those who have the slots a hold names.
const HELD_BY_MAX: usize = 10;

/// What of a task's policy keeps its runs from starting.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Rules {
    pub(super) concurrency: Concurrency,
    pub(super) key: LaneKey,
    pub(super) rate: Option<RateLimit>,
    /// Microseconds after the trigger time.
    pub(super) start_deadline: Option<i64>,
    pub(super) pause: Option<Pause>,
}

impl Rules {
    /// `None` if nothing does.
    pub(super) fn of(task: &Task, now: Timestamp) -> Option<Self> {
        let policy = &task.policy;
        let pause = task.pause.clone().filter(|pause| pause.holds(now));
        let any = policy.has_gate() || policy.start_deadline.is_some() || pause.is_some();
        any.then(|| Self {
            concurrency: policy.concurrency.clone(),
            // Without a limit or a rate all lanes are one.
            key: if policy.has_gate() { policy.lane.clone() } else { LaneKey::Constant },
            rate: policy.rate,
            start_deadline: policy.start_deadline.map(|span| span.as_micros() as i64),
            pause,
        })
    }

    /// Whether a run of this trigger time is too late to start.
    pub(super) fn is_too_late(&self, trigger_at: i64, now: i64) -> bool {
        self.deadline(trigger_at).is_some_and(|deadline| deadline <= now)
    }

    pub(super) fn deadline(&self, trigger_at: i64) -> Option<i64> {
        self.start_deadline.map(|span| trigger_at.saturating_add(span))
    }
}

/// What keeps a run from starting.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Obstacle {
    /// A pause, or something that must be read first.
    Shut,
    /// Others of its lane go first.
    Behind,
    LaneFull,
    /// Until then.
    Rate(i64),
    /// The task is full, or another lane goes first.
    Task,
}

/// What became of a run that asked to start.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Entry {
    /// It has a slot. With a rate: until when its lane has used that now.
    Start(Option<i64>),
    /// It waits in its lane, which is to be looked at again at that time, if one is known.
    Wait(Option<i64>),
}

pub(super) struct Gate {
    pub(super) namespace: i64,
    pub(super) rules: Rules,
    lanes: FxHashMap<Arc<str>, Lane>,
    /// Attempts in flight in all lanes.
    running: usize,
    /// Lanes whose first run waits for nothing but the task's limit, in the order in which they get their turn.
    turns: VecDeque<Arc<str>>,
    /// Its runs that wait in memory.
    pub(super) parked: usize,
    /// Waiting runs beyond this place are in the database only.
    pub(super) beyond: Option<Place>,
    /// Runs whose lane is not known until their input is read. Nothing starts meanwhile.
    pub(super) unread: FxHashSet<i64>,
    /// Where reading who has kept a slot goes on, in order of id. Nothing starts meanwhile.
    pub(super) kept_after: Option<i64>,
    /// How many lanes make it worth while to clear away the idle ones.
    clear_at: usize,
}

impl Gate {
    pub(super) fn new(namespace: i64, rules: Rules) -> Self {
        Self {
            namespace,
            rules,
            lanes: FxHashMap::default(),
            running: 0,
            turns: VecDeque::new(),
            parked: 0,
            beyond: None,
            unread: FxHashSet::default(),
            kept_after: None,
            clear_at: LANES_KEPT,
        }
    }

    /// Whether something must be read before anything can start.
    pub(super) fn is_unread(&self) -> bool {
        !self.unread.is_empty() || self.kept_after.is_some()
    }

    fn is_shut(&self, now: i64) -> bool {
        self.is_unread() || self.rules.pause.as_ref().is_some_and(|pause| pause.until.is_none_or(|until| now < until.as_micros()))
    }

    /// The lane; a new one if there is none of this name.
    pub(super) fn lane(&mut self, name: &Arc<str>, now: i64) -> &mut Lane {
        if self.lanes.len() >= self.clear_at && !self.lanes.contains_key(name) {
            self.lanes.retain(|_, lane| !lane.is_idle(now));
            if self.lanes.len() > LANES_MAX {
                let mut used: Vec<i64> = self.lanes.values().map(|lane| lane.used_until).collect();
                let (_, middle, _) = used.select_nth_unstable(LANES_MAX / 2);
                let middle = *middle;
                self.lanes.retain(|_, lane| !lane.is_idle(middle));
                tracing::warn!("a task has so many lanes with a rate that those which used the least of it are forgotten");
            }
            self.clear_at = (2 * self.lanes.len()).max(LANES_KEPT);
        }
        self.lanes.entry(name.clone()).or_default()
    }

    /// Decides about a run that becomes due in this lane: whether it may wait if it can't start.
    pub(super) fn admit(&mut self, run: i64, name: &Arc<str>, now: i64) -> Admission {
        let concurrency = self.rules.concurrency.clone();
        let lane = self.lane(name, now);
        let admission = concurrency.admit(lane.slots.len(), lane.waiting.len());
        if admission == Admission::CancelOldestAndWait {
            lane.asking.insert(run);
        }
        admission
    }

    /// Who has been in the lane longest, and since when; of those that wait, at `now`.
    pub(super) fn holder(&self, name: &str, now: i64) -> Option<(i64, i64)> {
        let lane = self.lanes.get(name)?;
        let slot = lane.slots.first().map(|slot| (slot.run, slot.since));
        slot.or_else(|| lane.waiting.first().map(|(_, (_, run))| (*run, now)))
    }

    fn obstacle(&self, run: i64, order: Order, name: &str, now: i64) -> Option<Obstacle> {
        if self.is_shut(now) {
            return Some(Obstacle::Shut);
        }
        let lane = self.lanes.get(name)?;
        if lane.waiting.first().is_some_and(|first| *first < order) {
            return Some(Obstacle::Behind);
        }
        if !lane.has_room(run, self.rules.concurrency.per_lane) {
            return Some(Obstacle::LaneFull);
        }
        if let Some(Err(until)) = self.rate(lane, now) {
            return Some(Obstacle::Rate(until));
        }
        let limit = self.rules.concurrency.per_task? as usize;
        let mine = self.turns.front().is_none_or(|front| &**front == name);
        (self.running >= limit || !mine).then_some(Obstacle::Task)
    }

    /// What a start leaves, or when one is possible.
    fn rate(&self, lane: &Lane, now: i64) -> Option<Result<i64, i64>> {
        let rate = self.rules.rate?;
        Some(rate.start(time(lane.used_until), time(now)).map(Timestamp::as_micros).map_err(Timestamp::as_micros))
    }

    /// Starts the run at this place, or lets it wait there.
    pub(super) fn enter(&mut self, run: i64, order: Order, name: &Arc<str>, now: i64) -> Entry {
        self.lane(name, now);
        let obstacle = self.obstacle(run, order, name, now);
        let (used, blocked) = match self.rate(&self.lanes[name], now) {
            Some(Ok(used)) => (Some(used), None),
            Some(Err(until)) => (None, Some(until)),
            None => (None, None),
        };
        let lane = self.lanes.get_mut(name).expect("it was made a moment ago");
        let was_in_turn = lane.in_turn;
        if obstacle != Some(Obstacle::Behind) {
            lane.in_turn = obstacle == Some(Obstacle::Task);
        }
        let is_in_turn = lane.in_turn;
        let mut alarm = None;
        match obstacle {
            None => {
                lane.waiting.remove(&order);
                lane.start(run, now);
                lane.used_until = used.unwrap_or(lane.used_until);
                self.running += 1;
            }
            Some(obstacle) => {
                lane.waiting.insert(order);
                let until = match obstacle {
                    Obstacle::Rate(until) => Some(until),
                    // Nobody is made to end for a run that could not start then.
                    _ if !lane.asking.is_empty() => blocked,
                    _ => None,
                };
                if let (Some(until), Some(rate)) = (until, self.rules.rate) {
                    lane.used_until = rate.bounded(time(lane.used_until), time(now)).as_micros();
                    if lane.alarm.is_none_or(|set| until < set) {
                        lane.alarm = Some(until);
                        alarm = Some(until);
                    }
                }
            }
        }
        match (was_in_turn, is_in_turn) {
            (true, false) => self.turns.retain(|turn| turn != name),
            (false, true) => self.turns.push_back(name.clone()),
            _ => {}
        }
        if obstacle.is_none() { Entry::Start(used) } else { Entry::Wait(alarm) }
    }

    /// Has attempts of the lane make way, if the policy says so: pairs of who is asked to end and for whom.
    pub(super) fn make_way(&mut self, name: &str, now: i64) -> Vec<(i64, i64)> {
        let blocked = self.lanes.get(name).is_some_and(|lane| matches!(self.rate(lane, now), Some(Err(_))));
        if blocked || self.is_shut(now) {
            return Vec::new();
        }
        let limit = self.rules.concurrency.per_lane;
        self.lanes.get_mut(name).filter(|lane| !lane.asking.is_empty()).map_or_else(Vec::new, |lane| lane.make_way(limit))
    }

    /// Counts an attempt that was in flight before there was this gate.
    pub(super) fn seat(&mut self, run: i64, name: &Arc<str>, since: i64, now: i64) {
        self.running += 1;
        let slots = &mut self.lane(name, now).slots;
        slots.push(Slot { run, since, running: true, asked: false });
        slots.sort_by_key(|slot| (slot.since, slot.run));
    }

    /// An attempt has ended. `keep`: its run keeps the slot until its next one.
    pub(super) fn end(&mut self, run: i64, name: &str, keep: bool) {
        self.running -= 1;
        let Some(lane) = self.lanes.get_mut(name) else { return };
        if keep {
            lane.slots.iter_mut().filter(|slot| slot.run == run).for_each(|slot| (slot.running, slot.asked) = (false, false));
        } else {
            lane.slots.retain(|slot| slot.run != run);
        }
    }

    /// A run that waits for its next attempt has kept its slot.
    pub(super) fn keep(&mut self, run: i64, name: &Arc<str>, since: i64, now: i64) {
        self.lane(name, now).slots.push(Slot { run, since, running: false, asked: false });
    }

    /// It has given it up.
    pub(super) fn give_up(&mut self, run: i64, name: &str) {
        if let Some(lane) = self.lanes.get_mut(name) {
            lane.slots.retain(|slot| slot.run != run || slot.running);
        }
    }

    /// A run waits no longer.
    pub(super) fn leave(&mut self, run: i64, order: Order, name: &str) {
        if let Some(lane) = self.lanes.get_mut(name) {
            lane.waiting.remove(&order);
            lane.asking.remove(&run);
        }
    }

    /// A run that waits stands elsewhere in its lane now.
    pub(super) fn reorder(&mut self, before: Order, after: Order, name: &str) {
        if let Some(lane) = self.lanes.get_mut(name)
            && lane.waiting.remove(&before)
        {
            lane.waiting.insert(after);
        }
    }

    /// Whom to look at in this lane, if anybody there can have a slot of it.
    pub(super) fn call(&self, name: &str) -> Option<Place> {
        let lane = self.lanes.get(name)?;
        let (_, place) = *lane.waiting.first()?;
        let limit = self.rules.concurrency.per_lane;
        // One whose rate had others not make way yet is looked at when that is over.
        (lane.has_room(place.1, limit) || lane.alarm.is_none() && lane.wanted(limit) > 0).then_some(place)
    }

    /// Whom to look at in the lane whose turn it is to have a slot of the task.
    pub(super) fn call_turn(&mut self) -> Option<Place> {
        let limit = self.rules.concurrency.per_task.map_or(usize::MAX, |limit| limit as usize);
        if self.running >= limit {
            return None;
        }
        while let Some(name) = self.turns.front() {
            if let Some(place) = self.call(name) {
                return Some(place);
            }
            let name = self.turns.pop_front().expect("it was seen a moment ago");
            self.lanes.get_mut(&name).into_iter().for_each(|lane| lane.in_turn = false);
        }
        None
    }

    /// Whom to look at after everything may have changed.
    pub(super) fn call_all(&self, now: i64) -> Vec<Place> {
        if self.is_shut(now) { Vec::new() } else { self.lanes.keys().filter_map(|name| self.call(name)).collect() }
    }

    /// The lane's alarm has rung.
    pub(super) fn rung(&mut self, name: &str) {
        self.lanes.get_mut(name).into_iter().for_each(|lane| lane.alarm = None);
    }

    /// What the lanes have used of their rates.
    pub(super) fn take_used(&mut self) -> Vec<(Arc<str>, i64)> {
        self.lanes.drain().map(|(name, lane)| (name, lane.used_until)).filter(|(_, used_until)| *used_until > 0).collect()
    }

    /// The lane has used so much already.
    pub(super) fn set_used(&mut self, name: &Arc<str>, used_until: i64, now: i64) {
        let lane = self.lane(name, now);
        lane.used_until = lane.used_until.max(used_until);
    }

    /// What keeps a run that waits, or would wait, in this lane; `None`: nothing that the gate knows.
    pub(super) fn hold(&self, run: i64, order: Order, name: &str, id_origin: u64, now: i64) -> Option<Hold> {
        if let Some(pause) = self.rules.pause.as_ref().filter(|pause| pause.until.is_none_or(|until| now < until.as_micros())) {
            return Some(Hold::Paused(pause.clone()));
        }
        let lane = self.lanes.get(name)?;
        let ahead = lane.waiting.range(..order).count() as u64;
        let shown = || (self.rules.key != LaneKey::Constant).then(|| name.to_owned());
        let Concurrency { per_lane, per_task, .. } = self.rules.concurrency;
        if let Some(limit) = per_lane
            && !lane.has_room(run, per_lane)
        {
            return Some(Hold::LaneFull { lane: shown(), limit, held_by: held_by(&lane.slots, id_origin), ahead });
        }
        if let (Some(rate), Some(Err(until))) = (self.rules.rate, self.rate(lane, now)) {
            let until = Timestamp::from_micros(until).unwrap_or(Timestamp::MAX);
            return Some(Hold::RateReached { lane: shown(), rate, until, ahead });
        }
        let limit = per_task.filter(|limit| self.running >= *limit as usize || self.turns.front().is_some_and(|front| &**front != name))?;
        let mut slots: Vec<Slot> = self.lanes.values().flat_map(|lane| lane.slots.iter().filter(|slot| slot.running).cloned()).collect();
        slots.sort_by_key(|slot| (slot.since, slot.run));
        Some(Hold::TaskFull { limit, held_by: held_by(&slots, id_origin), ahead: self.ahead(ahead, name) })
    }

    /// Runs that get a slot of the task before one with so many before it in its own lane, as lanes take turns.
    fn ahead(&self, in_lane: u64, name: &str) -> u64 {
        let mine = self.turns.iter().position(|turn| &**turn == name).unwrap_or(self.turns.len());
        let others = self.turns.iter().enumerate().filter(|(_, turn)| &***turn != name).map(|(position, turn)| {
            let rounds = in_lane + u64::from(position < mine);
            rounds.min(self.lanes.get(turn).map_or(0, |lane| lane.waiting.len() as u64))
        });
        in_lane + others.sum::<u64>()
    }
}

fn held_by(slots: &[Slot], id_origin: u64) -> Vec<HeldBy> {
    let known = |slot: &Slot| HeldBy {
        run: RunId::from_key(slot.run, id_origin),
        since: Timestamp::from_micros(slot.since).unwrap_or(Timestamp::MIN),
        running: slot.running,
    };
    slots.iter().take(HELD_BY_MAX).map(known).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    const SECOND: i64 = 1_000_000;

    fn gate(per_lane: Option<u32>, per_task: Option<u32>, rate: Option<&str>) -> Gate {
        let rate = rate.map(|text| RateLimit::parse(text, "rate").unwrap());
        let concurrency = Concurrency { per_lane, per_task, ..Concurrency::default() };
        Gate::new(1, Rules { concurrency, key: LaneKey::Metadata("lane".into()), rate, start_deadline: None, pause: None })
    }

    /// Whether the run, due at its own number, starts.
    fn enter(gate: &mut Gate, run: i64, lane: &str, now: i64) -> bool {
        matches!(gate.enter(run, (true, (run, run)), &lane.into(), now), Entry::Start(_))
    }

    /// Ends an attempt, and looks at whom the gate calls until nobody is left: who starts.
    fn end(gate: &mut Gate, run: i64, runs: &[(i64, &str)]) -> Vec<i64> {
        let lane_of = |run| runs.iter().find(|(known, _)| *known == run).unwrap().1;
        gate.end(run, lane_of(run), false);
        let mut started = Vec::new();
        let mut calls: Vec<Place> = gate.call(lane_of(run)).into_iter().chain(gate.call_turn()).collect();
        while let Some((_, called)) = calls.pop() {
            if started.contains(&called) {
                continue;
            }
            if enter(gate, called, lane_of(called), 0) {
                started.push(called);
                calls.extend(gate.call(lane_of(called)));
            }
            calls.extend(gate.call_turn());
        }
        started
    }

    #[test]
    fn lanes_take_turns_at_the_slots_of_their_task() {
        let mut gate = gate(None, Some(1), None);
        let runs = [(1, "a"), (2, "a"), (3, "a"), (4, "b"), (5, "b"), (6, "c")];
        let started: Vec<_> = runs.iter().map(|(run, lane)| enter(&mut gate, *run, lane, 0)).collect();
        assert_eq!(started, [true, false, false, false, false, false]);
        let mut order = vec![1];
        while let [next] = end(&mut gate, *order.last().unwrap(), &runs)[..] {
            order.push(next);
        }
        assert_eq!(order, [1, 2, 4, 6, 3, 5]);
    }

    #[test]
    fn a_lane_of_its_own_limit_keeps_its_order_and_holds_up_no_other() {
        let mut gate = gate(Some(1), None, None);
        assert!(enter(&mut gate, 1, "a", 0) && !enter(&mut gate, 3, "a", 0) && !enter(&mut gate, 2, "a", 0) && enter(&mut gate, 4, "b", 0));
        gate.end(1, "a", true);
        assert_eq!(gate.call("a"), None, "1 has kept its slot");
        assert!(matches!(gate.enter(1, (false, (9, 1)), &"a".into(), 0), Entry::Start(_)), "and goes on, although others were due before");
        gate.end(1, "a", false);
        assert_eq!(gate.call("a"), Some((2, 2)), "in order of rank, not of coming");
        assert!(!enter(&mut gate, 3, "a", 0) && enter(&mut gate, 2, "a", 0));
        let hold = gate.hold(3, (true, (3, 3)), "a", 0, 0);
        assert!(matches!(hold, Some(Hold::LaneFull { limit: 1, ahead: 0, held_by, .. }) if held_by.len() == 1));
    }

    #[test]
    fn a_rate_tells_when_to_look_again() {
        let mut gate = gate(None, None, Some("2/m"));
        let at = |second: i64| second * SECOND;
        assert_eq!(gate.enter(1, (true, (1, 1)), &"a".into(), at(100)), Entry::Start(Some(at(130))));
        assert_eq!(gate.enter(2, (true, (2, 2)), &"a".into(), at(100)), Entry::Start(Some(at(160))));
        assert_eq!(gate.enter(3, (true, (3, 3)), &"a".into(), at(100)), Entry::Wait(Some(at(130))));
        assert_eq!(gate.enter(4, (true, (4, 4)), &"a".into(), at(100)), Entry::Wait(None), "it waits behind the other");
        assert!(enter(&mut gate, 5, "b", at(100)), "another lane has its own");
        gate.rung("a");
        assert_eq!(gate.enter(3, (true, (3, 3)), &"a".into(), at(130)), Entry::Start(Some(at(190))));
    }

    #[test]
    fn lanes_that_are_done_with_are_cleared_away() {
        let mut gate = gate(Some(1), None, Some("1/s"));
        for run in 1..10 * LANES_KEPT as i64 {
            assert!(enter(&mut gate, run, &run.to_string(), run * SECOND));
            gate.end(run, &run.to_string(), false);
        }
        assert!(gate.lanes.len() <= LANES_KEPT, "{} lanes", gate.lanes.len());
    }
}
