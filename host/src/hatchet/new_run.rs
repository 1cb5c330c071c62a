//! A run as a client asks for it, whichever way it came.

use std::sync::Arc;

use axum::http::StatusCode;

use super::metadata;
use crate::http::error::Problem;
use crate::model::{Due, Invalid, Payload, Task};
use crate::scheduler::{Schedule, Scheduler};

/// What is said of it beside its task and its time. What is absent or empty is `{}`.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct NewRun<'a> {
    /// JSON text.
    pub(super) input: Option<&'a str>,
    /// JSON text.
    pub(super) additional_metadata: Option<&'a str>,
    pub(super) priority: Option<i32>,
}

/// The task of this name. Names are in lower case here, while the SDKs keep or change the case of theirs, each in its own way.
/// `missing` is the status that says there is none.
pub(super) fn task(scheduler: &Scheduler, workflow: &str, missing: StatusCode) -> Result<Arc<Task>, Problem> {
    scheduler.task(&workflow.to_ascii_lowercase()).ok_or_else(|| {
        let detail = "workflow not found: no registered component has a task of this name; deploy one with `runlater register`";
        let seen = Invalid::new("workflow-not-found", "name", detail).seen(workflow).seen;
        Problem { seen, ..Problem::new(missing, "workflow-not-found", detail).at("name") }
    })
}

impl NewRun<'_> {
    /// Checks it, and begins to schedule it.
    pub(super) fn schedule<'s>(&self, scheduler: &'s Scheduler, task: &Task, due: Due) -> Result<Schedule<'s>, Problem> {
        let mut schedule = scheduler
            .schedule(task.name.as_str())
            .due(due)
            .payload(input(self.input)?)
            .all_metadata(metadata::read(self.additional_metadata)?);
        if let Some(priority) = self.priority {
            let refused = || Invalid::new("invalid-priority", "priority", "priorities are 1 to 3").seen(priority.to_string());
            schedule = schedule.priority(u8::try_from(priority).map_err(|_| refused())?);
        }
        Ok(schedule)
    }
}

/// An input, which must be an object: the SDKs can read no other one back.
fn input(text: Option<&str>) -> Result<Payload, Invalid> {
    let text = text.map(str::trim).filter(|text| !text.is_empty() && *text != "null").unwrap_or("{}");
    let payload = Payload::json(text.as_bytes(), "input")?;
    if !text.starts_with('{') {
        return Err(Invalid::new("invalid-input", "input", "must be a JSON object").seen(text));
    }
    Ok(payload)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn inputs_are_objects() {
        for (text, stored) in [(None, "{}"), (Some(""), "{}"), (Some("null"), "{}"), (Some(" {\"a\":1} "), "{\"a\":1}")] {
            assert_eq!(input(text).unwrap().as_json(), Some(stored));
        }
        for (bad, code) in [("[]", "invalid-input"), ("\"x\"", "invalid-input"), ("1", "invalid-input"), ("{", "invalid-json")] {
            assert_eq!(input(Some(bad)).unwrap_err().code, code, "{bad}");
        }
    }
}
