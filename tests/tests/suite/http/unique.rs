//! What a further request under a unique key gets, in each mode.

use std::time::Duration;

use serde_json::{Value, json};

use super::{World, touch};

const NOW: &str = "2027-03-14T15:00:00Z";

/// Asks for a run of `touch` under this key, due in an hour unless the fields say otherwise.
async fn ask(world: &World, key: &str, fields: Value) -> super::Answer {
    let mut body = touch(json!({ "unique_key": key }));
    let debounced = fields.get("debounce").is_some();
    body.as_object_mut().unwrap().extend(fields.as_object().unwrap().clone());
    if !debounced {
        body["after"] = json!("1h");
    }
    world.ask("POST", "/v1/runs", body).await
}

#[tokio::test]
async fn each_mode_does_what_it_says() {
    let (world, _clock) = World::at(NOW).await;
    /// The mode; and, of a request that is equal to the one that holds the key, and of another one, the status and whose run it gets.
    const CASES: [(Option<&str>, (u16, &str), (u16, &str)); 4] = [
        (None, (200, "first"), (409, "none")),
        (Some("existing"), (200, "first"), (409, "none")),
        (Some("reject"), (409, "none"), (409, "none")),
        (Some("replace"), (201, "own"), (201, "own")),
    ];
    for (mode, equal, other) in CASES {
        let key = mode.unwrap_or("none");
        let first = ask(&world, key, json!({ "input": 1 })).await;
        assert_eq!((first.status.as_u16(), &first.body["created"]), (201, &json!(true)));
        let mut holder = first.body["id"].clone();
        for (input, (status, whose)) in [(1, equal), (2, other)] {
            let mut fields = json!({ "input": input });
            if let Some(mode) = mode {
                fields["unique_mode"] = json!(mode);
            }
            let answer = ask(&world, key, fields).await;
            assert_eq!(answer.status.as_u16(), status, "{mode:?} {input}: {}", answer.body);
            match whose {
                "first" => {
                    let due = "2027-03-14T16:00:00Z";
                    let existing = json!({ "id": holder, "status": "scheduled", "reason": null, "trigger_at": due, "ended_at": null, "key_held_until": null });
                    assert_eq!(answer.body, json!({ "id": holder, "trigger_at": due, "created": false, "existing": existing }));
                }
                "own" => {
                    let replaced = world.ask("GET", &format!("/v1/runs/{}", holder.as_str().unwrap()), None).await;
                    assert_eq!((&answer.body["created"], replaced.code()), (&json!(true), "run-not-found"));
                    holder = answer.body["id"].clone();
                }
                _ => {
                    assert_eq!((answer.code(), answer.body["field"].as_str()), ("unique-key-taken", Some("unique_key")));
                    assert_eq!((&answer.body["existing"]["id"], &answer.body["existing"]["status"]), (&holder, &json!("scheduled")));
                }
            }
        }
        let stands = world.ask("GET", &format!("/v1/runs/{}", holder.as_str().unwrap()), None).await.body;
        assert_eq!((&stands["status"], &stands["unique_key"]), (&json!("scheduled"), &json!(key)), "{mode:?}");
    }
}

#[tokio::test]
async fn a_key_is_held_for_as_long_as_it_is_said_after_the_end() {
    let (world, clock) = World::at(NOW).await;
    for (key, span, held) in [("at-once", Some("0s"), 0), ("an-hour", Some("1h"), 3_600), ("a-day", None, 86_400)] {
        let mut fields = json!({ "input": 1 });
        if let Some(span) = span {
            fields["unique_for"] = json!(span);
        }
        let run = ask(&world, key, fields).await.body["id"].as_str().unwrap().to_string();
        world.ask("POST", &format!("/v1/runs/{run}/trigger"), None).await;
        assert_eq!(world.ask("GET", &format!("/v1/runs/{run}/wait"), None).await.body["status"], "succeeded");
        if held > 0 {
            clock.advance(Duration::from_secs(held - 1));
            assert_eq!(ask(&world, key, json!({ "input": 2 })).await.code(), "unique-key-taken", "{key}");
            clock.advance(Duration::from_secs(1));
        }
        assert_eq!(ask(&world, key, json!({ "input": 2 })).await.status.as_u16(), 201, "{key}");
    }
}

