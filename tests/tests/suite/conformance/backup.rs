//! `backup`: a copy of one moment, while work goes on.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use super::place;
use crate::conformance::world::{World, at, check, play};

#[test]
fn the_copy_is_a_database_with_every_run() {
    let mut world = check(
        place(),
        "
        0s  create done             => queued due 0s
        0s  claim                   => done 1
        0s  done done               => succeeded
        0s  create waits at=50s     => scheduled due 50s
        ",
    );
    world.create((0..2_000).map(|_| world.new_run(60, 0)).collect(), 0);
    let folder = tempfile::tempdir().unwrap();
    let copy = folder.path().join("copy.db");
    let copied = Arc::new(AtomicU64::new(0));
    let seen = copied.clone();
    let not_yet = copy.clone();
    let progress = Box::new(move |done: u64, total: u64| {
        assert!(done <= total);
        assert!(!not_yet.exists(), "what is not whole does not bear the name of a backup");
        seen.store(total, Ordering::Relaxed);
    });
    world.wait(world.storage.backup(copy.clone(), progress)).unwrap();
    assert!(copied.load(Ordering::Relaxed) > 10);
    world.create(vec![world.new_run(70, 0)], 0);

    let place = world.place.at(&copy);
    world.storage = place.open(at(1)).unwrap();
    world.place = place;
    world.settle();
    assert_eq!(world.all(world.namespace, 1).len(), 2_002, "and nothing of what came later");
    play(
        &mut world,
        "
        1s   get done   => succeeded
        1s   get waits  => scheduled due 50s
        50s  claim      => waits 1
        ",
    );
}

#[test]
fn nothing_is_ever_overwritten() {
    let world = World::new(place());
    let folder = tempfile::tempdir().unwrap();
    let precious = folder.path().join("precious");
    std::fs::write(&precious, "precious").unwrap();
    let refused = world.wait(world.storage.backup(precious.clone(), Box::new(|_, _| {}))).unwrap_err();
    assert!(refused.to_string().contains("precious"), "{refused}");
    assert_eq!(std::fs::read(&precious).unwrap(), b"precious");
    let cut_short = folder.path().join("copy.db.partial");
    std::fs::write(&cut_short, "half").unwrap();
    let refused = world.wait(world.storage.backup(folder.path().join("copy.db"), Box::new(|_, _| {}))).unwrap_err();
    assert!(refused.to_string().contains("copy.db.partial") && refused.to_string().contains("remove it"), "{refused}");
    std::fs::remove_file(&cut_short).unwrap();
    world.wait(world.storage.backup(folder.path().join("copy.db"), Box::new(|_, _| {}))).unwrap();
    assert!(!cut_short.exists());
    let nowhere = folder.path().join("no/such/folder");
    assert!(world.wait(world.storage.backup(nowhere, Box::new(|_, _| {}))).is_err());
}
