//! `on_behalf_of` and `audit`: who changed what, together with the change or not at all.

use std::sync::Arc;

use runlater::model::limits::AUDIT_KEPT;
use runlater::model::{AuditAction, AuditEntry, AuditQuery, NamespaceId, RunId, Unique, UniqueKey, UniqueMode};
use runlater::storage::{Amendment, Move, Storage, TokenRecord};

use super::place;
use crate::conformance::world::{World, at, registration};

fn trail(world: &World, namespace: NamespaceId, run: Option<RunId>) -> Vec<AuditEntry> {
    let mut trail = world.storage.audit(namespace, &AuditQuery::new(Some(500), run, None).unwrap()).unwrap();
    trail.reverse();
    trail
}

/// What was done, in the order in which it was.
fn actions(trail: &[AuditEntry]) -> Vec<AuditAction> {
    trail.iter().map(|entry| entry.action).collect()
}

fn somebody(world: &World) -> Arc<dyn Storage> {
    world.storage.on_behalf_of("token7")
}

#[test]
fn every_change_is_on_record_with_what_it_changed() {
    use AuditAction::*;
    let mut world = World::new(place());
    let (storage, namespace) = (somebody(&world), world.namespace);
    let (a, b) = (world.new_run(50, 0), world.new_run(60, 0));
    let (a_id, b_id, gone) = (a.id, b.id, RunId::from_key(1, 1));
    world.wait(storage.create(namespace, vec![a, b], at(1))).unwrap();
    world.wait(storage.reschedule(namespace, vec![(a_id, Move::To(at(70))), (gone, Move::To(at(70)))], at(2))).unwrap();
    let seen = runlater::model::Version::of(&world.get(a_id, 2));
    world.wait(storage.amend(namespace, a_id, Amendment::Move(Move::By(-3_600_000_000)), vec![seen], at(3))).unwrap().unwrap();
    world.wait(storage.amend(namespace, a_id, Amendment::Delete, vec![seen], at(3))).unwrap().unwrap_err();
    world.wait(storage.cancel(namespace, b_id, at(4))).unwrap().unwrap();
    world.wait(storage.trigger(namespace, b_id, at(5))).unwrap().unwrap();
    world.wait(storage.delete(namespace, vec![a_id, b_id], at(6))).unwrap();
    let task = (runlater::model::TaskDefinition::new(world.task.name.clone()), Default::default());
    world.wait(storage.register(registration(namespace, b"another", vec![task]), at(7))).unwrap();
    let token = TokenRecord {
        id: "new".into(),
        hash: [7; 32],
        namespace,
        role: "read".into(),
        note: String::new(),
        created_at: at(8),
        expires_at: None,
        revoked_at: None,
    };
    world.wait(storage.create_token(token)).unwrap().unwrap();
    assert!(!world.wait(storage.revoke_token(world.other, "new", at(9))).unwrap());
    assert!(world.wait(storage.revoke_token(namespace, "new", at(9))).unwrap());
    world.wait(storage.record(namespace, Backup, "/copy.db", at(10))).unwrap();

    let expected = [Schedule, Schedule, Reschedule, Reschedule, Cancel, Trigger, Register, CreateToken, RevokeToken, Backup];
    world.reopen(11);
    let all = trail(&world, namespace, None);
    // The deletion of `a` was refused: at second 3 its time had come. What changes nothing is not on record.
    assert_eq!(actions(&all), expected);
    assert_eq!(all.iter().map(|entry| entry.number).collect::<Vec<_>>(), (1..=10).collect::<Vec<_>>());
    assert!(all.iter().all(|entry| entry.token == "token7"));
    assert_eq!(actions(&trail(&world, namespace, Some(a_id))), [Schedule, Reschedule, Reschedule]);
    let told = |number: usize| (all[number].subject.as_deref(), all[number].detail.as_deref());
    assert_eq!(told(0), (Some("task"), Some(at(50).to_string().as_str())));
    assert_eq!((told(2), told(3)), ((None, Some(at(70).to_string().as_str())), (None, Some("-1h"))));
    assert_eq!((told(7), told(9)), ((Some("new"), Some("read")), (Some("/copy.db"), None)));
    assert_eq!((told(6).0, all[6].at, all[6].run), (Some("task"), at(7), None));
    assert!(trail(&world, world.other, None).is_empty(), "of another namespace");
    assert!(trail(&world, namespace, Some(gone)).is_empty());
}

