//! Bulk changes over runs in every state: by id and by filter, as a dry run and as an action, with the same numbers and the same reasons.

use std::collections::BTreeMap;
use std::time::Duration;

use proptest::prelude::*;
use runlater::model::UniqueMode;
use runlater::{Run, RunId};
use serde_json::{Value, json};

use super::World;

/// The columns of a run in each state that a bulk change meets. Their times lie so far ahead that no queue holds them, and their task is paused.
const STATES: [(&str, &str); 10] = [
    ("scheduled", "status = 0"),
    ("scheduled by code", "origin = 3"),
    ("scheduled for the last day", "trigger_at = 253402300000000000, due_at = 253402300000000000"),
    ("queued", "trigger_at = 1000, due_at = 1000"),
    ("running", "status = 1, due_at = NULL, attempt = 1"),
    ("backoff", "status = 2, attempt = 1"),
    ("succeeded", "status = 3, due_at = NULL, finished_at = 1000, attempt = 1"),
    ("failed", "status = 4, due_at = NULL, finished_at = 1000, attempt = 1"),
    ("cancelled", "status = 5, due_at = NULL, finished_at = 1000, attempt = 1"),
    ("missed", "status = 6, due_at = NULL, finished_at = 1000"),
];

/// The verbs, with what each needs beside a selection.
fn verbs() -> [(&'static str, Value); 6] {
    [
        ("delete", json!({})),
        ("cancel", json!({})),
        ("trigger", json!({})),
        ("reschedule", json!({ "to": { "at": "2100-01-01T00:00:00Z" } })),
        ("reschedule", json!({ "by": "+30d" })),
        ("reschedule", json!({ "by": "-36500d" })),
    ]
}

struct Bench {
    world: World,
    database: rusqlite::Connection,
}

impl Bench {
    async fn new() -> Self {
        let world = World::new().await;
        world.scheduler.pause_task("touch", None, "so that nothing starts").await.unwrap();
        let database = rusqlite::Connection::open(world._folder.path().join("runs.db")).unwrap();
        database.busy_timeout(Duration::from_secs(10)).unwrap();
        Self { world, database }
    }

    /// Stores a run for each of these states, with this tag. Runs with the same number for a key share a unique key, one after the other.
    async fn store(&self, tag: &str, seeds: &[(usize, Option<u8>)]) -> Vec<RunId> {
        let mut ids = Vec::new();
        for (state, key) in seeds {
            let mut run = self.world.scheduler.schedule("touch").after(Duration::from_secs(86_400)).metadata("tag", tag);
            if let Some(key) = key {
                run = run.unique(&format!("{tag}-{key}"), UniqueMode::Existing).unique_for(Duration::ZERO);
            }
            // Refused while an unfinished one holds the key: then it is that one again.
            let id = run.send().await.unwrap();
            if !ids.contains(&id) {
                let newest = format!("UPDATE runlater_runs SET {} WHERE id = (SELECT max(id) FROM runlater_runs)", STATES[*state].1);
                assert_eq!(self.database.execute(&newest, []).unwrap(), 1);
                ids.push(id);
            }
        }
        ids
    }

    async fn bulk(&self, verb: &str, parts: [&Value; 2], dry_run: bool) -> Value {
        let mut body = json!({ "dry_run": dry_run });
        for part in parts {
            body.as_object_mut().unwrap().extend(part.as_object().unwrap().clone());
        }
        let answer = self.world.ask("POST", &format!("/v1/runs/bulk-{verb}"), body).await;
        assert_eq!(answer.status, 200, "{}", answer.body);
        answer.body
    }

    async fn runs(&self, ids: &[RunId]) -> Vec<Option<Run>> {
        let mut runs = Vec::new();
        for id in ids {
            runs.push(self.world.scheduler.get(*id).await.ok());
        }
        runs
    }
}

/// The refused ones by their place among `ids`.
fn refused(answer: &Value, ids: &[RunId]) -> BTreeMap<usize, String> {
    let one = |refused: &Value| {
        let place = ids.iter().position(|id| refused["id"] == id.to_string()).unwrap();
        (place, refused["code"].as_str().unwrap().to_string())
    };
    answer["refused"].as_array().unwrap().iter().map(one).collect()
}

/// What is left of a run that was changed, in a word, beside what was there before.
fn check_changed(verb: &str, fields: &Value, before: &Run, after: Option<&Run>) {
    let status = after.map(|run| run.status.as_str());
    match verb {
        "delete" => assert_eq!(status, None),
        "cancel" => assert_eq!(status, Some("cancelled")),
        "trigger" => assert!(matches!(status, Some("queued" | "running")), "{status:?}"),
        _ => {
            let moved = after.unwrap().trigger_at.as_micros() - before.trigger_at.as_micros();
            match fields["by"].as_str() {
                Some("+30d") => assert_eq!(moved, 30 * 86_400_000_000, "moved once"),
                Some(_) => assert_eq!(moved, -36_500 * 86_400_000_000, "moved once"),
                None => assert_eq!(after.unwrap().trigger_at.to_string(), "2100-01-01T00:00:00Z"),
            }
        }
    }
}

async fn check(bench: &Bench, round: &str, seeds: &[(usize, Option<u8>)], repeats: &[usize]) {
    for (number, (verb, fields)) in verbs().into_iter().enumerate() {
        let tag = |way: &str| format!("{round} {number} {way}");
        let (named, matched) = (bench.store(&tag("named"), seeds).await, bench.store(&tag("matched"), seeds).await);
        let mut ids: Vec<_> = named.iter().map(ToString::to_string).collect();
        ids.extend(repeats.iter().filter_map(|place| ids.get(*place).map(|id| id.to_uppercase())).collect::<Vec<_>>());
        let every = runlater::Status::ALL.map(runlater::Status::as_str);
        // Without a status a trigger means only what went wrong.
        let filter = match verb {
            "trigger" => json!({ "filter": { "metadata": { "tag": tag("matched") }, "status": every } }),
            _ => json!({ "filter": { "metadata": { "tag": tag("matched") } } }),
        };
        let mut answers = Vec::new();
        for (runs, selection) in [(&named, json!({ "ids": ids })), (&matched, filter)] {
            let before = bench.runs(runs).await;
            let dry = bench.bulk(verb, [&selection, &fields], true).await;
            assert_eq!(bench.runs(runs).await, before, "a dry run changes nothing");
            let real = bench.bulk(verb, [&selection, &fields], false).await;
            assert_eq!(dry, real, "{verb} {fields} {selection} {seeds:?}");
            let refused = refused(&real, runs);
            let (changed, total) = (real["changed"].as_u64().unwrap() as usize, real["refused_total"].as_u64().unwrap() as usize);
            assert_eq!((changed + total, refused.len()), (runs.len(), total), "each run once: {verb} {real} {seeds:?}");
            for (place, (before, after)) in before.iter().zip(bench.runs(runs).await).enumerate() {
                match refused.contains_key(&place) {
                    true => assert_eq!(before, &after, "{verb}: a run that is refused is as it was"),
                    false => check_changed(verb, &fields, before.as_ref().unwrap(), after.as_ref()),
                }
            }
            answers.push((changed, refused));
        }
        assert_eq!(answers[0], answers[1], "{verb} {fields}: by id and by filter alike, {seeds:?}");
    }
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 6, failure_persistence: None, ..ProptestConfig::default() })]
    #[test]
    fn by_id_and_by_filter_as_a_dry_run_and_as_an_action(
        rounds in proptest::collection::vec(
            (
                proptest::collection::vec((0..STATES.len(), proptest::option::weighted(0.4, 0u8..2)), 1..10),
                proptest::collection::vec(0usize..10, 0..4),
            ),
            3,
        ),
    ) {
        let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(2).enable_all().build().unwrap();
        runtime.block_on(async {
            let bench = Bench::new().await;
            for (number, (seeds, repeats)) in rounds.iter().enumerate() {
                check(&bench, &number.to_string(), seeds, repeats).await;
            }
        });
    }
}

