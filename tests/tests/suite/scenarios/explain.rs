//! Why a run waits, did not run, or ended as it did, as real runs come to it.

use runlater::model::Explanation;
use runlater::storage::Cancelled;
use runlater::{RunFilter, RunId, Status};
use serde_json::{Value, json};

use super::world::{World, secs};

/// The timeout of attempts that wait: tells their sleep from all others.
const TIMEOUT: std::time::Duration = secs(77);

async fn explain(world: &World, run: RunId) -> Explanation {
    world.scheduler.explain(run).await.unwrap()
}

/// The codes of a run's causes.
async fn codes(world: &World, run: RunId) -> String {
    let explanation = explain(world, run).await;
    assert_eq!((explanation.run, explanation.at), (run, world.now()));
    let code = |cause: &runlater::model::Cause| serde_json::to_value(cause).unwrap()["code"].as_str().unwrap().to_owned();
    explanation.causes.iter().map(code).collect::<Vec<_>>().join(" ")
}

/// The fields of the cause with this code.
async fn cause(world: &World, run: RunId, code: &str) -> Value {
    let explanation = explain(world, run).await;
    let found = explanation.causes.iter().map(|cause| serde_json::to_value(cause).unwrap()).find(|cause| cause["code"] == code);
    found.unwrap_or_else(|| panic!("{code} is not in {:?}", explanation.causes))
}

#[tokio::test]
async fn a_run_whose_time_has_not_come() {
    let world = World::with(&["behaviours"]).await;
    let token = world.scheduler.on_behalf_of("k7");
    let run = token.schedule("touch").after(secs(60)).send().await.unwrap();
    assert_eq!(codes(&world, run).await, "not-due asked-for");
    assert_eq!(cause(&world, run, "asked-for").await, json!({ "code": "asked-for", "at": world.now(), "by": "k7" }));
    world.advance(secs(10));
    token.reschedule(run, world.then(secs(600))).await.unwrap();
    assert_eq!(codes(&world, run).await, "not-due moved asked-for");
    let moved = cause(&world, run, "moved").await;
    assert_eq!((&moved["at"], &moved["by"], &moved["to"]), (&json!(world.now()), &json!("k7"), &json!(world.then(secs(600)))));
    world.scheduler.reschedule(run, world.then(secs(700))).await.unwrap();
    assert_eq!(codes(&world, run).await, "not-due asked-for", "who moved it last is not on record");

    let debounce = async || world.schedule("touch", Value::Null).debounce("index", secs(50), secs(500)).send().await.unwrap();
    let first_asked_for = world.now();
    let bounced = debounce().await;
    assert_eq!(codes(&world, bounced).await, "not-due asked-for");
    world.advance(secs(5));
    assert_eq!(debounce().await, bounced);
    assert_eq!(codes(&world, bounced).await, "not-due put-off asked-for");
    assert_eq!(cause(&world, bounced, "put-off").await["since"], json!(first_asked_for));

    world.scheduler.pause_task("touch", None, "an upgrade").await.unwrap();
    let paused = cause(&world, run, "task-paused").await;
    assert_eq!((&paused["since"], &paused["note"]), (&json!(world.now()), &json!("an upgrade")));
    world.scheduler.pause_task("touch", Some(world.then(secs(60))), "").await.unwrap();
    assert_eq!(codes(&world, run).await, "not-due asked-for", "the pause will have ended by then");
    world.scheduler.resume_task("touch").await.unwrap();
}

#[tokio::test]
async fn who_made_it() {
    let world = World::with(&["behaviours", "policies"]).await;
    world.scheduler.cron("nightly", "touch").expression("@every 30s").create().await.unwrap();
    world.quiet().await;
    let occurrence = world.list(RunFilter { statuses: vec![Status::Scheduled], ..RunFilter::default() }).await[0].id;
    assert_eq!(codes(&world, occurrence).await, "not-due occurrence");
    let made = cause(&world, occurrence, "occurrence").await;
    assert_eq!((&made["cron"], &made["planned_at"]), (&json!("nightly"), &json!(world.then(secs(30)))));
    assert_eq!(made["rule"], json!("\"@every 30s\" in UTC"));
    let by_hand = world.scheduler.trigger_cron("nightly").await.unwrap();
    world.wait(by_hand).await;
    assert_eq!(codes(&world, by_hand).await, "succeeded cron-by-hand");

    let snoozed = world.schedule("snooze-once", json!({ "ms": 7_200_000 })).send().await.unwrap();
    world.until(snoozed, |run| run.status == Status::Backoff).await;
    assert_eq!(codes(&world, snoozed).await, "snoozed asked-for");
    let child = world.children(snoozed).await[0].id;
    assert_eq!(codes(&world, child).await, "not-due follow-up");
    let follow_up = cause(&world, child, "follow-up").await;
    assert_eq!((&follow_up["parent"], &follow_up["task"]), (&json!(snoozed), &json!("snooze-once")));
}

