//! How long runs are kept after they have ended.

use std::time::Duration;

use super::Invalid;
use super::limits::{RETENTION_AGE_MAX, RETENTION_COUNT_MAX};

/// What is kept of a task's ended runs, with their inputs, outputs and logs. Whatever is beyond either bound is deleted.
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
}
