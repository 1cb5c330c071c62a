//! `create`, and the ids it is given.

use super::place;
use crate::conformance::world::{World, at, check, large, write_set};
use runlater::model::{Lineage, NewRun, Next, Origin, Retention, UniqueKey, Write};
use runlater::storage::Quotas;
use runlater::{Metadata, Payload, Status};
use std::time::Duration;

#[test]
fn a_time_that_has_passed_is_due_at_once() {
    check(
        place(),
        "
        9s  create a at=3s   => queued due 9s
        9s  claim            => a 1
        ",
    );
}

#[test]
fn everything_said_of_a_run_is_kept() {
    let mut world = World::new(place());
    let parent = world.create(vec![world.new_run(1, 0)], 0)[0];
    let mut new = world.new_run(7, 5);
    new.input = Payload::new("text/plain", b"\x00\xff", "input").unwrap();
    new.metadata = Metadata::from_entries([("customer", "a \"b\" \\ 'c'"), ("é\u{1f980}\n", "%_?")]).unwrap();
    new.unique_key = Some(UniqueKey::parse("key", "key").unwrap().into());
    new.origin = Origin::Guest;
    new.lineage = Some(Lineage { parent, root: parent, depth: 3 });
    (new.max_attempts, new.timeout, new.priority) = (Some(9), Some(Duration::from_millis(1500)), Some(2));
    world.create(vec![new.clone()], 5);
    for _ in 0..2 {
        let run = world.get(new.id, 5);
        assert_eq!((run.task.as_str(), run.trigger_at, run.due_at, run.created_at), ("task", at(7), Some(at(7)), at(5)));
        assert_eq!((&run.input, &run.metadata, run.unique_key.as_deref()), (&new.input, &new.metadata, Some("key")));
        assert_eq!((run.origin, run.parent, run.root, run.priority), (Origin::Guest, Some(parent), Some(parent), 2));
        assert_eq!((run.attempts, run.started_at, run.finished_at, run.output, run.progress), (0, None, None, None, None));
        world.reopen(5);
    }
    let claims = world.claim(usize::MAX, 7);
    let claim = claims.iter().find(|claim| claim.run == new.id).expect("it is due");
    assert_eq!((claim.max_attempts, claim.timeout, claim.lineage), (9, Duration::from_millis(1500), new.lineage));
    assert_eq!((&*claim.metadata, claim.input.as_ref(), claim.origin), (&new.metadata, Some(&new.input), Origin::Guest));
}

#[test]
fn several_are_stored_all_or_none() {
    let world = check(place(), "0s create holder at=9s key=k input=1 => scheduled due 9s");
    let mut runs: Vec<_> = (0..5).map(|_| world.new_run(0, 0)).collect();
    runs[3].unique_key = Some(UniqueKey::parse("k", "key").unwrap().into());
    runs[1].unique_key = Some(UniqueKey::parse("free", "key").unwrap().into());
    let refused = world.wait(world.storage.create(world.namespace, runs.clone(), at(0)));
    assert!(refused.is_err());
    assert_eq!(world.all(world.namespace, 0).len(), 1);
    assert_eq!(world.claim(usize::MAX, 5).len(), 0, "nothing of it is in the queue either");
    runs.remove(3);
    assert_eq!(world.create(runs, 5).len(), 4, "and its keys are free");
    assert_eq!(world.claim(usize::MAX, 5).len(), 4);
}

#[test]
fn a_namespace_holds_so_many_that_wait_and_no_more() {
    let mut world = World::new(place());
    let create = |world: &World, namespace, count: i64, now| {
        let runs = (0..count).map(|_| world.new_run(now + 9, now)).collect();
        world.wait(world.storage.create(namespace, runs, at(now))).map(|created| created.len()).map_err(|error| error.to_string())
    };
    for _ in 0..2 {
        world.storage.set_quotas(Quotas { live_runs: 5, ..Quotas::default() });
        let rest = 5 - world.all(world.namespace, 0).len() as i64;
        assert_eq!(create(&world, world.namespace, rest, 0), Ok(rest as usize));
        let refused = create(&world, world.namespace, 1, 0).unwrap_err();
        assert!(refused.contains("5 runs wait in this namespace, which is the limit"), "{refused}");
        assert_eq!(world.storage.has_room(world.namespace, 1, at(0)).unwrap(), Err(5));
        // After a restart it is known as well; and who has gone leaves room.
        let run = world.all(world.namespace, 0)[0].id;
        world.wait(world.storage.delete(world.namespace, vec![run], at(0))).unwrap()[0].clone().unwrap();
        world.reopen(0);
        world.storage.set_quotas(Quotas { live_runs: 5, ..Quotas::default() });
    }
    assert!(create(&world, world.namespace, 2, 1).is_err(), "all of them, or none");
    assert_eq!(create(&world, world.other, 5, 1), Ok(5), "each namespace for itself");
    // Those that run do not wait, and neither do those that have ended.
    assert_eq!(world.claim(3, 9).len(), 3);
    world.settle();
    assert_eq!(create(&world, world.namespace, 4, 10), Ok(4));
    assert!(create(&world, world.namespace, 1, 11).is_err());
}