#[tokio::test]
async fn a_run_that_fails_until_it_may_not_be_tried_again() {
    let world = World::with(&["policies"]).await;
    let run = world.schedule("fails", json!({ "customer": { "id": 7 } })).send().await.unwrap();
    let waiting = world.until(run, |run| run.status == Status::Backoff).await;
    assert_eq!(codes(&world, run).await, "attempt-failed retries asked-for");
    let failed = cause(&world, run, "attempt-failed").await;
    assert_eq!((&failed["attempt"], &failed["message"], &failed["at"]), (&json!(1), &json!("customer 7, attempt 1"), &json!(world.now())));
    assert_eq!(failed["until"], json!(waiting.due_at));
    let retries = cause(&world, run, "retries").await;
    assert_eq!((&retries["failures"], &retries["max"], &retries["delays"]), (&json!(1), &json!(3), &json!("5s, 1m")));
    world.drive(run).await;
    assert_eq!(codes(&world, run).await, "failed attempts-used-up on-failure-run asked-for");
    let follow = cause(&world, run, "on-failure-run").await;
    assert_eq!(follow["task"], "alert");
    let alert: RunId = serde_json::from_value(follow["run"].clone()).unwrap();
    world.wait(alert).await;
    assert_eq!(codes(&world, alert).await, "succeeded follow-up-of-failure");
    let advice: Vec<_> = explain(&world, run).await.advice.iter().map(runlater::model::Advice::command).collect();
    assert_eq!(advice, [format!("runlater runs logs {run}"), format!("runlater runs trigger {run}")]);

    world.scheduler.trigger_now(run).await.unwrap();
    world.until(run, |run| run.status == Status::Backoff).await;
    assert_eq!(cause(&world, run, "retries").await["failures"], 1, "it began anew");
}

#[tokio::test]
async fn a_run_that_is_running_and_is_asked_to_end() {
    let world = World::with(&["behaviours"]).await;
    let token = world.scheduler.on_behalf_of("k7");
    let run = world.schedule("spin-until-cancelled", Value::Null).timeout(TIMEOUT).send().await.unwrap();
    world.clock.sleeping(TIMEOUT, 1).await;
    assert_eq!(codes(&world, run).await, "running asked-for");
    let running = cause(&world, run, "running").await;
    assert_eq!((&running["attempt"], &running["until"]), (&json!(1), &json!(world.then(TIMEOUT))));
    assert_eq!(token.cancel(run).await.unwrap(), Cancelled::Requested);
    let ended = world.wait(run).await;
    assert_eq!(ended.status, Status::Cancelled);
    assert_eq!(codes(&world, run).await, "cancelled asked-for");
    let cancelled = cause(&world, run, "cancelled").await;
    assert_eq!((&cancelled["by"], &cancelled["attempt"]), (&json!("k7"), &json!(1)));

    let waiting = world.schedule("touch", Value::Null).after(secs(60)).send().await.unwrap();
    world.scheduler.cancel(waiting).await.unwrap();
    assert_eq!(cause(&world, waiting, "cancelled").await["attempt"], Value::Null, "it never started");
}

