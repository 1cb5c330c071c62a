//! Unique keys: several equal requests are one run.

use super::place;
use crate::conformance::world::{World, at, check};
use runlater::model::UniqueKey;
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
        run.unique_key = Some(UniqueKey::parse("k", "key").unwrap());
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
fn holder_says_what_create_would() {
    let world = check(place(), "0s create a at=5s key=k input=1 => scheduled due 5s");
    let mut run = world.new_run(9, 0);
    assert_eq!(world.storage.holder(world.namespace, &run, at(0)).unwrap(), None);
    run.unique_key = Some(UniqueKey::parse("k", "key").unwrap());
    assert!(matches!(world.storage.holder(world.namespace, &run, at(0)), Err(CreateError::UniqueKeyTaken(id)) if id == world.names["a"]));
    run.input = runlater::Payload::json(b"1", "input").unwrap();
    assert_eq!(world.storage.holder(world.namespace, &run, at(0)).unwrap(), Some(Created::Existing(world.names["a"])));
    assert_eq!(world.storage.holder(world.other, &run, at(0)).unwrap(), None);
}