#[tokio::test]
async fn a_burst_of_requests_is_one_run() {
    let (world, clock) = World::at(NOW).await;
    /// When it is asked, in seconds; with which limit; and when the run is due then.
    const ASKED: [(&str, u64, Option<&str>, &str); 6] = [
        ("capped", 0, Some("100s"), "15:01:00"),
        ("capped", 30, Some("100s"), "15:01:30"),
        ("capped", 59, Some("100s"), "15:01:40"),
        ("tenfold", 59, None, "15:01:59"),
        ("tenfold", 80, None, "15:02:20"),
        ("capped", 99, Some("100s"), "15:01:40"),
    ];
    let mut first = std::collections::BTreeMap::new();
    let start = world.scheduler.now();
    for (input, (key, second, max, due)) in ASKED.into_iter().enumerate() {
        clock.advance(start.saturating_add(Duration::from_secs(second)).since(world.scheduler.now()));
        let mut fields = json!({ "input": input, "debounce": "1m" });
        if let Some(max) = max {
            fields["debounce_max"] = json!(max);
        }
        let answer = ask(&world, key, fields).await;
        let created = !first.contains_key(key);
        let id = first.entry(key).or_insert(answer.body["id"].clone());
        let due = format!("2027-03-14T{due}Z");
        let mut expected = json!({ "id": id, "trigger_at": due, "created": created });
        if !created {
            expected["existing"] =
                json!({ "id": id, "status": "scheduled", "reason": null, "trigger_at": due, "ended_at": null, "key_held_until": null });
        }
        assert_eq!((answer.status.as_u16(), &answer.body), (if created { 201 } else { 200 }, &expected), "{key} after {second} s");
        assert_eq!(world.ask("GET", &format!("/v1/runs/{}", id.as_str().unwrap()), None).await.body["input"], input);
    }
    clock.advance(Duration::from_secs(60));
    for (key, output) in [("capped", 5), ("tenfold", 4)] {
        let run = world.ask("GET", &format!("/v1/runs/{}/wait", first[key].as_str().unwrap()), None).await.body;
        assert_eq!((&run["status"], &run["output"]), (&json!("succeeded"), &json!(output)), "{key}");
        assert_eq!(ask(&world, key, json!({ "debounce": "1m" })).await.status.as_u16(), 201, "the next burst is another run");
    }
}

/// Sends this body under this idempotency key.
async fn send(world: &World, key: &str, body: &Value) -> super::Answer {
    let request =
        super::request("POST", "/v1/runs", world.token(runlater::scheduler::Role::Trigger)).header("content-type", "application/json");
    world.send(request.header("idempotency-key", key).body(body.to_string().into()).unwrap()).await
}

#[tokio::test]
async fn a_cancelled_run_frees_its_unique_key_and_not_its_idempotency_key() {
    let (world, clock) = World::at(NOW).await;
    let body = touch(json!({ "after": "1h", "unique_key": "order-7", "input": 1 }));
    let first = send(&world, "request-1", &body).await.body["id"].clone();
    world.ask("POST", &format!("/v1/runs/{}/cancel", first.as_str().unwrap()), None).await;
    clock.advance(Duration::from_secs(60));
    let again = send(&world, "request-1", &body).await;
    let existing = json!({
        "id": first, "status": "cancelled", "reason": "cancelled", "trigger_at": "2027-03-14T16:00:00Z",
        "ended_at": NOW, "key_held_until": "2027-03-15T15:00:00Z",
    });
    assert_eq!((again.status.as_u16(), &again.body["existing"]), (200, &existing));
    let second = send(&world, "request-2", &body).await;
    assert_eq!((second.status.as_u16(), &second.body["created"]), (201, &json!(true)));
    // A run that has ended after an attempt holds both.
    let second = second.body["id"].as_str().unwrap().to_string();
    world.ask("POST", &format!("/v1/runs/{second}/trigger"), None).await;
    world.ask("GET", &format!("/v1/runs/{second}/wait"), None).await;
    let third = world.ask("POST", "/v1/runs", body.clone()).await;
    assert_eq!((third.status.as_u16(), &third.body["existing"]["status"]), (200, &json!("succeeded")));
    assert_eq!(third.body["existing"]["key_held_until"], "2027-03-15T15:01:00Z");
}

#[tokio::test]
async fn a_deleted_run_is_not_made_again_by_a_late_repetition() {
    let (world, clock) = World::at(NOW).await;
    let body = touch(json!({ "after": "1h" }));
    let first = send(&world, "k", &body).await.body["id"].clone();
    world.ask("DELETE", &format!("/v1/runs/{}", first.as_str().unwrap()), None).await;
    let again = send(&world, "k", &body).await;
    assert_eq!((again.status.as_u16(), &again.body["id"], &again.body["existing"]["status"]), (200, &first, &json!("deleted")));
    assert_eq!(again.body["existing"]["key_held_until"], "2027-03-15T15:00:00Z");
    let other = send(&world, "k", &touch(json!({ "after": "2h" }))).await;
    assert_eq!((other.status.as_u16(), other.code(), other.body["field"].as_str()), (409, "idempotency-conflict", Some("Idempotency-Key")));
    assert_eq!(other.body["existing"]["id"], first);
    clock.advance(Duration::from_secs(86_400));
    assert_eq!(send(&world, "k", &body).await.status.as_u16(), 201);
}
