//! What well-formed requests get: keys, waits, pages, changes of one run and of many.

use axum::http::StatusCode;
use futures_util::future::join_all;
use runlater::scheduler::Role;
use serde_json::json;

use super::{World, request, touch};

#[tokio::test]
async fn a_key_makes_one_run_of_many_requests() {
    let world = World::new().await;
    let send = async |key: &str, body: serde_json::Value| {
        let request = request("POST", "/v1/runs", world.token(Role::Trigger)).header("content-type", "application/json");
        world.send(request.header("idempotency-key", key).body(body.to_string().into()).unwrap()).await
    };
    let body = touch(json!({ "after": "1h", "input": 7 }));
    let (first, second) = (send("order-7", body.clone()).await, send("order-7", body.clone()).await);
    assert_eq!((first.status, second.status), (StatusCode::CREATED, StatusCode::OK));
    assert_eq!(first.body["trigger_at"], second.body["trigger_at"], "it says when the run comes that there is");
    assert_eq!((&first.body["id"], &second.body["created"]), (&second.body["id"], &json!(false)));
    // The header and the field are two things.
    let in_body = world.ask("POST", "/v1/runs", touch(json!({ "after": "1h", "input": 7, "unique_key": "order-7" }))).await;
    assert_eq!((in_body.status, in_body.body["id"] == first.body["id"]), (StatusCode::CREATED, false));
    for other in [json!({ "after": "1h", "input": 8 }), json!({ "after": "2h", "input": 7 })] {
        let other = send("order-7", touch(other)).await;
        assert_eq!((other.status, other.code()), (StatusCode::CONFLICT, "idempotency-conflict"));
    }
    for key in ["", &"x".repeat(10_000)] {
        assert_eq!(send(key, body.clone()).await.code(), "invalid-idempotency-key");
    }
    let at_once = join_all((0..1_000).map(|_| send("order-8", body.clone()))).await;
    assert_eq!(at_once.iter().filter(|answer| answer.status == StatusCode::CREATED).count(), 1);
    assert!(at_once.iter().all(|answer| answer.status.is_success() && answer.body["id"] == at_once[0].body["id"]));
}

#[tokio::test]
async fn waiting_answers_at_the_end_or_when_the_time_is_over() {
    let world = World::new().await;
    let done = world.ask("POST", "/v1/runs", touch(json!({ "input": { "a": 1 } }))).await.body["id"].as_str().unwrap().to_string();
    let ended = world.ask("GET", &format!("/v1/runs/{done}/wait"), None).await;
    assert_eq!((&ended.body["status"], &ended.body["output"]), (&json!("succeeded"), &json!({ "a": 1 })));
    let attempts = world.ask("GET", &format!("/v1/runs/{done}/attempts"), None).await;
    assert_eq!(attempts.body["attempts"][0]["outcome"], "succeeded");
    let later = world.scheduled().await;
    let waited = world.ask("GET", &format!("/v1/runs/{later}/wait?timeout=1ms"), None).await;
    assert_eq!((waited.status, &waited.body["status"]), (StatusCode::OK, &json!("scheduled")));
    assert_eq!(world.ask("GET", &format!("/v1/runs/{later}/wait?timeout=61s"), None).await.code(), "invalid-timeout");
}

#[tokio::test]
async fn a_time_that_has_passed_means_at_once() {
    let world = World::new().await;
    let run = world.ask("POST", "/v1/runs", touch(json!({ "at": "1970-01-01T00:00:00Z" }))).await;
    assert_eq!((run.status, &run.body["trigger_at"]), (StatusCode::CREATED, &json!("1970-01-01T00:00:00Z")));
    let ended = world.ask("GET", &format!("/v1/runs/{}/wait", run.body["id"].as_str().unwrap()), None).await;
    assert_eq!(ended.body["status"], "succeeded");
}

