//! `/v1/namespaces`, acting in another namespace, and what each role learns of the host.

use axum::body::Body;
use runlater::scheduler::{NewToken, Role};
use serde_json::{Value, json};

use super::{Answer, World, request, token, touch};

async fn as_token(world: &World, token: &str, method: &str, path: &str, body: Option<Value>) -> Answer {
    let request = request(method, path, token);
    world
        .send(match body {
            Some(body) => request.header("content-type", "application/json").body(body.to_string().into()).unwrap(),
            None => request.body(Body::empty()).unwrap(),
        })
        .await
}

async fn in_namespace(world: &World, token: &str, namespace: &str, method: &str, path: &str) -> Answer {
    world.send(request(method, path, token).header("runlater-namespace", namespace).body(Body::empty()).unwrap()).await
}

#[tokio::test]
async fn namespaces_are_made_changed_and_shown() {
    let world = World::new().await;
    let made = world.ask("POST", "/v1/namespaces", json!({ "name": "acme", "quotas": { "live_runs": 2, "guest_creates": "5/s" } })).await;
    assert_eq!(made.status, 201, "{}", made.body);
    assert_eq!((&made.body["quotas"]["live_runs"], &made.body["quotas"]["tokens"]), (&json!(2), &Value::Null));
    let changed =
        world.ask("PATCH", "/v1/namespaces/acme", json!({ "quotas": { "guest_creates": null, "tokens": "default", "crons": 7 } })).await;
    let quotas = &changed.body["quotas"];
    assert_eq!((&quotas["live_runs"], &quotas["guest_creates"], &quotas["crons"]), (&json!(2), &Value::Null, &json!(7)));
    let shown = world.ask("GET", "/v1/namespaces/acme", None).await.body;
    assert_eq!((&shown["quotas"], &shown["holds"]["runs"]), (quotas, &json!(0)));
    let listed = world.ask("GET", "/v1/namespaces", None).await.body;
    let names: Vec<_> = listed["namespaces"].as_array().unwrap().iter().map(|one| one["name"].clone()).collect();
    assert_eq!(names, ["acme", "default"]);
    for (method, path, body, status, code) in [
        ("POST", "/v1/namespaces", Some(json!({ "name": "acme" })), 409, "namespace-exists"),
        ("POST", "/v1/namespaces", Some(json!({ "name": "../acme" })), 422, "invalid-name"),
        ("POST", "/v1/namespaces", Some(json!({ "name": "x", "quotas": { "speed": 1 } })), 422, "unknown-quota"),
        ("POST", "/v1/namespaces", Some(json!({ "name": "x", "quotas": { "crons": -1 } })), 422, "invalid-quota"),
        ("PATCH", "/v1/namespaces/acme", Some(json!({ "quotas": { "crons": [] } })), 422, "invalid-quota"),
        ("PATCH", "/v1/namespaces/acme", Some(json!({ "quotas": { "guest_creates": "fast" } })), 422, "invalid-rate"),
        ("PATCH", "/v1/namespaces/acme", Some(json!({})), 422, "invalid-field"),
        ("PATCH", "/v1/namespaces/nobody", Some(json!({ "quotas": {} })), 404, "namespace-not-found"),
        ("GET", "/v1/namespaces/nobody", None, 404, "namespace-not-found"),
        ("GET", "/v1/namespaces?x=1", None, 422, "unknown-parameter"),
    ] {
        let answer = world.ask(method, path, body).await;
        assert_eq!((answer.status.as_u16(), answer.code()), (status, code), "{method} {path}: {}", answer.body);
    }
    let acme = world.scheduler.find_namespace("acme").unwrap();
    let wasm = tokio::task::spawn_blocking(|| crate::guests::component("behaviours")).await.unwrap();
    acme.register(wasm.to_vec()).grant(runlater::Grant::Runs).send().await.unwrap();
    let trigger = token(&acme, Role::Trigger).await;
    let schedule = async || as_token(&world, &trigger, "POST", "/v1/runs", Some(touch(json!({ "after": "1h" })))).await;
    assert_eq!((schedule().await.status.as_u16(), schedule().await.status.as_u16()), (201, 201));
    assert_eq!(
        (schedule().await.code(), world.ask("POST", "/v1/runs", touch(json!({ "after": "1h" }))).await.status.as_u16()),
        ("quota-exceeded", 201)
    );
    let trail = world.ask("GET", "/v1/audit", None).await.body["entries"].clone();
    let told: Vec<_> = trail.as_array().unwrap().iter().rev().take(2).map(|one| (one["action"].clone(), one["subject"].clone())).collect();
    assert_eq!(told, [(json!("create-namespace"), json!("acme")), (json!("set-quotas"), json!("acme"))]);
}

