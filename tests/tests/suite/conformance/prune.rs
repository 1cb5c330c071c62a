//! `prune`: what is kept no longer goes, and nothing else.

use super::place;
use crate::conformance::world::{World, at, backoff, check, name, play, registration, succeeded};
use proptest::prelude::*;
use runlater::model::{CodeSchedule, FailureReason, Next, Origin, Retention, TaskDefinition, TaskPolicy, Unique, UniqueKey};
use runlater::storage::PrunePlace;
use runlater::{Metadata, Payload, RunFilter, RunId};
use std::time::Duration;

/// Prunes all runs of `task`.
fn prune(world: &World, age: u64, count: u64, now: i64) -> u64 {
    let retention = Retention { age: Duration::from_secs(age), count };
    let (mut deleted, mut place) = (0, Some(PrunePlace::default()));
    while let Some(from) = place {
        let pruned = world.wait(world.storage.prune(world.task.id, retention, from, at(now))).unwrap();
        assert!(pruned.deleted <= 200, "a slice is bounded");
        deleted += pruned.deleted;
        place = pruned.next;
    }
    deleted
}

#[test]
fn by_age_and_by_number() {
    let mut world = check(
        place(),
        "
        0s   create a meta=n:1                => queued due 0s
        0s   create b                         => queued due 0s
        0s   create c                         => queued due 0s
        0s   create failed key=f              => queued due 0s
        0s   create waits at=500s             => scheduled due 8m20s
        0s   claim                            => a 1, b 1, c 1, failed 1
        10s  done a                           => succeeded
        20s  done b                           => succeeded
        30s  done c                           => succeeded
        40s  fail failed                      => failed trap
        40s  create other ns=2 at=500s        => scheduled due 8m20s
        ",
    );
    assert_eq!(prune(&world, 100, 9, 109), 0);
    assert_eq!(prune(&world, 100, 9, 110), 1);
    play(&mut world, "110s get a => none\n 110s get b => succeeded");
    let entry = RunFilter { metadata: Metadata::from_entries([("n", "1")]).unwrap(), ..RunFilter::default() };
    assert_eq!(world.storage.count(world.namespace, &entry, at(110)).unwrap(), 0, "nor is it found");
    assert_eq!(prune(&world, 1_000_000, 1, 110), 1, "c is the last one");
    play(&mut world, "110s get b => none\n 110s get c => succeeded");
    assert_eq!(prune(&world, 1_000_000, 0, 110), 1);
    assert_eq!(prune(&world, 100, 0, 200), 0, "a failed one is kept for its time, and its key for a day");
    play(&mut world, "200s create x key=f input=2 => taken by failed");
    assert_eq!(prune(&world, 100, 0, 40 + 86_400), 1);
    let attempts = world.storage.attempts(world.namespace, world.names["failed"], &Default::default()).unwrap().attempts;
    assert_eq!((attempts.len(), world.all(world.namespace, 0).len()), (0, 1), "what waits is left");
    play(&mut world, "86440s create x key=f input=2 => queued due 1d40s\n 86440s claim => waits 1, other 1, x 1");
    assert_eq!(world.storage.health().pruned, 4);
}

#[test]
fn a_schedule_of_code_does_not_come_back() {
    let world = World::new(place());
    let declare = |version: &[u8], now| {
        let schedules = vec![CodeSchedule { key: "x".into(), at: at(50), input: Payload::null() }];
        let task = TaskDefinition { schedules, ..TaskDefinition::new(name("task")) };
        let registration = registration(world.namespace, version, vec![(task, TaskPolicy::default())]);
        world.wait(world.storage.register(registration, at(now))).unwrap();
    };
    declare(b"1", 0);
    let claim = world.claim(1, 50).remove(0);
    assert_eq!(claim.origin, Origin::Code);
    world.finish(claim.run, claim.attempt, succeeded(), 51);
    assert_eq!(prune(&world, 1, 0, 60), 1);
    declare(b"2", 60);
    assert!(world.all(world.namespace, 60).is_empty());
}

#[test]
fn a_chain_goes_on_without_its_beginning() {
    let mut world = check(
        place(),
        "
        0s   create a                         => queued due 0s
        0s   claim                            => a 1
        1s   done a + create b at=9s; create c at=900s => succeeded
        9s   claim                            => b 1
        10s  done b                           => succeeded
        ",
    );
    assert_eq!(prune(&world, 1, 9, 500), 2);
    let c = world.get(world.names["c"], 500);
    assert_eq!((c.parent, c.root), (Some(world.names["a"]), Some(world.names["a"])), "its ancestors keep their names");
    play(&mut world, "900s claim => c 1\n 901s done c => succeeded");
    assert_eq!(prune(&world, 1, 9, 999), 1);
}

