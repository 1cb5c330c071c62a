//! `pause_task`: that a task is paused, since when and until when, outlives everything but its end.
//!
//! That its runs wait meanwhile is checked where the queue is.

use runlater::model::{AuditAction, AuditQuery, Pause, TaskDefinition, TaskPolicy};

use super::place;
use crate::conformance::world::{World, at, name, registration};

fn pause(since: i64, until: Option<i64>, note: &str) -> Pause {
    Pause::new(at(since), until.map(at), note).unwrap()
}

/// Pauses `task`, or lets it go on, at second `now`.
fn set(world: &World, pause: Option<Pause>, now: i64) {
    let task = world.wait(world.storage.pause_task(world.namespace, name("task"), pause, at(now))).unwrap();
    assert_eq!(task, world.storage.task(world.namespace, "task"), "it is answered as it is then");
}

fn held(world: &World) -> Option<Pause> {
    world.storage.task(world.namespace, "task").unwrap().pause.clone()
}

fn register_again(world: &World, version: &[u8], now: i64) {
    let tasks = vec![(TaskDefinition::new(name("task")), TaskPolicy::default())];
    world.wait(world.storage.register(registration(world.namespace, version, tasks), at(now))).unwrap();
}

#[test]
fn a_pause_is_kept() {
    let mut world = World::new(place());
    assert_eq!(held(&world), None);
    let expected = pause(1, Some(100), "an upgrade");
    set(&world, Some(expected.clone()), 1);
    for version in [b"second", b"third!"] {
        assert_eq!(held(&world).as_ref(), Some(&expected));
        register_again(&world, version, 2);
        assert_eq!(held(&world).as_ref(), Some(&expected), "a new version does not end it");
        world.reopen(3);
        assert_eq!(held(&world).as_ref(), Some(&expected));
        world.crash(4);
    }
    let task = world.storage.task(world.namespace, "task").unwrap();
    assert_eq!(task.updated_at, at(2), "that is when it was registered");
    set(&world, None, 5);
    set(&world, None, 5);
    assert_eq!(held(&world), None);
    world.crash(6);
    assert_eq!(held(&world), None);
}

#[test]
fn a_pause_over_another_keeps_its_beginning() {
    let world = World::new(place());
    set(&world, Some(pause(1, Some(10), "first")), 1);
    set(&world, Some(pause(9, None, "second")), 9);
    assert_eq!(held(&world), Some(Pause { since: at(1), ..pause(9, None, "second") }));
    set(&world, Some(pause(20, Some(30), "third")), 20);
    assert_eq!(held(&world), Some(Pause { since: at(1), ..pause(20, Some(30), "third") }));
    set(&world, Some(pause(30, None, "fourth")), 30);
    assert_eq!(held(&world), Some(pause(30, None, "fourth")), "the one before had ended");
}

#[test]
fn of_writes_that_are_committed_together_the_later_one_sees_the_earlier_one() {
    let world = World::new(place());
    let pause_task = |since, note| world.storage.pause_task(world.namespace, name("task"), Some(pause(since, None, note)), at(since));
    let (first, second) = world.wait(async { futures_util::future::join(pause_task(1, "first"), pause_task(2, "second")).await });
    assert!(first.unwrap().is_some() && second.unwrap().is_some());
    assert_eq!(held(&world), Some(Pause { since: at(1), ..pause(2, None, "second") }));
}

#[test]
fn only_the_task_of_this_name_in_this_namespace() {
    let world = World::new(place());
    set(&world, Some(pause(1, None, "")), 1);
    assert_eq!(world.storage.task(world.other, "task").unwrap().pause, None);
    let nobody = world.storage.pause_task(world.namespace, name("nobody"), Some(pause(1, None, "")), at(1));
    assert_eq!(world.wait(nobody).unwrap(), None);
    let other = world.wait(world.storage.pause_task(world.other, name("task"), None, at(2))).unwrap();
    assert_eq!(other.unwrap().namespace, world.other);
    assert!(held(&world).is_some());
}

#[test]
fn it_is_on_record_with_what_it_is_for() {
    let world = World::new(place());
    let storage = world.storage.on_behalf_of("token7");
    for (task, pause) in [("task", Some(pause(1, Some(9), "an upgrade"))), ("nobody", Some(pause(1, None, ""))), ("task", None)] {
        world.wait(storage.pause_task(world.namespace, name(task), pause, at(1))).unwrap();
    }
    let trail = world.storage.audit(world.namespace, &AuditQuery::new(None, None, None).unwrap()).unwrap();
    let told: Vec<_> = trail.iter().map(|entry| (entry.action, entry.subject.as_deref(), entry.detail.as_deref())).collect();
    let detail = format!("until {}: an upgrade", at(9));
    assert_eq!(told, [(AuditAction::ResumeTask, Some("task"), None), (AuditAction::PauseTask, Some("task"), Some(detail.as_str()))]);
}
