//! The audit trail: every change over HTTP, by whom, and for whose eyes.

use axum::body::Body;
use runlater::scheduler::Role;
use serde_json::{Value, json};

use super::{World, request, token, touch};

#[tokio::test]
async fn every_change_over_http_is_on_record() {
    let world = World::new().await;
    assert_eq!(world.ask("GET", "/v1/audit", None).await.body, json!({ "entries": [], "next": null }));
    let run = world.ask("POST", "/v1/runs", touch(json!({ "after": "1h" }))).await.body["id"].as_str().unwrap().to_string();
    let path = format!("/v1/runs/{run}");
    world.ask("PATCH", &path, json!({ "at": "2100-01-01T00:00:00Z" })).await;
    world.ask("PATCH", &path, json!({ "at": "yesterday" })).await;
    world.ask("POST", "/v1/runs/bulk-reschedule", json!({ "all": true, "by": "+1h" })).await;
    world.ask("POST", "/v1/runs/bulk-delete", json!({ "all": true, "dry_run": true })).await;
    world.ask("POST", &format!("{path}/cancel"), None).await;
    world.ask("POST", &format!("{path}/trigger"), None).await;
    world.ask("GET", &format!("{path}/wait"), None).await;
    let other = world.ask("POST", "/v1/runs", touch(json!({ "after": "1h" }))).await.body["id"].as_str().unwrap().to_string();
    world.ask("DELETE", &format!("/v1/runs/{other}"), None).await;
    let made = world.ask("POST", "/v1/tokens", json!({ "role": "read" })).await.body["id"].as_str().unwrap().to_string();
    world.ask("DELETE", &format!("/v1/tokens/{made}"), None).await;
    let copy = world._folder.path().join("copy.db");
    world.ask("POST", "/v1/backup", json!({ "path": copy })).await;
    let wasm = std::fs::read(crate::built::guest("hello")).unwrap();
    let upload = request("POST", "/v1/tasks", world.token(Role::Deploy)).header("content-type", "application/wasm");
    world.send(upload.body(wasm.into()).unwrap()).await;

    let trail = world.ask("GET", "/v1/audit", None).await.body;
    let told = |entry: &Value| {
        let word = |name: &str| entry[name].as_str().unwrap_or("-").replace(&run, "RUN").replace(&other, "OTHER").replace(&made, "MADE");
        format!("{} {} {} {}", entry["number"], word("action"), word("run"), word("subject").replace(copy.to_str().unwrap(), "COPY"))
    };
    let mut lines: Vec<_> = trail["entries"].as_array().unwrap().iter().map(told).collect();
    lines.reverse();
    assert_eq!(
        lines,
        [
            "1 schedule RUN touch",
            "2 reschedule RUN -",
            "3 reschedule RUN -",
            "4 cancel RUN -",
            "5 trigger RUN -",
            "6 schedule OTHER touch",
            "7 delete OTHER -",
            "8 create-token - MADE",
            "9 revoke-token - MADE",
            "10 backup - COPY",
            "11 register - hello",
        ]
    );
    let (operator, deploy) = (&world.token(Role::Operator)[7..15], &world.token(Role::Deploy)[7..15]);
    let entries = trail["entries"].as_array().unwrap();
    assert!(entries[1..].iter().all(|entry| entry["token"] == operator) && entries[0]["token"] == deploy);
    assert_eq!(entries[9]["detail"], "2100-01-01T00:00:00Z");

    // In portions, and of one run.
    let page = world.ask("GET", "/v1/audit?limit=4", None).await.body;
    assert_eq!((page["entries"].as_array().unwrap().len(), &page["next"]), (4, &json!(8)));
    let last = world.ask("GET", "/v1/audit?before=4&limit=3", None).await.body;
    assert_eq!((last["entries"].as_array().unwrap().len(), &last["next"]), (3, &json!(null)));
    assert_eq!(world.ask("GET", &format!("/v1/audit?run={other}"), None).await.body["entries"].as_array().unwrap().len(), 2);
    for (query, code) in [
        ("limit=0", "invalid-page-size"),
        ("limit=501", "invalid-page-size"),
        ("limit=x", "invalid-page-size"),
        ("before=x", "invalid-parameter"),
        ("before=1&before=2", "invalid-parameter"),
        ("run=7", "invalid-id"),
        ("rnu=7", "unknown-parameter"),
    ] {
        assert_eq!(world.ask("GET", &format!("/v1/audit?{query}"), None).await.code(), code, "{query}");
    }
    // Another namespace sees its own.
    let others = world.scheduler.in_namespace("others").await.unwrap();
    let stranger = token(&others, Role::Admin).await;
    let seen = world.send(request("GET", "/v1/audit", &stranger).body(Body::empty()).unwrap()).await;
    assert_eq!(seen.body["entries"], json!([]));
}
