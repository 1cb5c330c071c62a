//! A server whose process is stopped for a while, as by a closed lid or a paused virtual machine, beside one that is killed for as long.

use std::time::Duration;

use super::{Server, command};

/// The grace that the servers are given, and a downtime of several times that.
const GRACE: &str = "2s";
const DOWNTIME: Duration = Duration::from_secs(9);

/// Sends a signal to a server.
fn signal(server: &Server, signal: i32) {
    let process = i32::try_from(server.child.id()).expect("a process id");
    // SAFETY: a signal to a child of ours, which was not waited for.
    assert_eq!(unsafe { libc::kill(process, signal) }, 0);
}

fn is_stopped(server: &Server) -> bool {
    let stat = std::fs::read_to_string(format!("/proc/{}/stat", server.child.id())).expect("it lives");
    stat.rsplit(") ").next().is_some_and(|rest| rest.starts_with('T'))
}

/// A server that has a run due soon, and a cron that fires each second and makes up for nothing.
fn busy() -> (Server, String) {
    let server = Server::told(&["--missed-grace", GRACE]);
    server.register("behaviours");
    server.run(&["crons", "create", "beat", "--task", "touch", "--expression", "@every 1s"]).ok();
    let run = server.schedule(&["touch", "--after", "4s"]);
    (server, run)
}

/// Whatever the downtime was, runs whose time passed in it by more than the grace are missed, and the server goes on.
fn judged(server: &Server, run: &str, downtime: &str) {
    let ended = server.run(&["runs", "wait", run, "--json"]);
    assert_eq!(server.json(&["runs", "show", run])["status"], "missed", "{downtime}: {ended:?}");
    let listed = server.json(&["runs", "list", "--task", "touch", "--status", "missed", "--limit", "500"]);
    let rows: Vec<_> = listed["runs"].as_array().expect("runs").iter().filter(|row| row["occurrence"]["skipped"].is_u64()).collect();
    let [row] = rows[..] else { panic!("{downtime}: one row for all skipped occurrences, and not {rows:?}") };
    let (first, last) = (&row["occurrence"]["planned_at"], &row["occurrence"]["skipped_until"]);
    // 9 s less the grace, and less what ran before.
    assert!(row["occurrence"]["skipped"].as_u64() >= Some(4), "{downtime}: {row}");
    let ran = server.json(&["runs", "list", "--task", "touch", "--status", "succeeded", "--limit", "500"]);
    for run in ran["runs"].as_array().expect("runs") {
        let planned = run["occurrence"]["planned_at"].as_str();
        assert!(planned.is_none_or(|at| Some(at) < first.as_str() || Some(at) > last.as_str()), "{downtime}: {run} was skipped in {row}");
    }
    let next = server.run(&["schedule", "touch", "--wait"]).ok();
    assert!(next.contains("touch succeeded"), "{downtime}: {next}");
}

#[test]
fn a_stopped_process_misses_the_same_runs_as_a_killed_one() {
    let (stopped, missed_by_stopped) = busy();
    signal(&stopped, libc::SIGSTOP);
    let (killed, missed_by_killed) = busy();
    signal(&killed, libc::SIGKILL);
    let (_, folder) = killed.ended();
    while !is_stopped(&stopped) {
        std::thread::yield_now();
    }
    // The downtime itself. It may take longer.
    std::thread::sleep(DOWNTIME);

    signal(&stopped, libc::SIGCONT);
    judged(&stopped, &missed_by_stopped, "stopped");
    let serve = command(folder.path(), &["serve", "--db", "runs.db", "--listen", "127.0.0.1:0", "--json", "--missed-grace", GRACE]);
    judged(&Server::of(folder, serve), &missed_by_killed, "killed");
}
