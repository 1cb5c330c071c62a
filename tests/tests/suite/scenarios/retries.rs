//! What follows an attempt that fails, snoozes, takes too long, is cancelled, or loses its host.

use std::time::Duration;

use runlater::model::limits::CANCEL_GRACE;
use runlater::model::{Grant, PolicySettings};
use runlater::storage::Cancelled;
use runlater::{Error, Run, Status};
use serde_json::{Value, json};

use super::world::{World, guarded, output, secs};
use crate::guests;

/// The timeout of attempts that wait: tells their sleep from all others.
const TIMEOUT: Duration = secs(77);

fn reason(run: &Run) -> &str {
    run.reason.as_deref().unwrap_or("none")
}

#[tokio::test]
async fn a_run_is_tried_until_it_succeeds_or_may_not_be_tried_again() {
    let world = World::with(&["behaviours"]).await;
    let retried = json!(["failed", "failed", "succeeded"]);
    let given_up = json!(["failed", "failed", "failed", "failed", "failed"]);
    for (task, input, status, why, message, history) in [
        ("fail-until", json!({ "attempt": 3 }), Status::Succeeded, "none", None, retried),
        ("fail-always", Value::Null, Status::Failed, "failed", Some("always"), given_up),
        ("reject", json!({ "reason": "never" }), Status::Failed, "rejected", Some("never"), json!(["rejected"])),
    ] {
        let run = world.schedule(task, input).send().await.unwrap();
        let ended = world.drive(run).await;
        assert_eq!((ended.status, reason(&ended)), (status, why), "{task}: {:?}", ended.message);
        assert!(message.is_none() || ended.message.as_deref() == message, "{task}: {:?}", ended.message);
        assert_eq!(json!(world.history(run).await), history, "{task}");
        assert_eq!(ended.attempts as usize, history.as_array().unwrap().len(), "{task}");
    }
}

#[tokio::test]
async fn attempts_are_kept_with_their_times_and_words() {
    let world = World::with(&["behaviours"]).await;
    let run = world.schedule("fail-until", json!({ "attempt": 2 })).send().await.unwrap();
    let start = world.now();
    let ended = world.drive(run).await;
    assert_eq!(output(&ended), json!(2));

    let attempts = world.attempts(run).await;
    assert_eq!(attempts[0].message.as_deref(), Some("attempt 1 of 2 fails"));
    assert_eq!((attempts[0].number, attempts[0].started_at, attempts[0].finished_at), (1, start, Some(start)));
    assert_eq!((attempts[1].number, attempts[1].started_at, attempts[1].finished_at), (2, world.now(), Some(world.now())));
    assert!(world.now().since(start) <= secs(10), "the first delay is at most 10 s");
    assert_eq!(attempts[1].digest, Some(world.scheduler.task("fail-until").unwrap().digest));
}

#[tokio::test]
async fn the_task_says_when() {
    let world = World::with(&["behaviours"]).await;
    for (task, reason_then, history) in
        [("retry-after", "failed", ["failed", "succeeded"]), ("snooze-once", "snoozed", ["snoozed", "succeeded"])]
    {
        let asked = world.now();
        let run = world.schedule(task, json!({ "ms": 7_200_000 })).send().await.unwrap();
        let waiting = world.until(run, |run| run.status == Status::Backoff).await;
        assert_eq!((reason(&waiting), waiting.due_at), (reason_then, Some(asked.saturating_add(secs(7200)))), "{task}");

        world.advance(secs(7199));
        world.quiet().await;
        assert_eq!(world.get(run).await.attempts, 1, "{task}: not before it asked for");
        world.advance(secs(1));
        assert_eq!(world.wait(run).await.status, Status::Succeeded, "{task}");
        assert_eq!(world.history(run).await, history, "{task}");
    }
}

#[tokio::test]
async fn an_attempt_that_takes_too_long_is_ended_while_it_waits_and_while_it_computes() {
    let world = World::with(&["behaviours", "hostile"]).await;
    for (count, (task, input)) in [("sleep", json!({ "ms": 3_600_000 })), ("loop", Value::Null)].into_iter().enumerate() {
        let run = world.schedule(task, input).timeout(TIMEOUT).max_attempts(1).send().await.unwrap();
        world.clock.sleeping(TIMEOUT, count + 1).await;
        world.advance(TIMEOUT - Duration::from_micros(1));
        world.quiet().await;
        assert_eq!(world.status(run).await, Status::Running, "{task}");

        world.advance(Duration::from_micros(1));
        let ended = world.wait(run).await;
        assert_eq!((ended.status, reason(&ended)), (Status::Failed, "timeout"), "{task}");
        assert_eq!(ended.message.as_deref(), Some("took longer than its timeout of 1m17s"), "{task}");
        assert_eq!(ended.finished_at, Some(world.now()), "{task}");
    }
}

