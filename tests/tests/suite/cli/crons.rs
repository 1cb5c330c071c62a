//! `crons …`: rules that make runs again and again.

use serde_json::{Value, json};

use super::{Server, run_in};

const ALL: [&str; 28] = [
    "--task",
    "touch",
    "--expression",
    "0 2 * * *",
    "--timezone",
    "Europe/Prague",
    "--start",
    "2100-01-01T00:00:00Z",
    "--end",
    "2101-01-01T00:00:00Z",
    "--jitter",
    "30s",
    "--max-count",
    "9",
    "--input",
    "{\"a\":1}",
    "--metadata",
    "by=cli",
    "--metadata",
    "k=a=b",
    "--priority",
    "2",
    "--missed",
    "all",
    "--missed-window",
    "2d",
    "--missed-max",
    "7",
];

/// Creates a cron of `touch` that fires each hour.
fn hourly(server: &Server, name: &str) {
    server.run(&["crons", "create", name, "--task", "touch", "--expression", "@hourly"]).ok();
}

#[test]
fn one_is_made_with_all_there_is_to_say_and_shown() {
    let server = Server::with(&["behaviours"]);
    let create = |more: &[&str]| server.run(&[&["crons", "create", "nightly"], more].concat());
    create(&["--task", "touch", "--expression", "5-1 * * * *"]).fails(3, &["expression", "field 1 (minute", "5-1"]);
    create(&["--task", "nobody", "--expression", "@daily"]).fails(4, &["nobody"]);
    create(&["--task", "touch", "--expression", "@daily", "--missed-max", "3"]).fails(2, &["--missed"]);
    let said = create(&ALL).ok();
    assert!(said.starts_with("created cron nightly: it fires next at 2100-01-01 01:00:00Z (in "), "{said}");
    create(&ALL).fails(3, &["nightly"]);

    let shown = server.json(&["crons", "show", "nightly"]);
    for (field, value) in [
        ("task", json!("touch")),
        ("expression", json!("0 2 * * *")),
        ("timezone", json!("Europe/Prague")),
        ("start", json!("2100-01-01T00:00:00Z")),
        ("end", json!("2101-01-01T00:00:00Z")),
        ("jitter", json!("30s")),
        ("max_count", json!(9)),
        ("input", json!({ "a": 1 })),
        ("metadata", json!({ "by": "cli", "k": "a=b" })),
        ("priority", json!(2)),
        ("missed", json!({ "catch_up": "all", "window": "2d", "max": 7 })),
        ("origin", json!("api")),
        ("version", json!(1)),
    ] {
        assert_eq!(shown[field], value, "{field}");
    }
    let text = server.run(&["crons", "show", "nightly"]).ok();
    for line in [
        "cron          nightly",
        "time zone     Europe/Prague",
        "paused        no",
        "jitter        30s",
        "fired         0 of 9",
        "missed        all of the last 2d, at most 7",
        "priority      2",
        "metadata      by=cli k=a=b",
        "input         {\"a\":1}",
    ] {
        assert!(text.lines().any(|shown| shown == line), "`{line}` is not in: {text}");
    }
    assert!(text.contains("next          2100-01-01 01:00:00Z (in ") && text.contains("end           2101-01-01 00:00:00Z (in "), "{text}");
    server.run(&["crons", "show", "nothing"]).fails(4, &["nothing"]);
}

fn update<'a>(arguments: &[&'a str]) -> Vec<&'a str> {
    [&["crons", "update", "nightly"], arguments].concat()
}

