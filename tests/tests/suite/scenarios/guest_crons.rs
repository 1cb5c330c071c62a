//! Crons from within: declared by a component's code, and kept by its tasks.

use runlater::model::{Grant, Origin};
use runlater::storage::CronError;
use runlater::{CronUpdate, Error, RunFilter, Scheduler, Status};
use serde_json::{Value, json};

use super::world::{World, output, secs};
use crate::guests;

/// The names of the crons there are.
async fn names(scheduler: &Scheduler) -> Vec<String> {
    let all = scheduler.list_crons(&Default::default()).await.unwrap();
    all.iter().map(|cron| cron.name.to_string()).collect()
}

pub(super) async fn world() -> World {
    let world = World::with(&[]).await;
    world.scheduler.register(guests::component("crontab")).grant(Grant::Crons).send().await.unwrap();
    world
}

/// Has a guest take these steps, and says how each went and what it saw then.
pub(super) async fn keep(world: &World, steps: Value, fails: bool) -> Option<(Value, Value)> {
    let run = world.run("keep", json!({ "steps": steps, "fails": fails })).await;
    (run.status == Status::Succeeded).then(|| {
        let mut kept = output(&run);
        (kept["said"].take(), kept["seen"].take())
    })
}

#[tokio::test]
async fn what_the_code_declares_fires_and_only_its_code_changes_it() {
    let world = world().await;
    let (scheduler, start) = (&world.scheduler, world.now());
    let crons = scheduler.list_crons(&Default::default()).await.unwrap();
    let seen = crons.iter().map(|cron| (cron.name.as_str(), cron.spec.rule.text(), cron.spec.rule.zone(), cron.origin)).collect::<Vec<_>>();
    assert_eq!(seen, [("tick.beat", "@every 40s", "UTC", Origin::Code), ("tick.cron", "0 9 * * 1-5", "Europe/Prague", Origin::Code)]);
    for _ in 0..80 {
        world.advance(secs(1));
    }
    world.quiet_with("tick").await;
    let mut outputs = Vec::new();
    for run in world.list(RunFilter { origins: vec![Origin::Cron], ..RunFilter::default() }).await {
        if run.status != Status::Scheduled {
            outputs.push(output(&world.wait(run.id).await));
        }
    }
    assert_eq!(outputs, [json!(7), json!(7)]);

    let again = scheduler.register(guests::component("crontab")).grant(Grant::Crons).plan().await.unwrap();
    assert_eq!(again.changes, []);
    // The same again changes nothing; not even where it stands.
    scheduler.register(guests::component("crontab")).grant(Grant::Crons).send().await.unwrap();
    let again = scheduler.get_cron("tick.beat").await.unwrap();
    assert_eq!((again.version, again.next_at), (crons[0].version, Some(start.saturating_add(secs(120)))));
    let faster = CronUpdate { expression: Some("@every 1s".into()), ..CronUpdate::default() };
    assert!(matches!(scheduler.update_cron("tick.beat", faster).await, Err(Error::Cron(CronError::DefinedByCode(_)))));
    assert!(matches!(scheduler.delete_cron("tick.beat").await, Err(Error::Cron(CronError::DefinedByCode(_)))));
    scheduler.pause_cron("tick.beat", None, "").await.unwrap();
    assert_eq!(scheduler.resume_cron("tick.beat").await.unwrap().pause, None);
}

#[tokio::test]
async fn a_guest_keeps_crons_as_it_keeps_runs() {
    let world = world().await;
    let make = json!({ "verb": "create", "name": "nightly", "expression": "0 2 * * *", "timezone": "Europe/Prague", "n": 3 });
    let twice = json!([
        make,
        make,
        { "verb": "update", "name": "nightly", "expression": "@daily" },
        { "verb": "pause", "name": "nightly" },
        { "verb": "get", "name": "other" },
        { "verb": "delete", "name": "tick.beat" },
        { "verb": "create", "name": "never", "expression": "0 0 30 2 *" },
    ]);
    assert_eq!(keep(&world, twice.clone(), true).await, None);
    assert_eq!(names(&world.scheduler).await, ["tick.beat", "tick.cron"], "nothing of what failed");

    let (said, seen) = keep(&world, twice, false).await.unwrap();
    let said: Vec<&str> = said.as_array().unwrap().iter().map(|said| said.as_str().unwrap()).collect();
    assert_eq!(
        said[..6],
        [
            "ok",
            "there is a cron `nightly` already",
            "ok",
            "ok",
            "no cron `other` exists",
            "cron `tick.beat` is declared by a component's code"
        ]
    );
    assert!(said[6].contains("no day of the calendar ever matches it"), "{said:?}");
    let expected = json!([
        ["nightly", "@daily", "Europe/Prague", true],
        ["tick.beat", "@every 40s", "UTC", false],
        ["tick.cron", "0 9 * * 1-5", "Europe/Prague", false]
    ]);
    assert_eq!(seen, expected, "its own writes are seen");
    let stored = world.scheduler.get_cron("nightly").await.unwrap();
    assert_eq!((stored.origin, stored.version, stored.spec.rule.text(), stored.next_at), (Origin::Guest, 3, "@daily", None));
    assert_eq!(stored.spec.metadata.get("n"), Some("3"));

    let (said, seen) =
        keep(&world, json!([{ "verb": "resume", "name": "nightly" }, { "verb": "delete", "name": "nightly" }]), false).await.unwrap();
    assert_eq!((said, seen.as_array().unwrap().len()), (json!(["ok", "ok"]), 2));
    assert_eq!(names(&world.scheduler).await, ["tick.beat", "tick.cron"]);
}

