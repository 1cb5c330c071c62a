//! The exports of a component: what the host calls.

use crate::bindings::exports::runlater::scheduler::task::{Failure as WitFailure, Outcome as WitOutcome, Payload, Retry, TaskDefinition};
use crate::bindings::runlater::scheduler::definition as wit;
use crate::bindings::runlater::scheduler::types::Error as WitError;
use crate::outcome::{Failure, Outcome};
use crate::policy::{CatchUp, Lane, Overlap, RateUnit};
use crate::run::Run;
use crate::task::{Entry, Task};
use crate::time::Duration;
use crate::wasm::{cron_options, instant, json_payload};

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
    if let Some(delays) = definition.retry_delays {
        let delays: Vec<_> = delays.iter().map(|delay| delay.as_nanos()).collect();
        made.set_retry_delays(&delays)?;
    }
    if let Some(timeout) = definition.timeout {
        made.set_timeout(timeout.as_nanos())?;
    }
    if let Some(priority) = definition.priority {
        made.set_priority(priority)?;
    }
    if let Some(attempts) = definition.concurrency {
        made.set_concurrency(attempts)?;
    }
    if let Some(attempts) = definition.concurrency_per_task {
        made.set_concurrency_per_task(attempts)?;
    }
    if let Some(overlap) = definition.overlap {
        made.set_overlap(&match overlap {
            Overlap::Queue => wit::Overlap::Queue,
            Overlap::SkipNew => wit::Overlap::SkipNew,
            Overlap::CancelRunning => wit::Overlap::CancelRunning,
            Overlap::BufferOne => wit::Overlap::BufferOne,
        })?;
    }
    if let Some(lane) = definition.lane {
        made.set_lane(&match lane {
            Lane::Constant => wit::Lane::Constant,
            Lane::Input(path) => wit::Lane::Input(path.to_owned()),
            Lane::Metadata(key) => wit::Lane::Metadata(key.to_owned()),
        })?;
    }
    if let Some(rate) = definition.rate {
        let per = match rate.per {
            RateUnit::Second => wit::RateUnit::Second,
            RateUnit::Minute => wit::RateUnit::Minute,
            RateUnit::Hour => wit::RateUnit::Hour,
        };
        made.set_rate(rate.count, &per)?;
    }
    if let Some((catch_up, window, max)) = definition.missed {
        let catch_up = match catch_up {
            CatchUp::Skip => wit::CatchUp::Skip,
            CatchUp::Latest => wit::CatchUp::Latest,
            CatchUp::All => wit::CatchUp::All,
        };
        made.set_missed(&catch_up, window.map(Duration::as_nanos), max)?;
    }
    if let Some(deadline) = definition.start_deadline {
        made.set_start_deadline(deadline.as_nanos())?;
    }
    if let Some(grace) = definition.cancel_grace {
        made.set_cancel_grace(grace.as_nanos())?;
    }
    if let Some(task) = definition.on_failure {
        made.set_on_failure(task)?;
    }
    if let Some((keep_for, keep_last)) = definition.retention {
        made.set_retention(keep_for.map(Duration::as_nanos), keep_last)?;
    }
    for schedule in &definition.schedules {
        let input = schedule.input.map(|json| json_payload(json.as_bytes()));
        made.add_schedule(schedule.key, instant(schedule.at), input.as_ref())?;
    }
    for cron in &definition.crons {
        made.add_cron(cron.key, cron.expression, Some(&cron_options(&cron.settings())?))?;
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
