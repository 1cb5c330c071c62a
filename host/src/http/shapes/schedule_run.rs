//! Asks for a run, and the answer.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};
use serde_json::value::RawValue;

use super::{Bytes, written};
use crate::model::{self, Invalid, Payload, RunId, Timestamp};

/// Asks for a run.
#[derive(Debug, Default, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct ScheduleRun {
    /// The task.
    pub task: String,
    /// Due at this moment.
    #[serde(default, deserialize_with = "written::optional", skip_serializing_if = "Option::is_none")]
    pub at: Option<String>,
    /// Due after this span.
    #[serde(default, deserialize_with = "written::optional", skip_serializing_if = "Option::is_none")]
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
    /// What to do if the key is held: `existing` (the default), `reject` or `replace`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub unique_mode: Option<String>,
    /// For how long after the run's end the key is held.
    #[serde(default, deserialize_with = "written::optional", skip_serializing_if = "Option::is_none")]
    pub unique_for: Option<String>,
    /// Due this long after the last request under the key, instead of `at` or `after`.
    #[serde(default, deserialize_with = "written::optional", skip_serializing_if = "Option::is_none")]
    pub debounce: Option<String>,
    /// But not later than this after the first; the tenfold of `debounce` unless it is given.
    #[serde(default, deserialize_with = "written::optional", skip_serializing_if = "Option::is_none")]
    pub debounce_max: Option<String>,
    /// Overrides the task's policy.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub max_attempts: Option<u32>,
    /// Overrides the task's policy.
    #[serde(default, deserialize_with = "written::optional", skip_serializing_if = "Option::is_none")]
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
            (Some(json), None) => Payload::raw_json(json, "input"),
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
    /// False if a run was there already under the same key: one of an equal request, or one that was postponed.
    pub created: bool,
    /// That run; missing if the run is new.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub existing: Option<Existing>,
}

/// The run that a request found under its key.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Existing {
    /// Its id.
    pub id: RunId,
    /// Its status, or `deleted`.
    pub status: String,
    /// Why it has that status: a stable code.
    pub reason: Option<String>,
    /// When it becomes, or became, due.
    pub trigger_at: Timestamp,
    /// When it ended; null while it has not.
    pub ended_at: Option<Timestamp>,
    /// Until when it holds the key; null while it has not ended, because the span counts from its end.
    pub key_held_until: Option<Timestamp>,
}

impl From<&model::Existing> for Existing {
    fn from(existing: &model::Existing) -> Self {
        Self {
            id: existing.run,
            status: existing.status_str().into(),
            reason: existing.reason.as_deref().map(Into::into),
            trigger_at: existing.trigger_at,
            ended_at: existing.ended_at,
            key_held_until: existing.held_until,
        }
    }
}
