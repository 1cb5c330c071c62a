//! `explain`, and pausing tasks and crons, as people type and see them.

use super::Server;

#[test]
fn a_run_is_explained() {
    let server = Server::with(&["behaviours"]);
    let run = server.schedule(&["touch", "--at", "2100-01-01T00:00:00Z"]);
    let told = server.run(&["explain", &run]).ok();
    let lines: Vec<_> = told.lines().collect();
    assert_eq!(lines[0], format!("run {run} of touch is scheduled"));
    assert!(lines[1].starts_with("└─ its time has not come: it is due at 2100-01-01 00:00:00Z (in "), "{told}");
    assert!(lines[2].starts_with("   └─ the holder of token ") && lines[2].contains(" scheduled it at "), "{told}");
    assert_eq!(lines[3..5], ["", "What you can do:"], "{told}");
    assert!(lines[5].starts_with(&format!("  runlater runs trigger {run}  ")), "{told}");
    assert_eq!(server.json(&["explain", &run])["causes"][0]["code"], "not-due");
    let failed = server.schedule(&["reject", "--input", "{\"reason\":\"\\u001b[31mno\"}"]);
    server.run(&["runs", "wait", &failed]).fails(1, &[]);
    let told = server.run(&["explain", &failed]).ok();
    assert!(told.contains("(rejected): \\u{1b}[31mno") && !told.contains('\u{1b}'), "{told}");
    server.run(&["explain", "00000000-0000-7000-8000-000000000000"]).fails(4, &["there is no run"]);
    server.run(&["explain", "7"]).fails(2, &["UUID"]);
}

#[test]
fn tasks_and_crons_are_paused() {
    let server = Server::with(&["behaviours"]);
    let paused = server.run(&["tasks", "pause", "touch", "--until", "2100-01-01T00:00:00Z", "--note", "an upgrade"]).ok();
    assert!(paused.starts_with("paused task touch: paused since ") && paused.contains("until 2100-01-01 00:00:00Z (in "), "{paused}");
    assert!(paused.ends_with(": an upgrade\n"), "{paused}");
    let list = server.run(&["tasks"]).ok();
    let row = |task: &str| list.lines().find(|line| line.split_whitespace().next() == Some(task)).unwrap_or_else(|| panic!("{list}"));
    assert!(row("touch").contains("paused until 2100-01-01 00:00:00Z") && row("log").contains("active"), "{list}");
    assert!(server.run(&["tasks", "show", "touch"]).ok().contains("an upgrade"));
    let told = server.run(&["explain", &server.schedule(&["touch", "--at", "2099-01-01T00:00:00Z"])]).ok();
    assert!(told.contains("its task touch is paused since ") && told.contains("runlater tasks resume touch"), "{told}");
    assert!(server.run(&["tasks", "resume", "touch"]).ok().starts_with("resumed task touch"));
    assert!(server.run(&["tasks", "show", "touch"]).ok().contains("paused        no\n"));
    for (wrong, word) in [
        (&["--for", "1"][..], "not a duration"),
        (&["--until", "1970-01-01T00:00:00Z"], "ends in the future"),
        (&["--note", &"x".repeat(257)], "the limit is 256"),
    ] {
        server.run(&[&["tasks", "pause", "touch"], wrong].concat()).fails(3, &[word]);
    }
    server.run(&["tasks", "pause", "touch", "--for", "1h", "--until", "2100-01-01T00:00:00Z"]).fails(2, &["--for", "--until"]);
    server.run(&["tasks", "pause", "nobody"]).fails(4, &["nobody"]);

    server.run(&["crons", "create", "nightly", "--task", "touch", "--expression", "@every 1h"]).ok();
    let cron = server.run(&["crons", "pause", "nightly", "--for", "2h", "--note", "an upgrade"]).ok();
    assert!(cron.starts_with("paused cron nightly: it fires next at "), "{cron}");
    assert!(server.run(&["crons", "show", "nightly"]).ok().contains(": an upgrade"));
}
