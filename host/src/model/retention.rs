//! How long runs are kept after they have ended.

use std::time::Duration;

use super::limits::{RETENTION_AGE_MAX, RETENTION_COUNT_MAX};
use super::{Invalid, Status, Timestamp};

/// What is kept of a task's ended runs, with their inputs, outputs and logs. Whatever is beyond either bound is deleted, unless its unique
/// key is still held.
#[derive(Clone, Copy, Debug, PartialEq, Eq, serde::Serialize, serde::Deserialize)]
pub struct Retention {
    /// For so long after their end.
    #[serde(with = "super::retry::span")]
    pub age: Duration,
    /// So many; failed ones, which somebody may want to run again, are kept for `age` whatever their number.
    pub count: u64,
}

impl Default for Retention {
    fn default() -> Self {
        Self { age: Duration::from_secs(30 * 24 * 3600), count: 1_000_000 }
    }
}

impl Retention {
    /// Refuses what is beyond the limits.
    pub fn checked(self) -> Result<Self, Invalid> {
        if !(Duration::from_secs(1)..=RETENTION_AGE_MAX).contains(&self.age) {
            return Err(Invalid::new("invalid-retention", "keep-for", "ended runs are kept for 1s to 10 years")
                .seen(super::format_duration(self.age)));
        }
        if self.count > RETENTION_COUNT_MAX {
            return Err(
                Invalid::new("invalid-retention", "keep-last", format!("at most {RETENTION_COUNT_MAX} runs")).seen(self.count.to_string())
            );
        }
        Ok(self)
    }

    /// Whether a run is kept that has ended, `newer` others of its task that [count](Ended::counts) having been scheduled later.
    pub fn keeps(&self, ended: &Ended, newer: u64, now: Timestamp) -> bool {
        let is_held = ended.key_held_until.is_some_and(|until| until > now);
        let is_young = ended.at.saturating_add(self.age) > now;
        is_held || (is_young && (!ended.counts() || newer < self.count))
    }
}

/// A run that has ended, as far as it matters here.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Ended {
    /// How.
    pub status: Status,
    /// When.
    pub at: Timestamp,
    /// Until when it holds its unique key or an idempotency key, if it has one.
    pub key_held_until: Option<Timestamp>,
}

impl Ended {
    /// Whether it is one of those of which so many are kept. Failed ones are not: somebody may want to run them again.
    pub const fn counts(&self) -> bool {
        !matches!(self.status, Status::Failed)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_kept() {
        let at = |seconds: i64| Timestamp::from_micros(seconds * 1_000_000).unwrap();
        let retention = Retention { age: Duration::from_secs(50), count: 3 };
        for (case, status, ended, key, newer, kept) in [
            ("young and among the last", Status::Succeeded, 51, None, 2, true),
            ("young, but there are enough newer ones", Status::Succeeded, 99, None, 3, false),
            ("old", Status::Succeeded, 50, None, 0, false),
            ("failed, whatever the number", Status::Failed, 51, None, 1_000_000, true),
            ("failed, but old", Status::Failed, 50, None, 0, false),
            ("missed and cancelled ones count", Status::Missed, 99, None, 3, false),
            ("old, but its key is held", Status::Succeeded, 10, Some(101), 9, true),
            ("old, and its key is free", Status::Succeeded, 10, Some(100), 9, false),
        ] {
            let ended = Ended { status, at: at(ended), key_held_until: key.map(at) };
            assert_eq!(retention.keeps(&ended, newer, at(100)), kept, "{case}");
        }
    }
}
