//! Crons over HTTP: making, changing, looking ahead, going through them.

use runlater::ManualClock;
use serde_json::{Value, json};

use super::{Answer, World};

/// The day before the clocks of Prague go forward.
pub(super) const NOW: &str = "2027-03-27T12:00:00Z";

/// A cron of `touch` with these fields.
pub(super) fn cron(name: &str, fields: Value) -> Value {
    let mut body = json!({ "name": name, "task": "touch", "expression": "0 * * * *" });
    extend(&mut body, fields);
    body
}

fn extend(object: &mut Value, fields: Value) {
    object.as_object_mut().unwrap().extend(fields.as_object().unwrap().clone());
}

pub(super) async fn world_with(crons: &[Value]) -> (World, ManualClock) {
    let (world, clock) = World::at(NOW).await;
    for cron in crons {
        assert_eq!(world.ask("POST", "/v1/crons", cron.clone()).await.status, 201);
    }
    (world, clock)
}

/// Fails unless the answer is this refusal.
#[track_caller]
pub(super) fn refused(answer: &Answer, status: u16, code: &str, field: Option<&str>, what: &str) {
    assert_eq!((answer.status.as_u16(), answer.code(), answer.body["field"].as_str()), (status, code, field), "{what}: {}", answer.body);
}

#[tokio::test]
async fn a_cron_is_made_shown_changed_and_deleted() {
    let all = json!({
        "expression": "30 2 * * *", "timezone": "Europe/Prague", "start": "2027-03-27T13:00:00+01:00", "end": "2028-01-01T00:00:00Z",
        "jitter": "30s", "max_count": 9, "input": { "a": 1 }, "metadata": { "by": "http" }, "priority": 2,
        "missed": { "catch_up": "all", "window": "2d", "max": 7 },
    });
    let (world, clock) = World::at(NOW).await;
    let made = world.ask("POST", "/v1/crons", cron("nightly", all.clone())).await;
    let mut seen = cron("nightly", all);
    extend(
        &mut seen,
        json!({
            "start": NOW, "origin": "api", "pause": null, "next_at": "2027-03-28T01:00:00Z", "fired": 0, "version": 1,
            "created_at": NOW, "updated_at": NOW,
        }),
    );
    assert_eq!((made.status.as_u16(), &made.body), (201, &seen));
    assert_eq!(world.ask("GET", "/v1/crons/nightly", None).await.body, seen);
    refused(&world.ask("POST", "/v1/crons", cron("nightly", json!({}))).await, 409, "cron-exists", None, "twice");

    // What is left out stays, and what is null goes back to what it is by itself.
    for (change, fields) in [
        // What is new counts from now; what stays keeps its beat.
        (json!({ "expression": "0 3 * * *" }), json!({ "expression": "0 3 * * *", "start": "2027-03-27T12:00:02Z" })),
        (json!({ "timezone": null }), json!({ "timezone": "UTC", "next_at": "2027-03-28T03:00:00Z" })),
        (json!({ "start": "2027-04-01T00:00:00Z" }), json!({ "start": "2027-04-01T00:00:00Z", "next_at": "2027-04-01T03:00:00Z" })),
        (json!({ "start": null }), json!({ "start": "2027-03-27T12:00:08Z", "next_at": "2027-03-28T03:00:00Z" })),
        (json!({ "end": null, "max_count": null }), json!({ "end": null, "max_count": null })),
        (json!({ "end": "2030-01-01T00:00:00Z", "max_count": 3 }), json!({ "end": "2030-01-01T00:00:00Z", "max_count": 3 })),
        (json!({ "priority": null }), json!({ "priority": null })),
        (json!({ "jitter": null }), json!({ "jitter": "0s" })),
        (json!({ "missed": { "catch_up": "latest" } }), json!({ "missed": { "catch_up": "latest", "window": "2d", "max": 7 } })),
        (json!({ "missed": { "window": "1h", "max": 1 } }), json!({ "missed": { "catch_up": "latest", "window": "1h", "max": 1 } })),
        (json!({ "missed": null }), json!({ "missed": null })),
        (json!({ "missed": { "catch_up": "all" } }), json!({ "missed": { "catch_up": "all", "window": "1d", "max": 100 } })),
        (json!({ "metadata": { "k": "v" } }), json!({ "metadata": { "k": "v" } })),
        (json!({ "metadata": null }), json!({ "metadata": {} })),
        (json!({ "input": [7] }), json!({ "input": [7] })),
        (json!({ "input": null }), json!({ "input": null })),
        (json!({}), json!({})),
    ] {
        clock.advance(std::time::Duration::from_secs(2));
        let version = seen["version"].as_u64().unwrap();
        extend(&mut seen, fields);
        extend(&mut seen, json!({ "version": version + 1, "updated_at": world.scheduler.now() }));
        let answer = world.ask("PATCH", "/v1/crons/nightly", change.clone()).await;
        assert_eq!((answer.status.as_u16(), &answer.body), (200, &seen), "{change}");
    }
    assert_eq!(world.ask("GET", "/v1/crons/nightly", None).await.body, seen);

    let version = seen["version"].as_u64().unwrap();
    let change = |version: u64| json!({ "priority": 1, "if_version": version });
    refused(&world.ask("PATCH", "/v1/crons/nightly", change(version - 1)).await, 412, "stale", None, "an old version");
    assert_eq!(world.ask("PATCH", "/v1/crons/nightly", change(version)).await.body["priority"], 1);

    assert_eq!(world.ask("DELETE", "/v1/crons/nightly", None).await.status, 204);
    for method in ["GET", "DELETE"] {
        refused(&world.ask(method, "/v1/crons/nightly", None).await, 404, "cron-not-found", None, method);
    }
}

