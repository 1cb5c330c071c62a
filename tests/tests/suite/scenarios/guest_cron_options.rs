//! Everything that a guest can say of a cron, and read of it.

use std::time::Duration;

use futures_util::future::try_join_all;
use runlater::model::{CatchUp, MissedPolicy, Origin};
use runlater::{RunFilter, Status};
use serde_json::{Value, json};

use super::guest_crons::{keep, world};
use super::world::{World, output, secs};

/// What a guest was told at each of these steps.
async fn told(world: &World, steps: Value) -> Vec<String> {
    let (said, _) = keep(world, steps, false).await.expect("it keeps");
    said.as_array().unwrap().iter().map(|said| said.as_str().unwrap().to_owned()).collect()
}

async fn pass(world: &World, seconds: u64) {
    world.pass(seconds, "tick").await;
}

#[tokio::test]
async fn all_that_is_said_is_kept_and_read_again() {
    let world = world().await;
    let now = world.now();
    let all = json!({
        "verb": "create", "name": "all", "expression": "@every 1h", "timezone": "Europe/Prague", "start": 600, "end": 36_000, "max_count": 5,
        "jitter": 30, "priority": 3, "missed": "latest", "window": 7200, "max": 9, "n": 3,
    });
    let said = told(&world, json!([all, { "verb": "show", "name": "all" }, { "verb": "show", "name": "tick.cron" }])).await;
    let read = "all: @every 1h of tick in Europe/Prague, next +600, fired 0, paused None, {\"n\":3} [(\"n\", \"3\")], by guest";
    let code = "tick.cron: 0 9 * * 1-5 of tick in Europe/Prague, next +60634, fired 0, paused None, null [], by code";
    assert_eq!(said, ["ok", read, code]);
    let stored = world.scheduler.get_cron("all").await.unwrap();
    let rule = &stored.spec.rule;
    assert_eq!((rule.start(), rule.end()), (now.saturating_add(secs(600)), Some(now.saturating_add(secs(36_000)))));
    let policy = |catch_up, window, max| Some(MissedPolicy { catch_up, window: secs(window), max });
    assert_eq!((rule.jitter(), stored.spec.max_count, stored.spec.priority), (secs(30), Some(5), Some(3)));
    assert_eq!((stored.spec.missed, stored.origin), (policy(CatchUp::Latest, 7_200, 9), Origin::Guest));

    // Each by itself: the rest stays as it is.
    let before = stored.spec;
    for (what, fields) in [
        ("max_count", json!({ "max_count": 7 })),
        ("priority", json!({ "priority": 1 })),
        ("jitter", json!({ "jitter": 5 })),
        ("start", json!({ "start": 60 })),
        ("end", json!({ "end": 7_200 })),
        ("missed", json!({ "missed": "all", "window": 60, "max": 2 })),
        ("timezone", json!({ "timezone": "UTC" })),
        ("nothing", json!({})),
    ] {
        let mut step = json!({ "verb": "update", "name": "all" });
        step.as_object_mut().unwrap().extend(fields.as_object().unwrap().clone());
        assert_eq!(told(&world, json!([step])).await, ["ok"], "{what}");
    }
    let after = world.scheduler.get_cron("all").await.unwrap();
    let rule = &after.spec.rule;
    assert_eq!((rule.start(), rule.end(), rule.jitter()), (now.saturating_add(secs(60)), Some(now.saturating_add(secs(7_200))), secs(5)));
    assert_eq!((rule.text(), rule.zone(), after.spec.max_count, after.spec.priority), ("@every 1h", "UTC", Some(7), Some(1)));
    assert_eq!((after.spec.missed, after.version), (policy(CatchUp::All, 60, 2), 9));
    assert_eq!((after.spec.input, after.spec.metadata), (before.input, before.metadata));
}

