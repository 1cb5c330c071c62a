//! `runs …`: looking at runs, and changing one or many.

use super::Server;

fn statuses(server: &Server, filter: &[&str]) -> Vec<String> {
    let page = server.json(&[&["runs", "list", "--order", "oldest-first"], filter].concat());
    page["runs"].as_array().unwrap().iter().map(|run| run["status"].as_str().unwrap().to_string()).collect()
}

#[test]
fn one_run() {
    let server = Server::with(&["behaviours"]);
    let run = server.schedule(&["touch", "--after", "1h", "--input", "\"x\""]);
    let list = server.run(&["runs", "list"]).ok();
    assert!(list.starts_with("ID") && list.contains(&run) && list.contains("scheduled"), "{list}");
    let moved = server.run(&["runs", "reschedule", &run, "--at", "2100-01-01T00:00:00Z"]).ok();
    assert!(moved.contains("2100-01-01 00:00:00Z"), "{moved}");
    assert!(server.run(&["runs", "show", &run]).ok().contains("2100-01-01 00:00:00Z"));
    server.run(&["runs", "wait", &run, "--timeout", "1ms"]).fails(1, &["has not ended yet"]);
    assert_eq!(server.run(&["runs", "logs", &run]).err, "no such attempt was made (yet)\n");
    server.run(&["runs", "trigger", &run]).ok();
    assert!(server.run(&["runs", "wait", &run]).ok().contains("touch succeeded"));
    // What has triggered is not taken back.
    for refused in [&["runs", "delete", &run][..], &["runs", "reschedule", &run, "--after", "1h"], &["runs", "cancel", &run]] {
        server.run(refused).fails(3, &[&run]);
    }
    let waiting = server.schedule(&["touch", "--after", "1h"]);
    assert!(server.run(&["runs", "cancel", &waiting]).ok().contains("cancel done"));
    assert_eq!(server.json(&["runs", "show", &waiting])["status"], "cancelled");
    let gone = server.schedule(&["touch", "--after", "1h"]);
    assert_eq!(server.run(&["runs", "delete", &gone]).ok(), "deleted 1 run\n");
    for missing in [&["runs", "show", &gone][..], &["runs", "delete", &gone], &["runs", "logs", &gone], &["runs", "wait", &gone]] {
        server.run(missing).fails(4, &[&gone]);
    }
}

#[test]
fn one_that_executes_is_told_to_end() {
    let server = Server::with(&["behaviours"]);
    let run = server.schedule(&["spin-until-cancelled"]);
    // Nothing tells when it has started but its status.
    while server.json(&["runs", "show", &run])["status"] != "running" {}
    assert!(server.run(&["runs", "cancel", &run]).ok().contains("requested"));
    server.run(&["runs", "wait", &run]).fails(1, &["cancelled"]);
}

#[test]
fn many_runs() {
    let server = Server::with(&["behaviours"]);
    let ids: Vec<_> = (0..4).map(|n| server.schedule(&["touch", "--after", "1h", "--metadata", &format!("n={n}")])).collect();
    let other = server.schedule(&["log", "--after", "1h"]);
    let touch = ["--task", "touch"];
    let bulk = |arguments: &[&str]| server.run(&[&["runs"], arguments].concat());

    // Nobody is asked where nobody is; and nothing is done then.
    for verb in [&["delete"][..], &["cancel"], &["reschedule", "--by", "+1h"]] {
        bulk(&[verb, &touch].concat()).fails(2, &["4 runs?", "--yes", "--dry-run"]);
        assert!(bulk(&[verb, &touch, &["--dry-run"]].concat()).ok().contains("would have "));
        bulk(verb).fails(2, &["say which runs", "--all"]);
        bulk(&[verb, &touch, &["--all"]].concat()).fails(2, &["--all"]);
        bulk(&[verb, &touch, &[&ids[0]]].concat()).fails(2, &["not both"]);
    }
    assert_eq!(statuses(&server, &[]), ["scheduled"; 5]);

    let before = server.json(&["runs", "show", &ids[0]])["trigger_at"].clone();
    assert_eq!(bulk(&["reschedule", "--task", "touch", "--by", "+1h", "--yes"]).ok(), "moved 4 runs\n");
    assert_ne!(server.json(&["runs", "show", &ids[0]])["trigger_at"], before);
    assert_eq!(bulk(&["delete", &ids[0], &ids[1], "--yes"]).ok(), "deleted 2 runs\n");
    // What was not changed is named, and the rest is done all the same.
    let some = bulk(&["cancel", &ids[0], &ids[2], "--yes"]);
    assert_eq!(some.out, "cancelled 1 run\n");
    some.fails(3, &["run-not-found", &ids[0]]);
    bulk(&["delete", &ids[0], &ids[1], "--yes"]).fails(4, &["run-not-found"]);
    assert_eq!(statuses(&server, &["--metadata", "n=3"]), ["scheduled"]);
    assert_eq!(bulk(&["cancel", "--metadata", "n=3", "--yes"]).ok(), "cancelled 1 run\n");
    assert_eq!(statuses(&server, &touch), ["cancelled"; 2]);
    assert_eq!(server.json(&["runs", "delete", "--all", "--yes"])["changed"], 1);
    assert_eq!(statuses(&server, &["--task", "log", "--status", "scheduled"]), [""; 0]);
    server.run(&["runs", "trigger", &ids[2], &ids[3], "--yes"]).ok();
    server.run(&["runs", "show", &other]).fails(4, &[]);
}

