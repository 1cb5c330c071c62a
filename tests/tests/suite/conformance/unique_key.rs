//! Unique keys: several equal requests are one run.

use std::collections::HashMap;
use std::time::Duration;

use proptest::prelude::*;

use super::place;
use crate::conformance::world::{World, at, check, play};
use runlater::{RunId, Timestamp};
use runlater::model::{Standing, Status, Unique, UniqueKey, UniqueMode};
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
fn a_run_that_begins_anew_needs_its_key_again() {
    check(
        place(),
        "
        0s      create a key=k input=1                => queued due 0s
        0s      claim                                 => a 1
        1s      fail a                                => failed trap
        86401s  create b key=k input=2                => queued due 1d1s
        86402s  trigger a                             => unique key taken
        86402s  cancel b                              => cancelled cancelled
        86403s  trigger a                             => queued due 1d3s
        86404s  create x key=k input=1                => existing a
        86404s  trigger b                             => unique key taken
        ",
    );
}

#[test]
fn a_run_that_ends_before_its_first_attempt_frees_its_key() {
    check(
        place(),
        "
        0s   create a at=5s key=k input=1               => scheduled due 5s
        1s   cancel a                                   => cancelled cancelled
        1s   create b at=5s key=k input=2 mode=reject   => scheduled due 5s
        1s   trigger a                                  => unique key taken
        2s   delete b                                   => none
        2s   create c at=11s key=k input=3 for=300s     => scheduled due 11s
        99s  miss from=10s until=20s                    => 1
        99s  create d at=200s key=k input=4             => scheduled due 3m20s
        99s  trigger c                                  => unique key taken
        99s  cancel d                                   => cancelled cancelled
        99s  trigger c                                  => queued due 1m39s
        99s  create x at=200s key=k input=4             => taken by c
        99s  claim                                      => c 1
        100s requeue c                                  => queued shut-down due 1m40s
        101s cancel c                                   => cancelled cancelled
        102s create x at=200s key=k input=3             => existing c
        ",
    );
}

#[test]
fn a_missed_run_that_nobody_asked_for_again_keeps_the_span_of_its_key() {
    check(
        place(),
        "
        0s   create a at=11s key=k for=300s    => scheduled due 11s
        99s  miss from=10s until=20s           => 1
        99s  trigger a                         => queued due 1m39s
        99s  claim                             => a 1
        100s done a                            => succeeded
        399s create x key=k                    => existing a
        400s create b key=k                    => queued due 6m40s
        ",
    );
}

#[test]
fn a_start_deadline_frees_the_key_of_a_run_that_it_ends() {
    check(
        place(),
        "
        0s   policy concurrency=1 start-deadline=10s   => ok
        0s   create busy                               => queued due 0s
        0s   create a key=k                            => queued due 0s
        0s   claim                                     => busy 1
        11s  claim                                     => nothing
        11s  get a                                     => missed expired
        11s  create b at=60s key=k input=2             => scheduled due 1m
        ",
    );
}

