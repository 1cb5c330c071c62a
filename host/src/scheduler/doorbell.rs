//! How a worker thread is woken.
//!
//! A thread is rung for two reasons that it treats differently: one of its attempts can go on, or it should look for due
//! runs. Rung by wakers of attempts and by [`Crew`](super::crew::Crew); waited at by its worker only.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::task::Wake;
use std::thread::Thread;
use std::time::Duration;

/// The doorbell of one thread. As a [`Waker`](std::task::Waker), it rings for attempts.
pub(super) struct Doorbell {
    thread: Thread,
    attempts: AtomicBool,
    look: AtomicBool,
}

/// How long a thread waits at its doorbell.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Wait {
    /// Until it is rung.
    Forever,
    /// Until it is rung, or this much of the machine's own time has passed.
    AtMost(Duration),
}

impl Doorbell {
    pub(super) fn new(thread: Thread) -> Self {
        Self { thread, attempts: AtomicBool::new(false), look: AtomicBool::new(false) }
    }

    /// An attempt can go on.
    pub(super) fn ring_attempts(&self) {
        self.ring(&self.attempts);
    }

    /// Look for due runs, and at who leads.
    pub(super) fn ring_look(&self) {
        self.ring(&self.look);
    }

    /// Whether an attempt can go on; asked before polling them, so that what rings meanwhile is seen the next time.
    pub(super) fn take_attempts(&self) -> bool {
        self.attempts.swap(false, Ordering::Acquire)
    }

    /// Forgets that it should look; called before looking, for the same reason.
    pub(super) fn take_look(&self) {
        self.look.swap(false, Ordering::Acquire);
    }

    /// Waits until it is rung, if it was not already. May end without a ring. Called by its own thread.
    pub(super) fn wait(&self, wait: Wait) {
        // The flags, not the thread's park token, say whether it was rung: whatever else parks on this thread (a lock, a channel
        // in a host call) may have taken the token. From here to the park nothing does.
        if self.attempts.load(Ordering::Acquire) || self.look.load(Ordering::Acquire) {
            return;
        }
        match wait {
            Wait::Forever => std::thread::park(),
            Wait::AtMost(span) => std::thread::park_timeout(span),
        }
    }

    fn ring(&self, flag: &AtomicBool) {
        // Whoever set the flag first unparks; until the thread has taken the flag it does not park again.
        if !flag.swap(true, Ordering::AcqRel) {
            self.thread.unpark();
        }
    }
}

impl Wake for Doorbell {
    fn wake(self: Arc<Self>) {
        self.ring_attempts();
    }

    fn wake_by_ref(self: &Arc<Self>) {
        self.ring_attempts();
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_ring_before_the_wait_is_not_lost() {
        let bell = Doorbell::new(std::thread::current());
        bell.ring_look();
        // Somebody else's park takes the token; the flag still says it.
        std::thread::park();
        bell.wait(Wait::Forever);
        bell.take_look();
        bell.ring_attempts();
        bell.wait(Wait::Forever);
        assert!(bell.take_attempts() && !bell.take_attempts());
    }

    #[test]
    fn a_ring_ends_the_wait() {
        let bell = Arc::new(Doorbell::new(std::thread::current()));
        let ringer = std::thread::spawn({
            let bell = bell.clone();
            move || bell.ring_attempts()
        });
        while !bell.take_attempts() {
            bell.wait(Wait::Forever);
        }
        ringer.join().unwrap();
    }
}