#[tokio::test]
async fn what_can_not_be_meant_is_refused_and_named() {
    let world = world().await;
    let rows = [
        (json!({ "expression": "5-1 * * * *" }), "`expression`"),
        (json!({ "timezone": "Mars/Olympus" }), "`timezone`"),
        (json!({ "start": 100, "end": 100 }), "`end`"),
        (json!({ "start": 100, "end": 101, "expression": "@yearly" }), "`expression`"),
        (json!({ "max_count": 0 }), "`max-count`"),
        (json!({ "jitter": 86_401 }), "`jitter`"),
        (json!({ "priority": 4 }), "`priority`"),
        (json!({ "missed": "all", "window": 0 }), "`missed-window`"),
        (json!({ "missed": "all", "max": 0 }), "`missed-max`"),
        (json!({ "name": "../x" }), "`name`"),
    ];
    world.scheduler.cron("there", "tick").expression("@daily").create().await.unwrap();
    for (fields, field) in rows {
        for (verb, name) in [("create", "new"), ("update", "there")] {
            let mut step = json!({ "verb": verb, "name": name, "expression": "@daily" });
            step.as_object_mut().unwrap().extend(fields.as_object().unwrap().clone());
            let said = told(&world, json!([step])).await;
            assert!(said[0].starts_with(field), "{step}: {said:?}");
        }
    }
    let said = told(&world, json!([{ "verb": "pause", "name": "there", "until": 0 }, { "verb": "show", "name": "new" }])).await;
    assert!(said[0].starts_with("`until`") && said[1] == "no cron `new` exists", "{said:?}");
    assert_eq!(world.scheduler.get_cron("there").await.unwrap().version, 1, "nothing was changed");
}

#[tokio::test]
async fn each_does_what_it_says() {
    let world = world().await;
    let start = world.now();
    let every = |name: &str, fields: Value| {
        let mut step = json!({ "verb": "create", "name": name, "expression": "@every 40s" });
        step.as_object_mut().unwrap().extend(fields.as_object().unwrap().clone());
        step
    };
    let steps = json!([
        every("few", json!({ "start": 100, "max_count": 2, "n": 1 })),
        every("until", json!({ "end": 121, "n": 2 })),
        every("spread", json!({ "end": 200, "jitter": 20, "priority": 3, "n": 3 })),
        every("later", json!({ "end": 240, "n": 4 })),
        { "verb": "pause", "name": "later", "until": 100 },
        { "verb": "show", "name": "later" },
        { "verb": "next", "name": "few", "n": 5 },
    ]);
    let said = told(&world, steps).await;
    let later = "later: @every 40s of tick in UTC, next +120, fired 0, paused Some(\"by a guest\"), {\"n\":4} [(\"n\", \"4\")], by guest";
    assert_eq!((&said[5][..], &said[6][..]), (later, "+100 +140"));
    pass(&world, 300).await;

    let mut spread = Vec::new();
    for (n, expected) in [(1, vec![100, 140]), (2, vec![40, 80, 120]), (3, vec![40, 80, 120, 160]), (4, vec![120, 160, 200])] {
        let mut planned = Vec::new();
        for run in world.marked("n", &n.to_string()).await {
            let run = world.wait(run.id).await;
            let at = run.occurrence.as_ref().unwrap().planned_at.unwrap();
            assert_eq!((run.status, output(&run), run.priority), (Status::Succeeded, json!(n), if n == 3 { 3 } else { 1 }));
            planned.push(at.since(start).as_secs());
            let (late, jitter) = (run.trigger_at.since(at), if n == 3 { secs(20) } else { Duration::from_micros(1) });
            assert!(late < jitter && run.started_at.unwrap() >= run.trigger_at, "{n}: {late:?}");
            spread.extend((n == 3).then_some(late));
        }
        planned.sort_unstable();
        assert_eq!(planned, expected, "{n}");
    }
    spread.sort_unstable();
    spread.dedup();
    assert_eq!(spread.len(), 4, "each has a delay of its own");

    let said = told(&world, json!([{ "verb": "show", "name": "few" }, { "verb": "show", "name": "later" }])).await;
    assert!(said[0].contains("next never, fired 2, paused None"), "{said:?}");
    assert!(said[1].contains("next never, fired 3, paused None"), "{said:?}");
}

#[tokio::test]
async fn what_was_said_is_lifted_again() {
    let world = world().await;
    let all = json!({
        "verb": "create", "name": "all", "expression": "@every 1h", "start": 600, "end": 36_000, "max_count": 5, "jitter": 30, "priority": 3,
        "missed": "latest", "window": 7200, "n": 3,
    });
    let terms = || json!({ "verb": "terms", "name": "all" });
    let lift = |what: &[&str]| json!({ "verb": "update", "name": "all", "lift": what });
    let told_at_once = told(
        &world,
        json!([
            all,
            terms(),
            { "verb": "pause", "name": "all", "until": 900 },
            terms(),
            { "verb": "resume", "name": "all" },
            lift(&["end", "priority"]),
            terms(),
        ]),
    )
    .await;
    let said = "from +600, until +36000, jitter 30000 ms, count Some(5), priority Some(3), missed Some((Latest, 7200, 100))";
    let lifted = "from +600, until never, jitter 30000 ms, count Some(5), priority None, missed Some((Latest, 7200, 100))";
    let seen = [
        "ok",
        &format!("{said}, paused until never, version 1"),
        "ok",
        &format!("{said}, paused until +900, version 2"),
        "ok",
        "ok",
        &format!("{lifted}, paused until never, version 4"),
    ];
    assert_eq!(told_at_once, seen);
    assert_eq!(told(&world, json!([terms()])).await, [seen[6]], "what was committed is what was seen");

    let rest = told(&world, json!([lift(&["max-count", "missed", "metadata"]), terms(), { "verb": "show", "name": "all" }])).await;
    let lifted = "from +600, until never, jitter 30000 ms, count None, priority None, missed None, paused until never, version 5";
    assert_eq!(rest[1], lifted);
    assert!(rest[2].ends_with("{\"n\":3} [], by guest"), "{rest:?}");
    let stored = world.scheduler.get_cron("all").await.unwrap().spec;
    assert_eq!((stored.rule.end(), stored.max_count, stored.priority, stored.missed), (None, None, None, None));
    assert!(stored.metadata.is_empty());
}

