//! A registered task: a name, the component behind it, and how its runs are treated.

use super::{
    Digest, Effort, Grants, InputSchema, Invalid, Metadata, Misfit, Name, NamespaceId, Pause, Payload, PolicySettings, TaskPolicy,
    Timestamp,
};

/// The key of a task inside one database.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct TaskId(pub i64);

/// A registered task. A new registration under the same name replaces what it holds, and keeps its id.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Task {
    /// Its key.
    pub id: TaskId,
    /// Whose it is.
    pub namespace: NamespaceId,
    /// What callers name.
    pub name: Name,
    /// The component that later attempts execute.
    pub digest: Digest,
    /// What that component may do.
    pub grants: Grants,
    /// What it does, in a sentence.
    pub description: Option<String>,
    /// The JSON Schema of its input.
    pub input_schema: Option<InputSchema>,
    /// How its runs are treated: what the component says, with what the operator says over it.
    pub policy: TaskPolicy,
    /// What the operator says, which later registrations keep.
    pub overrides: PolicySettings,
    /// When it was first registered.
    pub created_at: Timestamp,
    /// When it was last registered.
    pub updated_at: Timestamp,
    /// That somebody paused it, and until when: while it [holds](Pause::holds), its runs wait. Kept by later registrations.
    pub pause: Option<Pause>,
}

impl Task {
    /// Refuses an input that does not fit the task's schema. `field` names it in the error.
    pub fn check_input(&self, input: &Payload, field: &str, effort: &mut Effort) -> Result<(), Misfit> {
        self.input_schema.as_ref().map_or(Ok(()), |schema| schema.check_within(input, field, effort))
    }

    /// Refuses a run whose lane would have too long a name.
    pub fn check_lane(&self, input: &Payload, metadata: &Metadata) -> Result<(), Invalid> {
        if self.policy.has_gate() { self.policy.lane.lane(input, metadata).map(drop) } else { Ok(()) }
    }
}
