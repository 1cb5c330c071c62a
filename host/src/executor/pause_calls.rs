//! What a guest may ask of the scheduler about the pauses of tasks. A part of [`HostCalls`](super::HostCalls).

use super::CallError;
use crate::model::{Name, Pause, Timestamp};

/// Pauses of tasks, as one attempt sees and changes them: writes are validated at once and buffered, and reads see them.
pub trait PauseCalls {
    /// The pause that holds; `None` if the task is not paused.
    fn pause(&mut self, task: &Name) -> Result<Option<Pause>, CallError>;

    /// Buffers a pause.
    fn pause_task(&mut self, task: &Name, until: Option<Timestamp>, note: &str) -> Result<(), CallError>;

    /// Buffers the end of a pause.
    fn resume_task(&mut self, task: &Name) -> Result<(), CallError>;
}
