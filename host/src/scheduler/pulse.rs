//! Notices that time passed which the host did not live through: the machine slept, or its clock was set forward.
//!
//! Each worker asks here before every claim, and one of them at least once a second. From the moment a gap is noticed until the keeper has
//! marked the runs missed in it, nobody may claim: they would start as if they were merely late.

use std::sync::{Mutex, MutexGuard};
use std::time::Duration;

use tokio::sync::Notify;

use crate::clock::Clock;
use crate::model::{Gap, Timestamp, gap};

/// Two readings of the time further apart than this were not taken at one moment.
const MOMENT: Duration = Duration::from_millis(10);

/// The last sign of life, and the gap that is being dealt with.
pub(super) struct Pulse {
    beats: Mutex<Beats>,
    grace: Duration,
    noticed: Notify,
}

struct Beats {
    last: Reading,
    gap: Option<Gap>,
}

#[derive(Clone, Copy)]
struct Reading {
    wall: Timestamp,
    elapsed: Duration,
}

impl Pulse {
    /// Begins to beat now.
    pub(super) fn new(clock: &dyn Clock, grace: Duration) -> Self {
        Self { beats: Mutex::new(Beats { last: Reading::take(clock), gap: None }), grace, noticed: Notify::new() }
    }

    /// Looks at the clock: what is due by the time returned may be claimed. `None` while a gap is dealt with.
    pub(super) fn beat(&self, clock: &dyn Clock) -> Option<Timestamp> {
        let reading = Reading::take(clock);
        let mut beats = self.beats();
        // Another thread may have come here with a later reading; an older one says nothing.
        if let Some(passed) = reading.elapsed.checked_sub(beats.last.elapsed) {
            if let Some(gap) = gap(beats.last.wall, passed, reading.wall, self.grace) {
                beats.gap = Some(beats.gap.map_or(gap, |before| before.and(gap)));
                self.noticed.notify_one();
            }
            beats.last = reading;
        }
        // If the clock jumps from here on, the claim still has the time from before, and finds nothing of the gap.
        beats.gap.is_none().then_some(reading.wall)
    }

    /// The gap to deal with.
    pub(super) fn gap(&self) -> Option<Gap> {
        self.beats().gap
    }

    /// This gap was dealt with; false if another one was noticed meanwhile, and claims are still forbidden.
    pub(super) fn swept(&self, gap: Gap) -> bool {
        let mut beats = self.beats();
        if beats.gap == Some(gap) {
            beats.gap = None;
        }
        beats.gap.is_none()
    }

    /// Ends when a gap was noticed.
    pub(super) async fn noticed(&self) {
        self.noticed.notified().await;
    }

    fn beats(&self) -> MutexGuard<'_, Beats> {
        self.beats.lock().expect("nothing panics while it holds the pulse")
    }
}

impl Reading {
    /// Both times at one moment: when a manual clock moves between the two, the pair would look like a jump.
    fn take(clock: &dyn Clock) -> Self {
        loop {
            let before = clock.elapsed();
            let wall = clock.now();
            let elapsed = clock.elapsed();
            if elapsed - before < MOMENT {
                return Self { wall, elapsed };
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::clock::ManualClock;

    const GRACE: Duration = Duration::from_secs(60);

    #[test]
    fn passing_time_is_no_gap_and_a_jump_is() {
        let start = Timestamp::from_micros(1_000_000_000_000).unwrap();
        let clock = ManualClock::new(start);
        let pulse = Pulse::new(&clock, GRACE);

        clock.advance(Duration::from_secs(3600));
        assert_eq!(pulse.beat(&clock), Some(clock.now()));

        let before = clock.now();
        clock.step_to(before.saturating_add(GRACE * 2));
        assert_eq!(pulse.beat(&clock), None);
        assert_eq!(pulse.beat(&clock), None, "until it was dealt with");
        let gap = pulse.gap().unwrap();
        assert_eq!(gap, Gap { from: before, until: before.saturating_add(GRACE) });

        clock.step_to(clock.now().saturating_add(GRACE * 2));
        assert_eq!(pulse.beat(&clock), None);
        assert!(!pulse.swept(gap), "it has grown meanwhile");
        let grown = pulse.gap().unwrap();
        assert_eq!(grown, Gap { from: before, until: before.saturating_add(GRACE * 3) });
        assert!(pulse.swept(grown));

        clock.step_to(start);
        assert_eq!(pulse.beat(&clock), Some(start), "a step back is no gap");
    }
}
