//! Death at random moments under a mixed load, again and again on one database.

use std::path::Path;
use std::time::Duration;

use rusqlite::Connection;

use super::check::{History, sound};
use super::ledger::Entry;
use super::process::Victim;

/// Lives of a host with scripted guests, which starts in no time.
const ROUNDS: usize = 240;
/// Lives of one with compiled guests.
const COMPILED_ROUNDS: usize = 60;
/// Latest moment of the death, after the load has begun.
const DEATH_MICROS_MAX: u64 = 60_000;

/// So many lives of one database, and how they end.
pub(crate) struct Rounds<'a> {
    /// What the victim does.
    pub(crate) what: &'static str,
    /// What else it should know; it has a `SEED` of its own in each life.
    pub(crate) settings: &'a [(&'a str, &'a str)],
    /// Lives, unless `RUNLATER_KILL_ROUNDS` says otherwise.
    pub(crate) rounds: usize,
    /// A copy of the file as the death left it is looked at each so many lives.
    pub(crate) look_every: usize,
    /// Called after each death.
    pub(crate) died: fn(&Path),
}

#[test]
fn nothing_acknowledged_is_lost_and_nothing_happens_twice() {
    Rounds { what: "load", settings: &[], rounds: ROUNDS, look_every: 25, died: |_| {} }.live_and_die();
}

#[test]
fn nor_with_compiled_guests() {
    let component = crate::built::guest("behaviours");
    let settings = [("COMPONENT", component.to_str().expect("a path of ours is text"))];
    Rounds { what: "load", settings: &settings, rounds: COMPILED_ROUNDS, look_every: 10, died: |_| {} }.live_and_die();
}

impl Rounds<'_> {
    /// Has them live and die, and holds what they told against what is left.
    pub(crate) fn live_and_die(&self) {
        let number = |name: &str, usual: u64| std::env::var(name).ok().map_or(usual, |text| text.parse().expect("a number"));
        let rounds = number("RUNLATER_KILL_ROUNDS", self.rounds as u64) as usize;
        let seed = number("RUNLATER_KILL_SEED", 1);
        let mut chance = fastrand::Rng::with_seed(seed);
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("runs.db");
        let mut lives: Vec<Vec<Entry>> = Vec::new();
        let mut killed = 0;
        for round in 0..rounds {
            let own_seed = chance.u64(..).to_string();
            let victim = Victim::start(self.what, &path, &[self.settings, &[("SEED", &own_seed)]].concat());
            // Some die while they open the database.
            if chance.u8(..10) > 0 {
                victim.await_ready();
            }
            // Waiting for nothing: the moment is what is tried.
            std::thread::sleep(Duration::from_micros(chance.u64(..DEATH_MICROS_MAX)));
            let (lived, entries) = victim.kill();
            killed += usize::from(lived);
            lives.push(entries);
            (self.died)(&path);
            if round % self.look_every == self.look_every - 1 {
                look(&path, &folder.path().join(format!("copy-{round}.db")));
            }
        }
        assert_eq!(killed, rounds, "a victim lives until it is killed");
        let (status, entries) = Victim::start("drain", &path, self.settings).end();
        assert!(status.success() && entries.last() == Some(&Entry::Closed), "the last life ends well: {status}");
        lives.push(entries);
        let conn = Connection::open(&path).unwrap();
        sound(&conn);
        let history = History::of(&lives);
        let wrong = history.held_against(&conn);
        println!("{rounds} deaths, seed {seed}: {}", history.figures(&conn));
        assert!(wrong.is_empty(), "seed {seed}, {} wrong:\n{}", wrong.len(), wrong[..wrong.len().min(30)].join("\n"));
    }
}

/// Whether a copy of the database as it is now is sound.
fn look(path: &Path, copy: &Path) {
    for suffix in ["", "-wal"] {
        let name = |path: &Path| format!("{}{suffix}", path.display());
        // A clean stop leaves no log.
        let _ = std::fs::copy(name(path), name(copy));
    }
    sound(&Connection::open(copy).unwrap());
}