#[tokio::test]
async fn each_state_has_its_reason() {
    let bench = Bench::new().await;
    let every: Vec<_> = (0..STATES.len()).map(|state| (state, None)).collect();
    check(&bench, "all", &every, &[0, 4, 6]).await;
    let expected = [
        (
            "delete",
            [
                "",
                "defined-by-code",
                "",
                "already-triggered",
                "already-triggered",
                "already-triggered",
                "already-triggered",
                "already-triggered",
                "already-triggered",
                "already-triggered",
            ],
        ),
        ("cancel", ["", "", "", "", "", "", "already-ended", "already-ended", "already-ended", "already-ended"]),
        ("trigger", ["", "", "", "under-way", "under-way", "", "already-ended", "", "", ""]),
    ];
    for (verb, codes) in expected {
        let ids = bench.store(verb, &every).await;
        let answer = bench.bulk(verb, [&json!({ "ids": ids }), &json!({})], true).await;
        let seen = refused(&answer, &ids);
        for (place, code) in codes.into_iter().enumerate() {
            assert_eq!(seen.get(&place).map_or("", |code| code), code, "{verb} {}", STATES[place].0);
        }
    }
    let ids = bench.store("far", &every).await;
    let answer = bench.bulk("reschedule", [&json!({ "ids": ids }), &json!({ "by": "+30d" })], true).await;
    assert_eq!(refused(&answer, &ids)[&2], "invalid-time");
}

