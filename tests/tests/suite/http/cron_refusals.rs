//! What is asked of crons and can't be meant, and what is asked of those of others, which do not exist.

use axum::body::Body;
use runlater::Grant;
use runlater::scheduler::Role;
use serde_json::{Value, json};

use super::crons::{NOW, cron, refused, world_with};
use super::{World, request, token};
use crate::guests;

#[tokio::test]
async fn changes_that_can_not_be_meant_change_nothing() {
    let (world, _clock) = world_with(&[cron("each", json!({}))]).await;
    for (body, code, field) in [
        (json!({ "expression": "@reboot" }), "invalid-cron", "expression"),
        (json!({ "expression": null }), "invalid-field", "expression"),
        (json!({ "timezone": "Mars/Olympus" }), "invalid-timezone", "timezone"),
        (json!({ "start": "tomorrow" }), "invalid-time", "start"),
        (json!({ "end": "2020-01-01T00:00:00Z" }), "invalid-end", "end"),
        (json!({ "expression": "30 * * * *", "end": "2027-03-27T12:00:01Z" }), "invalid-cron", "expression"),
        (json!({ "jitter": "25h" }), "invalid-jitter", "jitter"),
        (json!({ "max_count": 0 }), "invalid-max-count", "max_count"),
        (json!({ "priority": 4 }), "invalid-priority", "priority"),
        (json!({ "metadata": { "": "v" } }), "invalid-metadata", "metadata"),
        (json!({ "missed": { "catch_up": "some" } }), "invalid-missed", "missed.catch_up"),
        (json!({ "missed": { "window": "1d" } }), "invalid-missed", "missed.catch_up"),
        (json!({ "missed": { "catch_up": "all", "window": "0s" } }), "invalid-missed", "missed.window"),
        (json!({ "missed": { "catch_up": "all", "max": 0 } }), "invalid-missed", "missed.max"),
        (json!({ "missed": "all" }), "invalid-field", "missed"),
        (json!({ "name": "other" }), "invalid-field", "name"),
        (json!({ "task": "log" }), "invalid-field", "task"),
        (json!({ "if_version": -1 }), "invalid-field", "if_version"),
    ] {
        refused(&world.ask("PATCH", "/v1/crons/each", body.clone()).await, 422, code, Some(field), &body.to_string());
    }
    assert_eq!(world.ask("GET", "/v1/crons/each", None).await.body["version"], 1);
    let typed = world.ask("POST", "/v1/crons", cron("typed", json!({ "task": "fail-until", "input": { "attempt": 1 } }))).await;
    assert_eq!(typed.status, 201, "{}", typed.body);
    let unfit = world.ask("PATCH", "/v1/crons/typed", json!({ "input": { "attempt": "two" } })).await;
    refused(&unfit, 422, "invalid-input", Some("input.attempt"), "an input that does not fit");
    for (method, path, body) in [("PATCH", "", json!({})), ("POST", "/pause", json!({})), ("POST", "/backfill", json!({ "from": NOW }))] {
        refused(&world.ask(method, &format!("/v1/crons/Each{path}"), body.clone()).await, 422, "invalid-name", Some("name"), path);
        refused(&world.ask(method, &format!("/v1/crons/other{path}"), body).await, 404, "cron-not-found", None, path);
    }
}

#[tokio::test]
async fn what_the_code_of_a_component_declares_is_paused_and_triggered_and_no_more() {
    let (world, _clock) = world_with(&[]).await;
    let wasm = tokio::task::spawn_blocking(|| guests::component("crontab")).await.expect("built");
    world.scheduler.register(wasm).grant(Grant::Crons).send().await.expect("it is registered");
    let shown = world.ask("GET", "/v1/crons/tick.beat", None).await.body;
    let (origin, next) = (&shown["origin"], &shown["next_at"]);
    assert_eq!((origin, next, &shown["input"]), (&json!("code"), &json!("2027-03-27T12:00:40Z"), &json!({ "n": 7 })));
    refused(&world.ask("PATCH", "/v1/crons/tick.beat", json!({ "priority": 1 })).await, 409, "defined-by-code", None, "a change");
    refused(&world.ask("DELETE", "/v1/crons/tick.beat", None).await, 409, "defined-by-code", None, "a removal");
    let taken = json!({ "name": "tick.beat", "task": "tick", "expression": "@daily" });
    refused(&world.ask("POST", "/v1/crons", taken).await, 409, "cron-exists", None, "its name");
    assert_eq!(world.ask("POST", "/v1/crons/tick.beat/pause", json!({})).await.body["next_at"], json!(null));
    assert_eq!(world.ask("POST", "/v1/crons/tick.beat/resume", None).await.body["next_at"], "2027-03-27T12:00:40Z");
    assert_eq!(world.ask("POST", "/v1/crons/tick.beat/trigger", None).await.status, 201);
}

