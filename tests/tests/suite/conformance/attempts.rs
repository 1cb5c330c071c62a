//! `attempts`: the history of a run.

use super::place;
use crate::conformance::world::check;

#[test]
fn every_attempt_is_in_the_history_once() {
    check(
        place(),
        "
        0s  create a             => queued due 0s
        0s  attempts a           => none
        0s  claim                => a 1
        0s  attempts a           => 1 running 0s..…
        1s  retry a until=2s     => backoff failed due 2s
        1s  attempts a           => 1 failed 1s..1s
        2s  claim                => a 2
        2s  snooze a until=3s    => backoff snoozed due 3s
        3s  claim                => a 3
        3s  requeue a            => queued shut-down due 3s
        3s  claim                => a 4
        4s  crash                => ok
        4s  claim                => a 5
        5s  done a               => succeeded
        5s  attempts a           => 1 failed 1s..1s, 2 snoozed 2s..2s, 3 shut-down 3s..3s, 4 host-crashed 3s..4s, 5 succeeded 5s..5s
        6s  create b at=9s       => scheduled due 9s
        6s  cancel b             => cancelled cancelled
        6s  attempts b           => none
        ",
    );
}