#[tokio::test]
async fn a_cancelled_attempt_may_end_by_itself_and_is_ended_if_it_does_not() {
    let world = World::with(&["behaviours"]).await;
    let run = world.schedule("spin-until-cancelled", Value::Null).timeout(TIMEOUT).send().await.unwrap();
    world.clock.sleeping(TIMEOUT, 1).await;
    assert_eq!(world.scheduler.cancel(run).await.unwrap(), Cancelled::Requested);
    let ended = world.wait(run).await;
    assert_eq!((ended.status, reason(&ended), ended.finished_at), (Status::Cancelled, "cancelled", Some(world.now())));

    let run = world.schedule("ignore-cancel", Value::Null).timeout(TIMEOUT * 2).send().await.unwrap();
    world.clock.sleeping(TIMEOUT * 2, 1).await;
    let graces = world.clock.slept(CANCEL_GRACE);
    world.scheduler.cancel(run).await.unwrap();
    assert_eq!(world.scheduler.cancel(run).await.unwrap(), Cancelled::Requested, "twice is as good as once");
    // The first one may have ended before it was seen to be told. This one is: it sleeps through its grace.
    world.until(run, |run| run.cancel_requested).await;
    world.clock.sleeping(CANCEL_GRACE, graces + 1).await;
    world.advance(CANCEL_GRACE - Duration::from_micros(1));
    world.quiet().await;
    assert_eq!(world.status(run).await, Status::Running, "it has its grace");
    world.advance(Duration::from_micros(1));
    let ended = world.wait(run).await;
    assert_eq!((ended.status, world.history(run).await.as_slice()), (Status::Cancelled, ["cancelled".to_owned()].as_slice()));
}

#[tokio::test]
async fn a_task_says_how_long_its_attempts_may_go_on_when_they_are_cancelled() {
    let world = World::with(&[]).await;
    for (grace, span) in [("7s", secs(7)), ("10m", secs(600)), ("0s", secs(0))] {
        let mut policy = PolicySettings::default();
        policy.set("cancel-grace", grace).unwrap();
        let wasm = guests::component("behaviours");
        world.scheduler.register(wasm).grant(Grant::Runs).policy("ignore-cancel", policy).send().await.unwrap();
        let run = world.schedule("ignore-cancel", Value::Null).timeout(secs(3600)).send().await.unwrap();
        world.started(run).await;
        let graces = world.clock.slept(span);
        assert_eq!(world.scheduler.cancel(run).await.unwrap(), Cancelled::Requested);
        if span > Duration::ZERO {
            world.clock.sleeping(span, graces + 1).await;
            world.advance(span - Duration::from_micros(1));
            world.quiet().await;
            assert_eq!(world.status(run).await, Status::Running, "it has its grace of {grace}");
            world.advance(Duration::from_micros(1));
        }
        let ended = world.wait(run).await;
        assert_eq!((ended.status, ended.finished_at), (Status::Cancelled, Some(world.now())), "{grace}");
    }
}

#[tokio::test]
async fn what_is_cancelled_before_it_starts_never_does() {
    let world = World::with(&["behaviours"]).await;
    let waiting = world.schedule("touch", Value::Null).after(secs(10)).send().await.unwrap();
    let retried = world.schedule("fail-always", Value::Null).send().await.unwrap();
    world.until(retried, |run| run.status == Status::Backoff).await;
    for run in [waiting, retried] {
        assert_eq!(world.scheduler.cancel(run).await.unwrap(), Cancelled::Now);
    }
    world.advance(secs(60));
    world.quiet().await;
    for (run, attempts) in [(waiting, 0), (retried, 1)] {
        let seen = world.get(run).await;
        assert_eq!((seen.status, seen.attempts), (Status::Cancelled, attempts));
    }
    let ended = world.run("touch", Value::Null).await;
    assert!(matches!(world.scheduler.cancel(ended.id).await, Err(Error::Change(_))), "there is nothing to cancel");
}

#[tokio::test]
async fn a_shutdown_cuts_an_attempt_that_does_not_count() {
    let mut world = World::with(&["behaviours"]).await;
    // Two timeouts: the sleep of the first attempt is not that of the second.
    let run = world.schedule("sleep", json!({ "ms": 300_000 })).timeout(TIMEOUT).max_attempts(1).send().await.unwrap();
    world.clock.sleeping(TIMEOUT, 1).await;
    world.restart(secs(10)).await;
    world.clock.sleeping(TIMEOUT, 2).await;
    let seen = world.get(run).await;
    assert_eq!((seen.status, seen.attempts), (Status::Running, 2));
    assert_eq!(world.history(run).await[0], "shut-down");
    world.advance(TIMEOUT);
    assert_eq!(reason(&world.wait(run).await), "timeout", "its one attempt was still to come");
    guarded("shutdown", world.scheduler.shutdown(secs(25))).await.unwrap();
    assert!(world.schedule("touch", Value::Null).send().await.is_err(), "the host is off");
}