#[test]
fn ids_only_rise() {
    let mut world = World::new(place());
    let mut before = world.storage.next_run_id(at(0));
    let mut rises = |world: &World, now| {
        let id = world.storage.next_run_id(at(now));
        assert!(id > before, "at {now}");
        before = id;
    };
    for now in [0, 5, 5, 3, -100] {
        rises(&world, now);
    }
    // Also after the run with the last of them is gone and the clock stepped back: an id never means two runs.
    let last = world.create(vec![world.new_run(50, 20)], 20)[0];
    rises(&world, 20);
    world.wait(world.storage.delete(world.namespace, vec![last], at(20))).unwrap()[0].clone().unwrap();
    world.reopen(1);
    rises(&world, 1);
}

#[test]
fn namespaces_see_nothing_of_each_other() {
    check(
        place(),
        "
        0s  create a at=5s meta=k:v key=x        => scheduled due 5s
        0s  create b at=5s meta=k:v key=x ns=2   => scheduled due 5s
        0s  get a ns=2                           => none
        0s  get b                                => none
        0s  move a to=9s ns=2                    => not found
        0s  delete a ns=2                        => not found
        0s  trigger a ns=2                       => not found
        0s  cancel a ns=2                        => not found
        0s  attempts b                           => none
        0s  move b to=9s                         => not found
        0s  get a                                => scheduled due 5s
        0s  get b ns=2                           => scheduled due 5s
        5s  claim                                => a 1, b 1
        ",
    );
}

#[test]
fn an_id_of_another_database_is_no_run() {
    let stranger = World::new(place());
    let foreign = stranger.create(vec![stranger.new_run(5, 0)], 0)[0];
    let mut world = World::new(place());
    world.names.insert("foreign".into(), foreign);
    crate::conformance::world::play(
        &mut world,
        "
        0s  get foreign          => none
        0s  move foreign to=9s   => not found
        0s  delete foreign       => not found
        0s  trigger foreign      => not found
        0s  cancel foreign       => not found
        0s  attempts foreign     => none
        ",
    );
    world.wait(world.storage.ended(foreign)).expect_err("whoever waits for its end is let go at once");
}

#[test]
fn a_namespace_holds_so_many_bytes_and_no_more() {
    let mut world = World::new(place());
    let quotas = Quotas { run_bytes: 10_000, ..Quotas::default() };
    let create = |world: &World, namespace, sizes: &[usize], now| {
        let runs = sizes.iter().map(|size| NewRun { input: large(*size), ..world.new_run(now, now) }).collect();
        world.wait(world.storage.create(namespace, runs, at(now))).map(|created| created.len()).map_err(|error| error.to_string())
    };
    world.storage.set_quotas(quotas);
    assert_eq!(create(&world, world.namespace, &[5_000 - 256], 0), Ok(1));
    let refused = create(&world, world.namespace, &[1_000, 4_000 - 256], 0).unwrap_err();
    assert!(refused.contains("hold 6256 bytes, and may hold 10000"), "{refused}");
    assert_eq!(world.storage.run_bytes(world.namespace), 5_000, "all of them, or none");
    assert_eq!(create(&world, world.namespace, &[5_000 - 256], 0), Ok(1), "to the byte");
    assert!(create(&world, world.namespace, &[2], 0).is_err());
    assert_eq!(create(&world, world.other, &[5_000], 50), Ok(1), "each namespace for itself");
    // How an attempt ended is stored in any case, and a follow-up is not.
    let claim = world.claim(1, 0).remove(0);
    let follow_up = NewRun { lineage: Some(Lineage { parent: claim.run, root: claim.run, depth: 0 }), ..world.new_run(0, 0) };
    let writes = write_set([Write::Schedule(Box::new(follow_up))]);
    world.finish_with(claim.run, claim.attempt, Next::Succeeded { output: Some(large(100)) }, writes, 1);
    let ended = world.get(claim.run, 1);
    assert_eq!((ended.status, ended.reason.as_deref()), (Status::Failed, Some("quota-exceeded")));
    let claim = world.claim(1, 1).remove(0);
    world.finish(claim.run, claim.attempt, Next::Succeeded { output: Some(large(1_000)) }, 1);
    assert_eq!(world.get(claim.run, 1).status, Status::Succeeded);
    let held = world.storage.run_bytes(world.namespace);
    assert_eq!(held, 11_000 + world.get(ended.id, 1).message.unwrap().len() as u64, "without the output that was not stored");
    // A restart finds the same, a namespace may have a limit of its own, and what is deleted leaves room.
    for restart in [World::crash, World::reopen] {
        restart(&mut world, 2);
        assert_eq!(world.storage.run_bytes(world.namespace), held);
        world.storage.set_quotas(quotas);
        assert!(create(&world, world.namespace, &[2], 2).is_err());
    }
    world.storage.limit_run_bytes(world.namespace, Some(held + 1_000));
    assert_eq!(create(&world, world.namespace, &[1_000 - 256], 2), Ok(1));
    world.storage.limit_run_bytes(world.namespace, None);
    let retention = Retention { age: Duration::from_secs(1), count: 0 };
    world.wait(world.storage.prune(world.task.id, retention, Default::default(), at(99))).unwrap();
    assert_eq!(world.storage.run_bytes(world.namespace), 1_000);
    assert_eq!(create(&world, world.namespace, &[9_000 - 256], 99), Ok(1));
}
