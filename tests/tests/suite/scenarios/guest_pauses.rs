//! Pauses from within: a guest pauses tasks, and lets them go on, as it writes everything else.

use runlater::model::{Grant, Pause};
use runlater::{RunFilter, Status};
use serde_json::{Value, json};

use super::world::{World, output, secs};
use crate::guests;

async fn world() -> World {
    let world = World::with(&[]).await;
    world.scheduler.register(guests::component("breaker")).grant(Grant::Pauses).send().await.unwrap();
    world
}

/// Has a guest take these steps, and says what it saw after each.
async fn switch(world: &World, steps: Value, fails: bool) -> Option<Value> {
    let run = world.run("switch", json!({ "steps": steps, "fails": fails })).await;
    (run.status == Status::Succeeded).then(|| output(&run))
}

fn pause_of(world: &World, task: &str) -> Option<Pause> {
    world.scheduler.task(task).unwrap().pause.clone()
}

#[tokio::test]
async fn a_circuit_breaker_opens_and_closes_by_itself() {
    let mut world = world().await;
    let down = json!({ "amount": 1, "down": "the gateway is down" });
    let failed = world.run("charge", down).await;
    assert_eq!(failed.status, Status::Failed);
    // The run that the failure made is stored with it.
    let trips = world.children(failed.id).await;
    assert_eq!(world.wait(trips[0].id).await.status, Status::Succeeded);
    let now = world.now();
    let expected = Some(Pause { since: now, until: Some(world.then(secs(600))), note: "the gateway is down".into() });
    assert_eq!(pause_of(&world, "charge"), expected);

    let waits = world.schedule("charge", json!({ "amount": 7 })).send().await.unwrap();
    world.quiet_with("switch").await;
    assert_eq!(world.status(waits).await, Status::Queued, "none starts");
    world.restart(secs(10)).await;
    assert_eq!(pause_of(&world, "charge"), expected, "it is stored");
    world.quiet_with("switch").await;
    assert_eq!(world.status(waits).await, Status::Queued);
    world.advance(secs(590));
    assert_eq!(output(&world.wait(waits).await), json!(7), "and none is lost");
}

#[tokio::test]
async fn pauses_commit_with_the_attempt_which_sees_them_before() {
    let world = world().await;
    let steps = json!([
        { "verb": "get", "task": "charge" },
        { "verb": "pause", "task": "charge", "note": "first" },
        { "verb": "pause", "task": "charge", "until": 60, "note": "second" },
        { "verb": "resume", "task": "trip" },
        { "verb": "pause", "task": "charge", "until": 0 },
        { "verb": "pause", "task": "charge", "note": "x".repeat(257) },
        { "verb": "pause", "task": "nobody" },
        { "verb": "get", "task": "nobody" },
        { "verb": "resume", "task": "Nobody!" },
        { "verb": "get", "task": "charge" },
    ]);
    assert_eq!(switch(&world, steps.clone(), true).await, None);
    assert_eq!(pause_of(&world, "charge"), None, "nothing of what failed");

    let said = switch(&world, steps, false).await.unwrap();
    let said: Vec<_> = said.as_array().unwrap().iter().map(|said| said.as_str().unwrap()).collect();
    assert_eq!(said[..4], ["not paused", "paused: first", "paused: second", "not paused"]);
    assert!(said[4].starts_with("`until` is not valid") && said[5].starts_with("`note` is not valid"), "{said:?}");
    assert_eq!(said[6..8], ["no task `nobody` is registered"; 2]);
    assert!(said[8].starts_with("`task` is not valid"), "{said:?}");
    assert_eq!(said[9], "paused: second");
    assert_eq!(pause_of(&world, "charge"), Some(Pause { since: world.now(), until: Some(world.then(secs(60))), note: "second".into() }));

    // What somebody else paused it sees, and ends.
    world.scheduler.pause_task("charge", None, "an upgrade").await.unwrap();
    let waits = world.schedule("charge", json!({ "amount": 3 })).send().await.unwrap();
    let steps = json!([{ "verb": "get", "task": "charge" }, { "verb": "resume", "task": "charge" }]);
    assert_eq!(switch(&world, steps, false).await, Some(json!(["paused: an upgrade", "not paused"])));
    assert_eq!(output(&world.wait(waits).await), json!(3));

    // Its own task is one like the others: the attempt goes on.
    let steps = json!([{ "verb": "pause", "task": "switch", "note": "enough" }]);
    assert_eq!(switch(&world, steps, false).await, Some(json!(["paused: enough"])));
    let waits = world.schedule("switch", json!({ "steps": [] })).send().await.unwrap();
    world.quiet_with("charge").await;
    assert_eq!(world.status(waits).await, Status::Queued);
    assert_eq!(world.list(RunFilter { statuses: vec![Status::Queued], ..RunFilter::default() }).await.len(), 1);
}

#[tokio::test]
async fn without_its_grant_the_interface_is_not_there() {
    let world = World::with(&[]).await;
    let register = || world.scheduler.register(guests::component("breaker"));
    let refused = register().grants([Grant::Runs, Grant::Crons]).send().await.unwrap_err();
    assert!(refused.to_string().contains("--grant pauses"), "{refused}");
    register().grants([Grant::Runs, Grant::Crons, Grant::Pauses]).send().await.unwrap();
}
