//! Components, and what they say of their tasks.

use std::time::Duration;

use super::{Digest, Name, Payload, Timestamp};

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
    /// The JSON Schema of its input, as text.
    pub input_schema: Option<String>,
    /// How many attempts may fail before a run does.
    pub max_attempts: Option<u32>,
    /// First retry delay and longest one.
    pub retry_delay: Option<(Duration, Duration)>,
    /// Longest attempt.
    pub timeout: Option<Duration>,
    /// Priority of its runs.
    pub priority: Option<u8>,
    /// Runs at fixed times that the code declares.
    pub schedules: Vec<CodeSchedule>,
}

impl TaskDefinition {
    /// A task with nothing but a name.
    pub fn new(name: Name) -> Self {
        Self {
            name,
            description: None,
            input_schema: None,
            max_attempts: None,
            retry_delay: None,
            timeout: None,
            priority: None,
            schedules: Vec::new(),
        }
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
