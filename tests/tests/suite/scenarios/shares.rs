//! What one namespace notices of others that take every slot and all the memory of the host, and never give them back: nothing.

use std::time::Duration;

use runlater::model::limits::{Limits, TIMEOUT_MAX};
use runlater::model::{Cause, Grant};
use runlater::{RunId, Scheduler, Status};
use serde_json::{Value, json};

use super::world::{World, guarded, secs};
use crate::guests;

const HOSTILE: usize = 10;
/// Longer than any test.
const DAY_MS: u64 = 86_400_000;
const MIB: u64 = 1 << 20;

/// Other namespaces, in each of which this guest is registered.
async fn others(world: &World, guest: &str, count: usize) -> Vec<Scheduler> {
    let mut others = Vec::new();
    for number in 0..count {
        let other = world.scheduler.in_namespace(&format!("hostile-{number}")).await.unwrap();
        other.register(guests::component(guest)).grant(Grant::Runs).send().await.unwrap();
        others.push(other);
    }
    others
}

async fn schedule(scheduler: &Scheduler, task: &str, input: Value) -> RunId {
    scheduler.schedule(task).input(&input).unwrap().timeout(TIMEOUT_MAX).send().await.unwrap()
}

/// Waits until what the host tells of itself is so. That is nothing which is told of, so this looks.
async fn until(world: &World, what: &str, wanted: impl Fn(runlater::storage::Health) -> bool) {
    guarded(what, async {
        while !wanted(world.scheduler.health()) {
            tokio::time::sleep(Duration::from_millis(1)).await;
        }
    })
    .await;
}

/// The code of the first cause, for a run of this namespace.
async fn causes(scheduler: &Scheduler, run: RunId) -> Vec<Cause> {
    scheduler.explain(run).await.unwrap().causes
}

#[tokio::test]
async fn ten_namespaces_of_sleepers_leave_slots_for_another_one() {
    const SLOTS: usize = 48;
    let world = World::built(&["behaviours"], |builder| builder.slots(SLOTS)).await;
    let hostile = others(&world, "behaviours", HOSTILE).await;
    let mut sleepers = Vec::new();
    for _ in 0..SLOTS {
        for other in &hostile {
            sleepers.push((other, schedule(other, "sleep", json!({ "ms": DAY_MS })).await));
        }
    }
    let all = sleepers.len();
    until(&world, "all sleep or wait", |health| health.running + health.waiting_for_slots == all).await;
    let running = world.scheduler.health().running;
    assert!((SLOTS / 2..SLOTS).contains(&running), "{running} of {SLOTS}: most are used, and some are kept");

    // At once, when its time comes, and one after the other.
    let later = world.schedule("touch", Value::Null).after(secs(5)).send().await.unwrap();
    world.quiet().await;
    world.advance(secs(5));
    assert_eq!(world.wait(later).await.status, Status::Succeeded);
    for _ in 0..SLOTS {
        world.quiet().await;
    }
    let (mut held, mut last) = (0, None);
    for (other, run) in &sleepers {
        match other.get(*run).await.unwrap().status {
            Status::Queued => {
                held += 1;
                last = Some((other, *run));
            }
            status => assert_eq!(status, Status::Running),
        }
    }
    assert_eq!(held, all - running, "they were there all the time");
    let (other, queued) = last.unwrap();
    assert!(matches!(causes(other, queued).await[0], Cause::NamespaceFull { running: 1.. }), "{:?}", causes(other, queued).await);

    // What they give back is theirs to take.
    for (other, run) in &sleepers {
        if other.get(*run).await.unwrap().status == Status::Running {
            other.cancel(*run).await.unwrap();
        }
    }
    guarded("the next ones sleep", async {
        loop {
            let health = world.scheduler.health();
            if health.running + health.waiting_for_slots == all - running && health.running >= SLOTS / 2 {
                break;
            }
            // They are told to end, and have a grace.
            world.advance(secs(1));
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
    })
    .await;
    world.quiet().await;
}

#[tokio::test]
async fn a_namespace_alone_has_all_slots() {
    const SLOTS: usize = 12;
    let world = World::built(&["behaviours"], |builder| builder.slots(SLOTS)).await;
    world.scheduler.in_namespace("without-tasks").await.unwrap();
    for _ in 0..SLOTS {
        schedule(&world.scheduler, "sleep", json!({ "ms": DAY_MS })).await;
    }
    until(&world, "all sleep", |health| health.running == SLOTS).await;
}

#[tokio::test]
async fn ten_namespaces_that_hold_memory_leave_some_for_another_one() {
    let limits = Limits { memory_bytes: 32 << 20, ..Limits::default() };
    let world = World::built(&["hostile"], |builder| builder.limits(limits).guest_memory(256 * MIB)).await;
    let hostile = others(&world, "hostile", HOSTILE).await;
    let mut runs = Vec::new();
    for _ in 0..3 {
        for other in &hostile {
            runs.push((other, schedule(other, "hold", json!({ "mib": 20, "ms": DAY_MS })).await));
        }
    }
    // Those that can't grow are given back, and reserve what they need before they start again.
    for _ in 0..6 {
        until(&world, "some wait", |health| health.waiting_for_memory > 0).await;
        world.advance(secs(1));
        for _ in 0..5 {
            let quiet = world.run("hold", json!({ "mib": 1, "ms": 0 })).await;
            assert_eq!((quiet.status, quiet.failures), (Status::Succeeded, 0), "{:?}", quiet.message);
        }
    }
    let mut waits = 0;
    for (other, run) in &runs {
        let seen = other.get(*run).await.unwrap();
        assert!(matches!(seen.status, Status::Running | Status::Queued) && seen.failures == 0, "{seen:?}");
        waits += usize::from(causes(other, *run).await.iter().any(|cause| matches!(cause, Cause::WaitsForMemory { .. })));
    }
    assert!(waits > 0, "a run that waits says so");
}

#[tokio::test]
async fn more_than_the_hosts_memory_is_used_one_after_the_other_and_fails_nobody() {
    let world = World::built(&["hostile"], |builder| builder.guest_memory(160 * MIB)).await;
    let mut namespaces = others(&world, "hostile", 2).await;
    namespaces.push(world.scheduler.clone());
    let mut runs = Vec::new();
    for mib in [10, 100, 40, 70, 100, 1] {
        for namespace in &namespaces {
            runs.push((namespace, schedule(namespace, "hold", json!({ "mib": mib, "ms": 500 })).await));
        }
    }
    let passing = async {
        loop {
            tokio::time::sleep(Duration::from_millis(20)).await;
            world.advance(Duration::from_millis(500));
        }
    };
    let ending = async {
        for (namespace, run) in &runs {
            let ended = guarded("an outcome", namespace.wait(*run)).await.unwrap();
            assert_eq!((ended.status, ended.failures), (Status::Succeeded, 0), "{:?}", ended.message);
        }
    };
    tokio::select! {
        () = ending => {}
        () = passing => {}
    }
}

#[tokio::test]
async fn less_memory_than_one_attempt_may_have_is_refused() {
    let folder = tempfile::tempdir().unwrap();
    let builder = Scheduler::builder().sqlite(folder.path().join("runs.db"));
    let refused = builder.guest_memory(127 * MIB).build().await.err().unwrap().to_string();
    assert!(refused.contains("134217728") && refused.contains("guest-memory"), "{refused}");
}