#[tokio::test]
async fn what_was_missed_and_what_was_made_up_for() {
    let mut world = World::with(&["policies"]).await;
    let skipped = world.schedule("brief", Value::Null).after(secs(600)).send().await.unwrap();
    let (earlier, later) = (world.schedule("daily", Value::Null).after(secs(600)), world.schedule("daily", Value::Null).after(secs(700)));
    let (earlier, later) = (earlier.send().await.unwrap(), later.send().await.unwrap());
    world.scheduler.cron("often", "brief").expression("@every 10m").create().await.unwrap();
    let down = world.now();
    world.restart(secs(3_600)).await;
    for run in [skipped, earlier] {
        assert_eq!(codes(&world, run).await, "host-down missed-policy asked-for");
        let host_down = cause(&world, run, "host-down").await;
        assert_eq!((&host_down["since"], &host_down["until"]), (&json!(down), &json!(world.now())));
    }
    assert!(cause(&world, earlier, "missed-policy").await["message"].as_str().unwrap().contains("missed = latest"));
    world.wait(later).await;
    assert_eq!(codes(&world, later).await, "succeeded asked-for");
    let row =
        world.list(RunFilter { origins: vec![runlater::model::Origin::Cron], statuses: vec![Status::Missed], ..RunFilter::default() });
    let row = row.await[0].id;
    assert_eq!(codes(&world, row).await, "host-down occurrences-skipped occurrence");
    let skipped = cause(&world, row, "occurrences-skipped").await;
    assert_eq!(skipped["count"], 5, "those of the last minute are within the grace: {skipped}");
    let advice = explain(&world, row).await.advice[0].command();
    assert!(advice.starts_with("runlater crons backfill often --from "), "{advice}");

    world.scheduler.trigger_now(earlier).await.unwrap();
    world.wait(earlier).await;
    assert_eq!(codes(&world, earlier).await, "succeeded asked-for", "nothing of the miss is left");
}

#[tokio::test]
async fn of_another_namespace_nothing_is_told() {
    let world = World::with(&["behaviours"]).await;
    let run = world.schedule("touch", Value::Null).after(secs(60)).send().await.unwrap();
    let other = world.scheduler.in_namespace("other").await.unwrap();
    for stranger in [other.explain(run).await, other.explain(RunId::parse("00000000-0000-7000-8000-000000000000", "id").unwrap()).await] {
        assert!(matches!(stranger, Err(runlater::Error::RunNotFound(_))));
    }
    assert!(matches!(other.pause_task("touch", None, "").await, Err(runlater::Error::TaskNotFound(_))));
}

/// A world in which `task` of `behaviours` has this policy.
async fn with_policy(task: &str, settings: &[(&str, &str)]) -> World {
    let world = World::with(&["behaviours"]).await;
    let mut said = runlater::model::PolicySettings::default();
    settings.iter().for_each(|(field, value)| said.set(field, value).unwrap());
    let wasm = crate::guests::component("behaviours");
    world.scheduler.register(wasm).grant(runlater::model::Grant::Runs).policy(task, said).send().await.unwrap();
    world
}

/// An attempt of `spin-until-cancelled` that is in flight.
async fn spinning(world: &World, number: usize) -> RunId {
    let run = world.schedule("spin-until-cancelled", Value::Null).timeout(TIMEOUT).send().await.unwrap();
    world.clock.sleeping(TIMEOUT, number).await;
    run
}

#[tokio::test]
async fn a_run_whose_lane_is_full() {
    let world = with_policy("spin-until-cancelled", &[("concurrency", "1")]).await;
    let holder = spinning(&world, 1).await;
    let since = world.now();
    world.advance(secs(5));
    let (second, third) = (world.schedule("spin-until-cancelled", Value::Null), world.schedule("spin-until-cancelled", Value::Null));
    let (second, third) = (second.send().await.unwrap(), third.send().await.unwrap());
    world.quiet().await;
    assert_eq!(codes(&world, third).await, "lane-full slot-held due asked-for");
    let (full, held) = (cause(&world, third, "lane-full").await, cause(&world, third, "slot-held").await);
    assert_eq!((&full["limit"], &full["ahead"]), (&json!(1), &json!(1)));
    assert_eq!((&held["run"], &held["since"]), (&json!(holder), &json!(since)));
    assert_eq!(cause(&world, second, "lane-full").await["ahead"], 0);
    let advice: Vec<_> = explain(&world, third).await.advice.iter().map(runlater::model::Advice::command).collect();
    assert!(advice.contains(&format!("runlater explain {holder}")), "{advice:?}");
    for run in [second, third, holder] {
        world.scheduler.cancel(run).await.unwrap();
        world.wait(run).await;
    }
}

