//! `tasks`, `register` and `schedule`.

use super::{Server, run_with_input};
use crate::built;

#[test]
fn tasks_are_registered_and_shown() {
    let server = Server::start();
    let hello = built::guest("hello");
    let registered = server.run(&["register", &hello.to_string_lossy()]).ok();
    assert!(registered.contains("registered ") && registered.contains("Greets somebody."), "{registered}");
    let tasks = server.json(&["tasks"]);
    assert_eq!(tasks["tasks"][0]["name"], "hello");
    let shown = server.run(&["tasks", "show", "hello"]).ok();
    assert!(shown.contains("Who is greeted."), "the schema of the input: {shown}");
    assert_eq!(server.json(&["tasks", "show", "hello"])["digest"], tasks["tasks"][0]["digest"]);
    // What a component needs and was not granted is named, with the flag that grants it.
    let reminder = built::guest("reminder");
    server.run(&["register", &reminder.to_string_lossy()]).fails(3, &["runs", "grant"]);
    assert_eq!(server.json(&["tasks"])["tasks"].as_array().unwrap().len(), 1);
    server.run(&["tasks", "show", "reminder"]).fails(4, &["reminder"]);
}

#[test]
fn inputs_come_from_all_directions() {
    let server = Server::with(&["behaviours"]);
    std::fs::write(server.path("input.json"), "{\"from\": \"a file\"}\n").unwrap();
    let output = |input: &str| server.json(&["schedule", "touch", "--input", input, "--wait"])["run"]["output"].clone();
    assert_eq!(output("{\"from\":\"an argument\"}")["from"], "an argument");
    assert_eq!(output("@input.json")["from"], "a file");
    assert_eq!(output("-7"), -7);
    let piped = run_with_input(server.folder.path(), &["schedule", "touch", "--input", "-", "--wait", "--json"], b"[\"a pipe\"]").ok();
    assert_eq!(serde_json::from_str::<serde_json::Value>(&piped).unwrap()["run"]["output"][0], "a pipe");
}

#[test]
fn a_run_has_its_time_its_metadata_and_its_key() {
    let server = Server::with(&["behaviours"]);
    let at = server.schedule(&["touch", "--at", "2100-01-01T01:00:00+01:00", "--metadata", "customer=7", "--metadata", "k=a=b"]);
    let run = server.json(&["runs", "show", &at]);
    assert_eq!((&run["trigger_at"], &run["status"]), (&"2100-01-01T00:00:00Z".into(), &"scheduled".into()));
    assert_eq!((&run["metadata"]["customer"], &run["metadata"]["k"]), (&"7".into(), &"a=b".into()));
    let said = server.run(&["schedule", "touch", "--after", "90d"]).ok();
    assert!(said.contains("scheduled touch for ") && said.contains("(in 90d)"), "{said}");
    // The same request under one key is one run; another request under it is refused.
    let keyed = ["touch", "--after", "1h", "--unique-key", "order-7", "--input", "7"];
    let (first, second) = (server.schedule(&keyed), server.schedule(&keyed));
    assert_eq!(first, second);
    let again = server.run(&[&["schedule"], &keyed[..]].concat()).ok();
    assert!(again.contains("scheduled before") && again.contains(&first), "{again}");
    server.run(&["schedule", "touch", "--unique-key", "order-7", "--input", "8"]).fails(3, &["unique_key", &first]);
    server.run(&["schedule", "touch", "--unique-key", "order-7", "--unique-mode", "reject", "--input", "7"]).fails(3, &[&first]);
    let replaced =
        server.json(&["schedule", "touch", "--after", "1h", "--unique-key", "order-7", "--unique-mode", "replace", "--input", "8"]);
    assert_eq!(replaced["created"], true);
    server.run(&["runs", "show", &first]).fails(4, &[]);
    let burst = ["schedule", "touch", "--unique-key", "burst", "--debounce", "1h", "--input"];
    let one = server.json(&[&burst[..], &["1"]].concat());
    let two = server.json(&[&burst[..], &["2"]].concat());
    assert_eq!((&two["id"], &two["created"]), (&one["id"], &serde_json::json!(false)));
    assert_eq!(server.json(&["runs", "show", one["id"].as_str().unwrap()])["input"], 2);
    server.run(&["schedule", "touch", "--debounce", "1h"]).fails(2, &["--unique-key"]);
    server.run(&["schedule", "fail-until", "--input", "{\"attempt\":\"x\"}"]).fails(3, &["input.attempt", "integer"]);
    server.run(&["schedule", "tuoch"]).fails(4, &["tuoch", "runlater tasks"]);
}

#[test]
fn a_key_is_free_again_when_its_run_will_not_come() {
    let server = Server::with(&["behaviours"]);
    let keyed = ["schedule", "touch", "--at", "2090-01-01T00:00:00Z", "--unique-key", "order-7", "--input", "7"];
    let first = server.json(&keyed)["id"].as_str().unwrap().to_string();
    let again = server.run(&keyed).ok();
    assert!(again.contains("its status is scheduled; it holds the key at least until it has ended"), "{again}");
    server.run(&["runs", "cancel", &first]).ok();
    let second = server.json(&keyed);
    assert_eq!((&second["created"], second["id"] == first.as_str()), (&true.into(), false));
    server.run(&["runs", "delete", second["id"].as_str().unwrap()]).ok();
    let third = server.json(&[&keyed[..], &["--unique-for", "2d"]].concat());
    assert_eq!(third["created"], true);
    server.run(&["runs", "trigger", third["id"].as_str().unwrap()]).ok();
    server.run(&["runs", "wait", third["id"].as_str().unwrap()]).ok();
    let again = server.run(&keyed).ok();
    assert!(
        again.contains("its status is succeeded since ") && again.contains("; it holds the key until ") && again.contains("(in 48h)"),
        "{again}"
    );
    server.run(&[&keyed[..], &["--unique-mode", "reject"]].concat()).fails(3, &["succeeded at", "which holds the key until"]);
    assert_eq!(server.json(&keyed)["existing"]["status"], "succeeded");
}

#[test]
fn waiting_shows_the_outcome_and_what_follows() {
    let server = Server::with(&["reminder", "behaviours"]);
    let shown = server.run(&["schedule", "reminder", "--input", "{\"every\": \"1h\"}", "--after", "10ms", "--wait"]).ok();
    for word in ["reminder succeeded in ", "output: \"2 to come\"", "follow-ups:", "scheduled", "(in 60m)", "(in 10h)"] {
        assert!(shown.contains(word), "`{word}` is not in: {shown}");
    }
    let both = server.json(&["schedule", "reminder", "--input", "{\"every\": \"1h\"}", "--wait"]);
    assert_eq!((both["run"]["status"].as_str(), both["follow_ups"].as_array().unwrap().len()), (Some("succeeded"), 2));
    assert_eq!(both["follow_ups"][0]["parent"], both["run"]["id"]);
    // A run that failed fails the command, and says where to look.
    let failed = server.run(&["schedule", "reject", "--input", "{\"reason\": \"no such order\"}", "--wait"]);
    assert!(failed.out.contains("no such order"), "{failed:?}");
    failed.fails(1, &["failed", "runlater runs logs"]);
}
