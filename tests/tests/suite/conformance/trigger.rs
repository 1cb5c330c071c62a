//! `trigger`: by hand, now.

use super::place;
use crate::conformance::world::check;

#[test]
fn what_waits_is_due_at_once() {
    check(
        place(),
        "
        0s  create a at=900s    => scheduled due 15m
        0s  create b            => queued due 0s
        0s  trigger b           => under way
        1s  trigger a           => queued due 1s
        1s  claim               => b 1, a 1
        1s  trigger a           => under way
        1s  retry a until=50s   => backoff failed due 50s
        2s  trigger a           => queued due 2s
        2s  claim               => a 2
        2s  done a              => succeeded
        2s  trigger a           => already ended
        900s claim              => nothing
        ",
    );
}

#[test]
fn what_ended_badly_begins_anew_and_counts_on() {
    let world = check(
        place(),
        "
        0s  create a            => queued due 0s
        0s  claim               => a 1
        0s  retry a until=1s    => backoff failed due 1s
        1s  claim               => a 2
        1s  fail a              => failed trap
        5s  trigger a           => queued due 5s
        5s  claim               => a 3
        6s  done a              => succeeded
        6s  attempts a          => 1 failed 0s..0s, 2 trap 1s..1s, 3 succeeded 6s..6s
        6s  create b at=9s      => scheduled due 9s
        6s  cancel b            => cancelled cancelled
        7s  trigger b           => queued due 7s
        7s  claim               => b 1
        7s  signal b            => unset
        7s  done b              => succeeded
        ",
    );
    assert_eq!(world.claims[2].failures, 0, "its failures are forgiven");
}

#[test]
fn what_was_missed_can_still_be_run() {
    check(
        place(),
        "
        0s   create a at=10s           => scheduled due 10s
        99s  miss from=5s until=50s    => 1
        99s  get a                     => missed host-down
        99s  claim                     => nothing
        99s  trigger a                 => queued due 1m39s
        99s  claim                     => a 1
        ",
    );
}
