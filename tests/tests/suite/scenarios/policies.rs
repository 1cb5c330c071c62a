//! What tasks declare of how their runs are treated, and what operators say over it.

use std::collections::BTreeMap;

use runlater::model::{Grant, Origin, PolicySettings};
use runlater::scheduler::Register;
use runlater::storage::{ChangeError, Move};
use runlater::{Error, RunFilter, Selection, Status};
use serde_json::{Value, json};

use super::world::{World, output, secs};
use crate::guests;

fn order(customer: u32) -> Value {
    json!({ "customer": { "id": customer } })
}

fn of(task: &str) -> RunFilter {
    RunFilter { tasks: vec![runlater::model::Name::parse(task, "task").unwrap()], ..RunFilter::default() }
}

#[tokio::test]
async fn everything_that_is_declared_holds() {
    let world = World::with(&["policies"]).await;
    let task = world.scheduler.task("everything").unwrap();
    let entries: BTreeMap<_, _> = task.policy.entries().into_iter().collect();
    let entries: Vec<_> = entries.iter().map(|(field, value)| format!("{field}={value}")).collect();
    assert_eq!(
        entries,
        [
            "cancel-grace=1s",
            "concurrency=1",
            "concurrency-per-task=10",
            "keep-for=7d",
            "keep-last=1000",
            "lane=input.customer.id",
            "max-attempts=3",
            "missed=all",
            "missed-max=7",
            "missed-window=3d",
            "on-failure=alert",
            "overlap=buffer-one",
            "priority=2",
            "rate=10/m",
            "retry-delays=1s,10s",
            "start-deadline=5m",
            "timeout=30s",
        ]
    );
    assert_eq!(task.overrides, PolicySettings::default());
}

#[tokio::test]
async fn what_an_operator_says_is_kept_until_it_is_taken_back() {
    let mut world = World::with(&["policies"]).await;
    let wasm = guests::component("policies");
    let settings = |pairs: &[(&str, &str)]| {
        let mut settings = PolicySettings::default();
        pairs.iter().for_each(|(field, value)| settings.set(field, value).unwrap());
        settings
    };
    let shown = |world: &World| {
        let task = world.scheduler.task("everything").unwrap();
        (task.policy.concurrency.per_lane, task.policy.retention.count, task.overrides.entries())
    };
    let over = settings(&[("concurrency", "4"), ("keep-last", "5")]);
    world.scheduler.register(wasm.clone()).grant(Grant::Runs).policy("everything", over).send().await.unwrap();
    world.restart(secs(1)).await;
    world.scheduler.register(wasm.clone()).grant(Grant::Runs).policy("everything", settings(&[("keep-last", "6")])).send().await.unwrap();
    assert_eq!(shown(&world), (Some(4), 6, vec![("concurrency", "4".into()), ("keep-last", "6".into())]));
    world.scheduler.register(wasm.clone()).grant(Grant::Runs).reset_policy("everything", "concurrency").send().await.unwrap();
    assert_eq!(shown(&world), (Some(1), 6, vec![("keep-last", "6".into())]));

    for (task, field, code) in [("nobody", "rate", "unknown-task"), ("everything", "colour", "unknown-policy")] {
        let refused = world.scheduler.register(wasm.clone()).grant(Grant::Runs).reset_policy(task, field).send().await;
        assert!(matches!(refused, Err(Error::Invalid(invalid)) if invalid.code == code), "{task}.{field}");
    }
    let delays = PolicySettings { retry_delays: Some(vec![secs(100_000)]), ..PolicySettings::default() };
    let refused = world.scheduler.register(wasm).grant(Grant::Runs).policy("everything", delays).send().await;
    assert!(matches!(refused, Err(Error::Invalid(invalid)) if invalid.field == "tasks.everything.retry-delays"));
}

