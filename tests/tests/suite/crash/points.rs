//! Death at chosen places, for both kinds of a guest's calls: children are there exactly once, and one outcome.

use std::ops::RangeInclusive;
use std::os::unix::process::ExitStatusExt;

use rusqlite::Connection;

use super::check::sound;
use super::ledger::Entry;
use super::process::Victim;

/// One case: where each life but the last ends, and how often the parent's guest is entered in all, at least and at most.
struct Case {
    deaths: &'static [&'static str],
    executions: RangeInclusive<usize>,
    /// For which calls it makes sense.
    calls: &'static [&'static str],
}

const BOTH: &[&str] = &["buffered", "detached"];

const CASES: &[Case] = &[
    // The parent is being stored.
    Case { deaths: &["create/commit:begun"], executions: 1..=1, calls: BOTH },
    Case { deaths: &["create/commit:before"], executions: 1..=1, calls: BOTH },
    Case { deaths: &["create/commit:after"], executions: 1..=1, calls: BOTH },
    Case { deaths: &["create/commit:settled"], executions: 1..=1, calls: BOTH },
    // K1: claimed, and its guest not entered.
    Case { deaths: &["claim:queued"], executions: 1..=1, calls: BOTH },
    // The same with the claim on disk: only after an unclean stop.
    Case { deaths: &["call", "claim:committed"], executions: 2..=2, calls: BOTH },
    // K3: between its second call and the third.
    Case { deaths: &["call"], executions: 2..=2, calls: BOTH },
    // K3 of the detached form: in the commit of the second.
    Case { deaths: &["call/commit:begun"], executions: 2..=2, calls: &["detached"] },
    Case { deaths: &["call/commit:before"], executions: 2..=2, calls: &["detached"] },
    Case { deaths: &["call/commit:after"], executions: 2..=2, calls: &["detached"] },
    Case { deaths: &["call/commit:settled"], executions: 2..=2, calls: &["detached"] },
    // K4: it returned, and that is not committed.
    Case { deaths: &["finish/attempt:ended"], executions: 2..=2, calls: BOTH },
    // K5: in the commit.
    Case { deaths: &["finish/outcome:begun"], executions: 2..=2, calls: BOTH },
    Case { deaths: &["finish/outcome:before"], executions: 2..=2, calls: BOTH },
    // K6: committed, and nobody told.
    Case { deaths: &["finish/outcome:after"], executions: 1..=1, calls: BOTH },
    Case { deaths: &["finish/outcome:settled"], executions: 1..=1, calls: BOTH },
    // The recovery itself.
    Case { deaths: &["call", "recover:before-commit"], executions: 2..=2, calls: BOTH },
    Case { deaths: &["call", "recover:after-commit"], executions: 2..=2, calls: BOTH },
    Case { deaths: &["call", "recover:after-commit", "recover:before-commit", "recover:after-commit"], executions: 2..=2, calls: BOTH },
    // Twice in a row.
    Case { deaths: &["finish/outcome:before", "finish/outcome:before"], executions: 3..=3, calls: BOTH },
    Case { deaths: &["finish/attempt:ended", "finish/outcome:after"], executions: 2..=2, calls: BOTH },
    // The log is copied into the file, and the stop.
    Case { deaths: &["checkpoint:before"], executions: 1..=1, calls: &["buffered"] },
    Case { deaths: &["checkpoint:after"], executions: 1..=1, calls: &["buffered"] },
    Case { deaths: &["close:before-clean"], executions: 1..=1, calls: &["buffered"] },
    Case { deaths: &["close:after-clean"], executions: 1..=1, calls: &["buffered"] },
];

#[test]
fn children_are_there_once_wherever_the_host_dies() {
    for slow in [false, true] {
        for case in CASES {
            for call in case.calls {
                check(case, call, slow);
            }
        }
    }
}

/// `slow`: the guest waits until its claim is committed, before its outcome is queued.
fn check(case: &Case, call: &str, slow: bool) {
    let what = format!("{call} calls, slow: {slow}, deaths at {:?}", case.deaths);
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("runs.db");
    let slowness = if slow { "yes" } else { "" };
    let mut told = Vec::new();
    for at in case.deaths {
        let (status, entries) = Victim::start("point", &path, &[("CALL", call), ("AT", at), ("SLOW", slowness)]).end();
        assert_eq!(status.signal(), Some(9), "{what}: it did not come to {at}");
        told.extend(entries);
    }
    let (status, entries) = Victim::start("point", &path, &[("CALL", call), ("SLOW", slowness)]).end();
    assert!(status.success() && entries.last() == Some(&Entry::Closed), "{what}: {status}");
    told.extend(entries);

    let conn = Connection::open(&path).unwrap();
    let number = |sql: &str| conn.query_row(sql, [], |row| row.get::<_, i64>(0)).unwrap();
    let parent = told.iter().find_map(|entry| match entry {
        Entry::Created(run, _, key) if key == "parent" => Some(*run),
        _ => None,
    });
    let parent = parent.expect("the last life at least has stored it");
    let executions = told.iter().filter(|entry| matches!(entry, Entry::Started(run, ..) if *run == parent)).count();
    assert!(case.executions.contains(&executions), "{what}: {executions} executions of the parent");
    assert_eq!(number("SELECT count(*) FROM runlater_runs WHERE unique_key = 'parent' AND status = 3"), 1, "{what}: the parent succeeded");
    assert_eq!(number("SELECT count(*) FROM runlater_runs WHERE parent IS NOT NULL"), 3, "{what}: children");
    assert_eq!(number("SELECT count(*) FROM runlater_runs WHERE parent IS NOT NULL AND status = 3"), 3, "{what}: each child succeeded");
    let crashes = number("SELECT crashes FROM runlater_runs WHERE unique_key = 'parent'");
    assert!(crashes < 3 && crashes <= case.deaths.len() as i64, "{what}: {crashes} crashes counted");
    let outcomes = told.iter().filter(|entry| matches!(entry, Entry::Outcome(run, _, status) if *run == parent && status == "succeeded"));
    assert!(outcomes.count() <= 1, "{what}: a second outcome");
    for entry in &told {
        if let Entry::Created(run, _, key) = entry
            && key == "-"
        {
            let key = run.key_in(number("SELECT value FROM runlater_meta WHERE key = 'id_origin'") as u64);
            let there = conn.query_row("SELECT count(*) FROM runlater_runs WHERE id = ?1", [key], |row| row.get::<_, i64>(0));
            assert_eq!(there.unwrap(), 1, "{what}: {run} was acknowledged");
        }
    }
    sound(&conn);
}
