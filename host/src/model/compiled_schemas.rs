//! Bounds what all compiled schemas of a process take in memory.
//!
//! A schema is compiled when it is first needed and kept. When all of them together take more than
//! [`COMPILED_SCHEMAS_BYTES_MAX`](super::limits::COMPILED_SCHEMAS_BYTES_MAX), those unused for longest are dropped: they are compiled again when
//! they are needed.

use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError, RwLock, Weak};

/// A compiled value that may be dropped and made again.
pub(super) struct Slot<T> {
    state: RwLock<State<T>>,
    /// Held while the value is made, so that it is made once.
    making: Mutex<()>,
    /// When it was last used, in values that were made before.
    used: AtomicU64,
}

enum State<T> {
    /// Not made yet, or dropped.
    Empty,
    /// It can't be made.
    Refused,
    Made(Arc<T>),
}

impl<T> Slot<T> {
    pub(super) fn new() -> Self {
        Self { state: RwLock::new(State::Empty), making: Mutex::new(()), used: AtomicU64::new(0) }
    }

    /// The value, if it is there; `Some(None)` if it can't be made.
    pub(super) fn get(&self, all: &Kept<T>) -> Option<Option<Arc<T>>> {
        match &*self.state.read().unwrap_or_else(PoisonError::into_inner) {
            State::Empty => None,
            State::Refused => Some(None),
            State::Made(value) => {
                let made = all.made.load(Ordering::Relaxed);
                // Stored only if it changes, so that threads that use one value do not take its cache line from each other.
                if self.used.load(Ordering::Relaxed) != made {
                    self.used.store(made, Ordering::Relaxed);
                }
                Some(Some(value.clone()))
            }
        }
    }

    fn set(&self, state: State<T>) {
        let before = std::mem::replace(&mut *self.state.write().unwrap_or_else(PoisonError::into_inner), state);
        drop(before);
    }
}

/// The values that are there.
pub(super) struct Kept<T> {
    bytes_max: u64,
    /// Values made so far.
    made: AtomicU64,
    slots: Mutex<Vec<(Weak<Slot<T>>, u64)>>,
}

impl<T> Kept<T> {
    pub(super) const fn new(bytes_max: u64) -> Self {
        Self { bytes_max, made: AtomicU64::new(0), slots: Mutex::new(Vec::new()) }
    }

    /// The value of `slot`, which is made of so many bytes if it is not there.
    pub(super) fn get_or_make<E>(&self, slot: &Arc<Slot<T>>, make: impl FnOnce() -> Result<(T, u64), E>) -> Result<Option<Arc<T>>, E> {
        let _making = slot.making.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(known) = slot.get(self) {
            return Ok(known);
        }
        match make() {
            Ok((value, bytes)) => {
                let value = Arc::new(value);
                slot.used.store(self.made.fetch_add(1, Ordering::Relaxed) + 1, Ordering::Relaxed);
                slot.set(State::Made(value.clone()));
                self.keep(slot, bytes);
                Ok(Some(value))
            }
            Err(error) => {
                slot.set(State::Refused);
                Err(error)
            }
        }
    }

    /// Drops what was unused for longest until `slot` fits beside the rest.
    fn keep(&self, slot: &Arc<Slot<T>>, bytes: u64) {
        let mut slots = self.slots.lock().unwrap_or_else(PoisonError::into_inner);
        slots.retain(|(slot, _)| slot.strong_count() > 0);
        slots.push((Arc::downgrade(slot), bytes));
        let mut sum: u64 = slots.iter().map(|(_, bytes)| bytes).sum();
        while sum > self.bytes_max {
            let is_other = |kept: &Weak<Slot<T>>| !std::ptr::eq(kept.as_ptr(), Arc::as_ptr(slot));
            let used = |kept: &Weak<Slot<T>>| kept.upgrade().map_or(0, |kept| kept.used.load(Ordering::Relaxed));
            let others = slots.iter().enumerate().filter(|(_, (kept, _))| is_other(kept));
            let Some((oldest, _)) = others.min_by_key(|(_, (kept, _))| used(kept)) else { break };
            let (oldest, bytes) = slots.swap_remove(oldest);
            sum -= bytes;
            if let Some(oldest) = oldest.upgrade() {
                oldest.set(State::Empty);
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_value_unused_for_longest_is_dropped_and_made_again() {
        let kept = Kept::new(10);
        let slots: Vec<_> = (0..4).map(|_| Arc::new(Slot::new())).collect();
        let make = |place: usize, bytes| kept.get_or_make(&slots[place], || Ok::<_, ()>((place, bytes))).unwrap().unwrap();
        let there = || slots.iter().map(|slot| slot.get(&kept).is_some()).collect::<Vec<_>>();
        make(0, 3);
        make(1, 3);
        make(2, 3);
        assert!(slots[0].get(&kept).is_some(), "it is used again");
        make(3, 3);
        assert_eq!(there(), [true, false, true, true], "12 bytes are too many");
        make(1, 100);
        assert_eq!(there(), [false, true, false, false], "one alone may be larger than all of them should be");
        assert_eq!(*make(0, 3), 0, "it is made again");
        assert_eq!(there(), [true, false, false, false]);
        // What can't be made is not tried again.
        let broken = Arc::new(Slot::<usize>::new());
        assert!(kept.get_or_make(&broken, || Err(())).is_err());
        assert_eq!(kept.get_or_make(&broken, || -> Result<(usize, u64), ()> { panic!("it was refused before") }), Ok(None));
        drop(slots);
        make_last(&kept);
    }

    fn make_last(kept: &Kept<usize>) {
        let slot = Arc::new(Slot::new());
        kept.get_or_make(&slot, || Ok::<_, ()>((1, 1))).unwrap();
        assert_eq!(kept.slots.lock().unwrap().len(), 1, "nothing is kept of schemas that are gone");
    }
}