#[tokio::test]
async fn an_input_that_does_not_fit_is_refused_when_it_is_scheduled() {
    let world = World::with(&["policies"]).await;
    let refused = |result: Result<_, Error>| match result {
        Err(Error::Invalid(invalid)) => (invalid.code, invalid.field),
        other => panic!("{:?}", other.map(|_: runlater::RunId| ())),
    };
    let wrong = json!({ "customer": { "id": "seven" } });
    assert_eq!(refused(world.schedule("fails", wrong.clone()).send().await), ("invalid-input", "input.customer.id".into()));
    assert_eq!(refused(world.schedule("fails", Value::Null).send().await), ("invalid-input", "input".into()));
    let bunch = vec![world.schedule("fails", order(1)), world.schedule("fails", wrong)];
    assert!(matches!(world.scheduler.schedule_all(bunch).await, Err(Error::Invalid(invalid)) if invalid.code == "invalid-input"));
    assert_eq!(world.list(RunFilter::default()).await, [], "nothing was stored");
    let told = world.run("misfit", Value::Null).await;
    assert_eq!(output(&told), json!("input.customer.id"), "a guest is told, too: {:?}", told.message);
}

#[tokio::test]
async fn a_failed_run_is_tried_at_the_listed_times_followed_and_run_again() {
    let world = World::with(&["policies"]).await;
    let run = world.schedule("fails", order(7)).metadata("customer", "7").send().await.unwrap();
    let start = world.now();
    for after in [5, 65] {
        let seen = world.until(run, |run| run.status == Status::Backoff && run.due_at == Some(start.saturating_add(secs(after)))).await;
        world.advance_to(seen.due_at.unwrap());
    }
    let failed = world.wait(run).await;
    assert_eq!((failed.status, failed.attempts, failed.message.as_deref()), (Status::Failed, 3, Some("customer 7, attempt 3")));
    let alerts = world.children(run).await;
    assert_eq!(alerts.len(), 1);
    let alert = world.wait(alerts[0].id).await;
    let expected = json!({ "run": run.to_string(), "task": "fails", "reason": "failed", "attempts": 3, "input": order(7) });
    assert_eq!((alert.task.as_str(), alert.origin, output(&alert)), ("alert", Origin::Guest, expected));
    assert_eq!(alert.metadata.get("customer"), Some("7"));

    // By filter: what went wrong, and only if it matches.
    let others = RunFilter { metadata: runlater::Metadata::from_entries([("customer", "8")]).unwrap(), ..of("fails") }.select().unwrap();
    assert_eq!(world.scheduler.bulk_trigger(others, false).await.unwrap().changed, 0);
    let mine = of("fails").select().unwrap();
    assert_eq!(world.scheduler.bulk_trigger(mine.clone(), true).await.unwrap().changed, 1);
    assert_eq!(world.status(run).await, Status::Failed, "a dry run only counts");
    assert_eq!(world.scheduler.bulk_trigger(mine, false).await.unwrap().changed, 1);
    let again = world.until(run, |run| run.status == Status::Backoff).await;
    assert_eq!(again.message.as_deref(), Some("customer 7, attempt 4"), "its attempts are counted anew, and numbered on");
    let named = world.scheduler.bulk_trigger(Selection::ids([alert.id]).unwrap(), false).await.unwrap();
    assert_eq!(named.refused, [ChangeError::AlreadyEnded(alert.id)]);
}