#[tokio::test]
async fn what_is_to_come_is_told_with_what_the_clocks_do_to_it() {
    let (world, _clock) = world_with(&[
        cron("spring", json!({ "expression": "30 2 * * *", "timezone": "Europe/Prague" })),
        cron("autumn", json!({ "expression": "30 2 * * *", "timezone": "Europe/Prague", "start": "2027-10-31T00:00:00Z" })),
        cron("often", json!({ "expression": "*/30 2 * * *", "timezone": "Europe/Prague", "start": "2027-10-31T00:00:00Z" })),
        cron("twice", json!({ "expression": "@every 1h", "max_count": 2 })),
    ])
    .await;
    let next = async |path: &str| world.ask("GET", &format!("/v1/crons/{path}"), None).await.body["occurrences"].clone();
    let spring = json!([
        { "at": "2027-03-28T01:00:00Z", "local": "2027-03-28T03:00:00", "note": "the clocks skip 2027-03-28 02:30; it fires when they have jumped" },
        { "at": "2027-03-29T00:30:00Z", "local": "2027-03-29T02:30:00" },
    ]);
    assert_eq!(next("spring/next?count=2").await, spring);
    let autumn = json!([
        { "at": "2027-10-31T00:30:00Z", "local": "2027-10-31T02:30:00", "note": "the clocks show this time twice; it fires the first time" },
        { "at": "2027-11-01T01:30:00Z", "local": "2027-11-01T02:30:00" },
    ]);
    assert_eq!(next("autumn/next?count=2").await, autumn);
    let often = next("often/next?count=5").await;
    let both = "the clocks show this time twice; it fires both times";
    let notes: Vec<_> = often.as_array().unwrap().iter().map(|one| (one["local"].as_str().unwrap(), one["note"].as_str())).collect();
    let twice = |time| (time, Some(both));
    let (first, second) = (twice("2027-10-31T02:00:00"), twice("2027-10-31T02:30:00"));
    assert_eq!(notes, [first, second, first, second, ("2027-11-01T02:00:00", None)]);

    assert_eq!(next("spring/next").await.as_array().unwrap().len(), 10);
    assert_eq!(next("twice/next").await.as_array().unwrap().len(), 2, "no more than it may fire");
    world.ask("POST", "/v1/crons/twice/pause", json!({ "until": "2027-03-27T15:30:00Z" })).await;
    assert_eq!(next("twice/next").await[0]["at"], "2027-03-27T16:00:00Z");
    world.ask("POST", "/v1/crons/twice/pause", json!({})).await;
    assert_eq!(next("twice/next").await, json!([]));
    for query in ["count=0", "count=501", "count=-1", "count=x", "count="] {
        refused(&world.ask("GET", &format!("/v1/crons/twice/next?{query}"), None).await, 422, "invalid-count", Some("count"), query);
    }
    refused(&world.ask("GET", "/v1/crons/twice/next?limit=1", None).await, 422, "unknown-parameter", Some("query"), "another word");
}

