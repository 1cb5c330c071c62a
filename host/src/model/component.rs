//! Components, and what they say of their tasks.

use super::{CronRule, CronSpec, Digest, InputSchema, Invalid, Metadata, Name, Payload, PolicySettings, Timestamp};

/// A component as it is stored.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Component {
    /// The address of its bytes.
    pub digest: Digest,
    /// The `.wasm` file.
    pub wasm: Vec<u8>,
}

/// What a component's `describe` says of one task. `None` leaves the host's default.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct TaskDefinition {
    /// The task's name.
    pub name: Name,
    /// What it does, in a sentence.
    pub description: Option<String>,
    /// The JSON Schema of its input.
    pub input_schema: Option<InputSchema>,
    /// How its runs should be treated.
    pub policy: PolicySettings,
    /// Runs at fixed times that the code declares.
    pub schedules: Vec<CodeSchedule>,
    /// Crons that the code declares.
    pub crons: Vec<CodeCron>,
}

impl TaskDefinition {
    /// A task with nothing but a name.
    pub fn new(name: Name) -> Self {
        Self { name, description: None, input_schema: None, policy: PolicySettings::default(), schedules: Vec::new(), crons: Vec::new() }
    }
}

/// A run at a fixed time that a component's code declares.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct CodeSchedule {
    /// Tells it from the task's other schedules.
    pub key: String,
    /// When.
    pub at: Timestamp,
    /// With what.
    pub input: Payload,
}

/// A cron that a component's code declares.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct CodeCron {
    /// Its name: that of the task and its key.
    pub name: Name,
    /// When it fires.
    pub rule: CronRule,
    /// What its runs are given.
    pub input: Payload,
}

impl CodeCron {
    /// A cron of `task` that `key` tells from the task's other ones.
    pub fn new(task: &Name, key: &str, rule: CronRule, input: Payload) -> Result<Self, Invalid> {
        Ok(Self { name: Name::parse(&format!("{task}.{key}"), "cron")?, rule, input })
    }

    /// What it does, counted from `start` on.
    pub fn spec(&self, task: &Name, start: Timestamp) -> CronSpec {
        CronSpec {
            task: task.clone(),
            rule: self.rule.clone().starting(start),
            max_count: None,
            input: self.input.clone(),
            metadata: Metadata::default(),
            priority: None,
            missed: None,
        }
    }
}
