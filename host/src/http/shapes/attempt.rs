//! The attempts of a run, with their logs.

use serde::{Deserialize, Serialize};

use crate::model::{self, Timestamp};

/// One attempt of a run.
#[derive(Debug, Serialize, Deserialize)]
pub struct Attempt {
    /// 1 for the first.
    pub number: u32,
    /// The component it executed.
    pub digest: Option<String>,
    /// When its guest was started.
    pub started_at: Timestamp,
    /// When it ended.
    pub finished_at: Option<Timestamp>,
    /// How it ended.
    pub outcome: Option<String>,
    /// What the failure said.
    pub message: Option<String>,
    /// What the guest wrote, with U+FFFD in place of what is not UTF-8. Empty if it was dropped.
    pub log: String,
    /// How many bytes of its log were dropped: of a run, the last 1 MiB is kept.
    pub log_dropped: u64,
}

impl From<model::Attempt> for Attempt {
    fn from(attempt: model::Attempt) -> Self {
        Self {
            number: attempt.number,
            digest: attempt.digest.map(|digest| digest.to_string()),
            started_at: attempt.started_at,
            finished_at: attempt.finished_at,
            outcome: attempt.outcome.map(Into::into),
            message: attempt.message,
            log: String::from_utf8_lossy(&attempt.log).into_owned(),
            log_dropped: attempt.log_dropped,
        }
    }
}

/// A page of the attempts of a run, oldest first.
#[derive(Debug, Serialize, Deserialize)]
pub struct Attempts {
    /// The attempts.
    pub attempts: Vec<Attempt>,
    /// How many of the run's first attempts are not kept any more: of a run, the last 20 are kept.
    pub attempts_dropped: u32,
    /// Where the next page begins: the last number of this one; null on the last page.
    pub next: Option<u32>,
}

impl From<model::AttemptPage> for Attempts {
    fn from(page: model::AttemptPage) -> Self {
        Self { attempts: page.attempts.into_iter().map(Into::into).collect(), attempts_dropped: page.dropped, next: page.next }
    }
}
