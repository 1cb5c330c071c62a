//! A run as it is read, and a page of them.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};
use serde_json::value::RawValue;

use super::Bytes;
use super::bytes::embed;
use crate::model::{self, RunId, Timestamp};

/// A run as it stood when it was read.
#[derive(Debug, Serialize, Deserialize)]
pub struct Run {
    /// Its id.
    pub id: RunId,
    /// The task it executes.
    pub task: String,
    /// Where it stands.
    pub status: String,
    /// Why it stands there: a stable code.
    pub reason: Option<String>,
    /// The reason in words.
    pub message: Option<String>,
    /// When it becomes, or became, due.
    pub trigger_at: Timestamp,
    /// When the next attempt may start.
    pub due_at: Option<Timestamp>,
    /// When it was scheduled.
    pub created_at: Timestamp,
    /// When its last attempt started.
    pub started_at: Option<Timestamp>,
    /// When it ended.
    pub finished_at: Option<Timestamp>,
    /// How many attempts were started.
    pub attempts: u32,
    /// Whether somebody asked for it to be cancelled while it ran.
    pub cancel_requested: bool,
    /// 1 to 3.
    pub priority: u8,
    /// Who made it.
    pub origin: String,
    /// The run that scheduled it.
    pub parent: Option<RunId>,
    /// The run that its chain began with.
    pub root: Option<RunId>,
    /// What it can be found by.
    pub metadata: BTreeMap<String, String>,
    /// What makes it unique.
    pub unique_key: Option<String>,
    /// What its task is given, as JSON.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub input: Option<Box<RawValue>>,
    /// What its task is given, if it is not JSON.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub input_bytes: Option<Bytes>,
    /// What its task returned, as JSON.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub output: Option<Box<RawValue>>,
    /// What its task returned, if it is not JSON.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub output_bytes: Option<Bytes>,
    /// How far the attempt in flight says it has come.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub progress: Option<Progress>,
    /// Which occurrence of a cron it is.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub occurrence: Option<CronOccurrence>,
}

/// Which occurrence of a cron a run is.
#[derive(Debug, Serialize, Deserialize)]
pub struct CronOccurrence {
    /// The cron, if it is still there.
    pub cron: Option<String>,
    /// The rule's time; null for a run that was made by hand.
    pub planned_at: Option<Timestamp>,
    /// How many skipped occurrences it stands for.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub skipped: Option<u32>,
    /// The time of the last of them.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub skipped_until: Option<Timestamp>,
}

/// How far an attempt says it has come.
#[derive(Debug, Serialize, Deserialize)]
pub struct Progress {
    /// Units done.
    pub done: u64,
    /// Units in all; 0: unknown.
    pub total: u64,
    /// In words.
    pub note: String,
}

impl Run {
    /// Whether nothing will happen to it any more by itself.
    pub fn is_final(&self) -> bool {
        model::Status::parse(&self.status).is_ok_and(model::Status::is_final)
    }
}

impl From<model::Run> for Run {
    fn from(run: model::Run) -> Self {
        let (input, input_bytes) = embed(&run.input);
        let (output, output_bytes) = run.output.as_ref().map(embed).unwrap_or_default();
        Self {
            id: run.id,
            task: run.task.to_string(),
            status: run.status.as_str().into(),
            reason: run.reason.map(Into::into),
            message: run.message,
            trigger_at: run.trigger_at,
            due_at: run.due_at,
            created_at: run.created_at,
            started_at: run.started_at,
            finished_at: run.finished_at,
            attempts: run.attempts,
            cancel_requested: run.cancel_requested,
            priority: run.priority,
            origin: run.origin.as_str().into(),
            parent: run.parent,
            root: run.root,
            metadata: run.metadata.iter().map(|(key, value)| (key.into(), value.into())).collect(),
            unique_key: run.unique_key,
            input,
            input_bytes,
            output,
            output_bytes,
            occurrence: run.occurrence.map(|occurrence| CronOccurrence {
                cron: occurrence.cron.map(|name| name.to_string()),
                planned_at: occurrence.planned_at,
                skipped: occurrence.skipped.map(|(count, _)| count),
                skipped_until: occurrence.skipped.map(|(_, until)| until),
            }),
            progress: run.progress.map(|progress| Progress { done: progress.done, total: progress.total, note: progress.note }),
        }
    }
}

/// A page of runs.
#[derive(Debug, Serialize, Deserialize)]
pub struct RunPage {
    /// The runs.
    pub runs: Vec<Run>,
    /// The cursor of the next page; `None` on the last.
    pub next: Option<String>,
}
