//! A registered task, and the answer to a registration.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};
use serde_json::value::RawValue;

use crate::model::{self, Timestamp, format_duration};

/// A registered task.
#[derive(Debug, Serialize, Deserialize)]
pub struct Task {
    /// What callers name.
    pub name: String,
    /// What it does.
    pub description: Option<String>,
    /// The component behind it.
    pub digest: String,
    /// What that may do.
    pub grants: Vec<String>,
    /// The JSON Schema of its input.
    pub input_schema: Option<Box<RawValue>>,
    /// Failed attempts after which a run fails.
    pub max_attempts: u32,
    /// Upper bound of the first retry's delay.
    pub retry_delay: String,
    /// Upper bound of every retry's delay.
    pub retry_delay_max: String,
    /// Longest attempt.
    pub timeout: String,
    /// 1 to 3.
    pub priority: u8,
    /// Everything that holds of its policy, each field as the text that sets it.
    #[serde(default)]
    pub policy: BTreeMap<String, String>,
    /// What of this the operator says, and not the component.
    #[serde(default)]
    pub overrides: BTreeMap<String, String>,
    /// Set while it is paused: its runs wait.
    #[serde(default)]
    pub pause: Option<model::Pause>,
    /// When it was first registered.
    pub created_at: Timestamp,
    /// When it was last registered.
    pub updated_at: Timestamp,
}

impl Task {
    /// A task as it stands at `now`: a pause that has ended is none.
    pub fn of(task: &model::Task, now: Timestamp) -> Self {
        let retry = &task.policy.retry;
        Self {
            name: task.name.to_string(),
            description: task.description.clone(),
            digest: task.digest.to_string(),
            grants: task.grants.iter().map(ToString::to_string).collect(),
            input_schema: task.input_schema.as_ref().and_then(|schema| RawValue::from_string(schema.as_str().into()).ok()),
            max_attempts: retry.max_attempts,
            retry_delay: format_duration(retry.base),
            retry_delay_max: format_duration(retry.max),
            timeout: format_duration(task.policy.timeout),
            priority: task.policy.priority,
            // An override may say what has no effect as long as something else is not said.
            policy: texts(task.overrides.entries().into_iter().chain(task.policy.entries())),
            overrides: texts(task.overrides.entries().into_iter()),
            pause: task.pause.clone().filter(|pause| pause.holds(now)),
            created_at: task.created_at,
            updated_at: task.updated_at,
        }
    }
}

fn texts(entries: impl Iterator<Item = (&'static str, String)>) -> BTreeMap<String, String> {
    entries.map(|(field, text)| (field.into(), text)).collect()
}

/// The registered tasks, in order of name.
#[derive(Debug, Serialize, Deserialize)]
pub struct Tasks {
    /// The tasks.
    pub tasks: Vec<Task>,
}

/// A component that was registered.
#[derive(Debug, Serialize, Deserialize)]
pub struct Registered {
    /// The SHA-256 of its bytes.
    pub digest: String,
    /// Its tasks.
    pub tasks: Vec<Task>,
}
