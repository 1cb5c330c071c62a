//! The UUIDs of what has none of its own here: tenants, workflows and their versions.

use std::sync::Arc;

use crate::model::Task;
use crate::scheduler::Scheduler;

/// The tenant that stands for the scheduler's namespace.
pub(super) fn tenant(scheduler: &Scheduler) -> String {
    scheduler.derived_id("tenant", &[]).to_string()
}

/// The workflow that stands for a task: the same after each registration.
pub(super) fn workflow(scheduler: &Scheduler, task: &Task) -> String {
    scheduler.derived_id("workflow", &task.id.0.to_be_bytes()).to_string()
}

/// The version of a workflow: another one when another component is registered for its task.
pub(super) fn version(scheduler: &Scheduler, task: &Task) -> String {
    scheduler.derived_id("version", &[&task.id.0.to_be_bytes(), task.digest.as_bytes().as_slice()].concat()).to_string()
}

/// The task that this workflow stands for. `None`: there is none, or not in this namespace.
pub(super) fn task_of_workflow(scheduler: &Scheduler, id: &str) -> Option<Arc<Task>> {
    scheduler.tasks().into_iter().find(|task| workflow(scheduler, task).eq_ignore_ascii_case(id))
}
