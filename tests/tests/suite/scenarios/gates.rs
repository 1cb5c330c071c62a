//! Policies and pauses with real guests: who waits for whom, who makes way, who is missed, and that all of it outlives a restart.

use runlater::model::PolicySettings;
use runlater::{Error, Run, RunId, Scheduler, Status};
use serde_json::{Value, json};

use super::world::{World, secs};
use crate::guests;

/// The behaviours, one of which is treated like this.
async fn with_policy(task: &str, settings: &[(&str, &str)]) -> World {
    let world = World::with(&["behaviours"]).await;
    govern(&world, task, settings).await;
    world
}

async fn govern(world: &World, task: &str, settings: &[(&str, &str)]) {
    let mut over = PolicySettings::default();
    settings.iter().for_each(|(field, value)| over.set(field, value).unwrap());
    let register = world.scheduler.register(guests::component("behaviours")).grant(runlater::model::Grant::Runs);
    register.policy(task, over).send().await.unwrap();
}

/// A run whose attempt goes on until `until` is cancelled.
async fn lasting(world: &World, customer: &str, until: RunId) -> RunId {
    let input = json!({ "runs": [], "gate": until.to_string() });
    world.schedule("schedule-then-wait", input).metadata("customer", customer).send().await.unwrap()
}

fn told(run: &Run) -> (&str, &str, &str) {
    (run.status.as_str(), run.reason.as_deref().unwrap_or("none"), run.message.as_deref().unwrap_or(""))
}

#[tokio::test]
async fn runs_of_one_customer_follow_each_other_and_hold_up_no_other() {
    let mut world = with_policy("schedule-then-wait", &[("concurrency", "1"), ("lane", "metadata.customer")]).await;
    let (first_ends, others_end) = (world.gate().await, world.gate().await);
    let first = lasting(&world, "a", first_ends).await;
    world.progressed(first, 1).await;
    let second = lasting(&world, "a", others_end).await;
    let other = lasting(&world, "b", others_end).await;
    world.progressed(other, 1).await;
    assert_eq!(world.status(second).await, Status::Queued);
    assert_eq!((world.scheduler.health().parked, world.scheduler.health().running), (1, 2));

    // The next host repeats what was cut off, and it still goes first.
    world.restart(secs(1)).await;
    world.progressed(first, 1).await;
    world.progressed(other, 1).await;
    assert_eq!((world.status(second).await, world.get(first).await.attempts), (Status::Queued, 2));
    world.scheduler.cancel(first_ends).await.unwrap();
    assert_eq!(world.wait(first).await.status, Status::Succeeded);
    world.progressed(second, 1).await;
    world.scheduler.cancel(others_end).await.unwrap();
    assert_eq!(world.wait(second).await.status, Status::Succeeded);
    assert_eq!(world.wait(other).await.status, Status::Succeeded);
    assert_eq!(world.scheduler.health().parked, 0);
}

#[tokio::test]
async fn a_run_that_finds_its_lane_busy_is_missed_and_can_be_run_by_hand() {
    let world = with_policy("schedule-then-wait", &[("concurrency", "1"), ("overlap", "skip-new")]).await;
    let end = world.gate().await;
    let first = lasting(&world, "a", end).await;
    world.progressed(first, 1).await;
    let second = lasting(&world, "a", end).await;
    let missed = world.wait(second).await;
    let (status, reason, message) = told(&missed);
    assert_eq!((status, reason, missed.attempts), ("missed", "overlap", 0));
    assert!(message.contains(&first.to_string()) && message.contains("overlap = skip-new"), "{message}");
    assert_eq!(world.scheduler.health().missed.overlap, 1);
    world.scheduler.cancel(end).await.unwrap();
    world.wait(first).await;
    world.scheduler.trigger_now(second).await.unwrap();
    assert_eq!(world.wait(second).await.status, Status::Succeeded);
}

#[tokio::test]
async fn a_new_run_takes_the_place_of_the_running_one() {
    let world = with_policy("spin-until-cancelled", &[("concurrency", "1"), ("overlap", "cancel-running")]).await;
    let first = world.schedule("spin-until-cancelled", Value::Null).send().await.unwrap();
    world.started(first).await;
    let second = world.schedule("spin-until-cancelled", Value::Null).send().await.unwrap();
    let made_way = world.wait(first).await;
    let (status, reason, message) = told(&made_way);
    assert_eq!((status, reason), ("cancelled", "overlap"));
    assert!(message.contains(&second.to_string()), "{message}");
    assert_eq!(world.history(first).await, ["cancelled"]);
    world.started(second).await;
    assert!(!world.get(second).await.cancel_requested);
    assert_eq!(world.scheduler.health().made_way, 1);
    world.scheduler.cancel(second).await.unwrap();
    assert_eq!(world.wait(second).await.reason.as_deref(), Some("cancelled"), "by somebody, not by a policy");
}

#[tokio::test]
async fn a_rate_spreads_starts_over_time_and_over_a_restart() {
    let mut world = with_policy("touch", &[("rate", "2/m")]).await;
    let mut runs = Vec::new();
    for _ in 0..4 {
        runs.push(world.schedule("touch", Value::Null).send().await.unwrap());
    }
    let start = world.now();
    world.wait(runs[0]).await;
    world.wait(runs[1]).await;
    world.until(runs[3], |run| run.status == Status::Queued).await;
    world.restart(secs(1)).await;
    assert_eq!(world.run("fail-until", json!({ "attempt": 1 })).await.status, Status::Succeeded);
    assert_eq!(world.status(runs[2]).await, Status::Queued);
    world.advance(secs(29));
    let third = world.wait(runs[2]).await;
    assert_eq!(third.started_at, Some(start.saturating_add(secs(30))));
    assert_eq!(world.status(runs[3]).await, Status::Queued);
    world.advance(secs(30));
    assert_eq!(world.wait(runs[3]).await.started_at, Some(start.saturating_add(secs(60))));
}

