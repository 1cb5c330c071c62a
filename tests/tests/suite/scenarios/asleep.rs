//! Downtime of a host that goes on: a machine that sleeps, and a clock that is set forward, are judged like a host that was off.

use std::time::Duration;

use runlater::model::{CatchUp, MissedPolicy, Origin};
use runlater::{RunFilter, Status};
use serde_json::Value;

use super::world::{World, secs};

/// Ways for 120 s to pass without a host.
#[derive(Clone, Copy, Debug)]
enum Downtime {
    Off,
    /// Off, and then a host that answers calls first.
    OffServing,
    Asleep,
    Stepped,
}

const DOWN: Duration = secs(120);

/// What became of a cron that fires each 10 s, and of one-time runs: seconds after the start, and the range of what was skipped.
async fn after(downtime: Downtime, catch_up: CatchUp) -> Vec<(&'static str, u64, Status, Option<(u32, u64)>)> {
    let mut world = World::with(&["behaviours"]).await;
    let start = world.now();
    let missed = MissedPolicy { catch_up, max: 3, ..MissedPolicy::default() };
    world.scheduler.cron("beat", "touch").expression("@every 10s").missed(missed).create().await.unwrap();
    world.pass(15, "touch").await;
    let mut single = Vec::new();
    for due in [1, 59, 61, 119, 121] {
        single.push(world.schedule("touch", Value::Null).after(secs(due)).send().await.unwrap());
    }
    match downtime {
        Downtime::Off => world.restart(DOWN).await,
        Downtime::OffServing => world.restart_serving(DOWN).await,
        Downtime::Asleep => world.suspend(DOWN),
        Downtime::Stepped => world.step_to(world.then(DOWN)),
    }
    // Nothing is claimed before the gap is judged, so every run due by now has ended then.
    world.quiet().await;
    let mut found = Vec::new();
    for run in world.list(RunFilter::default()).await {
        let kind = match run.origin {
            Origin::Cron => "beat",
            _ if single.contains(&run.id) => "single",
            _ => continue,
        };
        let run = if run.status == Status::Scheduled { run } else { world.wait(run.id).await };
        let occurrence = run.occurrence.as_ref();
        let skipped = occurrence.and_then(|occurrence| occurrence.skipped).map(|(count, last)| (count, last.since(start).as_secs()));
        let planned = occurrence.and_then(|occurrence| occurrence.planned_at).unwrap_or(run.trigger_at);
        found.push((kind, planned.since(start).as_secs(), run.status, skipped));
    }
    found.sort_unstable_by_key(|(kind, second, ..)| (*kind, *second));
    found
}

#[tokio::test]
async fn sleep_and_a_step_of_the_clock_are_judged_like_a_host_that_was_off() {
    for catch_up in CatchUp::ALL {
        let off = after(Downtime::Off, catch_up).await;
        let status = |kind, second| off.iter().find(|(k, s, ..)| (*k, *s) == (kind, second)).map(|(_, _, status, _)| *status);
        let single: Vec<_> = [16, 74, 76, 134, 136].map(|second| status("single", second)).into();
        use Status::{Missed, Scheduled, Succeeded};
        assert_eq!(single, [Missed, Missed, Succeeded, Succeeded, Scheduled].map(Some), "{catch_up:?}");
        let (skipped, late) = match catch_up {
            CatchUp::Skip => (Some((6, 70)), None),
            CatchUp::Latest => (Some((5, 60)), Some(70)),
            CatchUp::All => (Some((3, 40)), Some(50)),
        };
        assert!(off.contains(&("beat", 20, Missed, skipped)), "{catch_up:?}: {off:?}");
        assert_eq!(late.and_then(|second| status("beat", second)), late.map(|_| Succeeded), "{catch_up:?}: {off:?}");
        assert_eq!(status("beat", 80), Some(Succeeded), "within the grace");

        for downtime in [Downtime::OffServing, Downtime::Asleep, Downtime::Stepped] {
            assert_eq!(after(downtime, catch_up).await, off, "{downtime:?} {catch_up:?}");
        }
    }
}

/// A host that answers calls before it has caught up loses nothing to them.
#[tokio::test]
async fn a_change_right_after_a_start_comes_after_what_was_missed_before_it() {
    let mut world = World::with(&["behaviours"]).await;
    for cron in ["deleted", "paused"] {
        world.scheduler.cron(cron, "touch").expression("@every 10s").create().await.unwrap();
    }
    let missed = world.schedule("touch", Value::Null).after(secs(30)).send().await.unwrap();
    world.restart_serving(DOWN).await;
    world.scheduler.delete_cron("deleted").await.unwrap();
    world.scheduler.pause_cron("paused", None, "").await.unwrap();
    assert_eq!(world.wait(missed).await.status, Status::Missed);
    let rows = world.list(RunFilter { statuses: vec![Status::Missed], ..RunFilter::default() }).await;
    let skipped: Vec<_> = rows.iter().filter_map(|run| run.occurrence.as_ref()?.skipped).map(|(count, _)| count).collect();
    assert_eq!(skipped, [5, 5], "one row for each cron");
    // A stop right after such a start forgets nothing, either.
    let later = world.schedule("touch", Value::Null).after(secs(30)).send().await.unwrap();
    for _ in 0..2 {
        world.restart_serving(DOWN).await;
    }
    assert_eq!(world.wait(later).await.status, Status::Missed);
}

#[tokio::test]
async fn runs_due_before_a_sleep_stay_due_and_attempts_continue() {
    const TIMEOUT: Duration = secs(50);
    let world = World::built(&["behaviours"], |builder| builder.slots(1)).await;
    let runs = world.schedule("spin-until-cancelled", Value::Null).timeout(TIMEOUT).max_attempts(1).send().await.unwrap();
    world.clock.sleeping(TIMEOUT, 1).await;
    let waits = world.schedule("touch", Value::Null).after(secs(1)).send().await.unwrap();
    let missed = world.schedule("touch", Value::Null).after(secs(2)).send().await.unwrap();
    // The second sleep begins before the gap of the first one may have been judged.
    let between = world.schedule("touch", Value::Null).after(secs(103)).send().await.unwrap();
    world.advance(secs(1));
    world.suspend(secs(100));
    world.advance(secs(2));
    world.suspend(secs(100));
    assert_eq!(world.wait(missed).await.status, Status::Missed);
    for run in [waits, between] {
        assert_eq!((world.status(run).await, world.get(run).await.attempts), (Status::Queued, 0));
    }
    assert_eq!(world.status(runs).await, Status::Running, "its timeout does not pass while the machine sleeps");
    world.advance(TIMEOUT - secs(3));
    assert_eq!(world.wait(runs).await.reason.map(|reason| reason.to_string()).as_deref(), Some("timeout"));
    for run in [waits, between] {
        assert_eq!(world.wait(run).await.status, Status::Succeeded);
    }
}

#[tokio::test]
async fn a_gap_is_not_forgotten_by_a_stop_or_a_request_right_after_it() {
    let mut world = World::with(&["behaviours"]).await;
    let missed = world.schedule("touch", Value::Null).after(secs(5)).send().await.unwrap();
    let asked = world.schedule("touch", Value::Null).after(secs(5000)).send().await.unwrap();
    // The request may be taken before anybody has judged the gap, and the stop may come before that, too.
    world.suspend(DOWN);
    world.scheduler.trigger_now(asked).await.unwrap();
    world.restart(DOWN).await;
    assert_eq!(world.wait(missed).await.status, Status::Missed);
    assert_eq!(world.wait(asked).await.status, Status::Succeeded);
}
