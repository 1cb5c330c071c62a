//! What a guest may not ask for is refused with an error of its own kind that names the field, and ends nothing; and nobody is given what
//! they did not ask for.

use runlater::{Grant, RunFilter, Status};
use serde_json::{Value, json};

use super::world::{World, guarded, output, secs};
use crate::guests;

/// What the task `bad-arguments` tries, the variant and field that it is told, and words of the reason.
const REFUSED: [(&str, &str, &[&str]); 36] = [
    ("name", INVALID_TASK, &["a-z", "Not A Name"]),
    ("name, empty", INVALID_TASK, &["1 to 128"]),
    ("name, 129 bytes", INVALID_TASK, &["1 to 128"]),
    ("task that is not there", "TaskNotFound(\"no-such-task\")", &[]),
    ("after", "Invalid { field: \"due\"", &["longest duration"]),
    ("metadata, 33 entries", "Invalid { field: \"metadata", &["32"]),
    ("metadata, key of 129 bytes", "Invalid { field: \"metadata", &["128"]),
    ("metadata, value of 129 bytes", "Invalid { field: \"metadata.key\"", &["128"]),
    ("metadata, no key", "Invalid { field: \"metadata", &["1 to 128"]),
    ("unique key, empty", INVALID_KEY, &["1 to 256"]),
    ("unique key, 257 bytes", INVALID_KEY, &["1 to 256"]),
    ("find by unique key, empty", INVALID_KEY, &["1 to 256"]),
    ("detached, unique key, empty", INVALID_KEY, &["1 to 256"]),
    ("priority 0", "Invalid { field: \"priority\"", &["1 to 3"]),
    ("priority 9", "Invalid { field: \"priority\"", &["1 to 3", "9"]),
    ("timeout 0", "Invalid { field: \"timeout\"", &["24"]),
    ("timeout 25 h", "Invalid { field: \"timeout\"", &["24"]),
    ("max attempts 0", "Invalid { field: \"max-attempts\"", &["1 to 100"]),
    ("max attempts 101", "Invalid { field: \"max-attempts\"", &["1 to 100", "101"]),
    ("input of 256 KiB and two quotes", "Invalid { field: \"input\"", &["262146", "262144"]),
    ("bulk delete of 0", "Invalid { field: \"ids\"", &["1 to 500"]),
    ("bulk delete of 501", "Invalid { field: \"ids\"", &["1 to 500", "501"]),
    ("bulk reschedule of 0", "Invalid { field: \"moves\"", &["1 to 500"]),
    ("bulk reschedule of 501", "Invalid { field: \"moves\"", &["1 to 500", "501"]),
    ("bulk reschedule to two times", "Invalid { field: \"moves[1]\"", &["moves[0]"]),
    ("bulk delete by an empty filter", "Invalid { field: \"filter\"", &["no condition", "all"]),
    ("bulk trigger by an empty filter", "Invalid { field: \"filter\"", &["no condition", "all"]),
    ("filter, all of a task", "Invalid { field: \"filter\"", &["every run"]),
    ("filter, two values", "Invalid { field: \"metadata.k\"", &["two values"]),
    ("page of 0", "Invalid { field: \"page.size\"", &["1 to 500"]),
    ("page of 501", "Invalid { field: \"page.size\"", &["1 to 500", "501"]),
    ("cursor, forged", "Error::Invalid(InvalidArgument { field: \"page.cursor\"", &["forged"]),
    ("id", "Invalid { field: \"id\"", &["not-an-id"]),
    ("id, deleted", "Invalid { field: \"id\"", &["not-an-id"]),
    ("filter, parent", "Invalid { field: \"parent\"", &["not-an-id"]),
    ("filter, status", "Invalid { field: \"status\"", &["dreaming"]),
];
const INVALID_TASK: &str = "Invalid { field: \"task\"";
const INVALID_KEY: &str = "Invalid { field: \"unique-key\"";

#[tokio::test]
async fn bad_arguments_are_refused_by_field_and_end_nothing() {
    let world = World::with(&["hostile"]).await;
    let ended = world.run("bad-arguments", Value::Null).await;
    assert_eq!(ended.status, Status::Succeeded, "{:?}", ended.message);
    let answers = output(&ended);
    for (tried, kind, words) in REFUSED {
        let answer = answers[tried].as_str().unwrap_or_else(|| panic!("{tried} was not tried"));
        assert!(answer.starts_with(kind) && words.iter().all(|word| answer.contains(word)), "{tried}: {answer}, not {kind} with {words:?}");
    }
    assert_eq!(answers.as_object().unwrap().len(), REFUSED.len(), "each answer is looked at: {answers}");
    assert_eq!(world.children(ended.id).await.len(), 0);
}

#[tokio::test]
async fn runs_of_another_namespace_do_not_exist() {
    let world = World::with(&["behaviours"]).await;
    let planned = world.schedule("touch", Value::Null).after(secs(60)).send().await.unwrap();
    let failed = world.run("reject", json!({})).await.id;
    let other = world.scheduler.in_namespace("other").await.unwrap();
    other.register(guests::component("hostile")).grant(Grant::Runs).send().await.unwrap();

    let guest = other.schedule("trespass").input(&json!([planned, failed])).unwrap().send().await.unwrap();
    let ended = guarded("an outcome", other.wait(guest)).await.unwrap();
    assert_eq!(ended.status, Status::Succeeded, "{:?}", ended.message);
    for (run, answers) in [planned, failed].iter().zip(output(&ended).as_array().unwrap()) {
        let not_found = format!("RunNotFound(RunId(\"{run}\"))");
        let expected = ["cancel", "delete", "get", "reschedule", "trigger"].map(|call| (call.to_owned(), json!(not_found)));
        assert_eq!(*answers, Value::Object(expected.into_iter().collect()));
    }
    assert_eq!((world.status(planned).await, world.status(failed).await), (Status::Scheduled, Status::Failed));
    assert_eq!(world.scheduler.count(&RunFilter::default()).await.unwrap(), 2);
}

#[tokio::test]
async fn an_attempt_is_given_nothing_of_the_hosts_own() {
    assert!(std::env::vars_os().count() > 0 && std::env::args_os().count() > 0, "the host has something that could be given");
    let world = World::with(&["hostile"]).await;
    let ended = world.run("look-around", Value::Null).await;
    assert_eq!(ended.status, Status::Succeeded, "{:?}", ended.message);
    assert_eq!(output(&ended), json!([0, 0, 0, 0]), "variables, arguments, open directories, bytes on standard input");
}
