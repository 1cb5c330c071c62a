//! Crons: each occurrence makes one run, at its time; what was missed is decided as the policy says, and told.

use runlater::model::{CatchUp, MissedPolicy, Origin};
use runlater::{CronUpdate, RunFilter, Status, Timestamp};

use super::world::{World, secs};

/// The runs of a cron that have come, oldest first, each with its planned time in seconds after `start` and how it ended.
async fn runs(world: &World, start: Timestamp) -> Vec<(u64, Status)> {
    let mut ended = Vec::new();
    for run in world.list(RunFilter { origins: vec![Origin::Cron], ..RunFilter::default() }).await {
        if run.status == Status::Scheduled {
            continue;
        }
        let run = world.wait(run.id).await;
        let planned = run.occurrence.as_ref().and_then(|occurrence| occurrence.planned_at);
        ended.push((planned.unwrap_or(run.trigger_at).since(start).as_secs(), run.status));
    }
    ended.sort_unstable_by_key(|(second, _)| *second);
    ended
}

async fn pass(world: &World, seconds: u64) {
    world.pass(seconds, "touch").await;
}

#[tokio::test]
async fn each_occurrence_makes_one_run_at_its_time() {
    let world = World::with(&["behaviours"]).await;
    let start = world.now();
    let cron = world.scheduler.cron("beat", "touch").expression("@every 40s").max_count(3).metadata("by", "beat").create().await.unwrap();
    assert_eq!((cron.next_at, cron.version), (Some(start.saturating_add(secs(40))), 1));
    pass(&world, 200).await;
    assert_eq!(runs(&world, start).await, [40, 80, 120].map(|second| (second, Status::Succeeded)), "three times and no more");
    for run in world.marked("by", "beat").await {
        assert!(run.started_at >= run.occurrence.unwrap().planned_at, "never early");
    }
    assert_eq!(world.scheduler.get_cron("beat").await.unwrap().next_at, None);
}

#[tokio::test]
async fn what_changes_a_cron_changes_what_is_to_come() {
    let world = World::with(&["behaviours"]).await;
    let start = world.now();
    world.scheduler.cron("beat", "touch").expression("@every 40s").create().await.unwrap();
    pass(&world, 45).await;
    let faster = CronUpdate { expression: Some("@every 10s".into()), ..CronUpdate::default() };
    world.scheduler.update_cron("beat", faster).await.unwrap();
    pass(&world, 21).await;
    let pause = world.scheduler.pause_cron("beat", None, "for a test").await.unwrap();
    assert_eq!((pause.next_at, pause.pause.unwrap().note.as_str()), (None, "for a test"));
    pass(&world, 60).await;
    world.scheduler.resume_cron("beat").await.unwrap();
    pass(&world, 10).await;
    let paused_for_a_while = world.scheduler.pause_cron("beat", Some(world.then(secs(30))), "").await.unwrap();
    assert_eq!(paused_for_a_while.next_at, Some(start.saturating_add(secs(175))));
    pass(&world, 40).await;
    world.scheduler.delete_cron("beat").await.unwrap();
    pass(&world, 100).await;
    let done: Vec<u64> = runs(&world, start)
        .await
        .into_iter()
        .map(|(second, status)| {
            assert_eq!(status, Status::Succeeded);
            second
        })
        .collect();
    assert_eq!(done, [40, 55, 65, 135, 175]);
}

#[tokio::test]
async fn a_restart_within_the_grace_loses_nothing_and_repeats_nothing() {
    let mut world = World::with(&["behaviours"]).await;
    let start = world.now();
    world.scheduler.cron("beat", "touch").expression("@every 20s").create().await.unwrap();
    pass(&world, 25).await;
    world.restart(secs(10)).await;
    pass(&world, 10).await;
    world.restart(secs(30)).await;
    world.quiet().await;
    assert_eq!(runs(&world, start).await[..3], [20, 40, 60].map(|second| (second, Status::Succeeded)));
}