#[tokio::test]
async fn one_that_has_fired_often_enough_goes_on_when_its_count_is_lifted() {
    let world = world().await;
    told(&world, json!([{ "verb": "create", "name": "once", "expression": "@every 40s", "max_count": 1, "n": 1 }])).await;
    pass(&world, 60).await;
    let ask = || json!({ "verb": "show", "name": "once" });
    let steps = json!([
        ask(),
        { "verb": "update", "name": "once", "priority": 2 },
        ask(),
        { "verb": "update", "name": "once", "lift": ["max-count"] },
        ask(),
    ]);
    let said = told(&world, steps).await;
    assert!(said[0].contains("next never, fired 1") && said[2].contains("next never, fired 1"), "{said:?}");
    assert!(said[4].contains("next +20, fired 1"), "{said:?}");
    pass(&world, 59).await;
    // Its occurrence may be made into a run after the one that was waited for: the time passed in one leap.
    assert_eq!(world.succeeded("n", "1", 2).await.len(), 2);
}

#[tokio::test]
async fn the_last_page_is_the_last_one_also_if_it_is_full() {
    let world = world().await;
    let (page, make) = (
        |n: u32| json!({ "verb": "page", "name": "all", "n": n }),
        |name: &str| json!({ "verb": "create", "name": name, "expression": "@yearly" }),
    );
    let delete = |name: &str| json!({ "verb": "delete", "name": name });
    world.scheduler.cron("aa", "tick").expression("@yearly").create().await.unwrap();
    world.scheduler.cron("ab", "tick").expression("@yearly").create().await.unwrap();
    let steps =
        json!([page(4), page(3), page(2), delete("ab"), page(3), page(2), make("zz"), page(4), page(3), delete("aa"), page(3), page(0)]);
    assert_eq!(
        told(&world, steps).await,
        [
            "4, then None",
            "3, then Some(\"tick.beat\")",
            "2, then Some(\"ab\")",
            "ok",
            "3, then None",
            "2, then Some(\"tick.beat\")",
            "ok",
            "4, then None",
            "3, then Some(\"tick.cron\")",
            "ok",
            "3, then None",
            "no page of 0",
        ]
    );
}

#[tokio::test]
async fn lists_are_whole_beyond_a_page_with_ones_own_writes() {
    let world = world().await;
    // With the two that the code declares: two whole pages of the SDK's.
    let made = (0..198).map(|n| world.scheduler.cron(&format!("c{n:03}"), "tick").expression("@yearly").create());
    try_join_all(made).await.unwrap();
    let said = told(
        &world,
        json!([
            { "verb": "count", "name": "all" },
            { "verb": "create", "name": "a", "expression": "@yearly" },
            { "verb": "create", "name": "c100x", "expression": "@yearly" },
            { "verb": "create", "name": "z", "expression": "@yearly" },
            { "verb": "count", "name": "all" },
            { "verb": "delete", "name": "c099" },
            { "verb": "delete", "name": "c100x" },
            { "verb": "count", "name": "all" },
        ]),
    )
    .await;
    assert_eq!(said, ["200 in order", "ok", "ok", "ok", "203 in order", "ok", "ok", "201 in order"]);
    assert_eq!(told(&world, json!([{ "verb": "count", "name": "all" }])).await, ["201 in order"]);
    let made = world.list(RunFilter { origins: vec![Origin::Cron], ..RunFilter::default() }).await;
    assert!(made.iter().all(|run| run.occurrence.as_ref().unwrap().cron.as_ref().unwrap().as_str() == "tick.beat"), "none of them is near");
}
