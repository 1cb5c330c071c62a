//! The due runs of each namespace, in order of rank, and whose turn it is.
//!
//! A part of the due queue. Namespaces take turns run by run, so that one with a million due runs delays another by no more than what is
//! claimed at once. A namespace that holds as many slots as it may have has no turn until a slot is given back. Knows places, not runs: whether a place
//! still means something, the due queue says.

use std::cmp::Reverse;
use std::collections::{BinaryHeap, VecDeque};
use std::sync::Arc;

use rustc_hash::FxHashMap;

use crate::storage::slots::{Held, Slots};

/// Where a run stands in the queue of its namespace: its rank, then its id.
pub(super) type Place = (i64, i64);

/// Before every other.
pub(super) const FIRST: Place = (i64::MIN, i64::MIN);

/// All namespaces.
#[derive(Default)]
pub(super) struct Ready {
    queues: Vec<Queue>,
    by_namespace: FxHashMap<i64, usize>,
    /// Those that may have something, each once; the next one in front.
    turns: VecDeque<usize>,
    /// Those that may have something, and may take no slot for now.
    without_slot: Vec<usize>,
}

/// One namespace.
pub(super) struct Queue {
    pub(super) namespace: i64,
    /// Its runs that are armed, and not parked.
    pub(super) armed: usize,
    /// Up to this place, every waiting run is known in memory.
    pub(super) loaded: Place,
    /// The slots that its attempts hold.
    pub(super) held: Arc<Held>,
    due: Due,
    in_turn: bool,
}

/// The places of one namespace that are due. Most become so in their order and are kept in it; the others are in a heap, which has its price when
/// there are thousands.
#[derive(Default)]
struct Due {
    in_order: VecDeque<Place>,
    others: BinaryHeap<Reverse<Place>>,
}

impl Due {
    fn push(&mut self, place: Place) {
        if self.in_order.back().is_none_or(|last| *last < place) {
            self.in_order.push_back(place);
        } else {
            self.others.push(Reverse(place));
        }
    }

    /// The first one, and whether it is among those in order.
    fn first(&self) -> Option<(Place, bool)> {
        let (in_order, other) = (self.in_order.front(), self.others.peek().map(|Reverse(place)| place));
        match (in_order, other) {
            (Some(first), Some(other)) if other < first => Some((*other, false)),
            (Some(first), _) => Some((*first, true)),
            (None, other) => other.map(|place| (*place, false)),
        }
    }

    fn pop(&mut self) -> Option<Place> {
        match self.first()? {
            (_, true) => self.in_order.pop_front(),
            (_, false) => self.others.pop().map(|Reverse(place)| place),
        }
    }

    fn is_empty(&self) -> bool {
        self.in_order.is_empty() && self.others.is_empty()
    }

    fn len(&self) -> usize {
        self.in_order.len() + self.others.len()
    }

    fn retain(&mut self, valid: impl Fn(Place) -> bool) {
        self.in_order.retain(|place| valid(*place));
        self.others.retain(|Reverse(place)| valid(*place));
    }
}

impl Ready {
    /// The namespace's queue; a new one has nothing loaded.
    pub(super) fn queue(&mut self, namespace: i64) -> &mut Queue {
        let index = self.index(namespace);
        &mut self.queues[index]
    }

    /// Up to which place the namespace's runs are known in memory.
    pub(super) fn loaded(&self, namespace: i64) -> Place {
        self.by_namespace.get(&namespace).map_or(FIRST, |index| self.queues[*index].loaded)
    }

    /// How many of the namespace's runs are armed, and not parked.
    pub(super) fn armed(&self, namespace: i64) -> usize {
        self.by_namespace.get(&namespace).map_or(0, |index| self.queues[*index].armed)
    }

    /// Takes away the queue of a namespace that is gone. What stands there is lost.
    pub(super) fn forget(&mut self, namespace: i64) {
        let Some(gone) = self.by_namespace.remove(&namespace) else { return };
        self.queues.swap_remove(gone);
        let moved = self.queues.len();
        if let Some(queue) = self.queues.get(gone) {
            self.by_namespace.insert(queue.namespace, gone);
        }
        self.turns.retain(|index| *index != gone);
        self.without_slot.retain(|index| *index != gone);
        for index in self.turns.iter_mut().chain(&mut self.without_slot).filter(|index| **index == moved) {
            *index = gone;
        }
    }

    /// The slots that the namespace's attempts hold.
    pub(super) fn held(&self, namespace: i64) -> Option<&Held> {
        self.by_namespace.get(&namespace).map(|index| &*self.queues[*index].held)
    }

    pub(super) fn queues(&self) -> &[Queue] {
        &self.queues
    }

    fn index(&mut self, namespace: i64) -> usize {
        let queues = &mut self.queues;
        *self.by_namespace.entry(namespace).or_insert_with(|| {
            queues.push(Queue { namespace, armed: 0, loaded: FIRST, held: Arc::default(), due: Due::default(), in_turn: false });
            queues.len() - 1
        })
    }