#[tokio::test]
async fn deleting_a_namespace_says_what_goes_and_wants_its_name() {
    let world = World::new().await;
    let acme = world.scheduler.in_namespace("acme").await.unwrap();
    let wasm = tokio::task::spawn_blocking(|| crate::guests::component("behaviours")).await.unwrap();
    acme.register(wasm.to_vec()).grant(runlater::Grant::Runs).send().await.unwrap();
    for _ in 0..3 {
        acme.schedule("touch").after(std::time::Duration::from_secs(3_600)).send().await.unwrap();
    }
    let (reader, operator) = (token(&acme, Role::Read).await, token(&acme, Role::Operator).await);
    let planned = world.ask("DELETE", "/v1/namespaces/acme?dry_run=true", None).await;
    assert_eq!((planned.status.as_u16(), &planned.body["dry_run"]), (200, &json!(true)));
    assert_eq!((&planned.body["deletes"]["runs"], &planned.body["deletes"]["tokens"]), (&json!(3), &json!(2)));
    for (path, status, code) in [
        ("/v1/namespaces/acme", 422, "not-confirmed"),
        ("/v1/namespaces/acme?confirm=", 422, "not-confirmed"),
        ("/v1/namespaces/acme?confirm=ACME", 422, "not-confirmed"),
        ("/v1/namespaces/acme?confirm=default", 422, "not-confirmed"),
        ("/v1/namespaces/acme?confirm=acme&force=1", 422, "unknown-parameter"),
        ("/v1/namespaces/nobody?confirm=nobody", 404, "namespace-not-found"),
        ("/v1/namespaces/default?confirm=default", 409, "namespace-permanent"),
        ("/v1/namespaces/default?dry_run=true", 409, "namespace-permanent"),
    ] {
        let answer = world.ask("DELETE", path, None).await;
        assert_eq!((answer.status.as_u16(), answer.code()), (status, code), "{path}: {}", answer.body);
    }
    let own = as_token(&world, &operator, "DELETE", "/v1/namespaces/acme?confirm=acme", None).await;
    assert_eq!((own.status.as_u16(), own.code()), (409, "namespace-acted-in"));
    assert_eq!(as_token(&world, &reader, "GET", "/v1/runs", None).await.status, 200, "none of that did anything");

    let begun = world.ask("DELETE", "/v1/namespaces/acme?confirm=acme", None).await;
    assert_eq!((begun.status.as_u16(), &begun.body["deletes"]), (202, &planned.body["deletes"]));
    let unknown = as_token(&world, "rl_api_00000000_x", "GET", "/v1/runs", None).await;
    for token in [&reader, &operator] {
        let refused = as_token(&world, token, "GET", "/v1/runs", None).await;
        assert_eq!(refused.seen(), unknown.seen(), "its tokens are as if they had never been");
    }
    assert!(matches!(acme.schedule("touch").send().await, Err(runlater::Error::Namespace(_) | runlater::Error::TaskNotFound(_))));
    while world.ask("GET", "/v1/namespaces/acme", None).await.status != 404 {
        tokio::task::yield_now().await;
    }
    let again = world.ask("POST", "/v1/namespaces", json!({ "name": "acme" })).await;
    assert_eq!(again.status, 201, "{}", again.body);
    assert_eq!(world.ask("GET", "/v1/namespaces/acme", None).await.body["holds"]["runs"], 0);
    assert_eq!(as_token(&world, &reader, "GET", "/v1/runs", None).await.status, 401);
    let trail = world.ask("GET", "/v1/audit?limit=2", None).await.body["entries"].clone();
    assert_eq!((&trail[1]["action"], &trail[1]["subject"]), (&json!("delete-namespace"), &json!("acme")));
    assert!(trail[1]["detail"].as_str().unwrap().starts_with("3 runs"), "{trail}");
}

