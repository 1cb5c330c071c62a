//! When runs were missed: their time passed while no host was running.
//!
//! The scheduler asks once when it starts, and then whenever it looks at the clock, because a machine that slept, or whose
//! clock was set forward, was as good as off.

use std::time::Duration;

use super::Timestamp;

/// A span during which no host was running.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Gap {
    /// The host was alive until then.
    pub from: Timestamp,
    /// What became due later than this is within the grace, and runs.
    pub until: Timestamp,
}

impl Gap {
    /// The smallest gap that covers both.
    pub fn and(self, other: Self) -> Self {
        Self { from: self.from.min(other.from), until: self.until.max(other.until) }
    }
}

/// The gap that is noticed at `now` by a host that was alive at `last`, `passed` ago as far as it could count: not at all if it
/// starts only now.
///
/// A clock that was set back leaves no gap: nothing became due in between, and what ran is not due again.
pub fn gap(last: Timestamp, passed: Duration, now: Timestamp, grace: Duration) -> Option<Gap> {
    let unnoticed = now.since(last.saturating_add(passed));
    (unnoticed > grace).then(|| Gap { from: last, until: now.saturating_sub(grace) })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn gaps() {
        let at = |seconds: i64| Timestamp::from_micros(seconds * 1_000_000).unwrap();
        for (case, last, passed, now, expected) in [
            ("nothing happened", 1000, 0, 1000, None),
            ("a second was counted", 1000, 1, 1001, None),
            ("a long wait was counted", 1000, 3600, 4600, None),
            ("a restart within the grace", 1000, 0, 1060, None),
            ("a restart just beyond it", 1000, 0, 1061, Some((1000, 1001))),
            ("a night off", 1000, 0, 31_000, Some((1000, 30_940))),
            ("the machine slept for an hour", 1000, 1, 4601, Some((1000, 4541))),
            ("the clock was set forward by less than the grace", 1000, 1, 1031, None),
            ("the clock was set back", 1000, 1, 400, None),
            ("the clock was set back while a long wait was counted", 1000, 500, 1001, None),
        ] {
            let expected = expected.map(|(from, until)| Gap { from: at(from), until: at(until) });
            assert_eq!(gap(at(last), Duration::from_secs(passed), at(now), Duration::from_secs(60)), expected, "{case}");
        }
    }
}
