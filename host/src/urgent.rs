//! Wakes an attempt ahead of the others on its thread.
//!
//! On a thread where many attempts compute, each waits for its turn: with hundreds of them, most of a second. An attempt whose time is over must
//! not wait for that long to be ended. The scheduler sets the urgent waker of the attempt that it polls, and the executor gives it to the alarms
//! that end attempts. This module is below both, because neither knows the other.

use std::cell::RefCell;
use std::task::{Context, Waker};

thread_local! {
    static URGENT: RefCell<Option<Waker>> = const { RefCell::new(None) };
}

/// Polls an attempt whose urgent waker this is.
pub(crate) fn polled_with<R>(urgent: &Waker, poll: impl FnOnce() -> R) -> R {
    /// Forgets the waker, also when the attempt panics.
    struct Forget;
    impl Drop for Forget {
        fn drop(&mut self) {
            URGENT.set(None);
        }
    }
    URGENT.set(Some(urgent.clone()));
    let _forget = Forget;
    poll()
}

/// The urgent waker of the attempt that is polled; its ordinary one if its thread has no other.
pub(crate) fn waker(context: &Context<'_>) -> Waker {
    URGENT.with_borrow(|urgent| urgent.clone()).unwrap_or_else(|| context.waker().clone())
}
