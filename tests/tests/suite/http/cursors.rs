//! Cursors: good for the list that gave them out, and for nothing else.

use runlater::scheduler::Role;
use serde_json::json;

use super::{World, request, token};

#[tokio::test]
async fn a_cursor_is_good_for_its_own_list() {
    let world = World::new().await;
    let others = world.scheduler.in_namespace("others").await.unwrap();
    let stranger = token(&others, Role::Admin).await;
    for _ in 0..3 {
        world.scheduled().await;
    }
    let page = world.ask("GET", "/v1/runs?limit=1&task=touch", None).await.body;
    let cursor = page["next"].as_str().unwrap().to_string();
    let code = async |query: &str| world.ask("GET", &format!("/v1/runs?{query}"), None).await.code().to_string();
    // How many are asked for may change on the way.
    assert_eq!(code(&format!("limit=2&task=touch&cursor={cursor}")).await, "");
    let unsealed = cursor.rsplitn(3, '.').last().unwrap();
    let (forged, cut) = (cursor.replacen(|c: char| c.is_ascii_digit(), "9", 1), &cursor[..cursor.len() - 1]);
    assert_ne!(forged, cursor);
    for query in [
        format!("cursor={cursor}"),
        format!("task=log&cursor={cursor}"),
        format!("task=touch&status=scheduled&cursor={cursor}"),
        format!("task=touch&order=oldest-first&cursor={cursor}"),
        format!("task=touch&cursor={forged}"),
        format!("task=touch&cursor={cut}"),
        format!("task=touch&cursor={unsealed}"),
        "task=touch&cursor=".into(),
        format!("task=touch&cursor={}", "x".repeat(4_000)),
    ] {
        let answer = world.ask("GET", &format!("/v1/runs?{query}"), None).await;
        assert_eq!((answer.status.as_u16(), answer.code(), &answer.body["field"]), (400, "bad-cursor", &json!("cursor")), "{query}");
    }
    let elsewhere = request("GET", &format!("/v1/runs?task=touch&cursor={cursor}"), &stranger);
    assert_eq!(world.send(elsewhere.body(axum::body::Body::empty()).unwrap()).await.code(), "bad-cursor");
}
