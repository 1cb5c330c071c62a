//! A disk without room: what is new is refused, what was promised is kept, and when there is room the host goes on by itself.

use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use super::disk::{self, Fault};
use super::failing::{OnDisk, folder};
use crate::conformance::sqlite::File;
use crate::conformance::world::{Place, World, at, registration, succeeded};
use runlater::model::{CronRule, CronSpec, Name, Origin, Zone};
use runlater::storage::sqlite::{Room, SqliteStorage};
use runlater::storage::{CreateError, Move, RegisterError, Storage, StorageError};
use runlater::{Metadata, Payload, Status, Timestamp, Zones};

/// A file on a disk that has never enough room for new work.
struct Low(File);

impl Place for Low {
    fn open(&self, now: Timestamp) -> Result<Arc<dyn Storage>, StorageError> {
        let room = Room { keep_free: if self.0.path().exists() { u64::MAX >> 1 } else { 0 }, ballast: 0 };
        Ok(Arc::new(SqliteStorage::open_with(self.0.path(), room, Zones::bundled(), now)?))
    }

    fn after_crash(&self) -> Box<dyn Place> {
        self.0.after_crash()
    }

    fn size(&self) -> u64 {
        self.0.size()
    }

    fn at(&self, backup: &Path) -> Box<dyn Place> {
        self.0.at(backup)
    }
}

#[test]
fn near_the_end_only_new_work_is_refused() {
    let mut world = World::new(Box::new(Low(File::new())));
    let runs = world.create((0..5).map(|due| world.new_run(due * 10, 0)).collect(), 0);
    // From here on there is too little room.
    world.reopen(0);
    let (namespace, storage) = (world.namespace, world.storage.clone());
    let name = |text| Name::parse(text, "name").unwrap();
    let full = |error: &StorageError| matches!(error, StorageError::Full);

    let refused = world.wait(storage.create(namespace, vec![world.new_run(9, 0)], at(0))).unwrap_err();
    assert!(matches!(&refused, CreateError::Storage(error) if full(error)), "{refused}");
    assert!(refused.to_string().contains("free some space"), "{refused}");
    let refused = world.wait(storage.register(registration(namespace, b"other", Vec::new()), at(0))).unwrap_err();
    assert!(matches!(&refused, RegisterError::Storage(error) if full(error)), "{refused}");
    let spec = CronSpec {
        task: world.task.name.clone(),
        rule: CronRule::new("@hourly", Zone::utc(), at(0), None, Duration::ZERO).unwrap(),
        max_count: None,
        input: Payload::null(),
        metadata: Metadata::default(),
        priority: None,
        missed: None,
    };
    let refused = world.wait(storage.create_cron(namespace, name("hourly"), spec, Origin::Api, at(0))).unwrap_err();
    assert!(full(&refused), "{refused}");

    // What was promised is done, and what makes room or changes its mind is welcome.
    let claim = world.claim(1, 0).remove(0);
    world.finish(claim.run, 1, succeeded(), 0);
    assert_eq!(world.status(runs[0], 0), Status::Succeeded);
    world.wait(storage.delete(namespace, vec![runs[1]], at(0))).unwrap()[0].clone().unwrap();
    world.wait(storage.reschedule(namespace, vec![(runs[2], Move::To(at(99)))], at(0))).unwrap()[0].clone().unwrap();
    world.wait(storage.cancel(namespace, runs[3], at(0))).unwrap().unwrap();
    world.wait(storage.trigger(namespace, runs[4], at(0))).unwrap().unwrap();
    assert_eq!(world.claim(9, 0).len(), 1);
    assert!(storage.health().writable, "that is no failure of the host");
}

#[test]
fn an_outcome_waits_for_room() {
    let place = OnDisk::new(false);
    let path = place.path();
    let world = World::new(Box::new(place));
    let run = world.create(vec![world.new_run(0, 0)], 0)[0];
    let claim = world.claim(1, 0).remove(0);
    world.settle();
    disk::set(folder(&path), Fault::Full);
    world.storage.finish(world.end_of(claim.run, 1, succeeded(), Default::default(), 1), at(1));
    let refused = world.wait(world.storage.create(world.namespace, vec![world.new_run(9, 1)], at(1))).unwrap_err();
    assert!(matches!(&refused, CreateError::Storage(StorageError::Full)), "{refused}");
    // Whoever asks meanwhile is answered, and what failed is tried again each time, in vain.
    assert!(matches!(world.wait(world.storage.flush()), Err(StorageError::Full)));
    assert_eq!(world.status(run, 1), Status::Running);
    let ended = world.storage.ended(run);
    disk::set(folder(&path), Fault::None);
    world.wait(ended).unwrap();
    assert_eq!(world.status(run, 1), Status::Succeeded);
    world.create(vec![world.new_run(9, 1)], 1);
}

#[test]
fn a_stop_does_not_wait_for_room() {
    let place = OnDisk::new(false);
    let path = place.path();
    let mut world = World::new(Box::new(place));
    world.create(vec![world.new_run(0, 0)], 0);
    let claim = world.claim(1, 0).remove(0);
    world.settle();
    disk::set(folder(&path), Fault::Full);
    world.storage.finish(world.end_of(claim.run, 1, succeeded(), Default::default(), 1), at(1));
    assert!(matches!(world.wait(world.storage.close()), Err(StorageError::Full)));
    disk::set(folder(&path), Fault::None);
    world.crash(2);
    assert_eq!(world.get(claim.run, 2).reason.as_deref(), Some("host-crashed"), "it is repeated");
}
