//! The exports of a component: what the host calls.

use crate::bindings::exports::runlater::scheduler::task::{Failure as WitFailure, Outcome as WitOutcome, Payload, Retry, TaskDefinition};
use crate::bindings::runlater::scheduler::types::Error as WitError;
use crate::outcome::{Failure, Outcome};
use crate::run::Run;
use crate::task::{Entry, Task};
use crate::wasm::{instant, json_payload};

/// Says which tasks there are.
pub fn describe(tasks: &[Entry]) -> Vec<TaskDefinition> {
    tasks
        .iter()
        .map(|task| {
            // A definition that the host refuses is a fault in the code; its registration says what this prints.
            (task.define)().unwrap_or_else(|error| match error {
                WitError::Invalid(wrong) => panic!("task `{}`: `{}` {}", task.name, wrong.field, wrong.reason),
                // Not in full: writing out every case would be 4 KB in every component.
                _ => panic!("task `{}` is too large to be described", task.name),
            })
        })
        .collect()
}

/// A definition that the host has accepted, or why it has not.
pub(crate) type Defined = Result<TaskDefinition, WitError>;

/// Tells the host what the task says of itself.
// One copy for each task, so that what a task does not set is not imported either.
pub(crate) fn define<T: Task>() -> Defined {
    let definition = T::definition();
    let made = TaskDefinition::new(definition.name);
    if let Some(text) = definition.description {
        made.set_description(text)?;
    }
    if let Some(schema) = &definition.input_schema {
        made.set_input_schema(schema)?;
    }
    if let Some(attempts) = definition.max_attempts {
        made.set_max_attempts(attempts)?;
    }
    if let Some((base, max)) = definition.retry_delay {
        made.set_retry_delay(base.as_nanos(), max.as_nanos())?;
    }
    if let Some(timeout) = definition.timeout {
        made.set_timeout(timeout.as_nanos())?;
    }
    if let Some(priority) = definition.priority {
        made.set_priority(priority)?;
    }
    for schedule in &definition.schedules {
        let input = schedule.input.map(|json| json_payload(json.as_bytes()));
        made.add_schedule(schedule.key, instant(schedule.at), input.as_ref())?;
    }
    Ok(made)
}

/// Executes one attempt of one run.
pub fn handle(tasks: &[Entry], name: &str, input: &Payload) -> Result<WitOutcome, WitFailure> {
    let Some(task) = tasks.iter().find(|task| task.name == name) else {
        return Err(WitFailure::Reject(format!("this component has no task `{name}`")));
    };
    match (task.handle)(&input.bytes, &Run::current()) {
        Ok(Outcome::Done(output)) => Ok(WitOutcome::Done(output.map(|json| json_payload(&json)))),
        Ok(Outcome::Snooze(delay)) => Ok(WitOutcome::Snooze(delay.as_nanos())),
        Err(Failure::Retry { reason, after }) => Err(WitFailure::Retry(Retry { reason, after: after.map(|delay| delay.as_nanos()) })),
        Err(Failure::Reject { reason }) => Err(WitFailure::Reject(reason)),
    }
}