#[test]
fn what_is_said_changes_and_the_rest_stays() {
    let server = Server::with(&["behaviours"]);
    server.run(&[&["crons", "create", "nightly"], &ALL[..]].concat()).ok();
    let mut seen = server.json(&["crons", "show", "nightly"]);
    let missed = |catch_up: &str, window: &str, max: u32| json!({ "missed": { "catch_up": catch_up, "window": window, "max": max } });
    let rows: [(&[&str], Value); 12] = [
        (&["--missed", "latest"], missed("latest", "2d", 7)),
        (&["--missed-window", "1h"], missed("latest", "1h", 7)),
        (&["--missed-max", "3", "--missed", "all"], missed("all", "1h", 3)),
        (&["--missed", "task"], json!({ "missed": null })),
        (&["--missed", "skip"], missed("skip", "1d", 100)),
        (&["--metadata", "k=v"], json!({ "metadata": { "k": "v" } })),
        (&["--no-metadata"], json!({ "metadata": {} })),
        (&["--input", "null", "--jitter", "0s"], json!({ "input": null, "jitter": "0s" })),
        (&["--priority", "0"], json!({ "priority": null })),
        (&["--max-count", "0"], json!({ "max_count": null })),
        (&["--end", "none", "--timezone", "UTC"], json!({ "end": null, "timezone": "UTC", "next_at": "2100-01-01T02:00:00Z" })),
        (
            &["--expression", "0 3 * * *", "--start", "2100-06-01T00:00:00Z", "--if-version", "12"],
            json!({ "expression": "0 3 * * *", "start": "2100-06-01T00:00:00Z", "next_at": "2100-06-01T03:00:00Z" }),
        ),
    ];
    for (arguments, fields) in rows {
        let updated = server.json(&update(arguments));
        seen.as_object_mut().unwrap().extend(fields.as_object().unwrap().clone());
        (seen["version"], seen["updated_at"]) = (json!(seen["version"].as_u64().unwrap() + 1), updated["updated_at"].clone());
        for (field, value) in seen.as_object().unwrap() {
            assert_eq!(updated[field], *value, "{arguments:?}: {field}");
        }
        assert_eq!(server.json(&["crons", "show", "nightly"]), updated, "{arguments:?}");
    }

    server.run(&update(&["--missed", "task"])).ok();
    server.run(&update(&["--missed-window", "1h"])).fails(3, &["missed.catch_up", "skip, latest, all"]);
    server.run(&update(&["--missed", "task", "--missed-max", "3"])).fails(2, &["--missed task"]);
    server.run(&update(&["--missed", "some"])).fails(3, &["missed.catch_up", "some"]);
    server.run(&update(&["--metadata", "a=b", "--no-metadata"])).fails(2, &["--no-metadata"]);
    server.run(&update(&["--priority", "1", "--if-version", "1"])).fails(3, &["version 14"]);
    server.run(&["crons", "update", "nothing", "--priority", "1"]).fails(4, &["nothing"]);
    let said = server.run(&update(&["--end", "2100-06-01T00:00:01Z", "--expression", "@hourly"])).ok();
    assert!(said.starts_with("updated cron nightly: it fires next at 2100-06-01 00:00:00Z"), "{said}");
}

#[test]
fn they_are_listed_paused_and_resumed() {
    let server = Server::with(&["behaviours"]);
    let empty = server.run(&["crons", "list"]);
    assert_eq!((empty.out.as_str(), empty.err.contains("no cron matches")), ("", true), "{empty:?}");
    ["b", "a", "c"].iter().for_each(|name| hourly(&server, name));
    server.run(&["crons", "create", "logs", "--task", "log", "--expression", "@daily"]).ok();
    let said = server.run(&["crons", "pause", "b", "--for", "2h", "--note", "an upgrade"]).ok();
    assert!(said.starts_with("paused cron b: it fires next at "), "{said}");
    let said = server.run(&["crons", "pause", "c", "--until", "2100-01-01T00:00:00Z"]).ok();
    assert!(said.starts_with("paused cron c: it fires next at 2100-01-01 00:00:00Z"), "{said}");
    assert!(server.run(&["crons", "show", "b"]).ok().contains(": an upgrade\n"));
    let names = |arguments: &[&str]| {
        let page = server.json(&[&["crons", "list"], arguments].concat());
        page["crons"].as_array().unwrap().iter().map(|cron| cron["name"].as_str().unwrap().to_owned()).collect::<Vec<_>>().join(" ")
    };
    for (arguments, expected) in [
        (&[][..], "a b c logs"),
        (&["--task", "log"], "logs"),
        (&["--paused", "true"], "b c"),
        (&["--paused", "false"], "a logs"),
        (&["--limit", "2", "--cursor", "b"], "c logs"),
        (&["--cursor", "logs"], ""),
    ] {
        assert_eq!(names(arguments), expected, "{arguments:?}");
    }
    let page = server.run(&["crons", "list", "--limit", "3"]);
    assert_eq!(page.err, "more: add --cursor c\n");
    let lines: Vec<_> = page.out.lines().collect();
    assert!(lines[0].starts_with("CRON") && lines[1].contains("(in ") && lines[2].contains("paused until"), "{page:?}");
    assert!(lines[3].contains("paused until 2100-01-01 00:00:00Z"), "{page:?}");
    assert_eq!(server.run(&["crons", "list", "--limit", "4"]).err, "", "that is all");

    server.run(&["crons", "pause", "a"]).ok();
    assert!(server.run(&["crons", "list"]).ok().lines().nth(1).unwrap().trim_end().ends_with("paused"));
    let said = server.run(&["crons", "resume", "a"]).ok();
    assert!(said.starts_with("resumed cron a: it fires next at "), "{said}");
    assert_eq!(names(&["--paused", "false"]), "a logs");
    for (arguments, code, word) in [
        (&["list", "--limit", "0"][..], 2, "1..=500"),
        (&["list", "--cursor", "../x"], 3, "cursor"),
        (&["list", "--paused", "maybe"], 2, "maybe"),
        (&["pause", "a", "--for", "2h", "--until", "2100-01-01T00:00:00Z"], 2, "--until"),
        (&["pause", "a", "--until", "2020-01-01T00:00:00Z"], 3, "until"),
        (&["pause", "nothing"], 4, "nothing"),
        (&["resume", "nothing"], 4, "nothing"),
        (&["resume", "../x"], 2, "a-z"),
    ] {
        server.run(&[&["crons"], arguments].concat()).fails(code, &[word]);
    }
}

