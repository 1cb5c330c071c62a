//! Unique keys: several equal requests are one run.

use super::place;
use crate::conformance::world::{World, at, check, play};
use runlater::model::{Standing, UniqueKey};
use runlater::storage::{Created, CreateError};

#[test]
fn held_while_the_run_lives_and_a_day_longer() {
    check(
        place(),
        "
        0s      create a at=5s key=k input=1          => scheduled due 5s
        0s      create x at=9s key=k input=1          => existing a
        0s      create y key=k input=2                => taken by a
        0s      create y key=k input=1 meta=a:b       => taken by a
        0s      create z at=9s key=k input=1 ns=2     => scheduled due 9s
        0s      create other at=9s key=l input=1      => scheduled due 9s
        5s      claim                                 => a 1
        5s      create x key=k input=1                => existing a
        10s     done a                                => succeeded
        86409s  create x key=k input=1                => existing a
        86409s  create y key=k input=2                => taken by a
        86410s  create b at=90000s key=k input=2      => scheduled due 1d1h
        86410s  create x key=k input=1                => taken by b
        ",
    );
}

#[test]
fn held_for_as_long_as_its_run_says() {
    check(
        place(),
        "
        0s   create a key=k for=10s         => queued due 0s
        0s   claim                          => a 1
        5s   done a                         => succeeded
        14s  create x key=k                 => existing a
        15s  create b key=k for=0s          => queued due 15s
        15s  claim                          => b 1
        16s  create x key=k                 => existing b
        17s  done b                         => succeeded
        17s  create c key=k                 => queued due 17s
        ",
    );
}

#[test]
fn a_request_that_rejects_never_finds_an_equal_one() {
    check(
        place(),
        "
        0s  create a at=5s key=k               => scheduled due 5s
        0s  create x key=k mode=reject         => taken by a
        0s  create x key=k                     => existing a
        ",
    );
}

#[test]
fn a_waiting_run_is_replaced_and_one_that_has_triggered_is_not() {
    let mut world = check(
        place(),
        "
        0s  create a at=5s key=k input=1 meta=of:1       => scheduled due 5s
        1s  create b at=9s key=k input=2 mode=replace    => scheduled due 9s
        1s  get a                                        => none
        5s  claim                                        => nothing
        9s  create x key=k mode=replace                  => taken by b
        9s  claim                                        => b 1
        9s  create x key=k mode=replace                  => taken by b
        10s done b                                       => succeeded
        11s create x key=k mode=replace                  => taken by b
        20s create c at=30s key=l mode=replace for=0s    => scheduled due 30s
        20s create p                                     => queued due 20s
        20s claim                                        => p 1
        21s done p + create d at=40s key=l mode=replace  => succeeded
        21s get c                                        => none
        40s claim                                        => d 1
        ",
    );
    world.reopen(50);
    assert_eq!(world.all(world.namespace, 50).len(), 3);
}

#[test]
fn a_bunch_that_is_refused_leaves_what_it_would_have_replaced() {
    let mut world = check(place(), "0s create a at=5s key=k => scheduled due 5s\n 0s create h at=9s key=h input=1 => scheduled due 9s");
    let unique = |key: &str, mode| Some(runlater::model::Unique { mode, ..UniqueKey::parse(key, "key").unwrap().into() });
    let (mut replaces, mut refused) = (world.new_run(7, 1), world.new_run(7, 1));
    replaces.unique_key = unique("k", runlater::model::UniqueMode::Replace);
    refused.unique_key = unique("h", runlater::model::UniqueMode::Reject);
    let created = world.wait(world.storage.create(world.namespace, vec![replaces, refused], at(1)));
    assert!(matches!(created, Err(CreateError::UniqueKeyTaken(id)) if id == world.names["h"]));
    play(&mut world, "5s claim => a 1");
}