#[tokio::test]
async fn many_refused_runs_are_counted_and_the_first_are_named() {
    let bench = Bench::new().await;
    let ids = bench.store("many", &[(6, None); 150]).await;
    let filter = json!({ "filter": { "metadata": { "tag": "many" } } });
    for dry_run in [true, false] {
        let answer = bench.bulk("delete", [&filter, &json!({})], dry_run).await;
        let named: Vec<_> = answer["refused"].as_array().unwrap().iter().map(|refused| refused["id"].clone()).collect();
        assert_eq!((&answer["changed"], &answer["refused_total"]), (&json!(0), &json!(150)));
        assert_eq!(json!(named), json!(ids[..100]));
    }
    let answer = bench.bulk("delete", [&json!({ "ids": ids }), &json!({})], false).await;
    assert_eq!(answer["refused"].as_array().unwrap().len(), 150, "all that were named");
}

#[tokio::test]
async fn a_run_is_not_moved_to_two_times_at_once() {
    let bench = Bench::new().await;
    let ids = bench.store("moves", &[(0, None), (0, None)]).await;
    let at = |id: RunId, year: u32| json!({ "id": id, "at": format!("{year}-01-01T00:00:00Z") });
    let before = bench.runs(&ids).await;
    let moves = json!({ "moves": [at(ids[0], 2100), at(ids[1], 2100), at(ids[0], 2101)] });
    let conflict = bench.world.ask("POST", "/v1/runs/bulk-reschedule", moves).await;
    assert_eq!((conflict.status.as_u16(), conflict.code(), &conflict.body["field"]), (422, "invalid-bulk", &json!("moves[2]")));
    assert!(conflict.body["detail"].as_str().unwrap().contains("moves[0]"), "{}", conflict.body);
    // A list is no object, whose fields would be told by their order.
    for moves in [json!([[ids[0], "2101-01-01T00:00:00Z"]]), json!([null]), json!([at(ids[0], 2101), [ids[1]]])] {
        let refused = bench.world.ask("POST", "/v1/runs/bulk-reschedule", json!({ "moves": moves })).await;
        assert_eq!(refused.status.as_u16(), 422, "{moves}: {}", refused.body);
    }
    assert_eq!(bench.runs(&ids).await, before, "none of them is moved");
    let same = json!({ "moves": [at(ids[0], 2100), at(ids[1], 2101), at(ids[0], 2100)] });
    let moved = bench.world.ask("POST", "/v1/runs/bulk-reschedule", same).await.body;
    assert_eq!(moved, json!({ "changed": 2, "refused": [], "refused_total": 0 }));
}
