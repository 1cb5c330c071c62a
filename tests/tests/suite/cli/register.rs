//! `register`: what it would change, and what an operator says over a component's policies.

use serde_json::json;

use super::Server;
use crate::guests;

/// A server, and the file of a component with crons in its folder.
fn server() -> Server {
    let server = Server::start();
    std::fs::write(server.path("crontab.wasm"), guests::component("crontab")).expect("the folder can be written");
    server
}

fn register(server: &Server, more: &[&str]) -> super::Ran {
    server.run(&[&["register", "crontab.wasm"], more].concat())
}

#[test]
fn a_dry_run_shows_what_would_change_and_does_nothing() {
    let server = server();
    let dry = ["--grant", "crons", "--dry-run"];
    register(&server, &["--dry-run"]).fails(3, &["--grant crons"]);
    let all = "task keep: added\ntask tick: added\ncron tick.beat: added\ncron tick.cron: added\n";
    assert_eq!(register(&server, &dry).ok(), all);
    assert_eq!((server.json(&["tasks"])["tasks"].clone(), server.json(&["crons", "list"])["crons"].clone()), (json!([]), json!([])));

    register(&server, &["--grant", "crons"]).ok();
    let nothing = register(&server, &dry);
    assert_eq!((nothing.out.as_str(), nothing.err.as_str()), ("", "nothing would change\n"));
    assert_eq!(register(&server, &[&dry[..], &["--policy", "tick.rate=1/s"]].concat()).ok(), "task tick: changed\n");
    let plan = server.json(&[&["register", "crontab.wasm"], &dry[..], &["--policy", "keep.timeout=9s"]].concat());
    assert_eq!(plan["changes"], json!([{ "what": "task", "name": "keep", "change": "changed" }]));
    assert_eq!(plan["digest"], server.json(&["tasks", "show", "keep"])["digest"]);
    assert_eq!(server.json(&["tasks", "show", "keep"])["overrides"], json!({}));
}

#[test]
fn what_an_operator_says_of_a_policy_is_kept_until_it_is_taken_back() {
    let server = server();
    let rows: [(&[&str], _); 4] = [
        (&["--policy", "tick.rate=1/s", "--policy", "tick.keep-last=7"], json!({ "rate": "1/s", "keep-last": "7" })),
        (&[], json!({ "rate": "1/s", "keep-last": "7" })),
        (&["--policy", "tick.rate=default", "--policy", "tick.priority=2"], json!({ "keep-last": "7", "priority": "2" })),
        (&["--policy", "tick.keep-last=default", "--policy", "tick.priority=default"], json!({})),
    ];
    for (policies, overrides) in rows {
        register(&server, &[&["--grant", "crons"], policies].concat()).ok();
        assert_eq!(server.json(&["tasks", "show", "tick"])["overrides"], overrides, "{policies:?}");
    }
    for (policy, words) in [
        ("tick", &["policy", "TASK.FIELD=VALUE"][..]),
        ("tick.rate", &["policy", "TASK.FIELD=VALUE"]),
        ("tick.rate=fast", &["policy.tick.rate", "fast"]),
        ("tick.colour=red", &["policy.tick.colour", "keep-last"]),
        ("nobody.rate=1/s", &["nobody", "tick, keep"]),
    ] {
        register(&server, &["--grant", "crons", "--policy", policy]).fails(3, words);
    }
}

#[test]
fn who_may_not_is_told_so_before_the_component_is_sent() {
    let server = server();
    let token = server.run(&["token", "create", "--role", "write"]).ok();
    for (token, words) in [(token.trim(), "`deploy`"), ("rl_api_nobody", "token")] {
        let mut command = super::command(server.folder.path(), &["register", "crontab.wasm", "--grant", "crons"]);
        command.env("RUNLATER_SERVER", &server.url).env("RUNLATER_TOKEN", token);
        super::end(command).fails(5, &[words]);
    }
    assert_eq!(server.json(&["tasks"])["tasks"], json!([]));
}