#[tokio::test]
async fn missed_runs_are_made_up_for_as_their_task_says() {
    /// For how long the host is off, and what then becomes of runs that were due after 5 s, 6 s and 7 s.
    const CASES: [(u64, [&str; 3], [&str; 3], [&str; 3]); 3] = [
        (10, ["succeeded"; 3], ["succeeded"; 3], ["succeeded"; 3]),
        (120, ["missed"; 3], ["missed", "missed", "succeeded"], ["missed", "succeeded", "succeeded"]),
        (3 * 86_400, ["missed"; 3], ["missed"; 3], ["missed"; 3]),
    ];
    for (down, skip, latest, all) in CASES {
        let mut world = World::with(&["policies"]).await;
        let mut runs = Vec::new();
        for task in ["brief", "daily", "ledger"] {
            for due in [5, 6, 7] {
                runs.push(world.schedule(task, Value::Null).after(secs(due)).send().await.unwrap());
            }
        }
        let due = world.then(secs(7));
        world.restart(secs(down)).await;
        let mut ended = Vec::new();
        for run in &runs {
            ended.push(world.wait(*run).await);
        }
        let words: Vec<_> = ended.iter().map(|run| run.status.as_str()).collect();
        assert_eq!(words.chunks(3).collect::<Vec<_>>(), [skip, latest, all], "off for {down} s");
        assert!(ended.iter().all(|run| run.status != Status::Missed || run.message.as_ref().unwrap().contains("no host was running")));
        assert_eq!(ended[8].trigger_at, due, "a run keeps its trigger time");
        let missed = RunFilter { statuses: vec![Status::Missed], ..RunFilter::default() };
        let count = ended.iter().filter(|run| run.status == Status::Missed).count() as u64;
        assert_eq!(world.scheduler.bulk_trigger(missed.select().unwrap(), false).await.unwrap().changed, count);
        for run in runs {
            assert_eq!(world.wait(run).await.status, Status::Succeeded, "by hand");
        }
    }
}

#[tokio::test]
async fn a_clock_set_forward_is_made_up_for_and_one_set_back_repeats_nothing() {
    let world = World::with(&["policies"]).await;
    let mut runs = Vec::new();
    for due in [5, 6, 7] {
        runs.push(world.schedule("daily", Value::Null).after(secs(due)).send().await.unwrap());
    }
    let start = world.now();
    world.step_to(world.then(secs(600)));
    assert_eq!(world.wait(runs[2]).await.status, Status::Succeeded);
    assert_eq!(world.wait(runs[1]).await.status, Status::Missed);
    world.step_to(start);
    world.advance(secs(20));
    assert_eq!(
        world.run("alert", json!({"run": "", "task": "", "reason": "", "attempts": 1, "input": order(1)})).await.status,
        Status::Succeeded
    );
    assert_eq!(world.get(runs[2]).await.attempts, 1);
}

#[tokio::test]
async fn what_the_code_limits_an_operator_takes_away_until_it_is_taken_back() {
    let mut world = World::with(&["policies"]).await;
    fn register(world: &World) -> Register<'_> {
        world.scheduler.register(guests::component("policies")).grant(Grant::Runs)
    }
    let mut settings = PolicySettings::default();
    for field in PolicySettings::REMOVABLE {
        settings.set(field, "none").unwrap();
    }
    register(&world).policy("everything", settings).send().await.unwrap();
    register(&world).send().await.unwrap();
    world.restart(secs(1)).await;
    let policy = world.scheduler.task("everything").unwrap().policy.clone();
    assert_eq!((policy.has_gate(), policy.start_deadline, policy.on_failure), (false, None, None), "also later, and after a restart");
    let back = PolicySettings::REMOVABLE.into_iter().fold(register(&world), |register, field| register.reset_policy("everything", field));
    back.send().await.unwrap();
    let policy = world.scheduler.task("everything").unwrap().policy.clone();
    assert_eq!((policy.has_gate(), policy.start_deadline, policy.on_failure.is_some()), (true, Some(secs(300)), true));
}

#[tokio::test]
async fn ended_runs_are_forgotten_as_their_task_says() {
    let world = World::with(&["policies"]).await;
    let mut runs = Vec::new();
    for _ in 0..5 {
        runs.push(world.run("brief", Value::Null).await.id);
    }
    let waits = world.schedule("brief", Value::Null).after(secs(100_000)).send().await.unwrap();
    let kept = world.run("alert", json!({"run": "", "task": "", "reason": "", "attempts": 1, "input": order(1)})).await.id;
    // An attempt that takes a while sleeps as long, up to its timeout: what counts is who sleeps again from now on.
    let before = world.clock.slept(secs(60));
    for pass in 1..=2 {
        world.advance(secs(60));
        world.clock.sleeping(secs(60), before + pass).await;
    }
    let left: Vec<_> = world.list(RunFilter::default()).await.into_iter().map(|run| run.id).collect();
    assert_eq!(left, [waits, kept]);
    assert_eq!(world.scheduler.health().pruned, 5);
}

