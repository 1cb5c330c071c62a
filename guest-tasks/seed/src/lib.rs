//! The tasks that the examples of Hatchet's documentation of scheduled runs assume: with this component registered, they work as they stand.
//! See docs/hatchet.md.

use runlater_task::prelude::*;

#[derive(Serialize)]
struct Answer {
    result: &'static str,
}

const ANSWER: Answer = Answer { result: "Hello, world!" };

/// Answers the same to whatever it is given.
#[task]
fn simple(_input: serde_json::Value) -> Result<Answer, Failure> {
    Ok(ANSWER)
}

/// The same under the name that the example for Go uses; and one run that no client can move or delete, because the code declares it.
#[task(schedule(key = "far-ahead", at = "2099-01-01T00:00:00Z", input = "{\"message\":\"defined by code\"}"))]
fn scheduled(_input: serde_json::Value) -> Result<Answer, Failure> {
    Ok(ANSWER)
}

export_tasks!(simple, scheduled);
