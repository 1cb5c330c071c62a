//! `serve` while another program holds the write lock of its database: every caller is answered, health tells the truth, and a stop ends.

use std::time::{Duration, Instant};

use rusqlite::Connection;
use serde_json::{Value, json};

use super::{Server, command};
use crate::client::Client;

/// The grace of a stop. On a machine that is not very slow, each wait here takes a quarter of it.
const GRACE: Duration = Duration::from_secs(25);

fn hold(server: &Server, begin: &str) -> Connection {
    let other = Connection::open(server.path("runs.db")).unwrap();
    other.execute_batch(begin).unwrap();
    other
}

/// Asks until the answer has this status.
fn ask_until(client: &mut Client, status: u16, method: &str, path: &str, body: &str) {
    let started = Instant::now();
    loop {
        let answer = client.ask(method, path, body).unwrap();
        if answer.status == status {
            return;
        }
        assert!(started.elapsed() < GRACE, "{path}: {} {}", answer.status, answer.body);
        std::thread::sleep(Duration::from_millis(20));
    }
}

#[test]
fn a_caller_is_answered_and_what_was_refused_is_never_stored() {
    let server = Server::with(&["behaviours"]);
    let mut client = Client::new(&server.url, &server.token()).unwrap();
    for begin in ["BEGIN IMMEDIATE", "BEGIN EXCLUSIVE"] {
        let body = json!({ "task": "touch", "after": "1h", "metadata": { "when": "during" } }).to_string();
        let due = server.schedule(&["touch", "--after", "1s"]);
        let other = hold(&server, begin);
        let asked = Instant::now();
        let refused = client.ask("POST", "/v1/runs", &body).unwrap();
        assert!(asked.elapsed() < GRACE, "{begin}: it took {:?}", asked.elapsed());
        assert_eq!((refused.status, refused.retry_after), (503, Some(5)), "{begin}: {}", refused.body);
        assert_eq!(refused.body["code"], "database-locked", "{begin}");
        let health = client.ask("GET", "/healthz", "").unwrap();
        assert_eq!((health.status, health.body["code"].as_str()), (503, Some("database-locked")), "{begin}");
        let health = client.ask("GET", "/v1/health", "").unwrap().body;
        assert_eq!((health["writable"].as_bool(), health["reason"].as_str()), (Some(false), Some("database-locked")), "{begin}: {health}");
        server.run(&["schedule", "touch", "--after", "1h"]).fails(3, &["another program holds the write lock"]);
        assert_eq!(client.ask("GET", "/v1/runs", "").unwrap().status, 200, "{begin}: what is stored can be read");

        other.execute_batch("ROLLBACK").unwrap();
        ask_until(&mut client, 200, "GET", "/healthz", "");
        ask_until(&mut client, 201, "POST", "/v1/runs", &json!({ "task": "touch", "after": "1h" }).to_string());
        let kept = client.ask("GET", "/v1/runs?metadata=when:during", "").unwrap().body;
        assert_eq!(kept["runs"].as_array().map(Vec::len), Some(0), "{begin}: {kept}");
        // What came due meanwhile was not lost.
        let shown = server.run(&["runs", "wait", &due]).ok();
        assert!(shown.contains("succeeded"), "{begin}: {shown}");
    }
    let stopped = server.stop();
    assert_eq!(stopped.code, Some(0), "{stopped:?}");
    for said in ["another program holds the write lock", "is free again"] {
        assert_eq!(stopped.err.matches(said).count(), 2, "once for each time: {}", stopped.err);
    }
}

#[test]
fn health_notices_a_lock_while_nothing_is_written() {
    let server = Server::start();
    let mut client = Client::new(&server.url, &server.token()).unwrap();
    let _other = hold(&server, "BEGIN IMMEDIATE");
    ask_until(&mut client, 503, "GET", "/healthz", "");
}

#[test]
fn a_stop_ends_within_its_grace_and_the_next_start_repeats_what_is_not_recorded() {
    let server = Server::with(&["behaviours"]);
    let mut client = Client::new(&server.url, &server.token()).unwrap();
    // A run whose outcome waits for the lock. On a slow machine it may end before the lock is taken: then another one is tried.
    let (run, other) = (0..10)
        .find_map(|_| {
            let created = client.ask("POST", "/v1/runs", &json!({ "task": "touch", "after": "1s" }).to_string()).unwrap();
            let run = created.body["id"].as_str().expect("an id").to_string();
            let other = hold(&server, "BEGIN IMMEDIATE");
            let started = Instant::now();
            let mut status = Value::Null;
            while status != "running" && status != "succeeded" && started.elapsed() < Duration::from_secs(5) {
                status = client.ask("GET", &format!("/v1/runs/{run}"), "").unwrap().body["status"].take();
            }
            (status == "running").then_some((run, other))
        })
        .expect("a run ends while the lock is held");
    let told = Instant::now();
    assert!(std::process::Command::new("kill").args(["-TERM", &server.child.id().to_string()]).status().unwrap().success());
    let (stopped, folder) = server.ended();
    assert!(told.elapsed() < GRACE, "it took {:?}", told.elapsed());
    assert_eq!(stopped.code, Some(74), "{stopped:?}");
    assert!(stopped.err.contains("the write lock") && stopped.err.contains("the next start repeats their runs"), "{}", stopped.err);

    drop(other);
    let serve = command(folder.path(), &["serve", "--db", "runs.db", "--listen", "127.0.0.1:0", "--json"]);
    let server = Server::of(folder, serve);
    let shown = server.run(&["runs", "wait", &run]).ok();
    assert!(shown.contains("succeeded"), "{shown}");
}
