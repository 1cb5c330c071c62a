//! Bounds how long the work at hand may hold its thread.
//!
//! The scheduler sets a limit around a read. The connections of the storage check the limit while SQLite executes a statement, and stop the
//! statement when the limit is over. This module is below both, because neither knows the other.

use std::cell::RefCell;
use std::time::Duration;

use crate::cancel::CancelSignal;
use crate::clock::stopwatch;

/// When the work of a thread is over.
struct TimeLimit {
    /// By [`stopwatch`].
    until: Duration,
    /// Set when nobody waits for the result any more.
    cancel: Option<CancelSignal>,
}

thread_local! {
    static LIMIT: RefCell<Option<TimeLimit>> = const { RefCell::new(None) };
}

/// Runs `work` on this thread. [`is_over`] returns `true` to the work after `span`, or when `cancel` is set. An outer limit holds again
/// afterwards.
pub(crate) fn within<R>(span: Duration, cancel: Option<CancelSignal>, work: impl FnOnce() -> R) -> R {
    /// Restores the outer limit, also when `work` panics.
    struct Restore(Option<TimeLimit>);
    impl Drop for Restore {
        fn drop(&mut self) {
            LIMIT.set(self.0.take());
        }
    }
    let _outer = Restore(LIMIT.replace(Some(TimeLimit { until: stopwatch().saturating_add(span), cancel })));
    work()
}

/// Whether the work at hand must stop. Always `false` for work without a limit.
pub(crate) fn is_over() -> bool {
    LIMIT.with_borrow(|limit| {
        limit.as_ref().is_some_and(|limit| limit.cancel.as_ref().is_some_and(CancelSignal::is_set) || stopwatch() >= limit.until)
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_limit_holds_for_its_work_only() {
        assert!(!is_over(), "work without a limit is never over");
        let cancel = CancelSignal::default();
        within(Duration::MAX, Some(cancel.clone()), || {
            assert!(!is_over());
            within(Duration::ZERO, None, || assert!(is_over(), "no time is left"));
            assert!(!is_over(), "the outer limit holds again");
            cancel.set();
            assert!(is_over(), "the result is not wanted any more");
        });
        assert!(std::panic::catch_unwind(|| within(Duration::ZERO, None, || panic!("as a read may"))).is_err());
        assert!(!is_over());
    }
}