#[test]
fn an_entry_of_metadata_is_the_same_words_for_every_command() {
    let server = Server::with(&["behaviours"]);
    let later = |entry: &str| server.schedule(&["touch", "--after", "1h", "--metadata", entry]);
    let (a, b, c) = (later(r#""a:b"=c"#), later("a=b:c"), later(r#""a:b=\"":c d, 100%"#));
    assert_eq!(server.json(&["runs", "show", &a])["metadata"], serde_json::json!({ "a:b": "c" }));
    assert!(server.run(&["runs", "show", &a]).ok().contains(r#""a:b"=c"#), "shown as it is written");
    for (entry, run) in
        [(r#""a:b"=c"#, &a), (r#""a:b":c"#, &a), ("a=b:c", &b), (r#""a":b:c"#, &b), ("a:b:c", &b), (r#""a:b=\""=c d, 100%"#, &c)]
    {
        let listed = server.json(&["runs", "list", "--metadata", entry]);
        let listed: Vec<_> = listed["runs"].as_array().unwrap().iter().map(|run| run["id"].as_str().unwrap()).collect();
        assert_eq!(listed, [run], "{entry}");
        let before = server.json(&["runs", "show", run])["trigger_at"].clone();
        assert_eq!(server.json(&["runs", "delete", "--metadata", entry, "--dry-run"])["changed"], 1, "{entry}");
        assert_eq!(server.json(&["runs", "reschedule", "--metadata", entry, "--by", "+1h", "--yes"])["changed"], 1, "{entry}");
        assert_ne!(server.json(&["runs", "show", run])["trigger_at"], before, "{entry}");
    }
    for (entry, word) in [("a:b=c", "two meanings"), ("customer", "KEY=VALUE"), (r#""a"#, "JSON string")] {
        for command in [&["runs", "list"][..], &["runs", "delete"], &["schedule", "touch"]] {
            server.run(&[command, &["--metadata", entry]].concat()).fails(2, &[word]);
        }
    }
    for command in [&["runs", "list"][..], &["runs", "delete", "--yes"], &["schedule", "touch"]] {
        server.run(&[command, &["--metadata", "k=1", "--metadata", "k=2"]].concat()).fails(2, &["two values", "metadata.k"]);
    }
    assert_eq!(statuses(&server, &[]), ["scheduled"; 3]);
    server.run(&["runs", "delete", "--metadata", r#""a:b"=c"#, "--yes"]).ok();
    server.run(&["runs", "show", &a]).fails(4, &[]);
    assert_eq!(server.json(&["runs", "show", &b])["status"], "scheduled");
}

#[test]
fn each_run_counts_once_and_what_is_left_out_is_told() {
    let server = Server::with(&["behaviours"]);
    let waiting = server.schedule(&["touch", "--after", "1h", "--metadata", "n=1"]);
    let ended = server.schedule(&["touch", "--metadata", "n=1"]);
    server.run(&["runs", "wait", &ended]).ok();
    let dry = server.json(&["runs", "delete", "--metadata", "n=1", "--dry-run"]);
    assert_eq!((&dry["changed"], &dry["refused_total"], &dry["refused"][0]["id"]), (&1.into(), &1.into(), &ended.as_str().into()), "{dry}");
    // By id that is a failure, by filter it is told.
    server.run(&["runs", "delete", &waiting, &ended, &waiting, "--dry-run"]).fails(3, &["already-triggered", "1 of the runs"]);
    let moved = server.run(&["runs", "reschedule", &waiting, &waiting.to_uppercase(), &waiting, "--by", "+1h", "--dry-run"]);
    assert_eq!(moved.ok(), "would have moved 1 run\n");
    let deleted = server.run(&["runs", "delete", "--metadata", "n=1", "--yes"]);
    assert!(deleted.err.contains("already-triggered") && deleted.err.contains(&ended), "{}", deleted.err);
    assert_eq!(deleted.ok(), "deleted 1 run\n");
    assert_eq!(server.run(&["runs", "delete", "--all", "--yes"]).ok(), "deleted 0 runs\n");
    server.run(&["runs", "delete", &ended, "--all", "--yes"]).fails(2, &["--all means every run"]);
}

#[test]
fn a_whole_chain_is_seen_and_ended() {
    let server = Server::with(&["behaviours"]);
    let touch = r#"{"task": "touch", "after": "1d"}"#;
    let input = format!(r#"{{"runs": [{touch}, {{"task": "schedule", "after": "0s", "input": {{"runs": [{touch}, {touch}]}}}}]}}"#);
    let root = server.schedule(&["schedule", "--input", &input]);
    let chain = ["--root", &root];
    while statuses(&server, &chain) != ["scheduled", "succeeded", "scheduled", "scheduled"] {}
    assert_eq!(statuses(&server, &["--parent", &root]).len(), 2);
    let other = server.schedule(&["touch", "--after", "1d"]);
    server.run(&[&["runs", "cancel", "--status", "scheduled", "--yes"], &chain[..]].concat()).ok();
    assert_eq!(statuses(&server, &chain), ["cancelled", "succeeded", "cancelled", "cancelled"]);
    assert_eq!(server.json(&["runs", "show", &other])["status"], "scheduled");
}

#[test]
fn what_failed_is_run_again_by_filter() {
    let server = Server::with(&["behaviours"]);
    let run = server.schedule(&["reject", "--input", "{\"reason\":\"no\"}", "--metadata", "n=1"]);
    server.run(&["runs", "wait", &run]).fails(1, &[]);
    server.schedule(&["touch", "--after", "1h"]);
    assert_eq!(server.run(&["runs", "trigger", "--status", "failed", "--metadata", "n=2", "--yes"]).ok(), "triggered 0 runs\n");
    assert_eq!(server.run(&["runs", "trigger", "--all", "--dry-run"]).ok(), "would have triggered 1 run\n");
    server.run(&["runs", "trigger", "--task", "reject"]).fails(2, &["1 run?", "--yes", "--dry-run"]);
    assert_eq!(server.run(&["runs", "trigger", "--task", "reject", "--yes"]).ok(), "triggered 1 run\n");
    server.run(&["runs", "wait", &run]).fails(1, &[]);
    assert_eq!(server.json(&["runs", "show", &run])["attempts"], 2);
}

#[test]
fn pages_go_on_where_they_ended() {
    let server = Server::with(&["behaviours"]);
    let ids: Vec<_> = (0..3).map(|_| server.schedule(&["touch", "--after", "1h"])).collect();
    let mut seen = Vec::new();
    let mut cursor: Option<String> = None;
    loop {
        let mut arguments = vec!["runs", "list", "--limit", "2", "--order", "oldest-first"];
        arguments.extend(cursor.iter().flat_map(|cursor| ["--cursor", cursor]));
        let page = server.json(&arguments);
        seen.extend(page["runs"].as_array().unwrap().iter().map(|run| run["id"].as_str().unwrap().to_string()));
        match page["next"].as_str() {
            Some(next) => cursor = Some(next.into()),
            None => break,
        }
    }
    assert_eq!(seen, ids);
}

#[test]
fn the_lines_of_an_exception_are_shown_as_lines() {
    let server = Server::with(&["hostile"]);
    let run = server.schedule(&["panic", "--max-attempts", "1"]);
    server.run(&["runs", "wait", &run]).fails(1, &[]);
    for arguments in [["runs", "show", &run], ["runs", "logs", &run]] {
        let out = server.run(&arguments).ok();
        let at = |line: &str| out.lines().position(|shown| shown.starts_with(line)).unwrap_or_else(|| panic!("{line:?} in {out}"));
        assert!(at("  : a panic with a message") < at("  : wasm trap: "), "{out}");
    }
}

#[test]
fn what_tasks_write_commands_no_terminal() {
    let server = Server::with(&["behaviours"]);
    let wicked =
        "\u{1b}]0;title\u{7}\u{1b}[2J\u{202e}\u{9b}31m\0\nattempt 2 at 2027-03-14 15:09:26Z: succeeded\u{2028}\rstatus        ok\n";
    let input = serde_json::json!({ "reason": wicked }).to_string();
    let run =
        server.json(&["schedule", "log", "--metadata", &format!("k={}", wicked.replace('\0', ""))])["id"].as_str().unwrap().to_string();
    server.run(&["runs", "wait", &run]).ok();
    let failed = server.schedule(&["reject", "--input", &input]);
    server.run(&["runs", "wait", &failed]).fails(1, &[]);
    for arguments in [
        &["runs", "logs", &run][..],
        &["runs", "logs", &run, "--json"],
        &["runs", "show", &run],
        &["runs", "show", &run, "--json"],
        &["runs", "list"],
        &["runs", "list", "--json"],
        &["runs", "show", &failed],
        &["runs", "logs", &failed],
        &["runs", "wait", &run],
        &["explain", &failed],
    ] {
        let out = server.run(arguments).ok();
        let forged = out.lines().find(|line| line.starts_with("attempt 2") || line.starts_with("status        ok"));
        assert_eq!(forged, None, "{arguments:?}: {out}");
        let strange = out.chars().find(|c| (c.is_control() && !matches!(c, '\n' | '\t')) || ('\u{202a}'..='\u{202e}').contains(c));
        assert_eq!(strange, None, "{arguments:?}: {out:?}");
    }
    let logs = server.run(&["runs", "logs", &run]).ok();
    // One line of ours, and all others are marked as the task's.
    assert!(logs.starts_with("attempt 1 at ") && logs.lines().skip(1).all(|line| line.starts_with("  | ")), "{logs}");
    assert!(logs.contains("  | info: info\n  | error a line that no one wrote\n") && logs.contains("  | first\\r2026-"), "{logs}");
    assert!(logs.contains("| a line on stdout\n") && logs.contains("\\u{1b}[31mred"), "{logs}");
}