#[test]
fn a_burst_of_requests_is_one_run_with_the_last_input() {
    let mut world = check(
        place(),
        "
        0s   create a key=k wait=10s max=30s input=1 meta=n:1  => scheduled due 10s
        8s   create x key=k wait=10s max=30s input=2 meta=n:2  => a put off to 18s
        10s  claim                                             => nothing
        17s  create x key=k wait=10s max=30s input=3 meta=n:3  => a put off to 27s
        26s  create x key=k wait=10s max=30s input=4 meta=n:4  => a put off to 30s
        29s  create x key=k wait=10s max=30s input=5 meta=n:5  => a put off to 30s
        30s  claim                                             => a 1
        30s  create b key=k wait=10s max=30s input=6           => scheduled due 40s
        31s  done a + create y key=k wait=10s max=30s          => backoff write-conflict due 41s
        ",
    );
    let (a, entry) = (world.get(world.names["a"], 31), |value: &str| runlater::RunFilter {
        metadata: runlater::Metadata::from_entries([("n", value)]).unwrap(),
        ..Default::default()
    });
    assert_eq!((a.input.bytes(), a.metadata.get("n")), (&b"5"[..], Some("5")));
    let counts = ["1", "4", "5"].map(|value| world.storage.count(world.namespace, &entry(value), at(31)).unwrap());
    assert_eq!(counts, [0, 0, 1], "what it could be found by before is gone");
    world.crash(35);
    play(&mut world, "40s claim => b 1");
}

#[test]
fn freed_by_deletion_only() {
    check(
        place(),
        "
        0s  create a at=5s key=k input=1  => scheduled due 5s
        0s  delete a                      => none
        0s  create b at=5s key=k input=2  => scheduled due 5s
        0s  cancel b                      => cancelled cancelled
        0s  create c at=5s key=k input=3  => taken by b
        ",
    );
}

#[test]
fn a_thousand_equal_requests_make_one_run() {
    let world = World::new(place());
    let mut runs: Vec<_> = (0..1_000).map(|_| world.new_run(5, 0)).collect();
    for run in &mut runs {
        run.unique_key = Some(UniqueKey::parse("k", "key").unwrap().into());
    }
    let new = std::thread::scope(|scope| {
        let ask = |runs: Vec<_>| {
            let runtime = tokio::runtime::Builder::new_current_thread().build().unwrap();
            let asks = runs.into_iter().map(|run| world.storage.create(world.namespace, vec![run], at(0)));
            runtime.block_on(async {
                let mut created = Vec::new();
                // All of them wait at once: each is asked for before the first is awaited.
                let asks: Vec<_> = asks.map(|mut ask| { let first = poll_once(&mut ask); (ask, first) }).collect();
                for (ask, first) in asks {
                    created.push(match first { Some(done) => done.unwrap()[0], None => ask.await.unwrap()[0] });
                }
                created
            })
        };
        let asks: Vec<_> = runs.chunks(250).map(|some| { let some = some.to_vec(); scope.spawn(move || ask(some)) }).collect();
        asks.into_iter().flat_map(|ask| ask.join().unwrap()).collect::<Vec<_>>()
    });
    let made: Vec<_> = new.iter().filter(|one| matches!(one, Created::New(_))).collect();
    assert_eq!((new.len(), made.len()), (1_000, 1));
    assert!(new.iter().all(|one| one.id() == made[0].id()));
    assert_eq!(world.all(world.namespace, 0).len(), 1);
}

fn poll_once<T>(ask: &mut (impl Future<Output = T> + Unpin)) -> Option<T> {
    match std::pin::Pin::new(ask).poll(&mut std::task::Context::from_waker(std::task::Waker::noop())) {
        std::task::Poll::Ready(done) => Some(done),
        std::task::Poll::Pending => None,
    }
}

#[test]
fn holder_says_what_create_judges_by() {
    let world = check(place(), "0s create a at=5s key=k input=1 => scheduled due 5s");
    let mut run = world.new_run(9, 0);
    assert_eq!(world.storage.holder(world.namespace, &run, at(0)).unwrap(), None);
    run.unique_key = Some(UniqueKey::parse("k", "key").unwrap().into());
    let holder = |run: &_, now| world.storage.holder(world.namespace, run, at(now)).unwrap().unwrap();
    let different = holder(&run, 0);
    assert_eq!((different.run, different.standing, different.is_equal, different.same_task), (world.names["a"], Standing::Waiting, false, true));
    run.input = runlater::Payload::json(b"1", "input").unwrap();
    assert!(holder(&run, 0).is_equal);
    assert_eq!((holder(&run, 5).standing, holder(&run, 5).first_at), (Standing::Triggered, at(0)));
    assert_eq!(world.storage.holder(world.other, &run, at(0)).unwrap(), None);
}
