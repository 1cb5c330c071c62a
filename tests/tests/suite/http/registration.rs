//! `POST /v1/tasks`: what a registration would change, and what an operator says over a component's policies.

use runlater::scheduler::Role;
use serde_json::{Value, json};

use super::{Answer, World, request};
use crate::guests;

async fn upload(world: &World, guest: &'static str, query: &str) -> Answer {
    let wasm = tokio::task::spawn_blocking(move || guests::component(guest)).await.expect("built");
    let request = request("POST", &format!("/v1/tasks?{query}"), world.token(Role::Deploy)).header("content-type", "application/wasm");
    world.send(request.body(wasm.to_vec().into()).unwrap()).await
}

/// What would change, in words.
fn changes(answer: &Answer) -> String {
    let word = |one: &Value, field: &str| one[field].as_str().unwrap().to_owned();
    let words = |one| ["what", "name", "change"].map(|field| word(one, field)).join(" ");
    assert_eq!((answer.status.as_u16(), answer.body["digest"].as_str().unwrap().len()), (200, 64), "{}", answer.body);
    answer.body["changes"].as_array().unwrap().iter().map(words).collect::<Vec<_>>().join(", ")
}

#[tokio::test]
async fn a_dry_run_says_what_would_change_and_changes_nothing() {
    let world = World::new().await;
    let all = "task keep added, task tick added, cron tick.beat added, cron tick.cron added";
    assert_eq!(changes(&upload(&world, "crontab", "grant=crons&dry_run=true").await), all);
    assert_eq!(world.ask("GET", "/v1/tasks/tick", None).await.code(), "task-not-found");
    assert_eq!(world.ask("GET", "/v1/crons", None).await.body["crons"], json!([]));
    assert_eq!(upload(&world, "crontab", "grant=crons&dry_run=false").await.status, 201);
    for (query, expected) in [
        ("grant=crons", ""),
        ("grant=crons&policy=tick.rate=1/s", "task tick changed"),
        ("grant=crons&policy=tick.rate=1/s&policy=keep.timeout=9s", "task keep changed, task tick changed"),
        ("grant=crons&policy=tick.rate=default", ""),
        ("grant=crons&grant=runs", "task keep changed, task tick changed"),
    ] {
        assert_eq!(changes(&upload(&world, "crontab", &format!("{query}&dry_run=true")).await), expected, "{query}");
    }
    assert_eq!(world.ask("GET", "/v1/tasks/tick", None).await.body["overrides"], json!({}));
    // What is refused for real is refused here.
    for (query, code, field) in [
        ("dry_run=maybe", "invalid-field", Some("dry_run")),
        ("dry_run=true", "import-not-granted", Some("component")),
        ("grant=crons&dry_run=true&policy=nobody.rate=1/s", "unknown-task", Some("policy")),
        ("grant=crons&dry_run=true&policy=tick.rate=fast", "invalid-rate", Some("policy.tick.rate")),
    ] {
        let answer = upload(&world, "crontab", query).await;
        assert_eq!((answer.status.as_u16(), answer.code(), answer.body["field"].as_str()), (422, code, field), "{query}: {}", answer.body);
    }
}

#[tokio::test]
async fn what_an_operator_says_of_a_policy_is_in_force_and_kept() {
    let world = World::new().await;
    for (query, overrides, priority) in [
        ("policy=tick.priority=3&policy=tick.keep-last=7", json!({ "priority": "3", "keep-last": "7" }), 3),
        ("", json!({ "priority": "3", "keep-last": "7" }), 3),
        ("policy=tick.priority=2", json!({ "priority": "2", "keep-last": "7" }), 2),
        ("policy=tick.priority=default", json!({ "keep-last": "7" }), 1),
        // Of two that say something of one field, the later one holds.
        ("policy=tick.priority=2&policy=tick.priority=3&policy=tick.keep-last=default", json!({ "priority": "3" }), 3),
    ] {
        let answer = upload(&world, "crontab", &format!("grant=crons&{query}")).await;
        assert_eq!(answer.status, 201, "{query}: {}", answer.body);
        let task = world.ask("GET", "/v1/tasks/tick", None).await.body;
        assert_eq!((&task["overrides"], &task["policy"]["priority"]), (&overrides, &json!(priority.to_string())), "{query}");
        let run = world.ask("POST", "/v1/crons/tick.beat/trigger", None).await.body["id"].as_str().unwrap().to_string();
        assert_eq!(world.ask("GET", &format!("/v1/runs/{run}"), None).await.body["priority"], priority, "{query}");
    }
}
