//! Who goes first among many: priorities that starve nobody, and namespaces that do not wait for each other.

use super::place;
use crate::conformance::world::{World, at, check};
use runlater::model::NewRun;

#[test]
fn a_higher_priority_overtakes_a_minute_and_no_more() {
    check(
        place(),
        "
        0s    create first at=10s              => scheduled due 10s
        0s    create second at=40s             => scheduled due 40s
        0s    create urgent at=80s priority=2  => scheduled due 1m20s
        0s    create late at=100s              => scheduled due 1m40s
        0s    create later at=159s priority=2  => scheduled due 2m39s
        10s   claim                            => first 1
        79s   create third at=60s              => queued due 1m19s
        80s   claim 1                          => urgent 1
        159s  claim                            => second 1, third 1, later 1, late 1
        ",
    );
}

#[test]
fn an_old_run_is_not_starved_by_urgent_ones_without_end() {
    let world = World::new(place());
    let patient = world.create(vec![world.new_run(0, 0)], 0)[0];
    let urgent = |now| NewRun { priority: Some(3), ..world.new_run(now, now) };
    for now in 1.. {
        // Two urgent runs come for each one that is taken.
        world.create(vec![urgent(now), urgent(now)], now);
        let taken = world.claim(1, now)[0].run;
        if taken == patient {
            assert_eq!(now, 239, "once those that were due within its two minutes are through");
            return;
        }
        assert!(now < 1_000, "it starves");
    }
}

#[test]
fn an_urgent_run_is_found_behind_more_old_ones_than_fit_in_memory() {
    let mut world = World::new(place());
    for _ in 0..10 {
        world.create((0..2_000).map(|number| world.new_run(100 + number % 7, 0)).collect(), 0);
    }
    let urgent = world.create(vec![NewRun { priority: Some(2), ..world.new_run(120, 0) }], 0)[0];
    assert_eq!(world.claim(1, 130)[0].run, urgent);
    // The next host has nothing loaded yet. Its repeat of the urgent one is due at 131 s, and still has a minute's advantage over 100 s.
    world.crash(131);
    assert_eq!(world.claim(1, 131)[0].run, urgent);
}

#[test]
fn a_namespace_with_many_due_runs_does_not_delay_another() {
    let mut world = World::new(place());
    for _ in 0..10 {
        world.create((0..2_000).map(|_| world.new_run(1, 0)).collect(), 0);
    }
    let task = world.storage.task(world.other, "task").unwrap();
    let other = NewRun { task, ..world.new_run(50, 0) };
    world.wait(world.storage.create(world.other, vec![other.clone()], at(0))).unwrap();
    for host in ["the first host", "the next host"] {
        let claims = world.claim(2, 60);
        assert!(claims.iter().any(|claim| claim.run == other.id), "{host}: it is among the first two");
        assert_eq!(world.claim(500, 60).len(), 500, "and the others go on");
        world.reopen(60);
    }
}