#[test]
fn runs_are_made_by_hand_and_of_the_past_and_stay_when_the_cron_goes() {
    let server = Server::with(&["behaviours"]);
    hourly(&server, "a");
    let triggered = server.json(&["crons", "trigger", "a"])["id"].as_str().unwrap().to_owned();
    assert!(server.run(&["runs", "wait", &triggered]).ok().contains("touch succeeded"));
    assert!(server.run(&["crons", "trigger", "a"]).ok().starts_with("triggered cron a: run "));

    let range = ["crons", "backfill", "a", "--from", "2020-01-01T00:00:00Z", "--until", "2020-01-01T02:00:00Z"];
    let from_to = "from 2020-01-01T00:00:00Z to 2020-01-01T02:00:00Z";
    for (more, expected) in [
        (&["--dry-run"][..], format!("3 occurrences {from_to}; those without a run would get one\n")),
        (&["--yes"], format!("3 runs made of 3 occurrences {from_to}\n")),
        (&["-y"], format!("0 runs made of 3 occurrences {from_to}\n")),
    ] {
        // Nobody is asked where nobody is; and nothing is done then.
        server.run(&range).fails(2, &[&format!("Make runs of 3 occurrences {from_to} of cron a"), "--yes", "--dry-run"]);
        assert_eq!(server.run(&[&range[..], more].concat()).ok(), expected);
    }
    assert_eq!(server.json(&[&range[..], &["--dry-run"]].concat())["planned"].as_array().unwrap().len(), 3);
    let nothing = ["crons", "backfill", "a", "--from", "2020-01-01T00:00:01Z", "--until", "2020-01-01T00:59:59Z"];
    assert_eq!(server.run(&nothing).ok(), "0 runs made of 0 occurrences\n");
    for (arguments, code, word) in [
        (&["backfill", "a"][..], 2, "--from"),
        (&["backfill", "a", "--from", "yesterday"], 3, "from"),
        (&["backfill", "a", "--from", "2020-01-01T00:00:00Z"], 3, "choose a shorter range"),
        (&["backfill", "a", "--from", "2020-01-01T00:00:00Z", "--until", "2100-01-01T00:00:00Z"], 3, "not after now"),
        (&["backfill", "nothing", "--from", "2020-01-01T00:00:00Z"], 4, "nothing"),
        (&["trigger", "nothing"], 4, "nothing"),
    ] {
        server.run(&[&["crons"], arguments].concat()).fails(code, &[word]);
    }

    let made = || server.json(&["runs", "list", "--task", "touch", "--origin", "cron"])["runs"].as_array().unwrap().clone();
    let past = made().into_iter().filter(|run| run["occurrence"]["planned_at"].as_str().is_some_and(|at| at < "2020-01-02"));
    let past: Vec<_> = past.map(|run| run["id"].as_str().unwrap().to_owned()).collect();
    assert_eq!((made().len(), past.len()), (5, 3));
    let asked = ["Delete cron a (@hourly) of task touch, which fires next at ", "its runs that have not triggered?", "--yes"];
    server.run(&["crons", "delete", "a"]).fails(2, &asked);
    server.run(&["crons", "show", "a"]).ok();
    assert_eq!(server.run(&["crons", "delete", "a", "--yes"]).ok(), "deleted cron a\n");
    for arguments in [&["delete", "a"][..], &["delete", "a", "--yes"], &["show", "a"], &["trigger", "a"]] {
        server.run(&[&["crons"], arguments].concat()).fails(4, &["no cron a"]);
    }
    for run in past {
        assert!(server.run(&["runs", "wait", &run]).ok().contains("touch succeeded"));
    }
    assert_eq!(made().len(), 5);
}

