//! `reschedule`: scheduled runs only, each by itself.

use super::place;
use crate::conformance::world::{World, at, check};
use runlater::storage::{ChangeError, Move};

#[test]
fn a_moved_run_starts_at_its_new_time_only() {
    check(
        place(),
        "
        0s    create a at=5s    => scheduled due 5s
        0s    create b at=5s    => scheduled due 5s
        0s    create c at=900s  => scheduled due 15m
        1s    move a to=8s      => scheduled due 8s
        1s    move b by=-2s     => scheduled due 3s
        1s    move c to=2s      => scheduled due 2s
        1s    due               => 2s
        2s    claim             => c 1
        3s    claim             => b 1
        7s    claim             => nothing
        8s    claim             => a 1
        8s    create d at=20s   => scheduled due 20s
        9s    move d to=4s      => queued due 9s
        9s    claim             => d 1
        9s    create e at=10s   => scheduled due 10s
        9s    move e to=5000s   => scheduled due 1h23m20s
        4999s claim             => nothing
        5000s claim             => e 1
        ",
    );
}

#[test]
fn back_and_forth_is_still_one_run() {
    check(
        place(),
        "
        0s  create a at=5s   => scheduled due 5s
        0s  move a to=9s     => scheduled due 9s
        0s  move a to=5s     => scheduled due 5s
        5s  claim            => a 1
        9s  claim            => nothing
        ",
    );
}

#[test]
fn what_has_triggered_stays() {
    check(
        place(),
        "
        0s  create a at=5s           => scheduled due 5s
        5s  move a to=9s             => already triggered
        5s  claim                    => a 1
        5s  move a to=9s             => already triggered
        5s  retry a until=20s        => backoff failed due 20s
        6s  move a to=9s             => already triggered
        20s claim                    => a 2
        20s done a                   => succeeded
        20s move a to=30s            => already triggered
        ",
    );
}

#[test]
fn one_verdict_for_each_move() {
    let world = World::new(place());
    let runs = world.create(vec![world.new_run(5, 0), world.new_run(0, 0), world.new_run(7, 0)], 0);
    let moves = vec![(runs[0], Move::By(i64::MAX)), (runs[1], Move::To(at(9))), (runs[2], Move::To(at(6))), (runs[0], Move::By(-at(9).as_micros()))];
    let verdicts = world.wait(world.storage.reschedule(world.namespace, moves, at(1))).unwrap();
    use ChangeError::*;
    assert_eq!(verdicts, [Err(OutOfRange(runs[0])), Err(AlreadyTriggered(runs[1])), Ok(()), Err(OutOfRange(runs[0]))]);
    let order: Vec<_> = world.claim(9, 9).iter().map(|claim| claim.run).collect();
    assert_eq!(order, [runs[1], runs[0], runs[2]], "what could not be moved starts as if nothing had been asked");
}
