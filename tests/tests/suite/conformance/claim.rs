//! `claim`: never early, in order, to one taker.

use std::sync::Barrier;

use super::place;
use crate::conformance::world::{World, at, check, succeeded};

#[test]
fn never_before_the_due_time_and_then_in_order() {
    check(
        place(),
        "
        0s  create late at=5s              => scheduled due 5s
        0s  create b at=4s                 => scheduled due 4s
        0s  create a at=4s                 => scheduled due 4s
        0s  create urgent at=4s priority=3 => scheduled due 4s
        0s  due                            => 4s
        3s  claim                          => nothing
        4s  claim 2                        => urgent 1, b 1
        4s  claim                          => a 1
        4s  claim                          => nothing
        4s  due                            => 5s
        5s  claim                          => late 1
        5s  due                            => never
        ",
    );
}

#[test]
fn what_lies_far_ahead_is_found_when_its_time_comes() {
    check(
        place(),
        "
        0s     create far at=5000s   => scheduled due 1h23m20s
        4999s  claim                 => nothing
        5000s  claim                 => far 1
        ",
    );
}

#[test]
fn a_clock_that_steps_back_starts_nothing_early() {
    check(
        place(),
        "
        100s  create a at=110s  => scheduled due 1m50s
        100s  claim             => nothing
        50s   claim             => nothing
        50s   create b at=60s   => scheduled due 1m
        59s   claim             => nothing
        60s   claim             => b 1
        110s  claim             => a 1
        ",
    );
}

#[test]
fn what_runs_can_be_neither_moved_nor_deleted() {
    // A storage may write the claim later, with the outcome: it holds against changes from the moment it is handed out.
    let world = World::new(place());
    let run = world.create(vec![world.new_run(0, 0)], 0)[0];
    let claims = world.storage.claim(1, at(0));
    assert_eq!(claims.len(), 1);
    let earlier = at(-1);
    let moved = world.wait(world.storage.reschedule(world.namespace, vec![(run, runlater::storage::Move::To(at(9)))], earlier));
    let deleted = world.wait(world.storage.delete(world.namespace, vec![run], earlier));
    assert!(moved.unwrap()[0].is_err() && deleted.unwrap()[0].is_err(), "although at that moment its time lies ahead");
    world.finish(run, 1, succeeded(), 1);
    assert_eq!(world.status(run, 1), runlater::Status::Succeeded);
}

#[test]
fn one_run_goes_to_one_taker_however_many_ask() {
    let world = World::new(place());
    let runs = world.create((0..400).map(|_| world.new_run(0, 0)).collect(), 0);
    let start = Barrier::new(4);
    let mut taken: Vec<_> = std::thread::scope(|scope| {
        let take = || {
            start.wait();
            let mut mine = Vec::new();
            loop {
                let claims = world.storage.claim(7, at(0));
                if claims.is_empty() {
                    return mine;
                }
                mine.extend(claims.into_iter().map(|claim| claim.run));
            }
        };
        let takers: Vec<_> = (0..4).map(|_| scope.spawn(take)).collect();
        takers.into_iter().flat_map(|taker| taker.join().unwrap()).collect()
    });
    taken.sort();
    assert_eq!(taken, runs);
}

/// Each run is claimed by one thread and cancelled, moved or deleted by another: one of the two wins, and both know which.
#[test]
fn a_claim_and_a_change_never_both_succeed() {
    use runlater::storage::{Cancelled, Move};
    let world = World::new(place());
    let runs = world.create((0..300).map(|_| world.new_run(10, 0)).collect(), 0);
    let start = Barrier::new(2);
    let claimed: Vec<_> = std::thread::scope(|scope| {
        let taker = scope.spawn(|| {
            start.wait();
            let mut mine = Vec::new();
            for _ in 0..200 {
                mine.extend(world.storage.claim(2, at(10)));
                std::thread::yield_now();
            }
            mine
        });
        start.wait();
        // The one who changes still takes the time to lie ahead.
        let (mut gone, mut signalled) = (Vec::new(), Vec::new());
        for (number, run) in runs.iter().rev().enumerate() {
            let stopped = match number % 3 {
                0 => world.wait(world.storage.delete(world.namespace, vec![*run], at(9))).unwrap()[0].is_ok(),
                1 => world.wait(world.storage.reschedule(world.namespace, vec![(*run, Move::To(at(500)))], at(9))).unwrap()[0].is_ok(),
                _ => match world.wait(world.storage.cancel(world.namespace, *run, at(9))).unwrap() {
                    Ok(Cancelled::Now) => true,
                    Ok(Cancelled::Requested) => {
                        signalled.push(*run);
                        false
                    }
                    other => panic!("{other:?}"),
                },
            };
            if stopped {
                gone.push(*run);
            }
        }
        let mut claims = taker.join().unwrap();
        claims.extend(world.claim(usize::MAX, 10));
        for run in gone.iter() {
            assert!(claims.iter().all(|claim| claim.run != *run), "it was changed, so it must not start at its old time");
        }
        for claim in &claims {
            assert_eq!(claim.cancel.is_set(), signalled.contains(&claim.run));
        }
        assert_eq!(claims.len() + gone.len(), runs.len());
        claims
    });
    drop(claimed);
}
