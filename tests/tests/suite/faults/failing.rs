//! Errors of the disk: whether a change was stored is unknown then, so the host stops, and the next one reads the one truth.

use std::path::{Path, PathBuf};
use std::sync::Arc;

use super::disk::{self, Fault};
use crate::conformance::sqlite::File;
use crate::conformance::world::{Place, World, at, large, succeeded};
use runlater::model::UniqueKey;
use runlater::storage::sqlite::SqliteStorage;
use runlater::storage::{CreateError, Storage, StorageError};
use runlater::{Status, Timestamp};

/// A database on a disk that may fail. After a crash there is what was written; after a cut of power, what was synced.
pub(super) struct OnDisk {
    file: File,
    cut: bool,
}

impl OnDisk {
    pub(super) fn path(&self) -> PathBuf {
        self.file.path()
    }

    pub(super) fn new(cut: bool) -> Self {
        let file = File::new();
        disk::watch(folder(&file.path()), None);
        Self { file, cut }
    }
}

pub(super) fn folder(path: &Path) -> &Path {
    path.parent().expect("it is in a folder")
}

impl Place for OnDisk {
    fn open(&self, now: Timestamp) -> Result<Arc<dyn Storage>, StorageError> {
        Ok(Arc::new(SqliteStorage::open(self.file.path(), now)?))
    }

    fn after_crash(&self) -> Box<dyn Place> {
        let copy = File::new();
        for suffix in ["-wal", ""] {
            let from = PathBuf::from(format!("{}{suffix}{}", self.file.path().display(), if self.cut { ".plate" } else { "" }));
            if from.exists() {
                std::fs::copy(from, format!("{}{suffix}", copy.path().display())).expect("a copy of the file");
            }
        }
        Box::new(copy)
    }

    fn size(&self) -> u64 {
        self.file.size()
    }

    fn at(&self, backup: &Path) -> Box<dyn Place> {
        self.file.at(backup)
    }
}

fn is_unknown(error: &StorageError) -> bool {
    matches!(error, StorageError::OutcomeUnknown(_))
}

#[test]
fn what_a_failing_disk_leaves_unknown_the_next_host_knows() {
    // Whether a run is there afterwards whose creation failed: that is for the disk to say, and for nobody to guess.
    for (fault, cut, there) in [
        (Fault::SyncKept, false, true),
        (Fault::SyncKept, true, true),
        (Fault::SyncLost, false, true),
        (Fault::SyncLost, true, false),
        (Fault::Write, false, false),
        (Fault::Write, true, false),
    ] {
        let case = format!("{fault:?}, power cut: {cut}");
        let place = OnDisk::new(cut);
        let path = place.path();
        let mut world = World::new(Box::new(place));
        let before = world.create(vec![world.new_run(100, 0), world.new_run(0, 0), world.new_run(5, 0)], 0);
        let running = world.claim(1, 0).remove(0);
        world.settle();
        disk::set(folder(&path), fault);

        let mut during = world.new_run(100, 1);
        during.unique_key = Some(UniqueKey::parse("during", "key").unwrap().into());
        let create = |world: &World, run| world.wait(world.storage.create(world.namespace, vec![run], at(1)));
        let refused = create(&world, during.clone()).unwrap_err();
        assert!(matches!(&refused, CreateError::Storage(error) if is_unknown(error)), "{case}: {refused}");
        assert!(is_unknown(&world.wait(world.storage.broken())), "{case}");

        // From here on nothing is claimed, nothing is told to have been stored, and a disk that works again changes nothing of that.
        world.storage.finish(world.end_of(running.run, 1, succeeded(), Default::default(), 2), at(2));
        disk::set(folder(&path), Fault::None);
        assert!(is_unknown(&world.wait(world.storage.flush()).unwrap_err()), "{case}");
        assert!(is_unknown(&world.wait(world.storage.delete(world.namespace, vec![before[0]], at(2))).unwrap_err()), "{case}");
        assert!(world.storage.claim(9, at(10)).is_empty() && world.storage.next_due().is_none(), "{case}");
        assert!(!world.storage.health().writable && world.storage.health().trouble.is_some(), "{case}");
        assert!(world.wait(world.storage.ended(before[2])).is_err(), "{case}: who waits is let go");
        // That it ends, on the disk that works again, decides nothing either: the log is left as it is.
        drop(world.wait(world.storage.close()));

        world.crash(20);
        let stored = |world: &World| world.all(world.namespace, 20).into_iter().filter(|run| run.unique_key.is_some()).count();
        assert_eq!(stored(&world), usize::from(there), "{case}");
        create(&world, during).unwrap();
        assert_eq!(stored(&world), 1, "{case}: repeated with its key, it is there once");
        assert_eq!(world.status(before[0], 20), Status::Scheduled, "{case}: what was acknowledged is there");
        assert_eq!(world.get(running.run, 20).reason.as_deref(), Some("host-crashed"), "{case}: an outcome that nobody stored is none");
        assert_eq!(world.claim(9, 20).len(), 2, "{case}: what waited goes on");
    }
}

#[test]
fn a_log_that_cannot_be_copied_stops_the_host_before_it_grows_for_ever() {
    let place = OnDisk::new(true);
    let path = place.path();
    let mut world = World::new(Box::new(place));
    disk::set(folder(&path), Fault::SyncLostOfDatabase);
    let mut acknowledged = 0;
    let refused = loop {
        let mut run = world.new_run(100, 0);
        run.input = large(200_000);
        match world.wait(world.storage.create(world.namespace, vec![run], at(0))) {
            Ok(_) => acknowledged += 1,
            Err(error) => break error,
        }
        assert!(acknowledged < 1_000, "no failure came");
    };
    assert!(matches!(&refused, CreateError::Storage(_)), "{refused}");
    assert!(is_unknown(&world.wait(world.storage.broken())));
    world.crash(1);
    let stored = world.all(world.namespace, 1).len();
    assert!(stored == acknowledged || stored == acknowledged + 1, "{acknowledged} were acknowledged, {stored} are there");
}
