//! Tokens: stored, listed, revoked once.

use super::place;
use crate::conformance::world::{World, at};
use runlater::storage::{Quotas, TokenRecord, TokenRefused};

#[test]
fn a_token_is_kept_until_it_is_revoked_and_listed_after() {
    let mut world = World::new(place());
    let token = |id: &str, created: i64| TokenRecord {
        id: id.into(),
        hash: [7; 32],
        namespace: world.namespace,
        role: "write".into(),
        note: "for \"CI\"".into(),
        created_at: at(created),
        expires_at: (created > 1).then_some(at(99)),
        revoked_at: None,
    };
    let (late, early) = (token("a", 2), token("b", 1));
    world.wait(world.storage.create_token(late.clone())).unwrap().unwrap();
    world.wait(world.storage.create_token(early.clone())).unwrap().unwrap();
    assert!(world.wait(world.storage.create_token(token("a", 3))).is_err(), "an id is given once");
    assert_eq!(world.storage.tokens().unwrap(), [early.clone(), late.clone()]);
    assert!(world.wait(world.storage.revoke_token(world.namespace, "a", at(5))).unwrap());
    assert!(world.wait(world.storage.revoke_token(world.namespace, "a", at(6))).unwrap());
    assert!(!world.wait(world.storage.revoke_token(world.namespace, "c", at(5))).unwrap());
    assert!(!world.wait(world.storage.revoke_token(world.other, "b", at(5))).unwrap(), "of another namespace");
    world.reopen(9);
    let revoked = TokenRecord { revoked_at: Some(at(5)), ..late };
    assert_eq!(world.storage.tokens().unwrap(), [early, revoked], "the first revocation is the one that counts");
}

#[test]
fn a_caller_may_create_so_many_and_old_ones_are_forgotten() {
    let mut world = World::new(place());
    world.storage.set_quotas(Quotas { tokens: 3, ..Quotas::default() });
    let (namespace, other) = (world.namespace, world.other);
    let token = |namespace, id: String, expires: Option<i64>, now: i64| TokenRecord {
        id,
        hash: [7; 32],
        namespace,
        role: "read".into(),
        note: String::new(),
        created_at: at(now),
        expires_at: expires.map(at),
        revoked_at: None,
    };
    let caller = world.storage.on_behalf_of("caller");
    let create = |world: &World, token| world.wait(caller.create_token(token)).unwrap();
    for id in ["a", "b", "c"] {
        create(&world, token(namespace, id.into(), (id == "c").then_some(9), 1)).unwrap();
    }
    assert_eq!(create(&world, token(namespace, "d".into(), None, 2)), Err(TokenRefused::Full(3)));
    create(&world, token(other, "e".into(), None, 2)).unwrap();
    // One that is revoked or expired is not counted.
    assert!(world.wait(caller.revoke_token(namespace, "a", at(3))).unwrap());
    create(&world, token(namespace, "f".into(), None, 4)).unwrap();
    assert_eq!(create(&world, token(namespace, "g".into(), None, 5)), Err(TokenRefused::Full(3)));
    create(&world, token(namespace, "g".into(), None, 10)).unwrap();
    // The host itself is not a caller.
    world.wait(world.storage.create_token(token(namespace, "host".into(), None, 11))).unwrap().unwrap();

    for number in 0..1_003 {
        let id = format!("{number:04}");
        world.wait(world.storage.create_token(token(namespace, id.clone(), None, 20 + number))).unwrap().unwrap();
        world.wait(world.storage.revoke_token(namespace, &id, at(20 + number))).unwrap();
    }
    world.wait(world.storage.create_token(token(namespace, "last".into(), None, 9_999))).unwrap().unwrap();
    let kept: Vec<_> = world.storage.tokens_of(namespace).unwrap().into_iter().map(|token| token.id).collect();
    assert_eq!(kept.len(), 5 + 1_000, "those in force, and the last thousand others");
    assert!(["b", "f", "g", "host", "last", "0003", "1002"].iter().all(|id| kept.iter().any(|kept| kept == id)));
    assert!(["a", "c", "0002"].iter().all(|id| kept.iter().all(|kept| kept != id)));
    assert_eq!(world.storage.tokens_of(other).unwrap().len(), 1);
    world.reopen(99_999);
}
