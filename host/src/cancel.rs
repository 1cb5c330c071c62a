//! How an attempt in flight learns that its run is to be cancelled.
//!
//! Set by storage when the request is durable, waited for by the executor: it stands below both, as neither knows the other.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

/// Says to an attempt in flight that its run is to be cancelled. Cheap to clone; clones share the signal.
#[derive(Clone, Debug, Default)]
pub struct CancelSignal(Arc<State>);

#[derive(Debug, Default)]
struct State {
    set: AtomicBool,
    notify: tokio::sync::Notify,
}

impl CancelSignal {
    /// Asks for the end.
    pub fn set(&self) {
        self.0.set.store(true, Ordering::Release);
        self.0.notify.notify_waiters();
    }

    /// Whether the end was asked for.
    pub fn is_set(&self) -> bool {
        self.0.set.load(Ordering::Acquire)
    }

    /// Ends when the end is asked for.
    pub async fn wait(&self) {
        loop {
            // Register before looking, so that a signal between the two is not lost.
            let notified = self.0.notify.notified();
            if self.is_set() {
                return;
            }
            notified.await;
        }
    }
}
