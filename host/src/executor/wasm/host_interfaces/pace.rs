//! Lets a call that does many small things give its thread to other attempts in between.

use std::time::Duration;

use crate::clock::stopwatch;

/// Time after which other attempts have their turn: as long as a guest computes at a time.
const TURN: Duration = Duration::from_millis(2);

/// How long a call has held its thread.
pub(super) struct Pace {
    since: Duration,
}

impl Pace {
    pub(super) fn new() -> Self {
        Self { since: stopwatch() }
    }

    /// Lets others have their turn, if it is time.
    pub(super) async fn keep(&mut self) {
        if stopwatch().saturating_sub(self.since) >= TURN {
            tokio::task::yield_now().await;
            self.since = stopwatch();
        }
    }
}
