//! Requests that can't be meant: each with its status, its code and its field, and nothing done.

use axum::body::Body;
use runlater::scheduler::Role;
use serde_json::{Value, json};

use super::{World, request, touch};
use crate::contracts::golden;

#[tokio::test]
async fn bodies_that_are_not_json() {
    let world = World::new().await;
    let nested = |depth: usize| format!("{{\"task\":\"touch\",\"input\":{}1{}}}", "[".repeat(depth), "]".repeat(depth)).into_bytes();
    let utf16: Vec<u8> = "{\"task\":\"touch\"}".encode_utf16().flat_map(u16::to_le_bytes).collect();
    let json = "application/json";
    /// The media type, the body; and of the answer the status, the code and the field.
    type Row = (&'static str, Vec<u8>, u16, &'static str, Option<&'static str>);
    let rows: Vec<Row> = vec![
        (json, b"".to_vec(), 400, "invalid-json", None),
        (json, b"Dear scheduler,".to_vec(), 400, "invalid-json", None),
        (json, b"{\"task\":\"touch\",}".to_vec(), 400, "invalid-json", None),
        (json, b"{\"task\":\"touch\"}{}".to_vec(), 400, "invalid-json", None),
        (json, b"{\"task\":NaN}".to_vec(), 400, "invalid-json", Some("task")),
        (json, b"\xef\xbb\xbf{\"task\":\"touch\"}".to_vec(), 400, "invalid-json", None),
        (json, utf16, 400, "invalid-json", None),
        (json, b"\xfe\xff\0{\0}".to_vec(), 400, "invalid-json", None),
        (json, b"\0{\0}".to_vec(), 400, "invalid-json", None),
        (json, b"null".to_vec(), 422, "invalid-field", None),
        (json, b"{\"task\":\"touch\",\"metadata\":null}".to_vec(), 422, "invalid-field", Some("metadata")),
        (json, b"{\"task\":\"touch\",\"priority\":NaN}".to_vec(), 400, "invalid-json", None),
        (json, b"{\"task\":\"touch\",\"max_attempts\":-1}".to_vec(), 422, "invalid-field", Some("max_attempts")),
        (json, b"{\"task\":\"\xff\"}".to_vec(), 400, "invalid-json", None),
        (json, b"{\"task\":\"\\ud800\"}".to_vec(), 400, "invalid-json", Some("task")),
        (json, b"{\"task\":\"touch\",\"task\":\"log\"}".to_vec(), 400, "duplicate-key", None),
        (json, b"{\"task\":\"touch\",\"input\":{\"a\":{\"b\":1,\"b\":2}}}".to_vec(), 400, "duplicate-key", Some("input.a")),
        (json, nested(100_000), 400, "invalid-json", None),
        (json, nested(33), 422, "invalid-json", Some("input")),
        (json, b"{\"task\":\"touch\",\"aftre\":\"1s\"}".to_vec(), 422, "invalid-field", Some("aftre")),
        (json, b"{\"task\":7}".to_vec(), 422, "invalid-field", Some("task")),
        (json, b"{\"task\":null}".to_vec(), 422, "invalid-field", Some("task")),
        (json, b"{}".to_vec(), 422, "invalid-field", None),
        (json, b"[]".to_vec(), 422, "invalid-field", None),
        (json, b"{\"task\":\"touch\",\"priority\":1e400}".to_vec(), 400, "invalid-json", None),
        (json, b"{\"task\":\"touch\",\"input\":1e400}".to_vec(), 400, "invalid-json", Some("input")),
        (json, b"{\"task\":\"touch\",\"input\":\"\\udc00\"}".to_vec(), 400, "invalid-json", Some("input")),
        (json, b"{\"task\":\"touch\",\"priority\":9007199254740993}".to_vec(), 422, "invalid-field", Some("priority")),
        (json, b"{\"task\":\"touch\",\"priority\":-0}".to_vec(), 422, "invalid-field", Some("priority")),
        (json, b"{\"task\":\"touch\",\"priority\":\"2\"}".to_vec(), 422, "invalid-field", Some("priority")),
        (json, b"{\"task\":\"touch\",\"at\":100000000000000000000}".to_vec(), 422, "invalid-time", Some("at")),
        (json, b"{\"task\":\"touch\",\"at\":1.5}".to_vec(), 422, "invalid-time", Some("at")),
        (json, b"{\"task\":\"touch\",\"metadata\":[]}".to_vec(), 422, "invalid-field", Some("metadata")),
        (json, b"{\"task\":\"touch\",\"metadata\":{\"k\":null}}".to_vec(), 422, "invalid-field", Some("metadata.k")),
        (json, b"{\"task\":\"touch\",\"max_attempts\":-0.5}".to_vec(), 422, "invalid-field", Some("max_attempts")),
        (json, vec![b' '; (1 << 20) + 1], 413, "body-too-large", None),
        ("application/json; charset=utf-16", b"{\0}\0".to_vec(), 400, "invalid-json", None),
        ("application/jsonp", b"{}".to_vec(), 415, "media-type", Some("Content-Type")),
        ("text/plain", b"{\"task\":\"touch\"}".to_vec(), 415, "media-type", Some("Content-Type")),
        ("", b"{\"task\":\"touch\"}".to_vec(), 415, "media-type", Some("Content-Type")),
    ];
    for (media_type, body, status, code, field) in rows {
        let shown = String::from_utf8_lossy(&body[..body.len().min(60)]).into_owned();
        let request = request("POST", "/v1/runs", world.token(Role::Admin)).header("content-type", media_type);
        let answer = world.send(request.body(body.into()).unwrap()).await;
        assert_eq!((answer.status.as_u16(), answer.code()), (status, code), "{shown}: {}", answer.body);
        if field.is_some() {
            assert_eq!(answer.body["field"].as_str(), field, "{shown}: {}", answer.body);
        }
    }
    let packed = request("POST", "/v1/runs", world.token(Role::Admin)).header("content-type", json).header("content-encoding", "gzip");
    let packed = world.send(packed.body("{\"task\":\"touch\"}".into()).unwrap()).await;
    assert_eq!((packed.status.as_u16(), packed.code()), (415, "content-encoding"), "a bomb is not even looked at");
    assert_eq!(world.scheduler.count(&Default::default()).await.unwrap(), 0, "nothing was scheduled");
}

#[tokio::test]
async fn fields_out_of_range() {
    let world = World::new().await;
    let long = "x".repeat(300);
    let many: serde_json::Map<_, _> = (0..33).map(|n| (format!("k{n}"), json!("v"))).collect();
    let rows: Vec<(Value, &str, &str)> = vec![
        (json!({ "at": "0000-01-01T00:00:00Z" }), "invalid-time", "at"),
        (json!({ "at": "-0001-01-01T00:00:00Z" }), "invalid-time", "at"),
        (json!({ "at": "1969-12-31T23:59:59Z" }), "invalid-time", "at"),
        (json!({ "at": "10000-01-01T00:00:00Z" }), "invalid-time", "at"),
        (json!({ "at": "2100-01-01T24:00:00Z" }), "invalid-time", "at"),
        (json!({ "at": "2016-12-31T23:59:60Z" }), "invalid-time", "at"),
        (json!({ "at": "2100-01-01T00:00:00" }), "invalid-time", "at"),
        (json!({ "at": "2100-01-01T00:00:00+25:00" }), "invalid-time", "at"),
        (json!({ "at": "4102444800000" }), "invalid-time", "at"),
        (json!({ "at": "" }), "invalid-time", "at"),
        (json!({ "at": "2100-01-01T00:00:00Z", "after": "1s" }), "invalid-time", "after"),
        (json!({ "after": "-1s" }), "invalid-duration", "after"),
        (json!({ "after": "1ns" }), "invalid-duration", "after"),
        (json!({ "after": "1e3s" }), "invalid-duration", "after"),
        (json!({ "after": "1000000000d" }), "invalid-duration", "after"),
        (json!({ "after": "5" }), "invalid-duration", "after"),
        (json!({ "metadata": many }), "invalid-metadata", "metadata"),
        (json!({ "metadata": { "": "v" } }), "invalid-metadata", "metadata"),
        (json!({ "metadata": { "k": long } }), "invalid-metadata", "metadata.k"),
        (json!({ "unique_key": "" }), "invalid-unique-key", "unique_key"),
        (json!({ "unique_key": long }), "invalid-unique-key", "unique_key"),
        (json!({ "unique_key": "k", "unique_mode": "debounce" }), "invalid-unique-mode", "unique_mode"),
        (json!({ "unique_mode": "replace" }), "invalid-unique-key", "unique_key"),
        (json!({ "unique_for": "1h" }), "invalid-unique-for", "unique_for"),
        (json!({ "unique_key": "k", "unique_for": "-1h" }), "invalid-duration", "unique_for"),
        (json!({ "unique_key": "k", "debounce": "0s" }), "invalid-debounce", "debounce"),
        (json!({ "unique_key": "k", "debounce": "10" }), "invalid-duration", "debounce"),
        (json!({ "unique_key": "k", "debounce": "10s", "debounce_max": "9s" }), "invalid-debounce", "debounce_max"),
        (json!({ "unique_key": "k", "debounce_max": "9s" }), "invalid-unique-mode", "debounce_max"),
        (json!({ "unique_key": "k", "debounce": "10s", "unique_mode": "reject" }), "invalid-unique-mode", "unique_mode"),
        (json!({ "unique_key": "k", "debounce": "10s", "unique_for": "1h" }), "invalid-unique-for", "unique_for"),
        (json!({ "unique_key": "k", "debounce": "10s", "after": "1h" }), "invalid-debounce", "debounce"),
        (json!({ "debounce": "10s" }), "invalid-unique-key", "unique_key"),
        (json!({ "max_attempts": 1000000000 }), "invalid-max-attempts", "max_attempts"),
        (json!({ "max_attempts": 0 }), "invalid-max-attempts", "max_attempts"),
        (json!({ "max_attempts": 101 }), "invalid-max-attempts", "max_attempts"),
        (json!({ "timeout": "0s" }), "invalid-timeout", "timeout"),
        (json!({ "timeout": "25h" }), "invalid-timeout", "timeout"),
        (json!({ "priority": 0 }), "invalid-priority", "priority"),
        (json!({ "priority": 4 }), "invalid-priority", "priority"),
        (json!({ "task": "../x" }), "invalid-name", "task"),
        (json!({ "task": "" }), "invalid-name", "task"),
        (json!({ "input": 1, "input_bytes": { "media_type": "a/b", "base64": "" } }), "invalid-input", "input_bytes"),
        (json!({ "input_bytes": { "media_type": "a/b", "base64": "!" } }), "invalid-base64", "input_bytes.base64"),
        (json!({ "input": "x".repeat(256 << 10) }), "payload-too-large", "input"),
        (json!({ "task": "fail-until", "input": { "attempt": "two" } }), "invalid-input", "input.attempt"),
        (json!({ "task": "fail-until", "input": { "attempt": -1 } }), "invalid-input", "input.attempt"),
        (json!({ "task": "fail-until" }), "invalid-input", "input"),
        (json!({ "task": "fail-until", "input_bytes": { "media_type": "a/b", "base64": "" } }), "invalid-input", "input"),
    ];
    for (fields, code, field) in rows {
        let answer = world.ask("POST", "/v1/runs", touch(fields.clone())).await;
        let shown = fields.to_string().chars().take(80).collect::<String>();
        assert_eq!((answer.status.as_u16(), answer.code()), (422, code), "{shown}: {}", answer.body);
        assert_eq!(answer.body["field"], field, "{shown}: {}", answer.body);
        assert!(answer.body["seen"].as_str().is_none_or(|seen| seen.chars().count() <= 80), "{shown}: {}", answer.body);
    }
    assert_eq!(world.scheduler.count(&Default::default()).await.unwrap(), 0, "nothing was scheduled");
}

#[tokio::test]
async fn times_and_spans_that_are_no_text() {
    let world = World::new().await;
    let run = world.scheduled().await;
    world.ask("POST", "/v1/crons", json!({ "name": "each", "task": "touch", "expression": "@hourly" })).await;
    let cron = |field: &str, value: &Value| json!({ "name": "other", "task": "touch", "expression": "@hourly", field: value });
    for value in
        [json!(4_102_444_800_000_u64), json!(1.5), json!(1e20), json!(-1), json!(true), json!([2100]), json!({ "s": 1 }), json!("soon")]
    {
        let rows: Vec<(&str, String, Value, &str)> = vec![
            ("POST", "/v1/runs".into(), touch(json!({ "at": value })), "at"),
            ("PATCH", format!("/v1/runs/{run}"), json!({ "at": value }), "at"),
            ("POST", "/v1/runs/bulk-reschedule".into(), json!({ "all": true, "to": { "at": value } }), "to.at"),
            ("POST", "/v1/runs/bulk-reschedule".into(), json!({ "moves": [{ "id": run, "at": value }] }), "moves[0].at"),
            ("POST", "/v1/runs/bulk-delete".into(), json!({ "filter": { "trigger_from": value } }), "filter.trigger_from"),
            ("POST", "/v1/runs/bulk-cancel".into(), json!({ "filter": { "trigger_before": value } }), "filter.trigger_before"),
            ("POST", "/v1/crons".into(), cron("start", &value), "start"),
            ("POST", "/v1/crons".into(), cron("end", &value), "end"),
            ("PATCH", "/v1/crons/each".into(), json!({ "start": value }), "start"),
            ("PATCH", "/v1/crons/each".into(), json!({ "end": value }), "end"),
            ("POST", "/v1/crons/each/backfill".into(), json!({ "from": value }), "from"),
            ("POST", "/v1/crons/each/backfill".into(), json!({ "from": "2027-01-01T00:00:00Z", "until": value }), "until"),
            ("POST", "/v1/crons/each/pause".into(), json!({ "until": value }), "until"),
            ("POST", "/v1/tasks/touch/pause".into(), json!({ "until": value }), "until"),
            ("POST", "/v1/tokens".into(), json!({ "role": "read", "expires_at": value }), "expires_at"),
            ("POST", "/v1/runs".into(), touch(json!({ "after": value })), "after"),
            ("POST", "/v1/runs".into(), touch(json!({ "timeout": value })), "timeout"),
            ("POST", "/v1/runs".into(), touch(json!({ "unique_key": "k", "unique_for": value })), "unique_for"),
            ("POST", "/v1/runs".into(), touch(json!({ "unique_key": "k", "debounce": value })), "debounce"),
            ("POST", "/v1/runs".into(), touch(json!({ "unique_key": "k", "debounce": "1s", "debounce_max": value })), "debounce_max"),
            ("PATCH", format!("/v1/runs/{run}"), json!({ "after": value }), "after"),
            ("POST", "/v1/crons".into(), cron("jitter", &value), "jitter"),
            ("PATCH", "/v1/crons/each".into(), json!({ "jitter": value }), "jitter"),
            ("PATCH", "/v1/crons/each".into(), json!({ "missed": { "catch_up": "all", "window": value } }), "missed.window"),
            ("POST", "/v1/tasks/touch/pause".into(), json!({ "for": value }), "for"),
            ("POST", "/v1/tokens".into(), json!({ "role": "read", "expires_after": value }), "expires_after"),
        ];
        for (method, path, body, field) in rows {
            let answer = world.ask(method, &path, body.clone()).await;
            let times = ["at", "trigger_from", "trigger_before", "start", "end", "from", "until", "expires_at"];
            let is_time = times.contains(&field.rsplit('.').next().unwrap_or(field));
            let (code, range) = match is_time {
                true => ("invalid-time", "from 1970-01-01T00:00:00Z to 9999-12-31T23:59:59Z, for example 2027-03-14T15:09:26Z"),
                false => ("invalid-duration", "from 0s to 36600d"),
            };
            assert_eq!(
                (answer.status.as_u16(), answer.code(), &answer.body["field"]),
                (422, code, &json!(field)),
                "{body}: {}",
                answer.body
            );
            assert!(answer.body["detail"].as_str().unwrap().contains(range), "{body}: {}", answer.body);
            assert!(answer.body["seen"].is_string(), "{body}: {}", answer.body);
        }
    }
    // Where a time is needed, null is none; where it may be left out, null leaves it out.
    let answer = world.ask("POST", "/v1/crons/each/backfill", json!({ "from": null })).await;
    assert_eq!((answer.code(), &answer.body["seen"]), ("invalid-time", &json!("null")));
    let answer = world.ask("PATCH", &format!("/v1/runs/{run}"), json!({ "at": null })).await;
    assert_eq!((answer.code(), &answer.body["field"]), ("invalid-time", &json!("at")));
    assert_eq!(world.ask("GET", &format!("/v1/runs/{run}"), None).await.body["status"], "scheduled");
}

#[tokio::test]
async fn crons() {
    let world = World::new().await;
    let commas = format!("{}0 * * * *", "0,".repeat(100_000));
    let rows: Vec<(Value, &str, &str)> = vec![
        (json!({ "expression": "" }), "invalid-cron", "expression"),
        (json!({ "expression": "* * * *" }), "invalid-cron", "expression"),
        (json!({ "expression": "* * * * * * * *" }), "invalid-cron", "expression"),
        (json!({ "expression": "60 * * * *" }), "invalid-cron", "expression"),
        (json!({ "expression": "* 24 * * *" }), "invalid-cron", "expression"),
        (json!({ "expression": "0 0 30 2 *" }), "invalid-cron", "expression"),
        (json!({ "expression": "*/0 * * * *" }), "invalid-cron", "expression"),
        (json!({ "expression": "-1 * * * *" }), "invalid-cron", "expression"),
        (json!({ "expression": "* * * * MOM" }), "invalid-cron", "expression"),
        (json!({ "expression": "* * * * 1#6" }), "invalid-cron", "expression"),
        (json!({ "expression": "0 0 31 4,6 *" }), "invalid-cron", "expression"),
        (json!({ "expression": "0 0 L-31 * *" }), "invalid-cron", "expression"),
        (json!({ "expression": "* * * 13 *" }), "invalid-cron", "expression"),
        (json!({ "expression": "* * * JANUARY *" }), "invalid-cron", "expression"),
        (json!({ "expression": "1e1 * * * *" }), "invalid-cron", "expression"),
        (json!({ "expression": "TZ=UTC 0 0 * * *" }), "invalid-cron", "expression"),
        (json!({ "expression": "@every 1e3s" }), "invalid-cron", "expression"),
        (json!({ "expression": "@every 999ms" }), "invalid-cron", "expression"),
        (json!({ "expression": 7 }), "invalid-field", "expression"),
        (json!({ "expression": "@reboot" }), "invalid-cron", "expression"),
        (json!({ "expression": "@fortnightly" }), "invalid-cron", "expression"),
        (json!({ "expression": "@every 10ms" }), "invalid-cron", "expression"),
        (json!({ "expression": "@every -1s" }), "invalid-cron", "expression"),
        (json!({ "expression": "0 0 * * *\u{0}" }), "invalid-cron", "expression"),
        (json!({ "expression": "\u{1f980} * * * *" }), "invalid-cron", "expression"),
        (json!({ "expression": commas }), "invalid-cron", "expression"),
        (json!({ "timezone": "" }), "invalid-timezone", "timezone"),
        (json!({ "timezone": "Mars/Olympus" }), "invalid-timezone", "timezone"),
        (json!({ "timezone": "../../etc/passwd" }), "invalid-timezone", "timezone"),
        (json!({ "timezone": "Europe/Berlin\u{0}" }), "invalid-timezone", "timezone"),
        (json!({ "start": "tomorrow" }), "invalid-time", "start"),
        (json!({ "start": "2100-01-02T00:00:00Z", "end": "2100-01-01T00:00:00Z" }), "invalid-end", "end"),
        (json!({ "jitter": "-1s" }), "invalid-duration", "jitter"),
        (json!({ "jitter": "1000d" }), "invalid-jitter", "jitter"),
        (json!({ "priority": 9 }), "invalid-priority", "priority"),
        (json!({ "name": "../x" }), "invalid-name", "name"),
        (json!({ "name": "x".repeat(300) }), "invalid-name", "name"),
    ];
    for (fields, code, field) in rows {
        let mut body = json!({ "name": "each", "task": "touch", "expression": "@hourly" });
        body.as_object_mut().unwrap().extend(fields.as_object().unwrap().clone());
        let answer = world.ask("POST", "/v1/crons", body).await;
        let shown = fields.to_string().chars().take(80).collect::<String>();
        assert_eq!((answer.status.as_u16(), answer.code()), (422, code), "{shown}: {}", answer.body);
        assert_eq!(answer.body["field"], field, "{shown}: {}", answer.body);
        assert!(answer.body["seen"].as_str().is_none_or(|seen| seen.chars().count() <= 80), "{shown}: {}", answer.body);
    }
    assert_eq!(
        world.ask("POST", "/v1/crons", json!({ "name": "each", "task": "nobody", "expression": "@hourly" })).await.code(),
        "task-not-found"
    );
    assert_eq!(world.ask("GET", "/v1/crons", None).await.body["crons"], json!([]), "none was made");
}

#[tokio::test]
async fn addresses() {
    let world = World::new().await;
    for (method, path, status, code) in [
        ("GET", "/", 404, "not-found"),
        ("GET", "/v1/nothing", 404, "not-found"),
        ("GET", "//v1/runs", 404, "not-found"),
        ("GET", "/v1/./runs", 404, "not-found"),
        ("GET", "/v1/tasks/%2e%2e", 422, "invalid-name"),
        ("GET", "/v1/tasks/%00", 422, "invalid-name"),
        ("GET", "/v1/tasks/%c0%ae", 404, "not-found"),
        ("GET", "/v1/tasks/touch/", 404, "not-found"),
        ("GET", "/v1/runs/7", 422, "invalid-id"),
        ("GET", "/v1/runs/'%20OR%201=1", 422, "invalid-id"),
        ("GET", "/v1/runs/%F0%9F%98%80", 422, "invalid-id"),
        ("GET", "/v1/runs/", 404, "not-found"),
        ("GET", "/v1/runs/../tasks", 404, "not-found"),
        ("GET", "/v1/%2e%2e/v1/runs", 404, "not-found"),
        ("GET", "/v1/runs%00", 404, "not-found"),
        ("GET", "/v1/runs/..%2ftasks", 422, "invalid-id"),
        ("GET", "/v1/runs/%E2%80%AE", 422, "invalid-id"),
        ("GET", "/v1/runs/0\u{43e}000000-0000-7000-8000-000000000000", 422, "invalid-id"),
        ("GET", "/v1/runs/00000000000070008000000000000000", 422, "invalid-id"),
        ("GET", "/v1/runs/%7B00000000-0000-7000-8000-000000000000%7D", 422, "invalid-id"),
        ("GET", "/v1/runs/urn:uuid:00000000-0000-7000-8000-000000000000", 422, "invalid-id"),
        ("GET", "/v1/runs/00000000-0000-4000-8000-000000000000", 404, "run-not-found"),
        ("GET", "/v1/runs/FFFFFFFF-FFFF-FFFF-FFFF-FFFFFFFFFFFF", 404, "run-not-found"),
        ("GET", "/v1/tasks/Touch", 422, "invalid-name"),
        ("GET", "/v1/tasks/rl_api_00000000_x", 400, "token-in-url"),
        ("GET", "/v1/runs?limit=0", 422, "invalid-page-size"),
        ("GET", "/v1/runs?limit=501", 422, "invalid-page-size"),
        ("GET", "/v1/runs?cursor=forged", 400, "bad-cursor"),
        ("GET", "/v1/runs?order=random", 422, "invalid-order"),
        ("GET", "/v1/runs?status=done", 422, "invalid-status"),
        ("GET", "/v1/runs?tsak=x", 422, "unknown-parameter"),
        ("GET", "/v1/runs?_method=DELETE", 422, "unknown-parameter"),
        ("GET", "/v1/runs?metadata=a=%ff", 400, "invalid-query"),
        ("GET", "/v1/runs?metadata=a=%4", 400, "invalid-query"),
        ("GET", "/v1/runs?trigger_from=4102444800000", 422, "invalid-time"),
        ("GET", "/v1/runs?parent=7", 422, "invalid-id"),
        ("GET", "/v1/runs?limit=1&limit=2", 422, "invalid-parameter"),
        ("GET", "/v1/runs?metadata=novalue", 422, "invalid-metadata"),
        ("GET", "/v1/runs?trigger_from=now", 422, "invalid-time"),
        ("DELETE", "/v1/runs", 405, "method-not-allowed"),
        ("PATCH", "/v1/runs", 405, "method-not-allowed"),
        ("POST", "/v1/runs/00000000-0000-7000-8000-000000000000", 405, "method-not-allowed"),
        ("POST", "/healthz", 405, "method-not-allowed"),
        ("OPTIONS", "/v1/runs", 405, "method-not-allowed"),
        ("TRACE", "/v1/runs", 405, "method-not-allowed"),
        ("CONNECT", "/v1/runs", 405, "method-not-allowed"),
        ("get", "/v1/runs", 405, "method-not-allowed"),
        ("PUT", "/v1/tasks/touch", 405, "method-not-allowed"),
    ] {
        let answer = world.ask(method, path, None).await;
        assert_eq!((answer.status.as_u16(), answer.code()), (status, code), "{method} {path}: {}", answer.body);
        assert_eq!(answer.headers.contains_key("allow"), status == 405, "{method} {path}: {:?}", answer.headers);
    }
    assert_eq!(world.ask("GET", &format!("/v1/runs?task={}", "x".repeat(9_000)), None).await.code(), "uri-too-long");
    let long = format!("/v1/runs/{}", "0".repeat(10 << 10));
    assert_eq!((world.ask("GET", &long, None).await.status.as_u16(), world.ask("GET", &long, None).await.code()), (414, "uri-too-long"));
    // What was seen is shown so that it is safe to show anywhere.
    let odd = json!({ "ids": [format!("\u{202e}<b>\0{}", "x".repeat(10 << 10))] });
    let odd = world.ask("POST", "/v1/runs/bulk-delete", odd).await;
    assert_eq!((odd.code(), &odd.body["field"]), ("invalid-id", &json!("ids[0]")));
    assert!(odd.text.contains("\\\\u{202e}<b>\\\\u{0}xxx") && odd.text.len() < 1_000, "{}", odd.text);
    // Upper and lower case are one id.
    let run = world.scheduled().await.to_string();
    assert_eq!(world.ask("GET", &format!("/v1/runs/{}", run.to_uppercase()), None).await.body["id"], run);
    // A header does not make another method of it.
    let overridden = request("GET", "/v1/runs", world.token(Role::Read)).header("x-http-method-override", "DELETE");
    assert_eq!(world.send(overridden.body(Body::empty()).unwrap()).await.status, 200);
}

#[tokio::test]
async fn components() {
    let world = World::new().await;
    let upload = async |query: &str, media_type: &str, wasm: Vec<u8>| {
        let request = request("POST", &format!("/v1/tasks{query}"), world.token(Role::Deploy)).header("content-type", media_type);
        world.send(request.body(wasm.into()).unwrap()).await
    };
    let wasm = "application/wasm";
    assert_eq!(upload("", wasm, Vec::new()).await.code(), "invalid-component");
    assert_eq!(upload("", wasm, b"Dear scheduler,".to_vec()).await.code(), "invalid-component");
    assert_eq!(upload("", "application/json", b"{}".to_vec()).await.status, 415);
    assert_eq!(upload("?grant=everything", wasm, Vec::new()).await.code(), "invalid-grant");
    assert_eq!(upload("?allow=runs", wasm, Vec::new()).await.code(), "unknown-parameter");
    for (policy, code) in [
        ("touch.concurrency", "invalid-policy"),
        ("concurrency=1", "invalid-policy"),
        ("touch.concurrency=0", "invalid-concurrency"),
        ("touch.rate=10", "invalid-rate"),
        ("touch.lane=customer", "invalid-lane"),
        ("touch.max-attempts=1000000000", "invalid-max-attempts"),
        ("touch.retry-delay=NaN", "invalid-retry-delay"),
        ("touch.timeout=-1s", "invalid-duration"),
        ("touch.keep-for=1s%00", "invalid-duration"),
        ("touch.on-failure=../x", "invalid-name"),
        ("touch.colour=red", "unknown-policy"),
    ] {
        let answer = upload(&format!("?policy={policy}"), wasm, Vec::new()).await;
        assert_eq!((answer.status.as_u16(), answer.code()), (422, code), "{policy}: {}", answer.body);
    }
    let behaviours = std::fs::read(crate::built::guest("behaviours")).expect("it was built");
    assert_eq!(upload("?grant=runs&policy=nobody.rate=1/s", wasm, behaviours.clone()).await.code(), "unknown-task");
    let registered = upload("?grant=runs&policy=touch.rate=1/s&policy=touch.keep-last=7", wasm, behaviours.clone()).await;
    assert_eq!(registered.status, 201, "{}", registered.body);
    let shown = world.ask("GET", "/v1/tasks/touch", None).await.body;
    assert_eq!((&shown["overrides"], &shown["policy"]["rate"]), (&json!({ "rate": "1/s", "keep-last": "7" }), &json!("1/s")));
    upload("?grant=runs&policy=touch.rate=default", wasm, behaviours).await;
    assert_eq!(world.ask("GET", "/v1/tasks/touch", None).await.body["overrides"], json!({ "keep-last": "7" }), "the rest is kept");
    assert_eq!(upload("", wasm, vec![0; (32 << 20) + 1]).await.status, 413);
    // Endless, without a length: refused as soon as it is too long.
    let request = request("POST", "/v1/tasks", world.token(Role::Deploy)).header("content-type", wasm);
    assert_eq!(world.send(request.body(endless()).unwrap()).await.status, 413);
}

#[tokio::test]
async fn files_of_other_kinds() {
    let world = World::new().await;
    let hello = std::fs::read(crate::built::guest("hello")).unwrap();
    let with_head = |head: &[u8]| [head, &[0; 600]].concat();
    let mut archive = vec![0; 1_024];
    archive[257..263].copy_from_slice(b"ustar\0");
    let another_version = String::from_utf8_lossy(&hello).find("runlater:scheduler/task@0.1.0").map(|_| {
        let (from, to) = (b"runlater:scheduler/task@0.1.0", b"runlater:scheduler/task@0.9.0");
        let mut changed = hello.clone();
        for at in 0..changed.len() - from.len() {
            if changed[at..].starts_with(from) {
                changed[at..at + to.len()].copy_from_slice(to);
            }
        }
        changed
    });
    for (name, bytes, code, word) in [
        ("nothing", Vec::new(), "invalid-component", "wasm32-wasip2"),
        ("a letter", b"Dear scheduler,".to_vec(), "invalid-component", "wasm32-wasip2"),
        ("a picture", with_head(b"\x89PNG\r\n\x1a\n"), "invalid-component", "wasm32-wasip2"),
        ("a program", with_head(b"\x7fELF\x02\x01\x01"), "invalid-component", "wasm32-wasip2"),
        ("zip", with_head(b"PK\x03\x04"), "invalid-component", "wasm32-wasip2"),
        ("gzip", with_head(b"\x1f\x8b\x08"), "invalid-component", "wasm32-wasip2"),
        ("zstd", with_head(b"\x28\xb5\x2f\xfd"), "invalid-component", "wasm32-wasip2"),
        ("tar", archive, "invalid-component", "wasm32-wasip2"),
        ("its first bytes", b"\0asm".to_vec(), "invalid-component", "at byte"),
        ("a core module", b"\0asm\x01\0\0\0".to_vec(), "invalid-component", "core module"),
        ("a number without end", [&hello[..8], &[0, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff]].concat(), "invalid-component", "at byte"),
        ("text form", b"(component)".to_vec(), "invalid-component", "wasm32-wasip2"),
        ("another version of the contract", another_version.expect("it says what it exports"), "missing-export", "task@0.1.0"),
    ] {
        let upload = request("POST", "/v1/tasks", world.token(Role::Deploy)).header("content-type", "application/wasm");
        let answer = world.send(upload.body(bytes.into()).unwrap()).await;
        assert_eq!((answer.status.as_u16(), answer.code()), (422, code), "{name}: {}", answer.body);
        assert!(answer.body["detail"].as_str().unwrap().contains(word), "{name}: {}", answer.body);
    }
    for length in (1..hello.len()).step_by(1 << 10).chain([hello.len() - 1]) {
        let upload = request("POST", "/v1/tasks", world.token(Role::Deploy)).header("content-type", "application/wasm");
        let answer = world.send(upload.body(hello[..length].to_vec().into()).unwrap()).await;
        assert_eq!(answer.status, 422, "cut at {length}: {}", answer.body);
    }
    assert!(world.scheduler.task("hello").is_none());
}

/// A body that never ends.
fn endless() -> Body {
    Body::from_stream(futures_util::stream::repeat_with(|| Ok::<_, std::convert::Infallible>(vec![0_u8; 1 << 16])))
}

#[tokio::test]
async fn problems_as_they_were_reviewed() {
    let world = World::new().await;
    let mut text = String::new();
    for (title, method, path, body) in [
        ("a field", "POST", "/v1/runs", Some(touch(json!({ "at": "tomorrow\u{1b}[31m" })))),
        ("a task that is not there", "POST", "/v1/runs", Some(json!({ "task": "no-such-task" }))),
        ("a run that is not there", "GET", "/v1/runs/00000000-0000-7000-8000-000000000000", None),
        ("an address", "GET", "/v2", None),
        ("a method", "PUT", "/v1/runs", None),
        ("which runs", "POST", "/v1/runs/bulk-delete", Some(json!({}))),
        ("a filter of nothing", "POST", "/v1/runs/bulk-delete", Some(json!({ "filter": {} }))),
        ("an entry of metadata with two meanings", "GET", "/v1/runs?metadata=a:b%3Dc", None),
        ("a plus that became a space", "GET", "/v1/runs?trigger_from=2027-01-01T00:00:00+02:00", None),
        ("a parameter", "GET", "/v1/runs?tsak=x", None),
    ] {
        let answer = world.ask(method, path, body).await;
        text += &format!("# {title}\n{}\n\n", serde_json::to_string_pretty(&answer.problem()).unwrap());
    }
    golden::compare("problems.txt", &text);
}

#[tokio::test]
async fn a_backup_names_the_place_where_no_file_can_be_made() {
    let world = World::built(|builder| builder.namespace("default")).await;
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("file");
    std::fs::write(&file, "").unwrap();
    for place in [
        folder.path().join("no/such/folder.db"),
        file.join("below-a-file.db"),
        folder.path().join("x".repeat(300)),
        // SQLite would take it for the log of a database.
        folder.path().join("file-journal"),
    ] {
        let place = place.to_string_lossy();
        let refused = world.ask("POST", "/v1/backup", serde_json::json!({ "path": place })).await;
        assert_eq!((refused.status.as_u16(), refused.code()), (422, "invalid-path"), "{}", refused.body);
        assert!(place.starts_with(&refused.body["seen"].as_str().unwrap()[..16]), "{}", refused.body);
    }
}