#[tokio::test]
async fn expressions_that_are_none_are_refused_at_once_and_say_which_field() {
    let (world, _clock) = World::at(NOW).await;
    let long = |part: &str| part.repeat(1_000_000 / part.len());
    let rows: [(String, &str); 13] = [
        ("5-1 * * * *".into(), "field 1 (minute"),
        ("* * * * 5-1".into(), "field 5 (day of week"),
        ("* * W * *".into(), "field 3 (day of month"),
        ("* * 32W * *".into(), "field 3 (day of month"),
        ("* * W15 * *".into(), "field 3 (day of month"),
        ("* * 1-5W * *".into(), "field 3 (day of month"),
        ("* 9W * * *".into(), "field 2 (hour"),
        ("0 0 9 * * MONW".into(), "field 6 (day of week"),
        ("*".into(), "1 fields; there are five"),
        ("0 0 9 * * * 2030".into(), "7 fields; there are five"),
        (long("*"), "1000000 bytes, the limit is"),
        (long("0,"), "bytes, the limit is"),
        (long("* "), "bytes, the limit is"),
    ];
    for (text, words) in rows {
        let shown: String = text.chars().take(30).collect();
        let asked = world.ask("POST", "/v1/crons", cron("bad", json!({ "expression": text })));
        let answer = tokio::time::timeout(std::time::Duration::from_secs(5), asked).await.expect("at once");
        refused(&answer, 422, "invalid-cron", Some("expression"), &shown);
        assert!(answer.body["detail"].as_str().unwrap().contains(words), "{shown}: {}", answer.body);
    }
}

#[tokio::test]
async fn crons_and_tasks_of_others_do_not_exist() {
    let (world, _clock) = world_with(&[cron("nightly", json!({}))]).await;
    let before = world.ask("GET", "/v1/crons/nightly", None).await.body;
    let run = world.scheduled().await.to_string();
    let others = world.scheduler.in_namespace("others").await.unwrap();
    let stranger = token(&others, Role::Admin).await;
    let ask = async |method: &str, path: &str, body: Option<&Value>| {
        let request = request(method, path, &stranger).header("content-type", "application/json");
        world.send(request.body(body.map_or_else(Body::empty, |body| body.to_string().into())).unwrap()).await
    };
    let (pause, range, change) = (json!({}), json!({ "from": "2027-03-27T00:00:00Z" }), json!({ "missed": { "catch_up": "all" } }));
    for (method, path, body, theirs, nobodys) in [
        ("GET", "/v1/crons/{}", None, "nightly", "nothing"),
        ("PATCH", "/v1/crons/{}", Some(&change), "nightly", "nothing"),
        ("DELETE", "/v1/crons/{}", None, "nightly", "nothing"),
        ("GET", "/v1/crons/{}/next", None, "nightly", "nothing"),
        ("POST", "/v1/crons/{}/pause", Some(&pause), "nightly", "nothing"),
        ("POST", "/v1/crons/{}/resume", None, "nightly", "nothing"),
        ("POST", "/v1/crons/{}/trigger", None, "nightly", "nothing"),
        ("POST", "/v1/crons/{}/backfill", Some(&range), "nightly", "nothing"),
        ("POST", "/v1/tasks/{}/pause", Some(&pause), "touch", "nobody"),
        ("POST", "/v1/tasks/{}/resume", None, "touch", "nobody"),
        ("GET", "/v1/runs/{}/explain", None, &run, "00000000-0000-7000-8000-000000000000"),
    ] {
        let mut answers = Vec::new();
        for name in [theirs, nobodys] {
            let answer = ask(method, &path.replace("{}", name), body).await;
            assert_eq!(answer.status, 404, "{method} {path}: {}", answer.body);
            answers.push(answer.problem().to_string().replace(name, "NAME"));
        }
        assert_eq!(answers[0], answers[1], "{method} {path}");
    }
    assert_eq!(ask("GET", "/v1/crons", None).await.body, json!({ "crons": [], "next": null }));
    let made = ask("POST", "/v1/crons", Some(&cron("nightly", json!({})))).await;
    refused(&made, 404, "task-not-found", None, "a cron of another's task");
    assert_eq!(world.ask("GET", "/v1/crons/nightly", None).await.body, before);
    assert_eq!(world.ask("GET", "/v1/tasks/touch", None).await.body["pause"], json!(null));
}
