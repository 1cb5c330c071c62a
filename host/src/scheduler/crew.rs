//! What the worker threads share: who is idle, whether claims may be made, and how all of it is stopped.
//!
//! Storage and the clock ring here when there may be something to do. Knows neither runs nor attempts.
//!
//! **Why no wake-up is lost.** A thread enters the roster *first* and looks for due runs *then*; storage makes a run due first and
//! calls [`look`](Crew::look) then. Both pass through the roster's lock. If the thread entered before `look` came, `look` rings whoever
//! leads; if after, the thread's own look, which follows, sees the run. The leader that is rung either looks, or leaves the
//! roster for work of its own and thereby rings a follower, which looks. When nobody is idle nobody needs to be rung:
//! each busy thread enters and looks before it waits.

use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, MutexGuard};
use std::thread::Thread;

use super::doorbell::Doorbell;
use super::roster::Roster;
use super::watchdog::Watchdog;
use crate::storage::CancelSignal;

/// The worker threads as a whole.
pub(super) struct Crew {
    roster: Mutex<Roster>,
    doorbells: Vec<Arc<Doorbell>>,
    /// Notices when the host was down or the clock was set forward, and forbids claims until the runs missed thereby are marked.
    pub(super) watchdog: Arc<Watchdog>,
    stopping: AtomicBool,
    /// Ends every attempt in flight at once.
    pub(super) shut_down: CancelSignal,
}

impl Crew {
    pub(super) fn new(threads: impl IntoIterator<Item = Thread>, watchdog: Arc<Watchdog>) -> Self {
        let doorbells = threads.into_iter().map(|thread| Arc::new(Doorbell::new(thread))).collect();
        Self { roster: Mutex::default(), doorbells, watchdog, stopping: AtomicBool::new(false), shut_down: CancelSignal::default() }
    }

    /// The doorbell of this thread.
    pub(super) fn doorbell(&self, thread: usize) -> &Arc<Doorbell> {
        &self.doorbells[thread]
    }

    /// This thread has nothing to do. It must look for due runs once more before it waits.
    pub(super) fn enter(&self, thread: usize) {
        self.roster().enter(thread);
    }

    /// This thread has work. If it led, another one leads from now on.
    pub(super) fn leave(&self, thread: usize) {
        let promoted = self.roster().leave(thread);
        if let Some(promoted) = promoted {
            self.doorbells[promoted].ring_look();
        }
    }

    /// Whether it is this thread that waits for the next due time.
    pub(super) fn leads(&self, thread: usize) -> bool {
        self.roster().leader() == Some(thread)
    }

    /// Has one idle thread look for due runs, because something changed.
    pub(super) fn look(&self) {
        let leader = self.roster().leader();
        if let Some(leader) = leader {
            self.doorbells[leader].ring_look();
        }
    }

    /// Whether nothing more is to be claimed.
    pub(super) fn is_stopping(&self) -> bool {
        self.stopping.load(Ordering::Acquire)
    }

    /// Claims nothing more: each thread ends once its attempts have.
    pub(super) fn stop(&self) {
        self.stopping.store(true, Ordering::Release);
        self.doorbells.iter().for_each(|doorbell| doorbell.ring_look());
    }

    fn roster(&self) -> MutexGuard<'_, Roster> {
        self.roster.lock().expect("nothing panics while it holds the roster")
    }
}
