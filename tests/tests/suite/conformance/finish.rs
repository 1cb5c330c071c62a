//! `finish`: every end of an attempt, and who may no longer say one.

use super::place;
use crate::conformance::world::{World, at, backoff, check, large, succeeded, write_set};
use runlater::model::{FailureReason, Next, Write};
use runlater::{Payload, Status};

#[test]
fn every_end_leads_to_its_state() {
    check(
        place(),
        "
        0s  create a         => queued due 0s
        0s  claim            => a 1
        0s  get a            => running 1
        1s  retry a until=6s => backoff failed due 6s
        5s  claim            => nothing
        6s  get a            => queued failed due 6s
        6s  claim            => a 2
        7s  snooze a until=9s => backoff snoozed due 9s
        9s  claim            => a 3
        9s  requeue a        => queued shut-down due 9s
        9s  claim            => a 4
        9s  fail a           => failed trap
        9s  claim            => nothing
        9s  create b         => queued due 9s
        9s  claim            => b 1
        9s  stop b           => cancelled cancelled
        9s  create c         => queued due 9s
        9s  claim            => c 1
        9s  done c           => succeeded
        99s claim            => nothing
        ",
    );
}

#[test]
fn failures_are_counted_and_snoozes_are_not() {
    let mut world = check(
        place(),
        "
        0s  create a          => queued due 0s
        0s  claim             => a 1
        0s  retry a until=1s  => backoff failed due 1s
        1s  claim             => a 2
        1s  snooze a until=2s => backoff snoozed due 2s
        2s  claim             => a 3
        2s  requeue a         => queued shut-down due 2s
        ",
    );
    for _ in 0..2 {
        let claim = world.claim(1, 2).remove(0);
        assert_eq!(claim.failures, 1);
        world.finish(claim.run, claim.attempt, Next::Requeued, 2);
        world.reopen(2);
    }
}

#[test]
fn an_older_attempt_changes_nothing() {
    let mut world = check(
        place(),
        "
        0s  create a                              => queued due 0s
        0s  claim                                 => a 1
        0s  retry a until=5s                      => backoff failed due 5s
        1s  done a attempt=1 + create stale at=9s => backoff failed due 5s
        1s  get stale                             => none
        5s  claim                                 => a 2
        5s  done a attempt=1 + create stale at=9s => running 2
        5s  get stale                             => none
        5s  done a attempt=3                      => running 2
        6s  done a                                => succeeded
        6s  fail a                                => succeeded
        6s  attempts a                            => 1 failed 0s..0s, 2 succeeded 6s..6s
        ",
    );
    world.reopen(6);
    assert_eq!(world.status(world.names["a"], 6), Status::Succeeded);
}

/// The claim of a later attempt and the outcome of an earlier one may meet in one transaction.
#[test]
fn an_older_attempt_does_not_take_the_claim_of_a_later_one() {
    let world = World::new(place());
    let run = world.create(vec![world.new_run(0, 0)], 0)[0];
    assert_eq!(world.claim(1, 0)[0].attempt, 1);
    world.finish(run, 1, backoff(5), 0);
    // Not nudged: all three wait for the same transaction.
    assert_eq!(world.storage.claim(1, at(5))[0].attempt, 2);
    world.storage.finish(world.end_of(run, 1, succeeded(), write_set([]), 5), at(5));
    world.settle();
    assert_eq!(world.status(run, 5), Status::Running);
    world.finish(run, 2, succeeded(), 6);
    assert_eq!(world.status(run, 6), Status::Succeeded);
}

#[test]
fn what_an_attempt_left_is_kept() {
    let mut world = World::new(place());
    let runs = world.create(vec![world.new_run(0, 0), world.new_run(0, 0)], 0);
    assert_eq!(world.claim(2, 0).len(), 2);
    let mut end = world.end_of(runs[0], 1, Next::Succeeded { output: Some(large(256 << 10)) }, write_set([]), 1);
    end.log = b"\xff\x00 log".to_vec();
    world.storage.finish(end, at(3));
    let next = Next::Failed { reason: FailureReason::Rejected, message: "no such customer".into() };
    world.finish(runs[1], 1, next, 2);
    for _ in 0..2 {
        let (good, bad) = (world.get(runs[0], 9), world.get(runs[1], 9));
        assert_eq!((good.output.map(|output| output.bytes().len()), good.started_at, good.finished_at), (Some(256 << 10), Some(at(1)), Some(at(3))));
        assert_eq!((bad.reason.as_deref(), bad.message.as_deref()), (Some("rejected"), Some("no such customer")));
        let attempts = world.storage.attempts(world.namespace, runs[0], &Default::default()).unwrap().attempts;
        assert_eq!((attempts.len(), attempts[0].log.as_slice(), attempts[0].digest), (1, &b"\xff\x00 log"[..], Some(world.task.digest)));
        world.reopen(9);
    }
}

#[test]
fn a_media_type_of_the_output_is_kept() {
    let world = World::new(place());
    let run = world.create(vec![world.new_run(0, 0)], 0)[0];
    assert_eq!(world.claim(1, 0).len(), 1);
    let output = Payload::new("image/png", b"png", "output").unwrap();
    world.finish_with(run, 1, Next::Succeeded { output: Some(output.clone()) }, write_set(None::<Write>), 1);
    assert_eq!(world.get(run, 1).output, Some(output));
}
