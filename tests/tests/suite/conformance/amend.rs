//! `amend`: what somebody saw is changed, or nothing.

use runlater::Status;
use runlater::model::{NamespaceId, RunId, Version};
use runlater::storage::{Amendment, ChangeError, Move};

use super::place;
use crate::conformance::world::{World, at};

fn amend(
    world: &World,
    namespace: NamespaceId,
    run: RunId,
    amendment: Amendment,
    seen: &[Version],
    now: i64,
) -> Result<(), ChangeError> {
    world.wait(world.storage.amend(namespace, run, amendment, seen.to_vec(), at(now))).unwrap()
}

const fn to(seconds: i64) -> Amendment {
    // Written out, because the moment of a test is no constant.
    Amendment::Move(Move::By(seconds * 1_000_000))
}

#[test]
fn of_two_who_saw_the_same_one_changes_it() {
    let world = World::new(place());
    let run = world.create(vec![world.new_run(50, 0)], 0)[0];
    let seen = Version::of(&world.get(run, 0));
    assert_eq!(Version::of(&world.get(run, 1)), seen, "looking changes nothing");
    amend(&world, world.namespace, run, to(10), &[seen], 1).unwrap();
    assert_eq!(amend(&world, world.namespace, run, to(20), &[seen], 1), Err(ChangeError::Stale(run)));
    assert_eq!(amend(&world, world.namespace, run, Amendment::Delete, &[seen], 1), Err(ChangeError::Stale(run)));
    assert_eq!(amend(&world, world.namespace, run, Amendment::Delete, &[], 1), Err(ChangeError::Stale(run)));
    assert_eq!(world.get(run, 1).trigger_at, at(60));
    // What holds the same again is the same: nothing is lost.
    amend(&world, world.namespace, run, to(-10), &[seen, Version::of(&world.get(run, 1))], 1).unwrap();
    assert_eq!(Version::of(&world.get(run, 1)), seen);
    assert_eq!(amend(&world, world.other, run, Amendment::Delete, &[seen], 1), Err(ChangeError::NotFound(run)));
    amend(&world, world.namespace, run, Amendment::Delete, &[seen], 1).unwrap();
    assert_eq!(amend(&world, world.namespace, run, Amendment::Delete, &[seen], 1), Err(ChangeError::NotFound(run)));
    assert!(world.claim(1, 60).is_empty(), "what was deleted does not start");
}

#[test]
fn what_can_not_be_changed_is_refused_for_that() {
    let world = World::new(place());
    let run = world.create(vec![world.new_run(50, 0)], 0)[0];
    let seen = Version::of(&world.get(run, 0));
    let claims = world.claim(1, 50);
    assert_eq!((claims.len(), world.status(run, 50)), (1, Status::Running));
    for version in [seen, Version::of(&world.get(run, 50))] {
        assert_eq!(amend(&world, world.namespace, run, to(10), &[version], 51), Err(ChangeError::AlreadyTriggered(run)));
    }
}

#[test]
fn every_change_makes_another_version() {
    let world = World::new(place());
    let run = world.create(vec![world.new_run(50, 0)], 0)[0];
    let mut versions = vec![Version::of(&world.get(run, 0))];
    let mut look = |now| versions.push(Version::of(&world.get(run, now)));
    world.wait(world.storage.trigger(world.namespace, run, at(1))).unwrap().unwrap();
    look(1);
    let claims = world.claim(1, 1);
    look(1);
    world.finish(run, claims[0].attempt, crate::conformance::world::backoff(9), 2);
    look(2);
    world.wait(world.storage.cancel(world.namespace, run, at(3))).unwrap().unwrap();
    look(3);
    let all = versions.len();
    versions.sort_by_key(Version::to_string);
    versions.dedup();
    assert_eq!(versions.len(), all);
}