#[test]
fn whoever_finds_a_run_is_told_how_it_stands() {
    let mut world = check(place(), "0s create a at=5s key=k => scheduled due 5s");
    let existing = |world: &World, now: i64| {
        let mut run = world.new_run(5, now);
        run.unique_key = Some(UniqueKey::parse("k", "key").unwrap().into());
        match world.wait(world.storage.create(world.namespace, vec![run], at(now))).unwrap().remove(0) {
            Created::Existing(existing) => (existing.status.unwrap(), existing.reason.clone(), existing.ended_at, existing.held_until),
            other => panic!("{other:?}"),
        }
    };
    assert_eq!(existing(&world, 0), (Status::Scheduled, None, None, None));
    play(&mut world, "5s claim => a 1\n 6s fail a => failed trap");
    let failed = (Status::Failed, Some("trap".into()), Some(at(6)), Some(at(86_406)));
    assert_eq!(existing(&world, 7), failed);
    let mut other = world.new_run(5, 7);
    other.unique_key = Some(Unique { mode: UniqueMode::Reject, ..UniqueKey::parse("k", "key").unwrap().into() });
    let refused = world.wait(world.storage.create(world.namespace, vec![other], at(7)));
    assert!(matches!(refused, Err(CreateError::UniqueKeyTaken(holder)) if holder.held_until == failed.3 && holder.status == Some(failed.0)));
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
    assert!(matches!(created, Err(CreateError::UniqueKeyTaken(id)) if id.run == world.names["h"]));
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
                    created.push(match first { Some(done) => done.unwrap().remove(0), None => ask.await.unwrap().remove(0) });
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

#[test]
fn the_holder_of_a_key_is_read_without_a_request() {
    let mut world = check(place(), "0s create a at=5s key=k for=10s => scheduled due 5s\n 0s create b at=5s key=l => scheduled due 5s");
    let key = |key| UniqueKey::parse(key, "key").unwrap();
    let holding = |world: &World, name, now| {
        let holder = world.storage.holder_of_key(world.namespace, &key(name), at(now)).unwrap();
        holder.and_then(|holder| holder.holding(at(now))).map(|holder| (holder.run, holder.status.unwrap(), holder.ended_at, holder.held_until))
    };
    let (a, b) = (world.names["a"], world.names["b"]);
    assert_eq!(holding(&world, "k", 4), Some((a, Status::Scheduled, None, None)));
    assert_eq!(holding(&world, "k", 5), Some((a, Status::Queued, None, None)));
    assert_eq!(holding(&world, "free", 4), None);
    assert_eq!(world.storage.holder_of_key(world.other, &key("k"), at(4)).unwrap(), None, "each namespace has its own keys");
    assert_eq!(holding(&world, "l", 4).unwrap().0, b);

    play(&mut world, "4s cancel b => cancelled cancelled\n 5s claim => a 1\n 6s fail a => failed trap");
    assert_eq!(holding(&world, "l", 4), None, "a run that is cancelled before its first attempt frees its key");
    assert_eq!(holding(&world, "k", 15), Some((a, Status::Failed, Some(at(6)), Some(at(16)))));
    assert_eq!(holding(&world, "k", 16), None);
}

/// The run that holds a key, in plain terms.
#[derive(Clone, Debug)]
struct Held {
    run: RunId,
    input: u8,
    due: i64,
    first: i64,
    held_for: i64,
    ended: Option<i64>,
}

/// A request under a key.
#[derive(Clone, Copy, Debug)]
struct Request {
    key: &'static str,
    mode: u8,
    input: u8,
    held_for: i64,
}

/// What became of a request, as far as it follows from the model.
#[derive(Clone, Copy, Debug, PartialEq)]
enum Seen {
    New(RunId),
    Existing(RunId, Timestamp),
    PutOff(RunId, Timestamp),
}

impl Seen {
    fn of(created: Created) -> Self {
        match created {
            Created::New(id) => Self::New(id),
            Created::Existing(existing) => Self::Existing(existing.run, existing.trigger_at),
            Created::PutOff(existing) => Self::PutOff(existing.run, existing.trigger_at),
        }
    }
}

#[derive(Clone, Copy, Debug)]
enum Step {
    Ask(Request),
    /// So many seconds pass, and what is due then is started.
    Pass(i64),
    /// Whatever runs ends.
    End,
}

fn step() -> impl Strategy<Value = Step> {
    prop_oneof![
        4 => (prop::sample::select(vec!["k", "l"]), 0u8..4, 1u8..3, prop::sample::select(vec![0, 20]))
            .prop_map(|(key, mode, input, held_for)| Step::Ask(Request { key, mode, input, held_for })),
        2 => (0i64..12).prop_map(Step::Pass),
        1 => Just(Step::End),
    ]
}

impl Request {
    fn unique(self) -> Unique {
        let (key, span) = (UniqueKey::parse(self.key, "key").unwrap(), Duration::from_secs);
        let mode = [UniqueMode::Existing, UniqueMode::Reject, UniqueMode::Replace].get(usize::from(self.mode)).copied();
        match mode {
            Some(mode) => Unique { mode, ..key.into() }.held_for(span(self.held_for as u64), "for").unwrap(),
            None => Unique::debounce(key, span(10), span(15)).unwrap(),
        }
    }

    /// What the contract says becomes of it; `Err` is who holds the key.
    fn expected(self, held: Option<&Held>, id: RunId, now: i64) -> Result<Seen, RunId> {
        let Some(held) = held.filter(|held| held.ended.is_none_or(|ended| ended + held.held_for > now)) else { return Ok(Seen::New(id)) };
        let waits = held.ended.is_none() && held.due > now;
        match self.mode {
            0 if held.input == self.input => Ok(Seen::Existing(held.run, at(held.due))),
            2 if waits => Ok(Seen::New(id)),
            3 if waits => Ok(Seen::PutOff(held.run, at((now + 10).min(held.first + 15)))),
            3 => Ok(Seen::New(id)),
            _ => Err(held.run),
        }
    }
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 40, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn every_request_goes_as_the_model_says(steps in prop::collection::vec(step(), 1..40)) {
        let world = World::new(place());
        let (mut now, mut held, mut claims) = (0i64, HashMap::<&str, Held>::new(), Vec::new());
        for step in steps {
            match step {
                Step::Pass(seconds) => {
                    now += seconds;
                    claims.extend(world.claim(usize::MAX, now));
                }
                Step::End => {
                    for claim in claims.drain(..) {
                        world.finish(claim.run, claim.attempt, crate::conformance::world::succeeded(), now);
                        held.values_mut().filter(|held| held.run == claim.run).for_each(|held| held.ended = Some(now));
                    }
                }
                Step::Ask(request) => {
                    let mut run = world.new_run(now + 7, now);
                    run.unique_key = Some(request.unique());
                    run.trigger_at = request.unique().due(at(now)).unwrap_or(run.trigger_at);
                    run.input = runlater::Payload::json(request.input.to_string().as_bytes(), "input").unwrap();
                    let (id, due) = (run.id, if request.mode == 3 { now + 10 } else { now + 7 });
                    let expected = request.expected(held.get(request.key), id, now);
                    let seen = match world.wait(world.storage.create(world.namespace, vec![run], at(now))) {
                        Ok(mut created) => Ok(Seen::of(created.remove(0))),
                        Err(CreateError::UniqueKeyTaken(holder)) => Err(holder.run),
                        Err(other) => return Err(TestCaseError::fail(other.to_string())),
                    };
                    prop_assert_eq!(&seen, &expected, "{:?} at {}, with {:?}", request, now, held.get(request.key));
                    let held_for = if request.mode == 3 { 0 } else { request.held_for };
                    match seen {
                        Ok(Seen::New(run)) => {
                            if let Some(before) = held.insert(request.key, Held { run, input: request.input, due, first: now, held_for, ended: None })
                                && request.mode == 2
                                && before.ended.is_none()
                                && before.due > now
                            {
                                prop_assert_eq!(world.storage.get(world.namespace, before.run, at(now)).unwrap(), None, "it was replaced");
                            }
                        }
                        Ok(Seen::PutOff(run, to)) => {
                            let held = held.get_mut(request.key).expect("somebody held it");
                            (held.input, held.due, held.held_for) = (request.input, (to.as_micros() - at(0).as_micros()) / 1_000_000, 0);
                            let seen = world.get(run, now);
                            prop_assert_eq!((seen.trigger_at, seen.input.bytes().to_vec()), (to, request.input.to_string().into_bytes()));
                        }
                        _ => {}
                    }
                }
            }
        }
        for held in held.values() {
            prop_assert!(world.storage.get(world.namespace, held.run, at(now)).unwrap().is_some(), "whoever holds a key is there");
        }
    }
}

#[test]
fn when_a_debounced_run_was_first_asked_for() {
    let mut world = World::new(place());
    play(
        &mut world,
        "
        0s  create plain at=50s                        => scheduled due 50s
        0s  create a key=k wait=10s max=100s           => scheduled due 10s
        ",
    );
    let first = |world: &World, name: &str, namespace| world.storage.first_asked_for(namespace, world.names[name]).unwrap();
    assert_eq!(first(&world, "a", world.namespace), None, "nobody has put it off");
    play(&mut world, "5s  create b key=k wait=10s max=100s           => a put off to 15s");
    for _ in 0..2 {
        assert_eq!(first(&world, "a", world.namespace), Some(at(0)));
        assert_eq!(first(&world, "a", world.other), None);
        assert_eq!(first(&world, "plain", world.namespace), None);
        world.reopen(6);
    }
}
