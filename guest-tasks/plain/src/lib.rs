//! A task without the SDK: the bindings that `wit-bindgen` makes of the contract, and nothing else.

#[allow(missing_docs, unreachable_pub)]
mod bindings {
    wit_bindgen::generate!({ world: "runlater:scheduler/tasks", path: "../../wit" });

    use super::Plain;
    export!(Plain);
}

use bindings::exports::runlater::scheduler::task::{Failure, Guest, Outcome, Payload};
use bindings::runlater::scheduler::definition::TaskDefinition;

struct Plain;

impl Guest for Plain {
    fn describe() -> Vec<TaskDefinition> {
        let plain = TaskDefinition::new("plain");
        plain.set_description("Returns its input as it came.").expect("the description is short");
        vec![plain]
    }

    fn handle(task: String, input: Payload) -> Result<Outcome, Failure> {
        match task.as_str() {
            "plain" => Ok(Outcome::Done(Some(input))),
            other => Err(Failure::Reject(format!("this component has no task `{other}`"))),
        }
    }
}
