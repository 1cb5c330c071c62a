//! Why a run stands where it stands, and pausing tasks, over HTTP.

use axum::body::Body;
use axum::http::StatusCode;
use runlater::scheduler::Role;
use serde_json::json;

use super::{World, request, touch};

#[tokio::test]
async fn a_run_is_explained_to_whoever_may_read_it() {
    let world = World::new().await;
    let run = world.ask("POST", "/v1/runs", touch(json!({ "at": "2100-01-01T00:00:00Z" }))).await.body["id"].as_str().unwrap().to_string();
    let path = format!("/v1/runs/{run}/explain");
    let told = world.ask("GET", &path, None).await.body;
    let fields = |key: &str| told[key].as_str().unwrap();
    assert_eq!((fields("run"), fields("task"), fields("status")), (run.as_str(), "touch", "scheduled"));
    let causes = &told["causes"];
    assert_eq!((&causes[0]["code"], &causes[0]["until"]), (&json!("not-due"), &json!("2100-01-01T00:00:00Z")));
    assert_eq!(causes[0]["text"], "its time has not come: it is due at 2100-01-01T00:00:00Z");
    assert_eq!((&causes[1]["code"], &causes[1]["by"]), (&json!("asked-for"), &json!(&world.token(Role::Operator)[7..15])));
    assert_eq!(
        told["advice"][0],
        json!({ "action": "trigger", "run": run, "purpose": "have it run at once", "command": format!("runlater runs trigger {run}") })
    );
    // Who did what is for those who may read the audit trail.
    let reader = world.send(request("GET", &path, world.token(Role::Read)).body(Body::empty()).unwrap()).await;
    assert_eq!(
        (reader.status, &reader.body["causes"][1]["code"], &reader.body["causes"][1]["by"]),
        (StatusCode::OK, &json!("asked-for"), &json!(null))
    );
    assert!(!reader.body.to_string().contains(&world.token(Role::Operator)[7..15]));
    assert_eq!(world.ask("GET", "/v1/runs/7/explain", None).await.code(), "invalid-id");
    assert_eq!(world.ask("GET", "/v1/runs/00000000-0000-7000-8000-000000000000/explain", None).await.code(), "run-not-found");
}

#[tokio::test]
async fn a_task_is_paused_and_goes_on() {
    let world = World::new().await;
    let pause = async |body: serde_json::Value| world.ask("POST", "/v1/tasks/touch/pause", body).await;
    assert_eq!(world.ask("GET", "/v1/tasks/touch", None).await.body["pause"], json!(null));
    let paused = pause(json!({ "until": "2100-01-01T00:00:00Z", "note": "an upgrade" })).await;
    assert_eq!((paused.status, &paused.body["pause"]["until"]), (StatusCode::OK, &json!("2100-01-01T00:00:00Z")));
    assert_eq!(world.ask("GET", "/v1/tasks/touch", None).await.body["pause"], paused.body["pause"]);
    let again = pause(json!({})).await.body["pause"].clone();
    assert_eq!(again, json!({ "since": paused.body["pause"]["since"], "until": null, "note": "" }));
    let tasks = world.ask("GET", "/v1/tasks", None).await.body;
    assert_eq!(tasks["tasks"].as_array().unwrap().iter().filter(|task| !task["pause"].is_null()).count(), 1);
    assert!(pause(json!({ "for": "1h" })).await.body["pause"]["until"].is_string());

    for (body, code, field) in [
        (json!({ "until": "1970-01-01T00:00:00Z" }), "invalid-time", "until"),
        (json!({ "until": "tomorrow" }), "invalid-time", "until"),
        (json!({ "for": "0s" }), "invalid-duration", "for"),
        (json!({ "for": "-1h" }), "invalid-duration", "for"),
        (json!({ "for": "1h", "until": "2100-01-01T00:00:00Z" }), "invalid-time", "for"),
        (json!({ "note": "x".repeat(257) }), "invalid-note", "note"),
        (json!({ "unitl": "2100-01-01T00:00:00Z" }), "invalid-field", "unitl"),
    ] {
        let refused = pause(body.clone()).await;
        assert_eq!(
            (refused.status.as_u16(), refused.code(), refused.body["field"].as_str()),
            (422, code, Some(field)),
            "{body}: {}",
            refused.body
        );
    }
    assert_eq!(world.ask("POST", "/v1/tasks/no-such-task/pause", json!({})).await.code(), "task-not-found");
    assert_eq!(world.ask("POST", "/v1/tasks/no-such-task/resume", None).await.code(), "task-not-found");
    for _ in 0..2 {
        assert_eq!(world.ask("POST", "/v1/tasks/touch/resume", None).await.body["pause"], json!(null));
    }
    let trail = world.ask("GET", "/v1/audit", None).await.body;
    let actions: Vec<_> = trail["entries"].as_array().unwrap().iter().rev().map(|entry| entry["action"].as_str().unwrap()).collect();
    assert_eq!(actions, ["pause-task", "pause-task", "pause-task", "resume-task", "resume-task"]);
    assert_eq!(trail["entries"][4]["detail"], "until 2100-01-01T00:00:00Z: an upgrade");
}
