//! `cancel`: what waits never starts, what runs is told.

use super::place;
use crate::conformance::world::{World, at, backoff, check, write_set};
use runlater::Status;
use runlater::storage::Cancelled;

#[test]
fn before_during_and_after() {
    check(
        place(),
        "
        0s  create a at=5s       => scheduled due 5s
        0s  cancel a             => cancelled cancelled
        0s  cancel a             => before: cancelled cancelled
        0s  create b             => queued due 0s
        0s  cancel b             => cancelled cancelled
        5s  claim                => nothing
        5s  create c             => queued due 5s
        5s  claim                => c 1
        5s  signal c             => unset
        5s  cancel c             => requested
        5s  signal c             => set
        5s  cancel c             => requested
        5s  get c                => running 1
        6s  stop c               => cancelled cancelled
        6s  cancel c             => before: cancelled cancelled
        6s  create d             => queued due 6s
        6s  claim                => d 1
        6s  cancel d             => requested
        6s  done d               => succeeded
        6s  cancel d             => already ended
        6s  create e             => queued due 6s
        6s  claim                => e 1
        6s  retry e until=9s     => backoff failed due 9s
        6s  cancel e             => cancelled cancelled
        9s  claim                => nothing
        ",
    );
}

/// The attempt ended, not knowing yet that the run is to be cancelled: it must not go on for that.
#[test]
fn a_request_that_crosses_the_end_of_an_attempt_is_not_forgotten() {
    check(
        place(),
        "
        0s  create a                                 => queued due 0s
        0s  claim                                    => a 1
        0s  cancel a                                 => requested
        0s  retry a until=1s                         => cancelled cancelled
        0s  create b                                 => queued due 0s
        0s  claim                                    => b 1
        0s  cancel b                                 => requested
        0s  snooze b until=1s + create child at=9s   => cancelled cancelled
        0s  get child                                => none
        9s  claim                                    => nothing
        ",
    );
}

/// Outcome and request in one transaction, in this order: the run waits by then, and is cancelled as one that waits.
#[test]
fn a_request_right_behind_the_end_of_an_attempt_counts() {
    let world = World::new(place());
    for _ in 0..50 {
        let run = world.create(vec![world.new_run(0, 0)], 0)[0];
        assert_eq!(world.claim(1, 0).len(), 1);
        world.storage.finish(world.end_of(run, 1, backoff(5), write_set([]), 0), at(0));
        let cancelled = world.wait(world.storage.cancel(world.namespace, run, at(1))).unwrap();
        assert_eq!(cancelled, Ok(Cancelled::Now));
        assert_eq!(world.status(run, 1), Status::Cancelled);
    }
    assert_eq!(world.claim(99, 10).len(), 0, "none of them starts again");
}
