//! What the next host makes of what an earlier one left.

use super::place;
use crate::conformance::world::{World, at, check, name, play};
use runlater::Status;

#[test]
fn an_attempt_in_flight_is_repeated_and_counted_as_a_crash() {
    let mut world = check(
        place(),
        "
        0s  create a      => queued due 0s
        0s  create b      => queued due 0s
        0s  claim         => a 1, b 1
        1s  cancel b      => requested
        9s  crash         => ok
        9s  get a         => queued host-crashed due 9s
        9s  get b         => cancelled cancelled
        9s  attempts a    => 1 host-crashed 0s..9s
        9s  claim         => a 2
        19s crash         => ok
        19s claim         => a 3
        29s crash         => ok
        29s get a         => failed quarantined
        29s claim         => nothing
        30s trigger a     => queued due 30s
        30s claim         => a 4
        31s done a        => succeeded
        ",
    );
    play(&mut world, "40s reopen => ok");
    play(&mut world, "40s get a => succeeded");
}

#[test]
fn what_was_acknowledged_is_there_after_a_crash() {
    check(
        place(),
        "
        0s  create a at=5s          => scheduled due 5s
        0s  create b at=6s          => scheduled due 6s
        0s  create c at=7s          => scheduled due 7s
        0s  create d at=8s          => scheduled due 8s
        0s  move b to=9s            => scheduled due 9s
        0s  delete c                => none
        0s  cancel d                => cancelled cancelled
        5s  claim                   => a 1
        5s  done a + create e at=7s => succeeded
        6s  crash                   => ok
        6s  get a                   => succeeded
        6s  get b                   => scheduled due 9s
        6s  get c                   => none
        6s  get d                   => cancelled cancelled
        99s claim                   => e 1, b 1
        ",
    );
}

/// After an unclean stop the run that may have killed its host is claimed on disk first: if it does so again, that is known.
#[test]
fn after_an_unclean_stop_a_claim_is_durable_before_it_is_handed_out() {
    let mut world = World::new(place());
    let run = world.create(vec![world.new_run(0, 0)], 0)[0];
    world.crash(1);
    for crashes in 1..=3 {
        let claims = world.claim(1, crashes);
        assert_eq!(claims.len(), 1, "crash {crashes}");
        // Dies without another word: no flush, no nudge.
        world.crash(crashes);
    }
    assert_eq!(world.get(run, 9).reason.as_deref(), Some("quarantined"));
}

#[test]
fn after_a_clean_stop_claims_do_not_wait_for_the_disk() {
    let mut world = World::new(place());
    world.create(vec![world.new_run(0, 0)], 0);
    world.reopen(1);
    assert_eq!(world.storage.claim(1, at(1)).len(), 1);
    world.crash(2);
    assert_eq!(world.storage.claim(1, at(2)).len(), 0, "after an unclean one they do");
    assert_eq!(world.claim(1, 2).len(), 1);
}

#[test]
fn caution_ends_with_the_suspects() {
    let world = check(
        place(),
        "
        0s  create a         => queued due 0s
        0s  claim            => a 1
        1s  crash            => ok
        1s  claim            => a 2
        1s  done a           => succeeded
        ",
    );
    world.create(vec![world.new_run(0, 2)], 2);
    assert_eq!(world.storage.claim(1, at(2)).len(), 1, "nothing has to be written first any more");
}

#[test]
fn a_closed_storage_takes_nothing_more() {
    let world = World::new(place());
    let new = world.new_run(0, 0);
    world.wait(world.storage.close()).unwrap();
    assert!(world.wait(world.storage.create(world.namespace, vec![new.clone()], at(0))).is_err());
    assert!(world.storage.get(world.namespace, new.id, at(0)).is_err());
    assert!(world.wait(world.storage.flush()).is_err());
    assert_eq!((world.storage.claim(1, at(0)).len(), world.storage.next_due()), (0, None));
    world.wait(world.storage.close()).unwrap();
}

#[test]
fn a_component_that_takes_the_host_down_again_and_again_is_suspended() {
    let mut world = World::new(place());
    let mut now = 0;
    for quarantined in 0..5 {
        let paused = |world: &World| world.storage.task(world.namespace, "task").unwrap().pause.is_some();
        assert!(!paused(&world), "after {quarantined}");
        let run = world.create(vec![world.new_run(now, now)], now)[0];
        for _ in 0..3 {
            assert_eq!(world.claim(9, now).len(), 1);
            now += 1;
            world.crash(now);
        }
        assert_eq!(world.status(run, now), Status::Failed);
    }
    let pause = world.storage.task(world.namespace, "task").unwrap().pause.clone().unwrap();
    assert!(pause.note.contains("5 runs of this component took the host down"), "{}", pause.note);
    // Another namespace has registered the same component.
    assert!(world.storage.task(world.other, "task").unwrap().pause.is_some());
    let next = world.create(vec![world.new_run(now, now)], now)[0];
    assert_eq!(world.claim(9, now).len(), 0);
    world.wait(world.storage.pause_task(world.namespace, name("task"), None, at(now))).unwrap().unwrap();
    assert_eq!(world.claim(9, now).into_iter().map(|claim| claim.run).collect::<Vec<_>>(), [next]);
}
