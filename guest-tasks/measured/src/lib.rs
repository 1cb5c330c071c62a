//! The tasks that `runlater bench` measures with. No SDK and no JSON parser, so that what is measured is the host.

#[allow(missing_docs, unreachable_pub)]
mod bindings {
    wit_bindgen::generate!({ world: "runlater:scheduler/tasks", path: "../../wit" });

    use super::Measured;
    export!(Measured);
}

use bindings::exports::runlater::scheduler::task::{Failure, Guest, Outcome, Payload};
use bindings::runlater::scheduler::{context, definition::TaskDefinition};

struct Measured;

impl Guest for Measured {
    fn describe() -> Vec<TaskDefinition> {
        let tasks: Vec<_> = ["touch", "clock", "sleep", "spin"].into_iter().map(TaskDefinition::new).collect();
        // The endless one is ended as soon as it is asked to be.
        tasks[3].set_cancel_grace(1_000_000).expect("a millisecond is allowed");
        tasks
    }

    fn handle(task: String, input: Payload) -> Result<Outcome, Failure> {
        match task.as_str() {
            // The time of the first thing that the guest does, in microseconds.
            "clock" => {
                let now = context::now();
                let micros = now.seconds * 1_000_000 + i64::from(now.nanoseconds / 1_000);
                Ok(Outcome::Done(Some(Payload { media_type: input.media_type, bytes: micros.to_string().into_bytes() })))
            }
            "sleep" => {
                let digits: String = input.bytes.iter().filter(|byte| byte.is_ascii_digit()).map(|byte| *byte as char).collect();
                std::thread::sleep(std::time::Duration::from_millis(digits.parse().unwrap_or(0)));
                Ok(Outcome::Done(None))
            }
            "spin" => loop {
                std::hint::black_box(&input);
            },
            _ => Ok(Outcome::Done(Some(input))),
        }
    }
}