#[test]
fn what_the_host_does_by_itself_is_not() {
    let world = World::new(place());
    let run = world.create(vec![world.new_run(50, 0)], 0)[0];
    world.wait(world.storage.delete(world.namespace, vec![run], at(1))).unwrap();
    assert!(trail(&world, world.namespace, None).is_empty());
}

#[test]
fn a_change_and_its_entry_are_one() {
    let mut world = World::new(place());
    let (storage, namespace) = (somebody(&world), world.namespace);
    let keyed = |key: &str| runlater::model::NewRun {
        unique_key: Some(UniqueKey::parse(key, "unique_key").unwrap().into()),
        ..world.new_run(50, 0)
    };
    world.wait(storage.create(namespace, vec![keyed("a")], at(1))).unwrap();
    world.wait(storage.create(namespace, vec![keyed("a")], at(1))).unwrap();
    let other = runlater::model::NewRun { input: crate::conformance::world::large(9), ..keyed("a") };
    world.wait(storage.create(namespace, vec![keyed("b"), other], at(1))).unwrap_err();
    assert_eq!(trail(&world, namespace, None).len(), 1, "neither what was there already nor what was refused");
    drop(storage);
    world.crash(2);
    assert_eq!(trail(&world, namespace, None).len(), 1);
}

#[test]
fn what_a_unique_key_does_to_its_holder_is_on_record() {
    use AuditAction::*;
    let world = World::new(place());
    let (storage, namespace) = (somebody(&world), world.namespace);
    let ask = |key: &str, mode: UniqueMode, due: i64| {
        let unique = Unique { mode, held_for: std::time::Duration::ZERO, ..UniqueKey::parse(key, "unique_key").unwrap().into() };
        let run = runlater::model::NewRun { unique_key: Some(unique), ..world.new_run(due, 0) };
        world.wait(storage.create(namespace, vec![run], at(1))).unwrap()[0].id()
    };
    let first = ask("a", UniqueMode::Replace, 50);
    let second = ask("a", UniqueMode::Replace, 60);
    let (wait, max_wait) = (std::time::Duration::from_secs(50), std::time::Duration::from_secs(500));
    let bounced = ask("b", UniqueMode::Debounce { wait, max_wait }, 51);
    assert_eq!(ask("b", UniqueMode::Debounce { wait, max_wait }, 51), bounced);
    let told: Vec<_> = trail(&world, namespace, None).into_iter().map(|entry| (entry.action, entry.run.unwrap())).collect();
    assert_eq!(told, [(Schedule, first), (Delete, first), (Schedule, second), (Schedule, bounced), (Schedule, bounced)]);
}

#[test]
fn pages_go_back_in_time_and_old_entries_go() {
    let world = World::new(place());
    let (storage, namespace) = (somebody(&world), world.namespace);
    let long = "x".repeat(1_000);
    let record = |count: usize, now: i64| {
        let each = (0..count).map(|_| storage.record(namespace, AuditAction::Backup, &long, at(now)));
        world.wait(futures_util::future::try_join_all(each)).unwrap();
    };
    record(600, 0);
    let page = |before| world.storage.audit(namespace, &AuditQuery::new(Some(100), None, before).unwrap()).unwrap();
    let (first, second) = (page(None), page(Some(501)));
    assert_eq!((first[0].number, first[99].number, second[0].number), (600, 501, 500));
    assert!(first[0].subject.as_ref().unwrap().len() <= 256, "cut");
    let kept = i64::try_from(AUDIT_KEPT.as_secs()).unwrap();
    record(500, kept);
    assert_eq!(page(Some(2)).len(), 1, "they are as old as may be");
    record(300, kept + 1);
    let left = trail(&world, namespace, None);
    assert!(page(Some(601)).is_empty() && left.len() == 500, "the older ones went, the later ones did not");
}