#[tokio::test]
async fn one_run_is_changed() {
    let world = World::new().await;
    let run = world.scheduled().await;
    let path = format!("/v1/runs/{run}");
    let moved = world.ask("PATCH", &path, json!({ "at": "2100-01-01T01:00:00+01:00" })).await;
    assert_eq!((moved.status, &moved.body["trigger_at"]), (StatusCode::OK, &json!("2100-01-01T00:00:00Z")));
    assert_eq!(world.ask("PATCH", &path, json!({})).await.code(), "invalid-time");
    assert_eq!(world.ask("POST", &format!("{path}/cancel"), None).await.body, json!({ "cancel": "cancelled" }));
    for (method, path, code) in [("DELETE", path.clone(), "already-triggered"), ("GET", format!("{path}0"), "invalid-id")] {
        assert_eq!(world.ask(method, &path, None).await.code(), code);
    }
    assert_eq!(world.ask("POST", &format!("{path}/trigger"), None).await.status, StatusCode::OK);
    assert_eq!(world.ask("GET", &format!("{path}/wait"), None).await.body["status"], "succeeded");
    assert_eq!(world.ask("POST", &format!("{path}/cancel"), None).await.code(), "already-ended");
    let other = world.scheduled().await;
    assert_eq!(world.ask("DELETE", &format!("/v1/runs/{other}"), None).await.status, StatusCode::NO_CONTENT);
    assert_eq!(world.ask("DELETE", &format!("/v1/runs/{other}"), None).await.code(), "run-not-found");
}

#[tokio::test]
async fn pages_and_cursors() {
    let world = World::new().await;
    let mut ids = Vec::new();
    for _ in 0..5 {
        ids.push(world.scheduled().await.to_string());
    }
    let (mut seen, mut address) = (Vec::new(), "/v1/runs?limit=2&order=oldest-first&task=touch&status=scheduled".to_string());
    loop {
        let page = world.ask("GET", &address, None).await.body;
        seen.extend(page["runs"].as_array().unwrap().iter().map(|run| run["id"].as_str().unwrap().to_string()));
        let Some(next) = page["next"].as_str() else { break };
        address = format!("/v1/runs?limit=2&order=oldest-first&task=touch&status=scheduled&cursor={next}");
    }
    assert_eq!(seen, ids);
}

#[tokio::test]
async fn many_runs_are_changed() {
    let world = World::new().await;
    let mut ids = Vec::new();
    for _ in 0..4 {
        ids.push(world.scheduled().await.to_string());
    }
    let gone = "00000000-0000-7000-8000-000000000000";
    let bulk = async |verb: &str, body: serde_json::Value| world.ask("POST", &format!("/v1/runs/bulk-{verb}"), body).await;
    for verb in ["delete", "cancel", "reschedule"] {
        let with = |fields: serde_json::Value| {
            let mut body = if verb == "reschedule" { json!({ "by": "+1h" }) } else { json!({}) };
            body.as_object_mut().unwrap().extend(fields.as_object().unwrap().clone());
            body
        };
        for (fields, field) in [
            (json!({}), "filter"),
            (json!({ "ids": [] }), "ids"),
            (json!({ "ids": vec![gone; 501] }), "ids"),
            (json!({ "ids": [gone], "filter": { "task": ["touch"] } }), "filter"),
            (json!({ "ids": ["7"] }), "ids[0]"),
            (json!({ "filter": { "task": ["../x"] } }), "filter.task"),
        ] {
            let answer = bulk(verb, with(fields)).await;
            assert_eq!((answer.status.as_u16(), answer.body["field"].as_str()), (422, Some(field)), "{verb}: {}", answer.body);
        }
        // A typing error in a filter must not widen it.
        assert_eq!(bulk(verb, with(json!({ "filter": { "tsak": ["touch"] } }))).await.code(), "invalid-field");
        let dry = bulk(verb, with(json!({ "all": true, "dry_run": true }))).await;
        assert_eq!((&dry.body["changed"], &dry.body["refused"]), (&json!(4), &json!([])), "{verb}");
        let dry = bulk(verb, with(json!({ "ids": [ids[0], gone], "dry_run": true }))).await;
        assert_eq!((&dry.body["changed"], &dry.body["refused"][0]["code"]), (&json!(1), &json!("run-not-found")), "{verb}");
    }
    let moves = json!({ "moves": [{ "id": ids[0], "at": "2100-01-01T00:00:00Z" }, { "id": gone, "after": "1h" }] });
    let moved = bulk("reschedule", moves).await.body;
    assert_eq!((&moved["changed"], &moved["refused"][0]["id"]), (&json!(1), &json!(gone)));
    assert_eq!(bulk("reschedule", json!({ "moves": [{ "id": ids[0] }] })).await.body["field"], "moves[0].at");
    assert_eq!(bulk("reschedule", json!({ "all": true, "by": "1h" })).await.body["field"], "by");
    assert_eq!(bulk("delete", json!({ "ids": [ids[0]] })).await.body["changed"], 1);
    assert_eq!(bulk("cancel", json!({ "ids": [ids[1], ids[0]] })).await.body["refused"][0]["code"], "run-not-found");
    assert_eq!(bulk("cancel", json!({ "filter": { "status": ["succeeded", "failed"] } })).await.body["changed"], 0);
    assert_eq!(bulk("cancel", json!({ "filter": { "task": ["touch"] } })).await.body["changed"], 2);
    assert_eq!(world.ask("GET", "/v1/runs?status=cancelled", None).await.body["runs"].as_array().unwrap().len(), 3);
}

