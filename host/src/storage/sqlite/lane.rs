//! One lane of a task: who has its slots, who waits for one, and what it has used of its rate.
//!
//! A part of the gate. Knows places, not runs.

use std::collections::BTreeSet;

use super::ready::Place;

/// Where a run stands in its lane. One that has kept its slot goes first (`false` is less than `true`), then the order of the queue.
pub(super) type Order = (bool, Place);

/// A slot that is taken.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Slot {
    pub(super) run: i64,
    /// When its attempt started, or the last one did.
    pub(super) since: i64,
    /// Whether an attempt is in flight; else the run keeps its place until its next one.
    pub(super) running: bool,
    /// Whether it was asked to end, to make way.
    pub(super) asked: bool,
}

#[derive(Default)]
pub(super) struct Lane {
    /// Oldest first.
    pub(super) slots: Vec<Slot>,
    pub(super) waiting: BTreeSet<Order>,
    /// Those of them that came when the lane was full, under a policy that has running attempts make way.
    pub(super) asking: BTreeSet<i64>,
    /// The time at which nothing of its rate will be used.
    pub(super) used_until: i64,
    /// The time for which it has asked to be looked at.
    pub(super) alarm: Option<i64>,
    /// Whether it stands among those that only wait for their task.
    pub(super) in_turn: bool,
}

impl Lane {
    pub(super) fn running(&self) -> usize {
        self.slots.iter().filter(|slot| slot.running).count()
    }

    /// Whether this run may take a slot, or go on in the one that it has.
    pub(super) fn has_room(&self, run: i64, limit: Option<u32>) -> bool {
        let Some(limit) = limit.map(|limit| limit as usize) else { return true };
        self.slots.len() < limit || self.running() < limit && self.slots.iter().any(|slot| slot.run == run)
    }

    pub(super) fn start(&mut self, run: i64, now: i64) {
        self.slots.retain(|slot| slot.run != run);
        self.slots.push(Slot { run, since: now, running: true, asked: false });
        self.asking.remove(&run);
    }

    fn asked(&self) -> usize {
        self.slots.iter().filter(|slot| slot.asked).count()
    }

    /// How many more attempts have to make way for the runs that came meanwhile.
    pub(super) fn wanted(&self, limit: Option<u32>) -> usize {
        let free = limit.map_or(usize::MAX, |limit| (limit as usize).saturating_sub(self.slots.len()));
        self.asking.len().saturating_sub(free).saturating_sub(self.asked())
    }

    /// Asks the oldest attempts to make way, one for each run that came meanwhile and finds no slot: pairs of who is asked and for whom.
    pub(super) fn make_way(&mut self, limit: Option<u32>) -> Vec<(i64, i64)> {
        let newcomers: Vec<i64> = self.asking.iter().copied().skip(self.asked()).take(self.wanted(limit)).collect();
        let oldest = self.slots.iter_mut().filter(|slot| slot.running && !slot.asked);
        let pairs = oldest.zip(newcomers).map(|(slot, newcomer)| {
            slot.asked = true;
            (slot.run, newcomer)
        });
        pairs.collect()
    }

    /// Whether nothing would be lost if it were forgotten at `now`.
    pub(super) fn is_idle(&self, now: i64) -> bool {
        self.slots.is_empty() && self.waiting.is_empty() && self.used_until <= now
    }
}