#[tokio::test]
async fn a_cron_is_paused_resumed_triggered_and_filled_up() {
    let (world, _clock) = world_with(&[cron("hourly", json!({ "input": 7 }))]).await;
    let post = async |verb: &str, body: Value| world.ask("POST", &format!("/v1/crons/hourly/{verb}"), body).await;
    let paused = post("pause", json!({ "for": "90m", "note": "an upgrade" })).await.body;
    assert_eq!(paused["pause"], json!({ "since": NOW, "until": "2027-03-27T13:30:00Z", "note": "an upgrade" }));
    assert_eq!(paused["next_at"], "2027-03-27T14:00:00Z");
    assert_eq!(post("pause", json!({})).await.body["next_at"], json!(null));
    for _ in 0..2 {
        let resumed = world.ask("POST", "/v1/crons/hourly/resume", None).await.body;
        assert_eq!((&resumed["pause"], &resumed["next_at"]), (&json!(null), &json!("2027-03-27T13:00:00Z")));
    }
    for (body, code, field) in [
        (json!({ "until": "1970-01-01T00:00:00Z" }), "invalid-time", "until"),
        (json!({ "until": NOW, "for": "1h" }), "invalid-time", "for"),
        (json!({ "for": "0s" }), "invalid-duration", "for"),
        (json!({ "note": "x".repeat(257) }), "invalid-note", "note"),
        (json!({ "til": NOW }), "invalid-field", "til"),
    ] {
        refused(&post("pause", body.clone()).await, 422, code, Some(field), &body.to_string());
    }

    let ended = async |id: &Value| world.ask("GET", &format!("/v1/runs/{}/wait", id.as_str().unwrap()), None).await.body;
    let triggered = world.ask("POST", "/v1/crons/hourly/trigger", None).await;
    assert_eq!(triggered.status, 201);
    let run = ended(&triggered.body["id"]).await;
    assert_eq!((&run["status"], &run["output"], &run["origin"]), (&json!("succeeded"), &json!(7), &json!("cron")));
    assert_eq!(run["occurrence"], json!({ "cron": "hourly", "planned_at": null }));

    let range = json!({ "from": "2027-03-27T08:00:00Z", "until": "2027-03-27T10:59:59Z" });
    let planned = json!(["2027-03-27T08:00:00Z", "2027-03-27T09:00:00Z", "2027-03-27T10:00:00Z"]);
    let mut dry = range.clone();
    extend(&mut dry, json!({ "dry_run": true }));
    assert_eq!(post("backfill", dry.clone()).await.body, json!({ "planned": planned, "made": 0 }));
    for made in [3, 0] {
        assert_eq!(post("backfill", range.clone()).await.body, json!({ "planned": planned, "made": made }));
    }
    assert_eq!(post("backfill", json!({ "from": "2027-03-27T10:00:00Z" })).await.body["made"], 2, "those up to now");
    let runs = world.ask("GET", "/v1/runs?origin=cron&order=trigger-time", None).await.body;
    let mut times = Vec::new();
    for run in runs["runs"].as_array().unwrap() {
        let run = ended(&run["id"]).await;
        assert_eq!(run["status"], "succeeded");
        times.extend(run["occurrence"]["planned_at"].as_str().map(|at| at[11..13].to_owned()));
    }
    times.sort();
    assert_eq!(times, ["08", "09", "10", "11", "12"]);
    for (body, code, field) in [
        (json!({}), "invalid-field", None),
        (json!({ "from": "yesterday" }), "invalid-time", Some("from")),
        (json!({ "from": NOW, "until": "tomorrow" }), "invalid-time", Some("until")),
        (json!({ "from": NOW, "until": "2027-03-27T12:00:01Z" }), "invalid-range", Some("until")),
        (json!({ "from": NOW, "until": "2027-03-27T11:00:00Z" }), "invalid-range", Some("until")),
        (json!({ "from": "1970-01-01T00:00:00Z" }), "invalid-range", Some("from")),
        (json!({ "from": NOW, "dryrun": true }), "invalid-field", Some("dryrun")),
    ] {
        refused(&post("backfill", body.clone()).await, 422, code, field, &body.to_string());
    }
}

#[tokio::test]
async fn crons_are_listed_page_by_page() {
    let crons: Vec<_> = ["d", "b", "a", "c"].map(|name| cron(name, json!({}))).into();
    let (world, _clock) = world_with(&crons).await;
    world.ask("POST", "/v1/crons", cron("e", json!({ "task": "log" }))).await;
    world.ask("POST", "/v1/crons/b/pause", json!({})).await;
    let list = async |query: &str| {
        let page = world.ask("GET", &format!("/v1/crons?{query}"), None).await.body;
        let names: Vec<_> = page["crons"].as_array().unwrap().iter().map(|cron| cron["name"].as_str().unwrap()).collect();
        (names.join(" "), page["next"].as_str().unwrap_or("none").to_owned())
    };
    for (query, names, next) in [
        ("", "a b c d e", "none"),
        ("limit=2", "a b", "b"),
        ("limit=2&cursor=b", "c d", "d"),
        ("limit=2&cursor=d", "e", "none"),
        ("limit=5", "a b c d e", "none"),
        ("task=log", "e", "none"),
        ("task=nobody", "", "none"),
        ("paused=true", "b", "none"),
        ("paused=false&limit=3", "a c d", "d"),
        ("paused=false&task=touch", "a c d", "none"),
    ] {
        assert_eq!(list(query).await, (names.into(), next.into()), "{query}");
    }
    for (query, status, code, field) in [
        ("limit=0", 422, "invalid-page-size", "limit"),
        ("limit=501", 422, "invalid-page-size", "limit"),
        ("paused=maybe", 422, "invalid-field", "paused"),
        ("task=..%2Fx", 422, "invalid-name", "task"),
        ("cursor=..%2Fx", 400, "bad-cursor", "cursor"),
        ("tsak=touch", 422, "unknown-parameter", "query"),
    ] {
        refused(&world.ask("GET", &format!("/v1/crons?{query}"), None).await, status, code, Some(field), query);
    }
}
