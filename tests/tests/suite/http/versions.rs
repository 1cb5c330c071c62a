//! Versions: whoever says what they saw changes that, or nothing.

use axum::body::Body;
use runlater::scheduler::Role;
use serde_json::{Value, json};

use super::{Answer, World, request};

/// Sends a request that changes the run if it is what was seen.
async fn change(world: &World, method: &str, path: &str, seen: &[&str], body: Option<Value>) -> Answer {
    let request = seen.iter().fold(request(method, path, world.token(Role::Write)), |request, seen| request.header("if-match", *seen));
    let request = request.header("content-type", "application/json");
    world.send(request.body(body.map_or_else(Body::empty, |body| body.to_string().into())).unwrap()).await
}

fn etag(answer: &Answer) -> String {
    answer.headers["etag"].to_str().unwrap().into()
}

#[tokio::test]
async fn no_update_is_lost() {
    let world = World::new().await;
    let path = format!("/v1/runs/{}", world.scheduled().await);
    let to = |day: u8| Some(json!({ "at": format!("2100-01-{day:02}T00:00:00Z") }));
    let seen = etag(&world.ask("GET", &path, None).await);
    assert_eq!(etag(&world.ask("GET", &path, None).await), seen);
    // Of two who saw the same, one wins, and the other learns of it.
    let same = [seen.as_str()];
    let (one, other) = tokio::join!(change(&world, "PATCH", &path, &same, to(1)), change(&world, "PATCH", &path, &same, to(2)));
    let (won, lost) = if one.status == 200 { (one, other) } else { (other, one) };
    assert_eq!((won.status.as_u16(), lost.status.as_u16(), lost.code()), (200, 412, "stale"), "{}", lost.body);
    assert!(lost.body["detail"].as_str().unwrap().contains("read it again"));
    let now = etag(&won);
    assert_ne!(now, seen);
    assert_eq!(world.ask("GET", &path, None).await.body["trigger_at"], won.body["trigger_at"]);

    assert_eq!(change(&world, "DELETE", &path, &[&seen], None).await.code(), "stale");
    for (seen, code) in [
        (vec![format!("W/{now}")], "stale"),
        (vec!["\"another\"".into()], "stale"),
        (vec![now.trim_matches('"').to_string()], "invalid-if-match"),
        (vec!["".into()], "invalid-if-match"),
        (vec![format!("*, {now}")], "invalid-if-match"),
        (vec!["\"caf\u{e9}\"".into()], "invalid-if-match"),
    ] {
        let seen: Vec<_> = seen.iter().map(String::as_str).collect();
        let answer = change(&world, "PATCH", &path, &seen, to(3)).await;
        assert_eq!(answer.code(), code, "{seen:?}: {}", answer.body);
        assert_eq!(answer.status.as_u16(), if code == "stale" { 412 } else { 400 });
    }
    // One of several, or whatever it is.
    assert_eq!(change(&world, "PATCH", &path, &["\"another\"", &now], to(4)).await.status, 200);
    assert_eq!(change(&world, "PATCH", &path, &["*"], to(5)).await.status, 200);
    // That it can't be changed at all is said first: to read it again would not help.
    world.ask("POST", &format!("{path}/cancel"), None).await;
    assert_eq!(change(&world, "DELETE", &path, &[&now], None).await.code(), "already-triggered");
    assert_eq!(change(&world, "DELETE", "/v1/runs/00000000-0000-7000-8000-000000000000", &["*"], None).await.status, 404);

    let path = format!("/v1/runs/{}", world.scheduled().await);
    let seen = etag(&world.ask("GET", &path, None).await);
    assert_eq!(change(&world, "DELETE", &path, &[&seen], None).await.status, 204);
    assert_eq!(change(&world, "DELETE", &path, &[&seen], None).await.status, 404);
}