/// What becomes of one run of the property.
#[derive(Clone, Copy, Debug)]
enum Fate {
    Waits,
    Runs,
    Retries,
    Succeeds,
    Fails,
    Cancelled,
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 24, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn what_has_not_ended_is_never_deleted(
        fates in prop::collection::vec((prop::sample::select(vec![Fate::Waits, Fate::Runs, Fate::Retries, Fate::Succeeds, Fate::Fails, Fate::Cancelled]), 1i64..50, any::<bool>()), 1..40),
        age in 1u64..60,
        count in 0u64..12,
    ) {
        let world = World::new(place());
        let mut expected: Vec<(RunId, Option<(i64, bool, bool)>)> = Vec::new();
        for (number, (fate, end, keyed)) in fates.into_iter().enumerate() {
            let mut run = world.new_run(if matches!(fate, Fate::Waits) { 900 } else { 0 }, 0);
            run.unique_key = keyed.then(|| Unique::from(UniqueKey::parse(&format!("k{number}"), "key").unwrap()));
            let id = world.create(vec![run], 0)[0];
            let attempt = match fate {
                Fate::Waits | Fate::Cancelled => 0,
                _ => world.claim(1, 0)[0].attempt,
            };
            match fate {
                Fate::Waits | Fate::Runs => {}
                Fate::Retries => world.finish(id, attempt, backoff(800), end),
                Fate::Succeeds => world.finish(id, attempt, succeeded(), end),
                Fate::Fails => world.finish(id, attempt, Next::Failed { reason: FailureReason::Trap, message: String::new() }, end),
                Fate::Cancelled => {
                    world.wait(world.storage.cancel(world.namespace, id, at(end))).unwrap().unwrap();
                }
            }
            let ended = matches!(fate, Fate::Succeeds | Fate::Fails | Fate::Cancelled);
            // A run that was cancelled before its first attempt holds no key.
            let holds = keyed && !matches!(fate, Fate::Cancelled);
            expected.push((id, ended.then_some((end, matches!(fate, Fate::Fails), holds))));
        }
        // The reference: newest first, in plain terms.
        let (mut kept, mut newer) = (Vec::new(), 0);
        for (id, ended) in expected.iter().rev() {
            let keep = match ended {
                None => true,
                Some((end, failed, holds)) => {
                    let keep = *holds || (end + age as i64 > 60 && (*failed || newer < count));
                    newer += u64::from(keep && !failed);
                    keep
                }
            };
            kept.extend(keep.then_some(*id));
        }
        kept.reverse();
        prune(&world, age, count, 60);
        let left: Vec<_> = world.all(world.namespace, 60).into_iter().map(|run| run.id).collect();
        prop_assert_eq!(left, kept);
    }
}

#[test]
fn a_run_is_kept_for_as_long_as_its_idempotency_key_promises_it() {
    let mut world = crate::conformance::world::check(
        place(),
        "
        0s  create a at=5d sent=k     => scheduled due 5d
        0s  create b at=5d            => scheduled due 5d
        9s  cancel a                  => cancelled cancelled
        9s  cancel b                  => cancelled cancelled
        ",
    );
    for (now, left) in [(86_000, vec!["a"]), (86_408, vec!["a"]), (86_409, vec![])] {
        prune(&world, 1, 0, now);
        let left: Vec<_> = left.into_iter().map(|name| world.names[name]).collect();
        assert_eq!(world.all(world.namespace, now).iter().map(|run| run.id).collect::<Vec<_>>(), left, "at {now}");
    }
    world.reopen(86_409);
}

#[test]
fn the_file_stops_growing() {
    let world = World::new(place());
    let mut sizes = Vec::new();
    for generation in 0..12 {
        let now = generation * 100;
        let runs = (0..300).map(|number| {
            let mut run = world.new_run(now, now);
            run.input = crate::conformance::world::large(1_000);
            run.metadata = Metadata::from_entries([("generation", generation.to_string()), ("number", number.to_string())]).unwrap();
            run
        });
        world.create(runs.collect(), now);
        let mut claims = world.claim(300, now);
        let last = claims.len() - 1;
        for claim in claims.drain(..last) {
            let mut end = world.end_of(claim.run, claim.attempt, succeeded(), Default::default(), now);
            end.log = b"a line\n".repeat(20);
            world.storage.finish(end, at(now));
        }
        world.finish(claims[0].run, claims[0].attempt, succeeded(), now);
        prune(&world, 50, 1_000, now + 60);
        assert_eq!(world.all(world.namespace, now + 60).len(), 0);
        sizes.push(world.size());
    }
    assert_eq!(sizes[2..].iter().max(), sizes[2..].iter().min(), "it reuses what it freed: {sizes:?}");
}