#[tokio::test]
async fn pages_of_large_crons_end_early_and_are_whole() {
    let world = world().await;
    // More than a page of crons may have in bytes.
    let input = json!({ "n": 7, "more": "x".repeat(250 << 10) });
    for number in 0..40 {
        world.scheduler.cron(&format!("large-{number:02}"), "tick").expression("@daily").input(&input).unwrap().create().await.unwrap();
    }
    let steps = json!([{ "verb": "pause", "name": "large-10" }, { "verb": "delete", "name": "large-20" }]);
    let (said, seen) = keep(&world, steps, false).await.unwrap();
    assert_eq!(said, json!(["ok", "ok"]));
    let seen: Vec<_> = seen.as_array().unwrap().iter().map(|cron| (cron[0].as_str().unwrap().to_owned(), cron[3] == json!(true))).collect();
    let large = (0..40).filter(|number| *number != 20).map(|number| (format!("large-{number:02}"), number == 10));
    assert_eq!(seen, large.chain(["tick.beat", "tick.cron"].map(|name| (name.to_owned(), false))).collect::<Vec<_>>());
    let paused = world.scheduler.get_cron("large-10").await.unwrap();
    assert_eq!(paused.spec.input.bytes().len(), serde_json::to_vec(&input).unwrap().len(), "a pause leaves the input");
}

#[tokio::test]
async fn a_guest_makes_runs_of_crons_by_hand_and_of_the_past() {
    let world = world().await;
    let start = world.now();
    world.scheduler.cron("hourly", "tick").expression("@every 1h").input(&json!({ "n": 3 })).unwrap().create().await.unwrap();
    world.scheduler.cron("often", "tick").expression("@every 1s").create().await.unwrap();
    world.scheduler.pause_cron("often", None, "not yet").await.unwrap();
    let steps = json!([
        { "verb": "next", "name": "hourly", "n": 2 },
        { "verb": "next", "name": "often", "n": 2 },
        { "verb": "next", "name": "hourly", "n": 0 },
        { "verb": "trigger", "name": "hourly" },
        { "verb": "backfill", "name": "hourly", "n": 7200 },
        { "verb": "backfill", "name": "hourly", "n": 10800 },
        { "verb": "backfill", "name": "often", "n": 2000 },
        { "verb": "trigger", "name": "other" },
    ]);
    assert_eq!(keep(&world, steps.clone(), true).await, None);
    let made = async || {
        world
            .list(RunFilter {
                tasks: vec![runlater::model::Name::parse("tick", "task").unwrap()],
                origins: vec![Origin::Guest],
                ..RunFilter::default()
            })
            .await
    };
    assert_eq!(made().await, [], "nothing of what failed");

    let (said, _) = keep(&world, steps, false).await.unwrap();
    let limit = "limit `writes-per-attempt`: 2006 asked for, 1000 allowed";
    assert_eq!(
        said,
        json!(["+3600 +7200", "", "`count` is not valid: 1 to 500 (seen: \"0\")", "ok", "3", "1", limit, "no cron `other` exists"])
    );
    let mut planned = Vec::new();
    for run in made().await {
        let run = world.wait(run.id).await;
        assert_eq!((output(&run), run.parent.is_some()), (json!(3), true));
        let occurrence = run.occurrence.unwrap();
        assert_eq!(occurrence.cron.unwrap().as_str(), "hourly");
        planned.push(occurrence.planned_at.map(|at| at.as_micros() - start.as_micros()));
    }
    planned.sort();
    assert_eq!(planned, [None, Some(-3), Some(-2), Some(-1), Some(0)].map(|hours| hours.map(|hours: i64| hours * 3_600_000_000)));
    let (said, _) = keep(&world, json!([{ "verb": "backfill", "name": "hourly", "n": 10800 }]), false).await.unwrap();
    assert_eq!(said, json!(["0"]), "they were made");
}

#[tokio::test]
async fn without_its_grant_the_interface_is_not_there() {
    let world = World::with(&[]).await;
    let refused = world.scheduler.register(guests::component("crontab")).grant(Grant::Runs).send().await.unwrap_err();
    assert!(refused.to_string().contains("--grant crons"), "{refused}");
}

#[tokio::test]
async fn an_input_that_does_not_fit_makes_no_cron() {
    let world = world().await;
    let made = world.scheduler.cron("wrong", "tick").expression("@daily").input(&json!({ "n": "seven" })).unwrap().create().await;
    assert!(matches!(made, Err(Error::Invalid(invalid)) if invalid.field.starts_with("input")));
    let (said, _) = keep(&world, json!([{ "verb": "create", "name": "bad", "expression": "every day" }]), false).await.unwrap();
    assert!(said[0].as_str().unwrap().contains("expression"), "{said}");
}

#[tokio::test]
async fn a_plan_says_what_a_registration_would_change() {
    let world = World::with(&[]).await;
    let planned = async || {
        let plan = world.scheduler.register(guests::component("crontab")).grant(Grant::Crons).plan().await.unwrap();
        plan.changes.iter().map(|one| format!("{} {} {}", one.what, one.name, one.change)).collect::<Vec<_>>()
    };
    assert_eq!(planned().await, ["task keep added", "task tick added", "cron tick.beat added", "cron tick.cron added"]);
    assert!(world.scheduler.tasks().is_empty() && names(&world.scheduler).await.is_empty(), "nothing was done");
    world.scheduler.register(guests::component("crontab")).grant(Grant::Crons).send().await.unwrap();
    assert_eq!(planned().await, Vec::<String>::new());
    let grants = [Grant::Crons, Grant::Runs];
    let plan = world.scheduler.register(guests::component("crontab")).grants(grants).plan().await.unwrap();
    assert_eq!(plan.changes.iter().map(|one| one.change).collect::<Vec<_>>(), ["changed", "changed"]);
}
