//! Tokens: stored, listed, revoked once.

use super::place;
use crate::conformance::world::{World, at};
use runlater::storage::TokenRecord;

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
    world.wait(world.storage.create_token(late.clone())).unwrap();
    world.wait(world.storage.create_token(early.clone())).unwrap();
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
