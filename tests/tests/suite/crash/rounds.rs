//! Death at random moments under a mixed load, again and again on one database.

use std::time::Duration;

use rusqlite::Connection;

use super::check::{History, sound};
use super::ledger::Entry;
use super::process::Victim;

/// Lives of the host; `RUNLATER_KILL_ROUNDS` says otherwise.
const ROUNDS: usize = 300;
/// Latest moment of the death, after the load has begun.
const DEATH_MICROS_MAX: u64 = 60_000;
/// A copy of the file as the death left it is looked at each so many lives.
const LOOK_EVERY: usize = 25;

#[test]
fn nothing_acknowledged_is_lost_and_nothing_happens_twice() {
    let number = |name: &str, usual: u64| std::env::var(name).ok().map_or(usual, |text| text.parse().expect("a number"));
    let rounds = number("RUNLATER_KILL_ROUNDS", ROUNDS as u64) as usize;
    let seed = number("RUNLATER_KILL_SEED", 1);
    let mut chance = fastrand::Rng::with_seed(seed);
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("runs.db");
    let mut lives: Vec<Vec<Entry>> = Vec::new();
    let mut killed = 0;
    for round in 0..rounds {
        let victim = Victim::start("load", &path, &[("SEED", &chance.u64(..).to_string())]);
        // Some die while they open the database.
        if chance.u8(..10) > 0 {
            victim.await_ready();
        }
        // Waiting for nothing: the moment is what is tried.
        std::thread::sleep(Duration::from_micros(chance.u64(..DEATH_MICROS_MAX)));
        let (lived, entries) = victim.kill();
        killed += usize::from(lived);
        lives.push(entries);
        if round % LOOK_EVERY == LOOK_EVERY - 1 {
            let copy = folder.path().join(format!("copy-{round}.db"));
            for suffix in ["", "-wal"] {
                let name = |path: &std::path::Path| format!("{}{suffix}", path.display());
                // A clean stop leaves no log.
                let _ = std::fs::copy(name(&path), name(&copy));
            }
            sound(&Connection::open(&copy).unwrap());
        }
    }
    assert_eq!(killed, rounds, "a victim lives until it is killed");
    let (status, entries) = Victim::start("drain", &path, &[]).end();
    assert!(status.success() && entries.last() == Some(&Entry::Closed), "the last life ends well: {status}");
    lives.push(entries);
    let conn = Connection::open(&path).unwrap();
    sound(&conn);
    let history = History::of(&lives);
    let wrong = history.held_against(&conn);
    println!("{rounds} kills, seed {seed}: {}", history.figures(&conn));
    assert!(wrong.is_empty(), "seed {seed}, {} wrong:\n{}", wrong.len(), wrong[..wrong.len().min(30)].join("\n"));
}