#[tokio::test]
async fn a_run_that_waits_behind_one_that_keeps_its_place() {
    let world = with_policy("fail-always", &[("concurrency", "1")]).await;
    let first = world.schedule("fail-always", Value::Null).send().await.unwrap();
    let waiting = world.until(first, |run| run.status == Status::Backoff).await;
    let second = world.schedule("fail-always", Value::Null).send().await.unwrap();
    world.quiet().await;
    assert_eq!(codes(&world, second).await, "lane-full place-kept due asked-for");
    let kept = cause(&world, second, "place-kept").await;
    assert_eq!((&kept["run"], &kept["until"]), (&json!(first), &json!(waiting.due_at)));
}

#[tokio::test]
async fn a_run_whose_task_is_paused_or_has_started_often_enough() {
    let world = with_policy("touch", &[("rate", "1/m")]).await;
    let first = world.schedule("touch", Value::Null).send().await.unwrap();
    world.wait(first).await;
    let started = world.now();
    world.advance(secs(5));
    let second = world.schedule("touch", Value::Null).send().await.unwrap();
    world.quiet_with("log").await;
    assert_eq!(codes(&world, second).await, "rate-reached due asked-for");
    let reached = cause(&world, second, "rate-reached").await;
    assert_eq!((&reached["rate"], &reached["until"]), (&json!("1/m"), &json!(started.saturating_add(secs(60)))));
    world.scheduler.pause_task("touch", Some(world.then(secs(600))), "an upgrade").await.unwrap();
    assert_eq!(codes(&world, second).await, "task-paused due asked-for");
    world.advance(secs(599));
    world.quiet_with("log").await;
    assert_eq!(world.status(second).await, Status::Queued, "the rate would let it start by now");
    world.advance(secs(1));
    world.wait(second).await;
    assert_eq!(codes(&world, second).await, "succeeded asked-for");
    let third = world.schedule("touch", Value::Null).send().await.unwrap();
    world.scheduler.pause_task("touch", None, "").await.unwrap();
    world.advance(secs(60));
    world.quiet_with("log").await;
    assert_eq!(codes(&world, third).await, "task-paused due asked-for");
    world.scheduler.resume_task("touch").await.unwrap();
    world.wait(third).await;
}

#[tokio::test]
async fn who_overlapped_whom() {
    let world = with_policy("spin-until-cancelled", &[("concurrency", "1"), ("overlap", "skip-new")]).await;
    let holder = spinning(&world, 1).await;
    let since = world.now();
    let skipped = world.schedule("spin-until-cancelled", Value::Null).send().await.unwrap();
    world.wait(skipped).await;
    assert_eq!(codes(&world, skipped).await, "overlapped asked-for");
    let overlapped = cause(&world, skipped, "overlapped").await;
    assert_eq!((&overlapped["run"], &overlapped["since"]), (&json!(holder), &json!(since)));
    world.scheduler.cancel(holder).await.unwrap();
    world.wait(holder).await;
    assert_eq!(codes(&world, holder).await, "cancelled asked-for");

    let world = with_policy("spin-until-cancelled", &[("concurrency", "1"), ("overlap", "cancel-running")]).await;
    let holder = spinning(&world, 1).await;
    let newcomer = spinning(&world, 2).await;
    world.wait(holder).await;
    assert_eq!(codes(&world, holder).await, "made-way asked-for");
    assert_eq!(cause(&world, holder, "made-way").await["run"], json!(newcomer));
    world.scheduler.cancel(newcomer).await.unwrap();
    world.wait(newcomer).await;
}

#[tokio::test]
async fn a_run_that_did_not_start_in_time() {
    let world = with_policy("touch", &[("start-deadline", "30s")]).await;
    world.scheduler.pause_task("touch", None, "").await.unwrap();
    let run = world.schedule("touch", Value::Null).send().await.unwrap();
    let deadline = world.then(secs(30));
    world.quiet_with("log").await;
    assert_eq!(codes(&world, run).await, "task-paused start-deadline due asked-for");
    assert_eq!(cause(&world, run, "start-deadline").await["until"], json!(deadline));
    world.advance(secs(31));
    world.wait(run).await;
    assert_eq!(codes(&world, run).await, "expired asked-for");
    assert_eq!(cause(&world, run, "expired").await["until"], json!(deadline));
}
