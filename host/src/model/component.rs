//! Components, and what they say of their tasks.

use super::{CronSettings, CronSpec, Digest, InputSchema, Invalid, Metadata, Name, Payload, PolicySettings, Timestamp, ZoneDatabase};

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
    /// What it does. It begins as `start` says.
    spec: CronSpec,
    /// When it begins; `None`: when it is stored.
    start: Option<Timestamp>,
}

impl CodeCron {
    /// A cron of `task` that `key` tells from the task's other ones.
    pub fn new(task: &Name, key: &str, settings: CronSettings, zones: &ZoneDatabase) -> Result<Self, Invalid> {
        let (name, start) = (Name::parse(&format!("{task}.{key}"), "cron")?, settings.start);
        Ok(Self { name, start, spec: settings.create(task.clone(), Timestamp::MIN, zones)? })
    }

    /// What its runs are given.
    pub fn input(&self) -> &Payload {
        &self.spec.input
    }

    /// What its runs can be found by.
    pub fn metadata(&self) -> &Metadata {
        &self.spec.metadata
    }

    /// What it does, if it is stored at `now`: one that says no other time counts from then on.
    pub fn spec(&self, now: Timestamp) -> CronSpec {
        CronSpec { rule: self.spec.rule.clone().starting(self.start.unwrap_or(now)), ..self.spec.clone() }
    }
}