#[tokio::test]
async fn only_an_operator_acts_in_another_namespace() {
    let world = World::new().await;
    let acme = world.scheduler.in_namespace("acme").await.unwrap();
    let operator = world.token(Role::Operator).to_owned();
    assert_eq!(in_namespace(&world, &operator, "acme", "GET", "/v1/tasks").await.body["tasks"], json!([]));
    let made = request("POST", "/v1/tokens", &operator).header("runlater-namespace", "acme").header("content-type", "application/json");
    let made = world.send(made.body(json!({ "role": "admin" }).to_string().into()).unwrap()).await;
    assert_eq!(made.status, 201, "{}", made.body);
    let id = made.body["id"].as_str().unwrap();
    assert!(acme.tokens().await.unwrap().iter().any(|token| token.id == id), "it is a token of that namespace");
    let trail = acme.audit(Default::default()).await.unwrap();
    assert_eq!(trail[0].token, operator[7..15], "what an operator does there is on record there");
    for name in ["nobody", "", "../acme", "ACME", &"x".repeat(300)] {
        let answer = in_namespace(&world, &operator, name, "GET", "/v1/tasks").await;
        assert_eq!((answer.status.as_u16(), answer.code()), (404, "namespace-not-found"), "{name}");
    }
    let twice = request("GET", "/v1/tasks", &operator).header("runlater-namespace", "acme").header("runlater-namespace", "acme");
    assert_eq!(world.send(twice.body(Body::empty()).unwrap()).await.status, 404);
    // Whoever is no operator learns nothing of which there are, not even of its own.
    let mut answers = Vec::new();
    for name in ["acme", "default", "nobody", "", "\u{7f}"] {
        let Ok(value) = axum::http::HeaderValue::from_str(name) else { continue };
        let asked = request("GET", "/v1/tasks", world.token(Role::Admin)).header("runlater-namespace", value);
        let answer = world.send(asked.body(Body::empty()).unwrap()).await;
        assert_eq!((answer.status.as_u16(), answer.code()), (403, "forbidden"));
        answers.push(answer.seen());
    }
    answers.dedup();
    assert_eq!(answers.len(), 1, "{answers:?}");
}

#[tokio::test]
async fn nobody_makes_or_revokes_tokens_above_its_own_role() {
    let world = World::new().await;
    let record = world.scheduler.create_token(NewToken { role: Role::Operator, note: String::new(), expires: None }).await.unwrap().1;
    let admin = world.token(Role::Admin);
    let refused = as_token(&world, admin, "POST", "/v1/tokens", Some(json!({ "role": "operator" }))).await;
    assert_eq!((refused.status.as_u16(), refused.code()), (403, "forbidden"));
    let path = format!("/v1/tokens/{}", record.id);
    assert_eq!(as_token(&world, admin, "DELETE", &path, None).await.status, 403);
    assert_eq!(as_token(&world, admin, "POST", "/v1/tokens", Some(json!({ "role": "admin" }))).await.status, 201);
    assert_eq!(world.ask("POST", "/v1/tokens", json!({ "role": "operator" })).await.status, 201);
    assert_eq!(world.ask("DELETE", &path, None).await.status, 204);
}

#[tokio::test]
async fn health_tells_a_namespace_of_itself_and_the_operator_of_the_host() {
    let world = World::built(|builder| builder.paused()).await;
    let acme = world.scheduler.in_namespace("acme").await.unwrap();
    let reader = token(&acme, Role::Read).await;
    world.scheduler.schedule("touch").after(std::time::Duration::from_secs(5)).send().await.unwrap();
    let own = as_token(&world, &reader, "GET", "/v1/health", None).await.body;
    assert_eq!(own, json!({ "writable": true, "namespace": "acme", "armed": 0, "parked": 0, "running": 0 }), "and no more than that");
    let admin = as_token(&world, world.token(Role::Admin), "GET", "/v1/health", None).await.body;
    assert_eq!((&admin["namespace"], &admin["armed"], &admin["host"]), (&json!("default"), &json!(1), &Value::Null));
    let there = in_namespace(&world, world.token(Role::Operator), "acme", "GET", "/v1/health").await.body;
    assert_eq!((&there["namespace"], &there["armed"], &there["host"]["armed"]), (&json!("acme"), &json!(0), &json!(1)));
}
