//! Checks inputs against the schemas of their tasks, on the thread that is at hand or, if that takes long, elsewhere.

use std::sync::Arc;

use super::Error;
use super::long_work::LongWork;
use crate::model::{Effort, Invalid, Misfit, Payload, Task};

/// Refuses an input that does not fit the task's schema. `field` names it in the error, and `effort` is what this thread may do.
pub(super) async fn check_input(
    long: &LongWork,
    task: &Arc<Task>,
    input: &Payload,
    field: &'static str,
    effort: &mut Effort,
) -> Result<(), Error> {
    match task.check_input(input, field, effort) {
        Ok(()) => Ok(()),
        Err(Misfit::Invalid(invalid)) => Err(invalid.into()),
        Err(Misfit::Postponed) => {
            let (task, input) = (task.clone(), input.clone());
            Ok(long.run(task.namespace, move || check_here(&task, &input, field)).await??)
        }
    }
}

/// The same, on this thread however long it takes: up to about 100 ms.
pub(super) fn check_here(task: &Task, input: &Payload, field: &str) -> Result<(), Invalid> {
    task.check_input(input, field, &mut Effort::whole()).map_err(Misfit::certain)
}

#[cfg(test)]
mod tests {
    use crate::clock::SystemClock;
    use crate::executor::scripted::{ScriptedExecutor, echo};
    use crate::model::{InputSchema, Name, TaskDefinition};
    use crate::scheduler::{Error, Scheduler};

    #[tokio::test]
    async fn costly_inputs_are_checked_elsewhere_or_refused() {
        let folder = tempfile::tempdir().unwrap();
        let name = Name::parse("letter", "task").unwrap();
        let schema = InputSchema::parse(r#"{"type":"string","pattern":"^(\\p{L}{4} ?)*$"}"#).unwrap();
        let definition = TaskDefinition { input_schema: Some(schema), ..TaskDefinition::new(name) };
        let executor = ScriptedExecutor::new(SystemClock::new()).defined(definition, echo());
        let scheduler = Scheduler::builder().sqlite(folder.path().join("db")).executor(std::sync::Arc::new(executor)).paused();
        let scheduler = scheduler.build().await.unwrap();
        scheduler.register(Vec::new()).send().await.unwrap();
        let send = async |letters: usize, last: &str| {
            let sent = scheduler.schedule("letter").input(&format!("{}{last}", "abcd".repeat(letters / 4))).unwrap().send().await;
            sent.map(drop).map_err(|error| match error {
                Error::Invalid(invalid) => invalid.code,
                other => panic!("{other}"),
            })
        };
        for (letters, last, expected) in [
            (40, "", Ok(())),
            (40, "!", Err("invalid-input")),
            // Longer than a thread that serves requests may be held.
            (20_000, "", Ok(())),
            (20_000, "!", Err("invalid-input")),
            (200_000, "", Err("input-too-costly")),
        ] {
            assert_eq!(send(letters, last).await, expected, "{letters} letters and {last:?}");
        }
        // The inputs of one request share what may be done at once.
        let many = (0..100).map(|_| scheduler.schedule("letter").input(&"abcd".repeat(500)).unwrap()).collect();
        assert_eq!(scheduler.schedule_all(many).await.unwrap().len(), 100);
    }
}