#[test]
fn what_is_to_come_is_told_of_a_stored_one_and_of_any_expression() {
    let folder = tempfile::tempdir().unwrap();
    let next = |arguments: &[&str]| run_in(folder.path(), &[&["crons", "next"], arguments].concat());
    // Needs no server.
    let spring = ["--expression", "30 2 * * *", "--timezone", "Europe/Prague", "--after", "2027-03-27T12:00:00Z", "--count", "2"];
    let text = next(&spring).ok();
    let lines: Vec<_> = text.lines().collect();
    assert!(lines[0].starts_with("2027-03-28T03:00:00  2027-03-28 01:00:00Z (") && lines[0].ends_with("when they have jumped"), "{text}");
    assert!(lines[1].starts_with("2027-03-29T02:30:00  2027-03-29 00:30:00Z (") && lines[1].ends_with(')'), "{text}");
    let told: Value = serde_json::from_str(&next(&[&spring[..], &["--json"]].concat()).ok()).unwrap();
    let note = "the clocks skip 2027-03-28 02:30; it fires when they have jumped";
    let expected = json!({ "occurrences": [
        { "at": "2027-03-28T01:00:00Z", "local": "2027-03-28T03:00:00", "note": note },
        { "at": "2027-03-29T00:30:00Z", "local": "2027-03-29T02:30:00" },
    ] });
    assert_eq!(told, expected);
    assert_eq!(next(&["--expression", "@every 90s", "--count", "500"]).ok().lines().count(), 500);
    for (arguments, words) in [
        (&[][..], &["name a stored cron", "--expression"][..]),
        (&["nightly", "--expression", "@daily"], &["--expression"]),
        (&["nightly", "--timezone", "UTC"], &["--timezone"]),
        (&["nightly", "--after", "2027-03-27T12:00:00Z"], &["--after"]),
        (&["--expression", "* * *"], &["3 fields; there are five"]),
        (&["--expression", "5-1 * * * *"], &["field 1 (minute"]),
        (&["--expression", "@daily", "--timezone", "Mars/Olympus"], &["timezone", "Mars/Olympus"]),
        (&["--expression", "@daily", "--after", "noon"], &["after", "noon"]),
        (&["--expression", "@daily", "--count", "0"], &["1..=500"]),
        (&["--expression", "@daily", "--count", "501"], &["1..=500"]),
    ] {
        next(arguments).fails(2, words);
    }

    let server = Server::with(&["behaviours"]);
    server.run(&[&["crons", "create", "nightly"], &ALL[..]].concat()).ok();
    let told = server.json(&["crons", "next", "nightly", "--count", "3"])["occurrences"].clone();
    assert_eq!((told[0]["local"].as_str(), told.as_array().unwrap().len()), (Some("2100-01-01T02:00:00"), 3));
    assert_eq!(server.run(&["crons", "next", "nightly"]).ok().lines().count(), 9, "no more than it may fire");
    server.run(&["crons", "pause", "nightly"]).ok();
    let none = server.run(&["crons", "next", "nightly"]);
    assert_eq!((none.out.as_str(), none.err.as_str()), ("", "it does not fire any more by itself\n"));
    server.run(&["crons", "next", "nothing"]).fails(4, &["nothing"]);
}
