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
    /// What the guest wrote, with U+FFFD in place of what is not UTF-8.
    pub log: String,
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
        }
    }
}

/// The attempts of a run, oldest first.
#[derive(Debug, Serialize, Deserialize)]
pub struct Attempts {
    /// The attempts.
    pub attempts: Vec<Attempt>,
}
