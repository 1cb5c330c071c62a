//! The slots of the host, and how many of them the attempts of each namespace hold.
//!
//! A slot is held by a [`Claim`](super::Claim), and given back as that is dropped: when the attempt has ended, before its outcome is committed. Counting
//! takes no lock. Which namespace may take one, [`Shares`] says; while only one namespace has tasks, it may take all of them.

use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, OnceLock};

use crate::model::{Ask, Shares};

/// All slots of one host.
#[derive(Default)]
pub(super) struct Slots {
    /// `None` until it is known how many there are: then there is no bound.
    shares: OnceLock<Shares>,
    taken: AtomicU64,
    /// Whether several namespaces have tasks.
    shared: AtomicBool,
    /// Whether a namespace has due runs that wait for a slot to be given back.
    awaited: AtomicBool,
    wake: OnceLock<Box<dyn Fn() + Send + Sync>>,
}

/// The slots that one namespace holds.
#[derive(Default)]
pub(super) struct Held(AtomicU64);

impl Held {
    /// How many.
    pub(super) fn count(&self) -> u64 {
        self.0.load(Ordering::SeqCst)
    }
}

/// A slot of the host. It is free again when this is dropped.
#[must_use = "the slot is given back at once"]
pub struct Slot {
    slots: Arc<Slots>,
    held: Arc<Held>,
}

impl std::fmt::Debug for Slot {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Slot")
    }
}

impl Slots {
    /// Sets how many there are. May be called once.
    pub(super) fn set_total(&self, total: usize) {
        if self.shares.set(Shares::new(total as u64, 1)).is_err() {
            tracing::warn!("the number of slots was set before, and stays");
        }
    }

    /// Sets whether several namespaces have tasks.
    pub(super) fn set_shared(&self, shared: bool) {
        if self.shared.swap(shared, Ordering::SeqCst) && !shared {
            // The runs that wait may take the rest.
            self.awaited.store(false, Ordering::SeqCst);
            self.wake();
        }
    }

    /// Sets what is called when runs may start earlier than was known.
    pub(super) fn on_wake(&self, wake: Box<dyn Fn() + Send + Sync>) {
        if self.wake.set(wake).is_err() {
            tracing::warn!("a second observer of due runs is ignored");
        }
    }

    pub(super) fn wake(&self) {
        if let Some(wake) = self.wake.get() {
            wake();
        }
    }

    /// Whether a namespace that holds these may take one more.
    pub(super) fn may_take(&self, held: &Held) -> bool {
        let Some(shares) = self.shares.get().filter(|_| self.shared.load(Ordering::SeqCst)) else { return true };
        shares.admits(Ask { amount: 1, own: 0, namespace: held.count(), all: self.taken.load(Ordering::SeqCst) })
    }

    /// The same; if it may not, whoever gives a slot back wakes the workers.
    pub(super) fn may_take_or_await(&self, held: &Held) -> bool {
        // A slot that is given back between the look and the flag would wake nobody: so there is another look after the flag.
        self.may_take(held) || {
            self.awaited.store(true, Ordering::SeqCst);
            self.may_take(held)
        }
    }

    /// Whether nothing was given back since somebody began to wait.
    pub(super) fn is_awaited(&self) -> bool {
        self.awaited.load(Ordering::SeqCst)
    }

    /// Takes one.
    pub(super) fn take(self: &Arc<Self>, held: &Arc<Held>) -> Slot {
        self.taken.fetch_add(1, Ordering::SeqCst);
        held.0.fetch_add(1, Ordering::SeqCst);
        Slot { slots: self.clone(), held: held.clone() }
    }
}

impl Drop for Slot {
    fn drop(&mut self) {
        self.held.0.fetch_sub(1, Ordering::SeqCst);
        self.slots.taken.fetch_sub(1, Ordering::SeqCst);
        if self.slots.awaited.load(Ordering::SeqCst) && self.slots.awaited.swap(false, Ordering::SeqCst) {
            self.slots.wake();
        }
    }
}