#[tokio::test]
async fn what_can_not_start_in_time_is_missed() {
    let world = with_policy("schedule-then-wait", &[("concurrency", "1"), ("start-deadline", "10s")]).await;
    let end = world.gate().await;
    let first = lasting(&world, "a", end).await;
    world.progressed(first, 1).await;
    let second = lasting(&world, "a", end).await;
    world.advance(secs(9));
    assert_eq!(world.status(second).await, Status::Queued);
    world.advance(secs(1));
    let missed = world.wait(second).await;
    assert_eq!(told(&missed).1, "expired");
    assert_eq!(world.scheduler.health().missed.expired, 1);
    world.scheduler.cancel(end).await.unwrap();
    assert_eq!(world.wait(first).await.status, Status::Succeeded);
}

#[tokio::test]
async fn a_paused_task_starts_nothing_until_it_goes_on() {
    let mut world = World::with(&["behaviours"]).await;
    world.scheduler.pause_task("touch", None, "an incident").await.unwrap();
    let run = world.schedule("touch", Value::Null).send().await.unwrap();
    assert_eq!(world.run("fail-until", json!({ "attempt": 1 })).await.status, Status::Succeeded, "others go on");
    assert_eq!(world.status(run).await, Status::Queued);
    world.restart(secs(300)).await;
    assert_eq!(world.run("fail-until", json!({ "attempt": 1 })).await.status, Status::Succeeded);
    assert_eq!(world.status(run).await, Status::Queued, "it had triggered before the host stopped, and is not missed");
    world.scheduler.resume_task("touch").await.unwrap();
    assert_eq!(world.wait(run).await.status, Status::Succeeded);
    world.scheduler.pause_task("touch", Some(world.then(secs(20))), "").await.unwrap();
    let run = world.schedule("touch", Value::Null).send().await.unwrap();
    assert_eq!(world.run("fail-until", json!({ "attempt": 1 })).await.status, Status::Succeeded);
    assert_eq!(world.status(run).await, Status::Queued);
    world.advance(secs(20));
    assert_eq!(world.wait(run).await.status, Status::Succeeded);
}

#[tokio::test]
async fn an_operator_tightens_and_loosens_what_already_waits() {
    let world = with_policy("schedule-then-wait", &[("concurrency", "1")]).await;
    let end = world.gate().await;
    let first = lasting(&world, "a", end).await;
    world.progressed(first, 1).await;
    let second = lasting(&world, "a", end).await;
    assert_eq!(world.run("touch", Value::Null).await.status, Status::Succeeded);
    assert_eq!(world.status(second).await, Status::Queued);
    govern(&world, "schedule-then-wait", &[("concurrency", "2")]).await;
    world.progressed(second, 1).await;
    govern(&world, "schedule-then-wait", &[("concurrency", "1")]).await;
    let third = lasting(&world, "a", end).await;
    assert_eq!(world.run("touch", Value::Null).await.status, Status::Succeeded);
    assert_eq!(world.status(third).await, Status::Queued);
    world.scheduler.cancel(end).await.unwrap();
    assert_eq!(world.wait(third).await.status, Status::Succeeded);
}

#[tokio::test]
async fn a_host_has_as_many_slots_as_it_is_given() {
    let world = World::built(&["behaviours"], |builder| builder.slots(2)).await;
    let end = world.gate().await;
    let mut runs = Vec::new();
    for _ in 0..3 {
        runs.push(lasting(&world, "a", end).await);
    }
    world.progressed(runs[0], 1).await;
    world.progressed(runs[1], 1).await;
    assert_eq!((world.status(runs[2]).await, world.scheduler.health().running), (Status::Queued, 2));
    world.scheduler.cancel(end).await.unwrap();
    for run in runs {
        assert_eq!(world.wait(run).await.status, Status::Succeeded);
    }
    for slots in [0, 1_025] {
        let folder = tempfile::tempdir().unwrap();
        let refused = Scheduler::builder().sqlite(folder.path().join("runs.db")).slots(slots).build().await;
        assert!(matches!(refused, Err(Error::Invalid(invalid)) if invalid.code == "invalid-slots"), "{slots}");
    }
}

#[tokio::test]
async fn a_field_that_is_too_long_for_a_lane_is_refused_when_it_is_scheduled() {
    let world = with_policy("touch", &[("concurrency", "1"), ("lane", "input.of")]).await;
    let refused = world.schedule("touch", json!({ "of": "x".repeat(257) })).send().await;
    assert!(matches!(refused, Err(Error::Invalid(invalid)) if (invalid.code, invalid.field.as_str()) == ("invalid-lane", "input.of")));
    assert_eq!(world.run("touch", json!({ "of": "x".repeat(256) })).await.status, Status::Succeeded);
    // One that was stored before the policy asked for it runs all the same.
    let early = world.schedule("touch", json!({ "by": "x".repeat(300) })).after(secs(5)).send().await.unwrap();
    govern(&world, "touch", &[("concurrency", "1"), ("lane", "input.by")]).await;
    world.advance(secs(5));
    assert_eq!(world.wait(early).await.status, Status::Succeeded);
}
