//! `attempts`: the history of a run.

use runlater::model::{AttemptQuery, FailureReason, Next};

use super::place;
use crate::conformance::world::{World, at, check, write_set};

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

/// Ends the next attempt of the only run like this, with a log of this many bytes.
fn end(world: &World, next: Next, log: usize, now: i64) {
    let claim = world.claim(1, now).remove(0);
    let mut finish = world.end_of(claim.run, claim.attempt, next, write_set([]), now);
    finish.log = vec![b'x'; log];
    world.storage.finish(finish, at(now));
    world.settle();
}

#[test]
fn the_last_attempts_are_kept_and_the_last_of_their_logs() {
    let mut world = World::new(place());
    let run = world.create(vec![world.new_run(0, 0)], 0)[0];
    let failed = Next::Backoff { due_at: at(1), reason: FailureReason::Returned, message: "no luck".into() };
    end(&world, failed, 0, 0);
    let empty = world.storage.run_bytes(world.namespace) - "no luck".len() as u64;
    let log = 256 << 10;
    for second in 1..30 {
        end(&world, Next::Snoozed { due_at: at(second + 1) }, log, second);
    }
    for _ in 0..2 {
        let page = world.storage.attempts(world.namespace, run, &AttemptQuery::default()).unwrap();
        let numbers: Vec<_> = page.attempts.iter().map(|attempt| attempt.number).collect();
        assert_eq!((numbers, page.dropped), ((11..=30).collect(), 10));
        let kept: Vec<_> = page.attempts.iter().filter(|attempt| !attempt.log.is_empty()).map(|attempt| attempt.number).collect();
        assert_eq!(kept, [27, 28, 29, 30], "1 MiB of logs");
        let said = |attempt: &runlater::model::Attempt| attempt.log.len() as u64 + attempt.log_dropped == log as u64;
        assert!(page.attempts.iter().all(said), "what was dropped is said");
        assert_eq!(world.storage.run_bytes(world.namespace), empty + 4 * log as u64);
        world.reopen(30);
    }
    // What the window of retries counts from is kept, although its attempt is not.
    let claim = world.claim(1, 30).remove(0);
    assert_eq!((claim.attempt, claim.failures, claim.failing_since), (31, 1, Some(at(0))));
    world.finish(run, 31, Next::Succeeded { output: None }, 31);
    let page = world.storage.attempts(world.namespace, run, &AttemptQuery::default()).unwrap();
    assert_eq!((page.attempts.len(), page.attempts[20].number, page.next), (21, 31, None), "that of a clean success has no row");
}

#[test]
fn a_history_is_read_page_by_page() {
    let world = World::new(place());
    let run = world.create(vec![world.new_run(0, 0)], 0)[0];
    for second in 0..6 {
        end(&world, Next::Snoozed { due_at: at(second + 1) }, 0, second);
    }
    assert_eq!(world.claim(1, 6).len(), 1);
    world.settle();
    let (mut numbers, mut after) = (Vec::new(), Some(0));
    while let Some(place) = after {
        let page = world.storage.attempts(world.namespace, run, &AttemptQuery::new(Some(3), Some(place)).unwrap()).unwrap();
        numbers.push(page.attempts.iter().map(|attempt| attempt.number).collect::<Vec<_>>());
        after = page.next;
    }
    assert_eq!(numbers, [vec![1, 2, 3], vec![4, 5, 6], vec![7]], "the one in flight is the last");
    for size in [0, 101] {
        assert_eq!(AttemptQuery::new(Some(size), None).unwrap_err().code, "invalid-page-size");
    }
}

/// The log of one attempt may be larger than what is kept of all, if an embedder lets it.
#[test]
fn pages_are_bounded_in_bytes() {
    let world = World::new(place());
    let run = world.create(vec![world.new_run(0, 0)], 0)[0];
    let failed = |due| Next::Backoff { due_at: at(due), reason: FailureReason::Returned, message: "x".repeat(60_000) };
    for second in 0..19 {
        end(&world, failed(second + 1), 0, second);
    }
    end(&world, failed(20), 2 << 20, 19);
    let page = |after| world.storage.attempts(world.namespace, run, &AttemptQuery::new(None, Some(after)).unwrap()).unwrap();
    let first = page(0);
    assert_eq!((first.attempts.len(), first.next), (17, Some(17)), "1 MiB");
    let (second, third) = (page(17), page(19));
    assert_eq!((second.attempts.len(), second.next), (2, Some(19)));
    assert_eq!((third.attempts[0].log.len(), third.next), (2 << 20, None));
}
