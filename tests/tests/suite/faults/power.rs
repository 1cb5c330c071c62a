//! The power is cut at random moments under a mixed load, again and again: what was acknowledged is on the disk.

use rusqlite::Connection;

use super::disk;
use crate::crash::check::History;
use crate::crash::process::Victim;
use crate::crash::rounds::Rounds;

/// Cuts of power; `RUNLATER_KILL_ROUNDS` says otherwise.
const ROUNDS: usize = 60;

#[test]
fn nothing_acknowledged_is_lost() {
    let rounds = Rounds { what: "load", settings: &[("POWER", "yes")], rounds: ROUNDS, look_every: 10, died: disk::cut_power };
    rounds.live_and_die();
}

#[test]
fn a_disk_that_does_not_keep_what_it_was_told_to_is_noticed() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("runs.db");
    let (status, _) = Victim::start("drain", &path, &[("POWER", "yes"), ("SEED", "1")]).end();
    assert!(status.success());
    let victim = Victim::start("load", &path, &[("POWER", "lying"), ("SEED", "1")]);
    victim.await_acknowledged();
    let lives = [victim.kill().1];
    disk::cut_power(&path);
    let wrong = History::of(&lives).held_against(&Connection::open(&path).unwrap());
    assert!(wrong.iter().any(|what| what.contains("it was acknowledged and is lost")), "{wrong:?}");
}
