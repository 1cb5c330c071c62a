//! `GET /v1/forecast`.

use super::World;

#[tokio::test]
async fn a_forecast_says_what_is_to_come_and_refuses_what_it_cannot_look_at() {
    let world = World::new().await;
    world.scheduler.cron("hourly", "touch").expression("0 * * * *").create().await.expect("it is made");
    world.scheduled().await;

    let seen = world.ask("GET", "/v1/forecast?for=2d&task=touch", None).await.body;
    let sum =
        |field: &str| seen["hours"].as_array().expect("a list").iter().map(|hour| hour[field].as_u64().expect("a number")).sum::<u64>();
    assert_eq!((sum("runs"), sum("crons")), (1, 48));
    assert!(seen["cut"].is_null() && seen["notes"].as_array().is_some_and(Vec::is_empty), "{seen}");

    for (query, status, code) in [
        ("for=400d", 422, "invalid-duration"),
        ("for=1s", 422, "invalid-duration"),
        ("for=2", 422, "invalid-duration"),
        ("task=..%2F", 422, "invalid-name"),
        ("task=nobody", 404, "task-not-found"),
        ("days=2", 422, "unknown-parameter"),
    ] {
        let answer = world.ask("GET", &format!("/v1/forecast?{query}"), None).await;
        assert_eq!((answer.status.as_u16(), answer.code()), (status, code), "{query}");
    }
}
