//! Tells those who watch of what was committed.

use std::sync::Mutex;
use std::sync::atomic::{AtomicUsize, Ordering};

use rustc_hash::FxHashMap;
use tokio::sync::{broadcast, oneshot};

use crate::storage::RunEvent;

/// Events that a slow observer may lag behind before it loses some.
const EVENTS_KEPT: usize = 4_096;

pub(super) struct Watch {
    events: broadcast::Sender<RunEvent>,
    /// Who waits for the end of which run.
    ends: Mutex<FxHashMap<i64, Vec<oneshot::Sender<()>>>>,
    /// How many runs are waited for: read without the lock, for every run that ends.
    awaited: AtomicUsize,
}

impl Default for Watch {
    fn default() -> Self {
        Self { events: broadcast::channel(EVENTS_KEPT).0, ends: Mutex::default(), awaited: AtomicUsize::new(0) }
    }
}

impl Watch {
    pub(super) fn subscribe(&self) -> broadcast::Receiver<RunEvent> {
        self.events.subscribe()
    }

    /// Whether anybody listens to events.
    pub(super) fn is_watched(&self) -> bool {
        self.events.receiver_count() > 0
    }

    pub(super) fn ended(&self, run: i64) -> oneshot::Receiver<()> {
        let (sender, receiver) = oneshot::channel();
        let mut ends = self.ends.lock().expect("nothing panics while it holds this");
        let waiters = ends.entry(run).or_default();
        // Whoever gave up leaves its sender behind.
        waiters.retain(|waiter| !waiter.is_closed());
        waiters.push(sender);
        self.awaited.store(ends.len(), Ordering::Release);
        receiver
    }

    pub(super) fn tell(&self, ended: Vec<i64>, events: Vec<RunEvent>) {
        if self.awaited.load(Ordering::Acquire) > 0 && !ended.is_empty() {
            let mut ends = self.ends.lock().expect("nothing panics while it holds this");
            let waiters: Vec<_> = ended.iter().filter_map(|run| ends.remove(run)).flatten().collect();
            self.awaited.store(ends.len(), Ordering::Release);
            drop(ends);
            waiters.into_iter().for_each(|waiter| _ = waiter.send(()));
        }
        // An error only says that nobody listens any more.
        events.into_iter().for_each(|event| drop(self.events.send(event)));
    }

    /// Lets everybody go who waits: the storage closes.
    pub(super) fn close(&self) {
        self.ends.lock().expect("nothing panics while it holds this").clear();
    }
}
