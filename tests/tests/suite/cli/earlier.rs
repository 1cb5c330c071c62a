//! `serve` on a database that an earlier release wrote.

use std::io::{Read, Write};
use std::net::TcpStream;

use serde_json::Value;

use super::{Server, command};
use crate::contracts::earlier::schema_10;

/// `POST /v1/runs` under an idempotency key, which the command line does not send.
fn post_under(server: &Server, key: &str, body: &Value) -> (u16, Value) {
    let address = server.url.trim_start_matches("http://");
    let body = body.to_string();
    let request = format!(
        "POST /v1/runs HTTP/1.1\r\nHost: {address}\r\nAuthorization: Bearer {}\r\nContent-Type: application/json\r\nIdempotency-Key: {key}\r\n\
         Connection: close\r\nContent-Length: {}\r\n\r\n{body}",
        server.token(),
        body.len()
    );
    let mut stream = TcpStream::connect(address).expect("it listens");
    stream.write_all(request.as_bytes()).expect("it reads");
    let mut answer = String::new();
    stream.read_to_string(&mut answer).expect("it answers");
    let status = answer.split(' ').nth(1).and_then(|status| status.parse().ok()).expect("a status");
    let json = answer.split_once("\r\n\r\n").expect("a body").1;
    (status, serde_json::from_str(json).unwrap_or_else(|error| panic!("{error}: {answer}")))
}

#[test]
fn serve_migrates_it_and_goes_on() {
    let folder = tempfile::tempdir().unwrap();
    schema_10(folder.path());
    let serve = command(folder.path(), &["serve", "--db", "runs.db", "--listen", "127.0.0.1:0", "--keep-free", "0", "--json"]);
    let server = Server::of(folder, serve);
    let named = |name: &str| server.json(&["runs", "list", "--metadata", &format!("name={name}")])["runs"][0].clone();
    assert_eq!(named("scheduled")["status"], "scheduled");
    assert_eq!(named("header-succeeded")["output"]["greeting"], "Hello, world!");
    assert_eq!(server.json(&["crons", "list", "--limit", "500"])["crons"].as_array().unwrap().len(), 10);
    assert_eq!(server.json(&["tasks"])["tasks"].as_array().unwrap().len(), 4);
    // What the header promised: the request is answered with its run, whatever became of that.
    let send = |name: &str, key: &str| {
        let body = serde_json::json!({ "task": "hello", "metadata": { "name": name }, "at": "2090-01-01T00:00:00Z" });
        post_under(&server, key, &body)
    };
    let first = named("header-cancelled")["id"].clone();
    let (status, answer) = send("header-cancelled", "header-cancelled");
    let held = answer["existing"]["key_held_until"].as_str().is_some_and(|until| until.starts_with("2026-12-02T12:50"));
    match status {
        200 => assert!(answer["id"] == first && held, "{answer}"),
        // A day after it was made nothing is promised any more.
        other => assert_eq!((other, &answer["created"]), (201, &true.into()), "{answer}"),
    }
    // The component of that release runs.
    let ran = server.json(&["schedule", "hello", "--input", "{\"name\":\"Eva\"}", "--wait"]);
    assert_eq!(ran["run"]["output"]["greeting"], "Hello, Eva!");
    let stopped = server.stop();
    assert_eq!(stopped.code, Some(0));
    // What the new meaning of stored data changes is logged, each change once.
    for changed in
        [r#""cron":"star-day""#, r#""cron":"last-days""#, "the unique keys of runs that ended", "the Idempotency-Key header no longer"]
    {
        let lines = stopped.err.lines().filter(|line| line.contains(changed)).count();
        assert_eq!(lines, 1, "{changed}: {}", stopped.err);
    }
}
