//! When runs start: never early, at their new time and not at the old one, and not at all if no host was there.

use std::time::Duration;

use runlater::{Error, Status};
use serde_json::{Value, json};

use super::world::{World, builder, guarded, secs};

const MICRO: Duration = Duration::from_micros(1);

#[tokio::test]
async fn a_run_starts_at_its_time_and_never_before() {
    let world = World::with(&["behaviours"]).await;
    let due = world.then(secs(3600));
    let run = world.schedule("touch", json!({ "n": 1 })).at(due).send().await.unwrap();

    world.advance(secs(3600) - MICRO);
    world.quiet().await;
    let seen = world.get(run).await;
    assert_eq!((seen.status, seen.attempts, seen.due_at), (Status::Scheduled, 0, Some(due)));

    world.advance(MICRO);
    let seen = world.wait(run).await;
    assert_eq!((seen.status, seen.started_at, seen.trigger_at), (Status::Succeeded, Some(due), due));
    assert_eq!(super::world::output(&seen), json!({ "n": 1 }));
}

#[tokio::test]
async fn a_time_in_the_past_is_due_at_once() {
    let world = World::with(&["behaviours"]).await;
    let past = world.now().saturating_sub(secs(3 * 24 * 3600));
    let run = world.schedule("touch", Value::Null).at(past).send().await.unwrap();
    let seen = world.wait(run).await;
    assert_eq!((seen.status, seen.trigger_at, seen.started_at), (Status::Succeeded, past, Some(world.now())));
}

#[tokio::test]
async fn a_moved_run_starts_at_its_new_time_only() {
    let world = World::with(&["behaviours"]).await;
    let run = world.schedule("touch", Value::Null).after(secs(100)).send().await.unwrap();

    // Later: nothing happens at the old time.
    world.scheduler.reschedule(run, world.then(secs(200))).await.unwrap();
    world.advance(secs(100));
    world.quiet().await;
    assert_eq!((world.status(run).await, world.get(run).await.attempts), (Status::Scheduled, 0));

    // Earlier: it starts then, and not again at either of the old times.
    world.scheduler.reschedule(run, world.then(secs(10))).await.unwrap();
    world.advance(secs(10));
    let seen = world.wait(run).await;
    assert_eq!((seen.status, seen.started_at), (Status::Succeeded, Some(world.now())));
    world.advance(secs(300));
    world.quiet().await;
    assert_eq!(world.get(run).await.attempts, 1);
    assert!(matches!(world.scheduler.reschedule(run, world.now()).await, Err(Error::Change(_))), "it has triggered");
}

#[tokio::test]
async fn a_deleted_run_never_starts_and_a_triggered_one_starts_once() {
    let world = World::with(&["behaviours"]).await;
    let deleted = world.schedule("touch", Value::Null).after(secs(100)).send().await.unwrap();
    let triggered = world.schedule("touch", Value::Null).after(secs(100)).send().await.unwrap();
    world.scheduler.delete(deleted).await.unwrap();
    world.scheduler.trigger_now(triggered).await.unwrap();
    let seen = world.wait(triggered).await;
    assert_eq!((seen.status, seen.started_at), (Status::Succeeded, Some(world.now())));

    world.advance(secs(200));
    world.quiet().await;
    assert!(matches!(world.scheduler.get(deleted).await, Err(Error::RunNotFound(run)) if run == deleted));
    assert_eq!(world.get(triggered).await.attempts, 1);
    assert!(matches!(world.scheduler.delete(triggered).await, Err(Error::Change(_))), "it has triggered");
}

#[tokio::test]
async fn a_clock_set_back_repeats_nothing() {
    let world = World::with(&["behaviours"]).await;
    let start = world.now();
    let before = world.schedule("touch", Value::Null).after(secs(10)).send().await.unwrap();
    let after = world.schedule("touch", Value::Null).after(secs(30)).send().await.unwrap();
    world.advance(secs(20));
    world.wait(before).await;

    world.step_to(start.saturating_sub(secs(3600)));
    world.quiet().await;
    assert_eq!((world.get(before).await.attempts, world.status(after).await), (1, Status::Scheduled));

    world.advance(secs(3600 + 30));
    let seen = world.wait(after).await;
    assert_eq!(seen.started_at, Some(start.saturating_add(secs(30))));
    assert_eq!(world.get(before).await.attempts, 1);
}

#[tokio::test]
async fn a_clock_set_forward_misses_what_a_host_that_was_off_would_miss() {
    let world = World::with(&["behaviours"]).await;
    let missed = world.schedule("touch", Value::Null).after(secs(10)).send().await.unwrap();
    let within_grace = world.schedule("touch", Value::Null).after(secs(90)).send().await.unwrap();
    world.step_to(world.then(secs(120)));
    assert_eq!(world.wait(missed).await.status, Status::Missed);
    assert_eq!(world.wait(within_grace).await.status, Status::Succeeded);
}

#[tokio::test]
async fn a_host_that_was_off_runs_what_it_missed_by_less_than_the_grace() {
    /// For how long the host was off, when the run became due in that time, and what became of it.
    const CASES: [(u64, u64, Status); 4] =
        [(10, 5, Status::Succeeded), (120, 5, Status::Missed), (120, 90, Status::Succeeded), (3 * 24 * 3600, 5, Status::Missed)];
    for (down, due, expected) in CASES {
        let mut world = World::with(&["behaviours"]).await;
        let run = world.schedule("touch", Value::Null).after(secs(due)).send().await.unwrap();
        guarded("shutdown", world.scheduler.shutdown(Duration::ZERO)).await.unwrap();
        // What a host that executes nothing took with a time in the past is due, and not missed, however long nobody runs it.
        let paused = builder(&world.database(), &world.clock).paused().build().await.unwrap();
        let past = paused.schedule("touch").at(world.now().saturating_sub(secs(7200))).send().await.unwrap();
        paused.shutdown(Duration::ZERO).await.unwrap();
        drop(paused);
        world.step_to(world.then(secs(down)));
        world.open().await;

        let seen = world.wait(run).await;
        assert_eq!(
            (seen.status, seen.attempts),
            (expected, u32::from(expected == Status::Succeeded)),
            "off for {down} s, due after {due} s"
        );
        assert_eq!(world.wait(past).await.status, Status::Succeeded, "created in the past, off for {down} s");
        if expected == Status::Missed {
            world.scheduler.trigger_now(run).await.unwrap();
            assert_eq!(world.wait(run).await.status, Status::Succeeded, "triggered by hand");
        }
    }
}
