//! `miss`: what became due while no host was running.

use super::place;
use crate::conformance::world::{World, at, check, play};

#[test]
fn only_first_attempts_within_the_gap() {
    check(
        place(),
        "
        0s   create before at=10s         => scheduled due 10s
        0s   create first at=11s          => scheduled due 11s
        0s   create last at=19s           => scheduled due 19s
        0s   create after at=20s          => scheduled due 20s
        0s   create retried at=1s         => scheduled due 1s
        1s   claim                        => retried 1
        1s   retry retried until=15s      => backoff failed due 15s
        99s  miss from=10s until=20s limit=1 => 1
        99s  miss from=10s until=20s      => 1
        99s  miss from=10s until=20s      => 0
        99s  get first                    => missed host-down
        99s  get last                     => missed host-down
        99s  claim                        => before 1, retried 2, after 1
        ",
    );
}

#[test]
fn what_somebody_asked_for_at_once_is_never_missed() {
    check(
        place(),
        "
        10s  create past at=3s            => queued due 10s
        10s  create now                   => queued due 10s
        10s  create moved at=50s          => scheduled due 50s
        10s  move moved to=5s             => queued due 10s
        99s  miss from=9s until=50s       => 0
        99s  claim                        => past 1, now 1, moved 1
        ",
    );
}

#[test]
fn a_run_that_was_triggered_by_hand_is_not_missed_after_a_crash() {
    let mut world = check(
        place(),
        "
        0s   create a at=50s              => scheduled due 50s
        10s  trigger a                    => queued due 10s
        99s  crash                        => ok
        ",
    );
    let from = *world.storage.signs_of_life().last().expect("it was alive");
    let gap = runlater::storage::Gap { from, until: crate::conformance::world::at(90) };
    assert_eq!(world.wait(world.storage.miss(gap, 9, crate::conformance::world::at(99))).unwrap(), 0);
    crate::conformance::world::play(&mut world, "99s claim => a 1");
}

#[test]
fn nor_is_one_that_was_moved_to_the_moment_of_the_move() {
    let mut world = check(
        place(),
        "
        0s   create a at=50s              => scheduled due 50s
        10s  move a to=10s                => queued due 10s
        99s  crash                        => ok
        ",
    );
    let gap = runlater::storage::Gap { from: *world.storage.signs_of_life().last().expect("it was alive"), until: at(90) };
    assert_eq!(world.wait(world.storage.miss(gap, 9, at(99))).unwrap(), 0);
    play(&mut world, "99s claim => a 1");
}

#[test]
fn the_storage_remembers_until_when_its_host_was_alive() {
    let mut world = World::new(place());
    assert_eq!(world.storage.signs_of_life(), [], "a new one never was");
    world.claim(1, 30);
    world.create(vec![world.new_run(500, 30)], 30);
    world.crash(100);
    assert_eq!(world.storage.signs_of_life(), [at(30)]);
    world.wait(world.storage.heartbeat(crate::conformance::world::at(140))).unwrap();
    world.crash(200);
    assert_eq!(world.storage.signs_of_life(), [at(140)]);
    world.claim(1, 250);
    world.reopen(300);
    assert_eq!(world.storage.signs_of_life(), [at(250)]);
}

#[test]
fn a_request_is_no_sign_that_the_host_was_alive_before_it() {
    let mut world = check(
        place(),
        "
        0s   create a at=50s              => scheduled due 50s
        0s   create b at=60s              => scheduled due 1m
        10s  claim                        => nothing
        70s  trigger b                    => under way
        80s  move a to=75s                => already triggered
        ",
    );
    world.create(vec![world.new_run(500, 80)], 80);
    world.crash(200);
    assert_eq!(world.storage.signs_of_life(), [at(10)], "nothing was made due");

    world.create(vec![world.new_run(500, 200)], 200);
    play(&mut world, "200s create c at=900s => scheduled due 15m");
    play(&mut world, "210s trigger c => queued due 3m30s");
    world.crash(300);
    assert_eq!(world.storage.signs_of_life(), [at(10), at(210)], "the first minutes are still to be judged");
    world.wait(world.storage.heartbeat(at(300))).unwrap();
    world.crash(400);
    assert_eq!(world.storage.signs_of_life(), [at(300)]);
}

#[test]
fn what_was_missed_knows_how_long_no_host_was_running() {
    let mut world = check(
        place(),
        "
        0s   create a at=11s              => scheduled due 11s
        99s  miss from=10s until=20s      => 1
        ",
    );
    let because = |world: &World| world.get(world.names["a"], 99).because;
    assert_eq!(because(&world), Some(runlater::model::Because::of_span(at(10), at(99))));
    play(&mut world, "99s  trigger a                    => queued due 1m39s");
    assert_eq!(because(&world), None, "it begins anew");
}