#[tokio::test]
async fn many_runs_are_made_to_run_again() {
    let world = World::new().await;
    let bulk = async |body: serde_json::Value| world.ask("POST", "/v1/runs/bulk-trigger", body).await;
    let wait = async |run: &str| world.ask("GET", &format!("/v1/runs/{run}/wait"), None).await.body;
    let mut failed = Vec::new();
    for n in ["1", "2"] {
        let body = json!({ "task": "reject", "input": { "reason": "no" }, "metadata": { "n": n } });
        failed.push(world.ask("POST", "/v1/runs", body).await.body["id"].as_str().unwrap().to_string());
    }
    let done = world.ask("POST", "/v1/runs", touch(json!({}))).await.body["id"].as_str().unwrap().to_string();
    let scheduled = [world.scheduled().await.to_string(), world.scheduled().await.to_string()];
    for run in failed.iter().chain([&done]) {
        wait(run).await;
    }
    let gone = "00000000-0000-7000-8000-000000000000";
    for (body, field) in [
        (json!({}), Some("filter")),
        (json!({ "ids": [] }), Some("ids")),
        (json!({ "ids": [gone], "filter": { "task": ["touch"] } }), Some("filter")),
        (json!({ "filter": { "tsak": ["touch"] } }), Some("filter.tsak")),
    ] {
        let answer = bulk(body.clone()).await;
        assert_eq!((answer.status.as_u16(), answer.body["field"].as_str()), (422, field), "{body}: {}", answer.body);
    }
    // All of them are those that went wrong: what waits for its time does so unless it is named, or its status is.
    assert_eq!(bulk(json!({ "all": true, "dry_run": true })).await.body, json!({ "changed": 2, "refused": [], "refused_total": 0 }));
    let named = json!([failed[0], scheduled[0], done, gone]);
    let (dry, real) = (bulk(json!({ "ids": named, "dry_run": true })).await.body, bulk(json!({ "ids": named })).await.body);
    assert_eq!(dry, real);
    let refused: Vec<_> = real["refused"].as_array().unwrap().iter().map(|one| (one["id"].clone(), one["code"].clone())).collect();
    let expected = [(&done[..], "already-ended"), (gone, "run-not-found")].map(|(id, code)| (json!(id), json!(code)));
    assert_eq!((&real["changed"], refused), (&json!(2), expected.to_vec()));
    let again = (wait(&failed[0]).await["attempts"].clone(), wait(&scheduled[0]).await["status"].clone());
    assert_eq!(again, (json!(2), json!("succeeded")));

    assert_eq!(bulk(json!({ "filter": { "metadata": { "n": "2" } } })).await.body["changed"], 1);
    assert_eq!((wait(&failed[1]).await["attempts"].clone(), wait(&failed[0]).await["attempts"].clone()), (json!(2), json!(2)));
    assert_eq!(bulk(json!({ "filter": { "status": ["scheduled"] } })).await.body["changed"], 1);
    assert_eq!(wait(&scheduled[1]).await["status"], "succeeded");
}

#[tokio::test]
async fn the_attempts_of_a_run_are_read_page_by_page() {
    let world = World::new().await;
    let run = world.scheduler.schedule("touch").send().await.unwrap();
    world.scheduler.wait(run).await.unwrap();
    let ask = async |query: &str| world.ask("GET", &format!("/v1/runs/{run}/attempts{query}"), None).await;
    let page = ask("?limit=100&after=0").await.body;
    assert_eq!((page["attempts"][0]["number"].as_u64(), &page["next"], &page["attempts_dropped"]), (Some(1), &json!(null), &json!(0)));
    assert_eq!(page["attempts"][0]["log_dropped"], json!(0));
    assert_eq!(ask("?after=1").await.body["attempts"], json!([]));
    for (query, code) in [
        ("?limit=0", "invalid-page-size"),
        ("?limit=101", "invalid-page-size"),
        ("?limit=-1", "invalid-page-size"),
        ("?after=x", "invalid-parameter"),
        ("?after=1&after=2", "invalid-parameter"),
        ("?cursor=1", "unknown-parameter"),
    ] {
        let answer = ask(query).await;
        assert_eq!((answer.status.as_u16(), answer.code()), (422, code), "{query}");
    }
}