#[tokio::test]
async fn what_was_missed_is_decided_as_the_policy_says() {
    let policy = |catch_up| MissedPolicy { catch_up, max: 3, ..MissedPolicy::default() };
    for down in [120, 3 * 24 * 3600] {
        for (catch_up, run) in [(CatchUp::Skip, 0), (CatchUp::Latest, 1), (CatchUp::All, 3)] {
            let mut world = World::with(&["behaviours"]).await;
            let start = world.now();
            world.scheduler.cron("beat", "touch").expression("@every 10s").missed(policy(catch_up)).create().await.unwrap();
            pass(&world, 15).await;
            world.restart(secs(down)).await;
            world.quiet().await;
            runs(&world, start).await;
            // What is within the grace runs in any case: the last 60 s.
            let found = world.list(RunFilter { origins: vec![Origin::Cron], statuses: vec![Status::Missed], ..RunFilter::default() }).await;
            assert_eq!(found.len(), 1, "one row for all that was skipped");
            let row = found[0].occurrence.as_ref().unwrap();
            let missed = (15 + down - 60 - 1) / 10 - 1;
            let (count, until) = row.skipped.unwrap();
            assert_eq!(
                (row.cron.as_ref().unwrap().as_str(), u64::from(count)),
                ("beat", (missed - run).min(10_000)),
                "{down} {catch_up:?}"
            );
            assert_eq!(row.planned_at, Some(start.saturating_add(secs(20))));
            assert!(until < world.now().saturating_sub(secs(60)), "{until}");
            let grace = world.now().saturating_sub(secs(60));
            let late: Vec<_> = world
                .list(RunFilter { origins: vec![Origin::Cron], statuses: vec![Status::Succeeded], ..RunFilter::default() })
                .await
                .into_iter()
                .filter(|run| {
                    run.occurrence
                        .as_ref()
                        .and_then(|occurrence| occurrence.planned_at)
                        .is_some_and(|at| at > start.saturating_add(secs(15)) && at < grace)
                })
                .collect();
            assert_eq!(late.len() as u64, run, "{down} {catch_up:?}");

            // By hand, it runs.
            world.scheduler.trigger_now(found[0].id).await.unwrap();
            assert_eq!(world.wait(found[0].id).await.status, Status::Succeeded);
        }
    }
}

#[tokio::test]
async fn a_clock_set_forward_or_back_makes_no_occurrence_twice() {
    let world = World::with(&["behaviours"]).await;
    let start = world.now();
    world.scheduler.cron("beat", "touch").expression("@every 30s").create().await.unwrap();
    pass(&world, 65).await;
    world.step_to(start);
    pass(&world, 100).await;
    let found = runs(&world, start).await;
    assert_eq!(found, [30, 60, 90].map(|second| (second, Status::Succeeded)));
    world.step_to(world.then(secs(3600)));
    world.quiet().await;
    let found = world.list(RunFilter { origins: vec![Origin::Cron], statuses: vec![Status::Missed], ..RunFilter::default() }).await;
    assert_eq!(found.len(), 1);
    assert_eq!(found[0].occurrence.as_ref().unwrap().skipped.unwrap().0, 118, "those from 120 s to 3630 s");
}

#[tokio::test]
async fn a_past_range_is_filled_once() {
    let world = World::with(&["behaviours"]).await;
    let start = world.now();
    world.scheduler.cron("hourly", "touch").expression("0 * * * *").create().await.unwrap();
    let (from, until) = (start.saturating_sub(secs(5 * 3600)), start);
    let dry = world.scheduler.backfill_cron("hourly", from, until, true).await.unwrap();
    assert_eq!((dry.planned.len(), dry.made), (5, 0));
    assert_eq!(world.scheduler.backfill_cron("hourly", from, until, false).await.unwrap().made, 5);
    assert_eq!(world.scheduler.backfill_cron("hourly", from, until, false).await.unwrap().made, 0, "each occurrence has its run");
    world.quiet().await;
    assert!(world.scheduler.backfill_cron("hourly", start, world.then(secs(1)), false).await.is_err(), "not of the future");
    let by_hand = world.scheduler.trigger_cron("hourly").await.unwrap();
    assert_eq!(world.wait(by_hand).await.occurrence.unwrap().planned_at, None);
}