    /// The run at this place is due.
    pub(super) fn push(&mut self, namespace: i64, place: Place) {
        let index = self.index(namespace);
        let queue = &mut self.queues[index];
        queue.due.push(place);
        if !std::mem::replace(&mut queue.in_turn, true) {
            self.turns.push_back(index);
        }
    }

    /// Takes the first place of the namespace whose turn it is. What is not `valid` is dropped.
    pub(super) fn pop(&mut self, slots: &Slots, valid: impl Fn(Place) -> bool) -> Option<Place> {
        self.peek(slots, valid)?;
        let index = self.turns.pop_front()?;
        let queue = &mut self.queues[index];
        let place = queue.due.pop()?;
        queue.in_turn = !queue.due.is_empty();
        if queue.in_turn {
            self.turns.push_back(index);
        }
        Some(place)
    }

    /// What [`pop`](Self::pop) would take.
    pub(super) fn peek(&mut self, slots: &Slots, valid: impl Fn(Place) -> bool) -> Option<Place> {
        while let Some(&index) = self.turns.front() {
            let queue = &mut self.queues[index];
            while let Some((place, _)) = queue.due.first() {
                if !valid(place) {
                    queue.due.pop();
                } else if slots.may_take_or_await(&queue.held) {
                    return Some(place);
                } else {
                    self.without_slot.push(index);
                    break;
                }
            }
            queue.in_turn = !queue.due.is_empty();
            self.turns.pop_front();
        }
        None
    }

    /// Gives a turn to those that waited for a slot, if one was given back.
    pub(super) fn reconsider(&mut self, slots: &Slots) {
        if !self.without_slot.is_empty() && !slots.is_awaited() {
            self.turns.extend(self.without_slot.drain(..));
        }
    }

    /// About how many due runs wait for a slot that their namespace may take.
    pub(super) fn waiting_for_slots(&self) -> usize {
        self.without_slot.iter().map(|index| self.queues[*index].due.len()).sum()
    }

    /// Whether something may be due whose namespace may take a slot.
    pub(super) fn is_idle(&self) -> bool {
        self.turns.is_empty()
    }

    /// Drops the places of a namespace that are not `valid`.
    pub(super) fn retain(&mut self, namespace: i64, valid: impl Fn(Place) -> bool) {
        self.queue(namespace).due.retain(valid);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_namespace_that_is_gone_leaves_the_others_in_their_turns() {
        for gone in 1..=3 {
            let (mut ready, slots) = (Ready::default(), Slots::default());
            for namespace in [1, 2, 3] {
                ready.push(namespace, (namespace, 1));
                ready.push(namespace, (namespace, 2));
            }
            ready.forget(gone);
            ready.forget(9);
            let taken: Vec<i64> = std::iter::from_fn(|| ready.pop(&slots, |_| true)).map(|(rank, _)| rank).collect();
            let left: Vec<i64> = (1..=3).filter(|namespace| *namespace != gone).collect();
            assert_eq!(taken, [&left[..], &left].concat());
            ready.push(gone, (7, 7));
            assert_eq!(ready.pop(&slots, |_| true), Some((7, 7)), "one that comes back begins with nothing");
        }
    }

    #[test]
    fn namespaces_take_turns_and_each_goes_by_rank() {
        let mut ready = Ready::default();
        for rank in 0..5 {
            ready.push(1, (4 - rank, rank));
        }
        ready.push(2, (100, 1));
        ready.push(2, (99, 2));
        let slots = Slots::default();
        let taken: Vec<Place> = std::iter::from_fn(|| ready.pop(&slots, |(rank, _)| rank != 1)).collect();
        assert_eq!(taken, [(0, 4), (99, 2), (2, 2), (100, 1), (3, 1), (4, 0)]);
        assert!(ready.is_idle());
    }

    #[test]
    fn a_namespace_that_may_take_no_slot_has_no_turn_until_one_is_given_back() {
        let (mut ready, slots) = (Ready::default(), Arc::new(Slots::default()));
        slots.set_total(4);
        slots.set_shared(true);
        (0..9).for_each(|rank| ready.push(1, (rank, rank)));
        let mut held = Vec::new();
        let mut take = |ready: &mut Ready, namespace: i64| {
            ready.reconsider(&slots);
            let place = ready.pop(&slots, |_| true)?;
            held.push(slots.take(&ready.queue(namespace).held));
            Some(place)
        };
        while take(&mut ready, 1).is_some() {}
        assert!(ready.is_idle() && slots.is_awaited());
        assert_eq!(ready.waiting_for_slots(), 6, "one slot of four is kept for others");
        ready.push(2, (100, 1));
        assert_eq!(take(&mut ready, 2), Some((100, 1)), "which may take it");
        drop(held.remove(0));
        assert!(!slots.is_awaited(), "the workers were woken");
        assert!(ready.is_idle(), "they look first");
        ready.reconsider(&slots);
        assert_eq!(ready.pop(&slots, |_| true), None, "but that slot is to be free, too");
        assert_eq!(ready.waiting_for_slots(), 6);
        held.clear();
        ready.reconsider(&slots);
        assert_eq!(ready.pop(&slots, |_| true), Some((3, 3)));
    }
}