#[tokio::test]
async fn a_guest_replaces_and_debounces() {
    let world = World::with(&["policies"]).await;
    let run = world.run("keyed", json!({ "mode": "replace", "customer": 1 })).await;
    let ids = output(&run);
    let left = world.list(of("everything")).await;
    assert_eq!(left.iter().map(|run| json!(run.id.to_string())).collect::<Vec<_>>(), [ids[1].clone()], "{:?}", run.message);
    assert_eq!(left[0].input.bytes(), order(2).to_string().as_bytes());
    // The next attempt finds what the first one has committed.
    let run = world.run("keyed", json!({ "mode": "replace", "customer": 5 })).await;
    let left = world.list(of("everything")).await;
    assert_eq!(left.iter().map(|run| json!(run.id.to_string())).collect::<Vec<_>>(), [output(&run)[1].clone()], "{:?}", run.message);

    let refused = world.run("keyed", json!({ "mode": "reject", "customer": 5 })).await;
    assert_eq!((refused.status, refused.output.is_none()), (Status::Failed, true));

    let all = of("everything").select().unwrap();
    assert_eq!(world.scheduler.bulk_delete(all, false).await.unwrap().changed, 1);
    let run = world.run("keyed", json!({ "mode": "debounce", "customer": 1 })).await;
    let ids = output(&run);
    assert_eq!(ids[0], ids[1], "one run for both: {:?}", run.message);
    let first = world.now();
    world.advance(secs(30));
    let run = world.run("keyed", json!({ "mode": "debounce", "customer": 3 })).await;
    assert_eq!(output(&run), json!([ids[0], ids[0]]), "and for those of a later attempt: {:?}", run.message);
    let left = world.list(of("everything")).await;
    assert_eq!(
        (left.len(), left[0].trigger_at, left[0].input.bytes()),
        (1, first.saturating_add(secs(90)), order(4).to_string().as_bytes())
    );
    assert_eq!(world.scheduler.bulk_move(of("everything").select().unwrap(), Move::By(0), true).await.unwrap().changed, 1);
}

#[tokio::test]
async fn a_guest_says_for_how_long_its_key_is_held() {
    let world = World::with(&["policies"]).await;
    for (held_for, detached, seconds) in [(Some(10), false, 10), (Some(0), false, 0), (None, false, 86_400), (Some(10), true, 10)] {
        let keyed = async |customer: u32| {
            let input = json!({ "mode": "existing", "customer": customer, "held_for": held_for, "detached": detached });
            world.run("keyed", input).await
        };
        let first = keyed(1).await;
        let ids = output(&first);
        assert_eq!((first.status, &ids[0]), (Status::Succeeded, &ids[1]), "{:?}", first.message);
        assert_eq!(output(&keyed(1).await), ids, "a later attempt gets the same run");
        assert_eq!(keyed(2).await.status, Status::Failed, "another request does not");
        let run = runlater::RunId::parse(ids[0].as_str().unwrap(), "id").unwrap();
        world.scheduler.trigger_now(run).await.unwrap();
        assert_eq!(world.wait(run).await.status, Status::Succeeded);
        if seconds > 0 {
            world.advance(secs(seconds - 1));
            assert_eq!(keyed(2).await.status, Status::Failed, "{held_for:?}: held for {seconds} s after the end");
            world.advance(secs(1));
        }
        let free = keyed(2).await;
        assert_eq!(free.status, Status::Succeeded, "{held_for:?}: {:?}", free.message);
        assert_eq!(world.scheduler.bulk_delete(of("everything").select().unwrap(), false).await.unwrap().changed, 1);
    }
    let both = world.run("keyed", json!({ "mode": "debounce", "customer": 1, "held_for": 10 })).await;
    assert_eq!((both.status, both.message.unwrap().contains("debounce")), (Status::Failed, true), "a debounced one says its own times");
}
