//! Asks for a run, and the answer.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};
use serde_json::value::RawValue;

use super::Bytes;
use crate::model::{Invalid, Payload, RunId, Timestamp};

/// Asks for a run.
#[derive(Debug, Default, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct ScheduleRun {
    /// The task.
    pub task: String,
    /// Due at this moment.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub at: Option<String>,
    /// Due after this span.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub after: Option<String>,
    /// The input, as JSON.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub input: Option<Box<RawValue>>,
    /// The input, if it is not JSON.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub input_bytes: Option<Bytes>,
    /// What to find it by.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub metadata: BTreeMap<String, String>,
    /// What makes it unique.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub unique_key: Option<String>,
    /// Overrides the task's policy.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub max_attempts: Option<u32>,
    /// Overrides the task's policy.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub timeout: Option<String>,
    /// Overrides the task's policy.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub priority: Option<u8>,
}

impl ScheduleRun {
    /// The input, in whichever form it was given.
    pub fn payload(&self) -> Result<Payload, Invalid> {
        match (&self.input, &self.input_bytes) {
            (Some(_), Some(_)) => Err(Invalid::new("invalid-input", "input_bytes", "give either `input` or `input_bytes`, not both")),
            (Some(json), None) => Payload::json(json.get().as_bytes(), "input"),
            (None, Some(bytes)) => bytes.to_payload("input_bytes"),
            (None, None) => Ok(Payload::null()),
        }
    }
}

/// A run that was scheduled.
#[derive(Debug, Serialize, Deserialize)]
pub struct Scheduled {
    /// Its id.
    pub id: RunId,
    /// When it becomes due.
    pub trigger_at: Timestamp,
    /// False if an equal run under the same unique key was there already.
    pub created: bool,
}
