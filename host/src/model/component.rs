//! Components, and what they say of their tasks.

use super::{Digest, InputSchema, Name, Payload, PolicySettings, Timestamp};

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
}

impl TaskDefinition {
    /// A task with nothing but a name.
    pub fn new(name: Name) -> Self {
        Self { name, description: None, input_schema: None, policy: PolicySettings::default(), schedules: Vec::new() }
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
