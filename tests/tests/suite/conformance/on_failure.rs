//! `on_failure`: the run that is made when one has failed for good.

use super::place;
use crate::conformance::world::{World, at, name, registration};
use runlater::model::{FailureReason, InputSchema, Name, Next, Origin, Status, TaskDefinition, TaskPolicy};
use runlater::storage::RunChange;
use runlater::{Metadata, Payload, Run, RunId};

/// A world in which each of these tasks hands its failures to another one.
fn with(pairs: &[(&str, &str)]) -> World {
    let world = World::new(place());
    let tasks = pairs.iter().map(|(task, handler)| {
        let on_failure = (!handler.is_empty()).then(|| Name::parse(handler, "name").unwrap());
        (TaskDefinition::new(name(task)), TaskPolicy { on_failure, ..TaskPolicy::default() })
    });
    let registration = registration(world.namespace, b"failing", tasks.collect());
    world.wait(world.storage.register(registration, at(0))).unwrap();
    world
}

fn start(world: &World, task: &str, input: &str, now: i64) -> RunId {
    let mut run = world.new_run(now, now);
    run.task = world.storage.task(world.namespace, task).unwrap();
    run.input = Payload::json(input.as_bytes(), "input").unwrap();
    run.metadata = Metadata::from_entries([("customer", "7")]).unwrap();
    world.create(vec![run], now)[0]
}

/// Claims whatever is due, and fails it.
fn fail(world: &World, now: i64) -> Vec<RunId> {
    let claims = world.claim(usize::MAX, now);
    for claim in &claims {
        let next = Next::Failed { reason: FailureReason::Trap, message: "unreachable".into() };
        world.finish(claim.run, claim.attempt, next, now);
    }
    claims.into_iter().map(|claim| claim.run).collect()
}

fn follow_ups(world: &World, of: RunId, now: i64) -> Vec<Run> {
    world.all(world.namespace, now).into_iter().filter(|run| run.parent == Some(of)).collect()
}

#[test]
fn a_task_that_can_not_be_told_is_not_run() {
    let world = World::new(place());
    let schema = r#"{"type":"object","properties":{"run":{"type":"integer"}}}"#;
    let alert = TaskDefinition { input_schema: Some(InputSchema::parse(schema).unwrap()), ..TaskDefinition::new(name("alert")) };
    let policy = TaskPolicy { on_failure: Some(name("alert")), ..TaskPolicy::default() };
    let tasks = vec![(TaskDefinition::new(name("a")), policy), (alert, TaskPolicy::default())];
    world.wait(world.storage.register(registration(world.namespace, b"failing", tasks), at(0))).unwrap();
    let run = start(&world, "a", "{}", 1);
    fail(&world, 2);
    assert_eq!(follow_ups(&world, run, 2), []);
    let message = world.get(run, 2).message.unwrap();
    assert!(message.contains("unreachable; no run of alert was made") && message.contains("input.run"), "{message}");
}

#[test]
fn it_is_told_what_failed() {
    let world = with(&[("a", "alert"), ("alert", "")]);
    let mut events = world.storage.subscribe();
    let run = start(&world, "a", r#"{"id":9}"#, 1);
    fail(&world, 2);
    let made = follow_ups(&world, run, 2);
    assert_eq!(made.len(), 1);
    let alert = &made[0];
    let told: serde_json::Value = serde_json::from_slice(alert.input.bytes()).unwrap();
    let expected = serde_json::json!({
        "run": run.to_string(), "task": "a", "reason": "trap", "message": "unreachable", "attempts": 1, "input": {"id": 9},
    });
    assert_eq!(told, expected);
    assert_eq!((alert.task.as_str(), alert.status, alert.trigger_at, alert.origin), ("alert", Status::Queued, at(2), Origin::Guest));
    assert_eq!((alert.root, alert.metadata.get("customer")), (Some(run), Some("7")));
    let mut created = Vec::new();
    while let Ok(event) = events.try_recv() {
        created.extend(matches!(event.change, RunChange::Created { .. }).then_some(event.run));
    }
    assert_eq!(created, [run, alert.id]);
    assert_eq!(fail(&world, 2), [alert.id], "it is executed like any other");
}

#[test]
fn what_stands_in_its_way_is_said() {
    let world = with(&[("a", "nobody"), ("b", "b")]);
    let (a, b) = (start(&world, "a", "1", 1), start(&world, "b", "1", 1));
    fail(&world, 1);
    let said = world.get(a, 1).message.unwrap();
    assert_eq!(said, "unreachable; no run of nobody was made, because no such task is registered");
    let second = follow_ups(&world, b, 1);
    assert_eq!(second.len(), 1, "a task may deal with its own failures");
    assert_eq!(fail(&world, 2), [second[0].id]);
    assert_eq!(follow_ups(&world, second[0].id, 2).len(), 0, "but not with those of dealing with them");
    assert!(world.get(second[0].id, 2).message.unwrap().ends_with("because this was one itself"));
}

#[test]
fn two_that_hand_failures_to_each_other_come_to_an_end() {
    let world = with(&[("a", "b"), ("b", "a")]);
    start(&world, "a", "1", 1);
    let mut last = Vec::new();
    for _ in 0..100 {
        let failed = fail(&world, 1);
        if failed.is_empty() {
            break;
        }
        last = failed;
    }
    assert!(world.claim(1, 1).is_empty());
    assert!(world.get(last[0], 1).message.unwrap().contains("64 quick hops"));
    assert_eq!(world.all(world.namespace, 1).len(), 65);
}

#[test]
fn an_input_that_fills_a_payload_is_left_where_it_is() {
    let world = with(&[("a", "alert"), ("alert", "")]);
    let large = format!("\"{}\"", "x".repeat(runlater::model::limits::PAYLOAD_BYTES_MAX - 2));
    let run = start(&world, "a", &large, 1);
    fail(&world, 1);
    let told: serde_json::Value = serde_json::from_slice(follow_ups(&world, run, 1)[0].input.bytes()).unwrap();
    assert_eq!((told["run"].as_str(), told.get("input")), (Some(run.to_string().as_str()), None));
}

#[test]
fn a_quarantined_run_is_followed_too() {
    let mut world = with(&[("a", "alert"), ("alert", "")]);
    let run = start(&world, "a", "1", 1);
    for now in 2..5 {
        assert!(follow_ups(&world, run, now).is_empty());
        world.claim(1, now);
        world.settle();
        world.crash(now);
    }
    assert_eq!(world.get(run, 5).reason.as_deref(), Some("quarantined"));
    let made = follow_ups(&world, run, 5);
    assert_eq!(made.len(), 1);
    let claims = world.claim(9, 5);
    assert_eq!(claims.iter().map(|claim| claim.run).collect::<Vec<_>>(), [made[0].id]);
}

#[test]
fn a_success_after_failures_is_no_failure() {
    let world = with(&[("a", "alert"), ("alert", "")]);
    let run = start(&world, "a", "1", 1);
    let claim = world.claim(1, 1).remove(0);
    world.finish(run, claim.attempt, crate::conformance::world::backoff(3), 1);
    let claim = world.claim(1, 3).remove(0);
    world.finish(run, claim.attempt, crate::conformance::world::succeeded(), 3);
    assert_eq!(world.all(world.namespace, 3).len(), 1);
}
