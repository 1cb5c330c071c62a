//! The threads that execute attempts.
//!
//! A worker takes due runs from storage by itself and polls their attempts by itself, so that between a due time and the guest's
//! first instruction lie one wake-up of a thread and nothing else: no timer of a runtime, no queue, no poll at intervals.
//! It decides nothing about runs (`attempt.rs`), and nothing about who waits for what (`crew.rs`).

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::task::{Context, Poll, Waker};
use std::time::Duration;

use futures_util::FutureExt;
use futures_util::stream::{FuturesUnordered, StreamExt};

use super::attempt::Attempts;
use super::cpu_bound::{Attempt, CpuBound, OnWorker};
use super::crew::Crew;
use super::doorbell::{Doorbell, Wait};
use crate::clock::Clock;
use crate::model::Timestamp;
use crate::storage::Storage;

/// Runs claimed at once: enough to spare the lock, few enough that the other threads get their share of a burst.
const CLAIMS_MAX: usize = 16;
/// Longest wait for a time, so that a clock that was set forward by less than the grace starts what is due within a second.
const WAIT_MAX: Duration = Duration::from_secs(1);

/// One thread's part of the work.
pub(super) struct Worker {
    /// Its number in the crew.
    pub(super) number: usize,
    /// Attempts that it may have in flight.
    pub(super) capacity: usize,
    pub(super) crew: Arc<Crew>,
    pub(super) attempts: Arc<Attempts>,
    pub(super) storage: Arc<dyn Storage>,
    pub(super) clock: Arc<dyn Clock>,
    /// Where attempts go on that compute for long.
    pub(super) cpu_bound: Arc<CpuBound>,
    /// Guests wait on timers and sockets of this runtime.
    pub(super) runtime: tokio::runtime::Handle,
}

impl Worker {
    /// Works until the crew is stopped and the attempts in flight have ended.
    pub(super) fn run(self) {
        let _context = self.runtime.enter();
        sharpen_timers();
        let doorbell = self.crew.doorbell(self.number);
        let waker = Waker::from(doorbell.clone());
        let mut context = Context::from_waker(&waker);
        let mut in_flight = FuturesUnordered::<OnWorker>::new();
        // Attempts of this thread that go on elsewhere.
        let away = Arc::new(AtomicUsize::new(0));
        // Whether this thread is in the roster. It is whenever it waits with room for more attempts.
        let mut idle = false;
        loop {
            doorbell.take_look();
            if doorbell.take_attempts() {
                // Whoever leads must be free to start what becomes due, and a guest may compute for a while now.
                self.busy(&mut idle);
                while let Poll::Ready(Some(attempt)) = in_flight.poll_next_unpin(&mut context) {
                    if let Some(attempt) = attempt {
                        self.hand_over(attempt, &away, doorbell);
                    }
                }
            }
            if self.crew.is_stopping() {
                if in_flight.is_empty() && away.load(Ordering::Acquire) == 0 {
                    return;
                }
                doorbell.wait(Wait::Forever);
                continue;
            }
            let room = (self.capacity - in_flight.len() - away.load(Ordering::Acquire)).min(CLAIMS_MAX);
            if room == 0 {
                // Not idle: what becomes due is for the others, or for when an attempt has ended.
                doorbell.wait(Wait::Forever);
                continue;
            }
            let due_by = self.crew.watchdog.beat();
            let claims = due_by.map_or_else(Vec::new, |due_by| self.storage.claim(room, due_by));
            if !claims.is_empty() {
                self.busy(&mut idle);
                for claim in claims {
                    // Most attempts end the first time they are polled, and then need no place among those in flight.
                    let mut attempt = OnWorker::new(self.attempts.clone().run(claim));
                    match attempt.poll_unpin(&mut context) {
                        Poll::Ready(None) => {}
                        Poll::Ready(Some(attempt)) => self.hand_over(attempt, &away, doorbell),
                        Poll::Pending => {
                            in_flight.push(attempt);
                            // So that it is polled there, and wakes only itself from then on.
                            doorbell.ring_attempts();
                        }
                    }
                }
                self.storage.nudge();
            } else if !idle {
                // Look once more now that others can see that this thread is idle, or what came just before would be missed.
                self.crew.enter(self.number);
                idle = true;
            } else if let Some(wait) = self.wait(due_by) {
                doorbell.wait(wait);
            }
        }
    }

    /// Has an attempt go on elsewhere. It still takes its place among those of this thread.
    fn hand_over(&self, attempt: Attempt, away: &Arc<AtomicUsize>, doorbell: &Arc<Doorbell>) {
        away.fetch_add(1, Ordering::AcqRel);
        let place = Away { count: away.clone(), doorbell: doorbell.clone() };
        self.cpu_bound.take(async move {
            let _place = place;
            attempt.await;
        });
    }

    /// Leaves the roster, before there is something to do.
    fn busy(&self, idle: &mut bool) {
        if std::mem::take(idle) {
            self.crew.leave(self.number);
        }
    }

    /// How long to wait after a look that found nothing due by `looked`; `None` if the time has come meanwhile.
    ///
    /// The leader never waits longer than a second: looks are also what makes storage bring what is due later into memory.
    fn wait(&self, looked: Option<Timestamp>) -> Option<Wait> {
        if !self.crew.leads(self.number) {
            return Some(Wait::Forever);
        }
        // While a gap is dealt with, the keeper rings when that is done.
        let Some(looked) = looked else { return Some(Wait::Forever) };
        let span = match self.storage.next_due() {
            Some(due) if due > looked => due.since(self.clock.now()).min(WAIT_MAX),
            // What is due and was not handed out is held back by storage, which rings when it no longer is.
            _ => WAIT_MAX,
        };
        (!span.is_zero()).then(|| self.clock.block_for(span).map_or(Wait::Forever, Wait::AtMost))
    }
}

/// The place of an attempt that goes on elsewhere.
struct Away {
    count: Arc<AtomicUsize>,
    doorbell: Arc<Doorbell>,
}

impl Drop for Away {
    fn drop(&mut self) {
        self.count.fetch_sub(1, Ordering::AcqRel);
        // There may have been no room for another one, or the thread waits for its last one to end.
        self.doorbell.ring_look();
    }
}

/// Has the kernel end this thread's waits on time: by default it may add 50 µs to join them with others.
fn sharpen_timers() {
    #[cfg(target_os = "linux")]
    // SAFETY: PR_SET_TIMERSLACK takes one integer, reads no memory, and concerns the calling thread only. If it fails, starts are
    // a little later.
    unsafe {
        libc::prctl(libc::PR_SET_TIMERSLACK, 1 as libc::c_ulong);
    }
}
