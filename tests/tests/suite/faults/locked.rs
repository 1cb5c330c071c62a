//! Another program that holds SQLite's write lock, such as an embedder with a long transaction of its own: what waits too long is withdrawn, what was
//! promised is kept, and the host goes on by itself. `cli/locked.rs` has the same over HTTP.

use std::path::Path;

use rusqlite::Connection;

use crate::conformance::sqlite::File;
use crate::conformance::world::{World, at, succeeded};
use runlater::Status;
use runlater::model::UniqueKey;
use runlater::storage::{CreateError, StorageError};

fn hold(path: &Path, begin: &str) -> Connection {
    let other = Connection::open(path).unwrap();
    other.execute_batch(begin).unwrap();
    other
}

fn world() -> (World, std::path::PathBuf) {
    let place = File::new();
    let path = place.path();
    (World::new(Box::new(place)), path)
}

#[test]
fn a_withdrawn_write_is_never_committed_and_an_outcome_is() {
    for begin in ["BEGIN IMMEDIATE", "BEGIN EXCLUSIVE"] {
        let (world, path) = world();
        let runs = world.create(vec![world.new_run(0, 0), world.new_run(1, 0)], 0);
        let claim = world.claim(1, 0).remove(0);
        world.settle();
        let other = hold(&path, begin);
        world.storage.finish(world.end_of(claim.run, 1, succeeded(), Default::default(), 1), at(1));
        let during = || {
            let mut run = world.new_run(100, 1);
            run.unique_key = Some(UniqueKey::parse("during", "key").unwrap().into());
            world.wait(world.storage.create(world.namespace, vec![run], at(1)))
        };
        // The first waits until the bound, the next ones do not.
        for _ in 0..3 {
            let refused = during().unwrap_err();
            assert!(matches!(&refused, CreateError::Storage(StorageError::Locked)), "{begin}: {refused}");
        }
        let deleted = world.wait(world.storage.delete(world.namespace, vec![runs[1]], at(1)));
        assert!(matches!(deleted, Err(StorageError::Locked)), "{begin}");
        let health = world.storage.health();
        assert_eq!((health.writable, health.reason, health.trouble), (false, Some("database-locked"), None), "{begin}");
        // What is due waits, so that outcomes do not pile up in memory; what is stored can be read.
        assert!(world.storage.claim(9, at(2)).is_empty(), "{begin}");
        assert_eq!((world.status(runs[0], 2), world.status(runs[1], 2)), (Status::Running, Status::Queued), "{begin}");

        let ended = world.storage.ended(runs[0]);
        other.execute_batch("ROLLBACK").unwrap();
        world.wait(ended).unwrap();
        assert_eq!(world.status(runs[0], 2), Status::Succeeded, "{begin}: the outcome was kept");
        world.settle();
        assert_eq!(world.claim(9, 2).len(), 1, "{begin}: what was due starts");
        let keyed = || world.all(world.namespace, 2).into_iter().filter(|run| run.unique_key.is_some()).count();
        assert_eq!(keyed(), 0, "{begin}: what was withdrawn is not there");
        during().unwrap();
        assert_eq!(keyed(), 1, "{begin}");
        assert!(world.storage.health().writable, "{begin}");
    }
}

#[test]
fn a_stop_does_not_wait_for_the_lock() {
    let (mut world, path) = world();
    world.create(vec![world.new_run(0, 0)], 0);
    let claim = world.claim(1, 0).remove(0);
    world.settle();
    let other = hold(&path, "BEGIN IMMEDIATE");
    world.storage.finish(world.end_of(claim.run, 1, succeeded(), Default::default(), 1), at(1));
    assert!(matches!(world.wait(world.storage.close()), Err(StorageError::Locked)));
    // As it lies now. The last connection that is closed would copy the log.
    world.crash(2);
    drop(other);
    assert_eq!(world.get(claim.run, 2).reason.as_deref(), Some("host-crashed"), "it is repeated");
}

#[test]
fn a_stop_that_owes_nothing_does_not_fail() {
    let (world, path) = world();
    let other = hold(&path, "BEGIN IMMEDIATE");
    world.wait(world.storage.close()).unwrap();
    drop(other);
}

#[test]
fn a_host_that_cannot_write_does_not_start() {
    let (world, path) = world();
    world.wait(world.storage.close()).unwrap();
    let other = hold(&path, "BEGIN IMMEDIATE");
    let refused = runlater::storage::sqlite::SqliteStorage::open(&path, at(1)).map(drop).unwrap_err().to_string();
    assert!(refused.contains("locked by another program for 5 s"), "{refused}");
    drop(other);
}
