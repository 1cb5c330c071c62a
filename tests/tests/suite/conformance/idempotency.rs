//! Idempotency keys: a request that is sent twice makes one run, whatever became of it.

use super::place;
use crate::conformance::world::{World, at, check, play};
use runlater::storage::{Created, Forgotten};

#[test]
fn held_while_the_run_lives_and_a_day_after_the_request_and_its_end() {
    check(
        place(),
        "
        0s      create a at=5s sent=k input=1           => scheduled due 5s
        0s      create x at=5s sent=k input=1           => existing a
        0s      create x at=5s sent=k input=2           => conflict with a
        0s      create x at=6s sent=k input=1           => conflict with a
        0s      create x at=5s sent=k input=1 meta=a:b  => conflict with a
        0s      create other at=5s sent=l input=1       => scheduled due 5s
        0s      create z at=5s sent=k input=1 ns=2      => scheduled due 5s
        5s      claim 1                                 => a 1
        10s     done a                                  => succeeded
        86409s  create x at=5s sent=k input=1           => existing a
        86410s  create b at=5s sent=k input=1           => queued due 1d10s
        ",
    );
}

#[test]
fn a_run_that_was_cancelled_or_deleted_is_not_made_again() {
    check(
        place(),
        "
        0s      create a at=5d sent=k                   => scheduled due 5d
        1s      cancel a                                => cancelled cancelled
        2s      create x at=5d sent=k                   => existing a
        2s      create b at=5d sent=l                   => scheduled due 5d
        3s      delete b                                => none
        4s      create x at=5d sent=l                   => existing b
        4s      create x at=6d sent=l                   => conflict with b
        86400s  create x at=5d sent=k                   => existing a
        86401s  create c at=5d sent=k                   => scheduled due 5d
        86402s  create d at=5d sent=l                   => scheduled due 5d
        ",
    );
}

#[test]
fn it_goes_with_a_unique_key_and_comes_first() {
    check(
        place(),
        "
        0s  create a at=60s sent=k key=u input=1                => scheduled due 1m
        1s  create x at=60s sent=k key=u input=1                => existing a
        1s  create x at=60s sent=l key=u input=1                => existing a
        1s  create x at=60s sent=m key=u input=2                => taken by a
        2s  cancel a                                            => cancelled cancelled
        2s  create x at=60s sent=k key=u input=1                => existing a
        2s  create x at=60s sent=l key=u input=1                => existing a
        2s  create b at=60s sent=m key=u input=2                => scheduled due 1m
        3s  create c key=d wait=10s max=30s sent=n input=1      => scheduled due 13s
        3s  create x key=d wait=10s max=30s sent=n input=1      => existing c
        4s  create x key=d wait=10s max=30s sent=o input=2      => c put off to 14s
        4s  create x key=d wait=10s max=30s sent=o input=2      => existing c
        ",
    );
}

#[test]
fn keys_are_forgotten_when_they_are_held_no_longer() {
    let mut world = check(
        place(),
        "
        0s  create ended sent=a             => queued due 0s
        0s  claim                           => ended 1
        9s  done ended                      => succeeded
        0s  create waits at=9d sent=b       => scheduled due 9d
        0s  create gone at=9d sent=c        => scheduled due 9d
        1s  delete gone                     => none
        ",
    );
    let forgotten = |world: &World, now: i64| {
        let Forgotten { keys, more } = world.wait(world.storage.forget_keys(at(now))).unwrap();
        assert!(!more, "one slice is enough");
        keys
    };
    assert_eq!([0, 86_399, 86_400, 86_408, 86_409].map(|now| forgotten(&world, now)), [0, 0, 1, 0, 1]);
    play(&mut world, "90000s create x at=9d sent=b => existing waits");
    for _ in 0..2 {
        assert_eq!(forgotten(&world, 200_000), 0, "its run still waits");
        world.reopen(200_000);
    }
}

#[test]
fn a_deleted_run_is_told_as_that() {
    let mut world = check(place(), "0s create a at=60s => scheduled due 1m");
    let request = |world: &World| {
        let mut run = world.new_run(60, 0);
        let request = runlater::model::Request {
            task: &run.task.name,
            due: runlater::model::Due::Now,
            input: &run.input,
            metadata: &run.metadata,
            unique: None,
            max_attempts: None,
            timeout: None,
            priority: None,
        };
        let key = runlater::model::UniqueKey::parse("k", "key").unwrap();
        run.idempotency = Some(Box::new(runlater::model::Idempotency::new(key, &request)));
        run
    };
    let first = world.create(vec![request(&world)], 0)[0];
    world.names.insert("b".into(), first);
    play(&mut world, "1s delete b => none");
    let again = world.wait(world.storage.create(world.namespace, vec![request(&world)], at(2))).unwrap().remove(0);
    let Created::Existing(existing) = again else { panic!("{again:?}") };
    assert_eq!((existing.run, existing.status, existing.trigger_at, existing.held_until), (first, None, at(60), Some(at(86_400))));
}
