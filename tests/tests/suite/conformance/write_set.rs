//! What an attempt wrote: all of it with its success, or nothing.

use super::place;
use crate::conformance::world::check;

#[test]
fn committed_with_success_and_with_a_snooze_only() {
    check(
        place(),
        "
        0s  create a                                                => queued due 0s
        0s  create moved at=50s                                     => scheduled due 50s
        0s  create deleted at=50s                                   => scheduled due 50s
        0s  create cancelled at=50s                                 => scheduled due 50s
        0s  claim                                                   => a 1
        1s  retry a until=2s + create x at=9s; delete deleted; move moved to=9s; cancel cancelled => backoff failed due 2s
        2s  get x                                                   => none
        2s  get deleted                                             => scheduled due 50s
        2s  get moved                                               => scheduled due 50s
        2s  claim                                                   => a 2
        2s  snooze a until=3s + create b at=4s                      => backoff snoozed due 3s
        3s  get b                                                   => scheduled due 4s
        3s  claim                                                   => a 3
        3s  done a + create c at=5s; delete deleted; move moved to=6s; cancel cancelled => succeeded
        3s  get deleted                                             => none
        3s  get cancelled                                           => cancelled cancelled
        9s  claim                                                   => b 1, c 1, moved 1
        ",
    );
}

#[test]
fn what_is_made_due_is_due_with_the_commit() {
    check(
        place(),
        "
        0s  create a                                               => queued due 0s
        0s  create later at=50s                                    => scheduled due 50s
        0s  create both at=50s                                     => scheduled due 50s
        0s  create failed                                          => queued due 0s
        0s  claim                                                  => a 1, failed 1
        1s  fail failed                                            => failed trap
        2s  done a + trigger later; trigger failed; move both to=60s; trigger both; cancel both => succeeded
        2s  get both                                               => cancelled cancelled
        2s  claim                                                  => later 1, failed 2
        3s  create b                                               => queued due 3s
        3s  claim                                                  => b 1
        3s  done b + trigger later; create x at=9s                 => backoff write-conflict due 13s
        3s  get x                                                  => none
        ",
    );
}

#[test]
fn a_pause_holds_from_the_commit_on() {
    check(
        place(),
        "
        0s  create a                                               => queued due 0s
        0s  create b at=1s                                         => scheduled due 1s
        0s  claim                                                  => a 1
        0s  retry a until=1s + pause task                          => backoff failed due 1s
        1s  claim                                                  => a 2, b 1
        1s  done b + pause task until=9s                           => succeeded
        1s  create c                                               => queued due 1s
        1s  claim                                                  => nothing
        2s  done a + pause task; resume task                       => succeeded
        2s  claim                                                  => c 1
        3s  create d                                               => queued due 3s
        3s  done c + pause task until=6s                           => succeeded
        5s  claim                                                  => nothing
        6s  claim                                                  => d 1
        6s  done d + pause nobody; pause task                      => backoff write-conflict due 16s
        16s claim                                                  => d 2
        ",
    );
}

#[test]
fn a_conflict_leaves_nothing_of_it() {
    check(
        place(),
        "
        0s  create a                                               => queued due 0s
        0s  create kept at=5s                                      => scheduled due 5s
        0s  create moved at=5s                                     => scheduled due 5s
        0s  create gone at=50s                                     => scheduled due 50s
        0s  create holder at=50s key=k                             => scheduled due 50s
        0s  claim                                                  => a 1
        1s  delete gone                                            => none
        1s  done a + create x at=2s; delete kept; move moved to=8s; delete gone => backoff write-conflict due 11s
        1s  get x                                                  => none
        1s  get kept                                               => scheduled due 5s
        1s  get moved                                              => scheduled due 5s
        5s  claim                                                  => kept 1, moved 1
        11s claim                                                  => a 2
        11s done a + create y at=12s; create z at=20s key=k        => backoff write-conflict due 21s
        12s get y                                                  => none
        12s claim                                                  => nothing
        21s claim                                                  => a 3
        21s done a + create y at=22s                               => succeeded
        22s claim                                                  => y 1
        ",
    );
}

#[test]
fn later_writes_see_earlier_ones() {
    check(
        place(),
        "
        0s  create a                                                  => queued due 0s
        0s  claim                                                     => a 1
        0s  done a + create b at=5s; move b to=9s; create c at=5s; delete c; create d at=5s; cancel d => succeeded
        0s  get c                                                     => none
        0s  get d                                                     => cancelled cancelled
        8s  claim                                                     => nothing
        9s  claim                                                     => b 1
        ",
    );
}

#[test]
fn a_run_may_cancel_itself() {
    check(
        place(),
        "
        0s  create a                             => queued due 0s
        0s  claim                                => a 1
        0s  done a + cancel a                    => succeeded
        ",
    );
}

#[test]
fn nothing_of_another_namespace_is_reached() {
    check(
        place(),
        "
        0s  create a                     => queued due 0s
        0s  create theirs at=5s ns=2     => scheduled due 5s
        0s  claim                        => a 1
        0s  done a + delete theirs       => backoff write-conflict due 10s
        0s  get theirs ns=2              => scheduled due 5s
        5s  claim                        => theirs 1
        ",
    );
}
