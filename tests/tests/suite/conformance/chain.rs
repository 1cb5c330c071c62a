//! Chains of follow-ups: whose they are, and how far they may grow.

use super::place;
use crate::conformance::world::{World, check, succeeded, write_set};
use runlater::model::limits::LIVE_PER_ROOT_MAX;
use runlater::model::{Lineage, Write};
use runlater::Status;

#[test]
fn a_follow_up_knows_its_parent_and_its_root() {
    let world = check(
        place(),
        "
        0s  create a                  => queued due 0s
        0s  claim                     => a 1
        0s  done a + create b at=1s   => succeeded
        1s  claim                     => b 1
        1s  done b + create c         => succeeded
        2s  claim                     => c 1
        ",
    );
    let id = |name: &str| world.names[name];
    let (b, c) = (world.get(id("b"), 2), world.get(id("c"), 2));
    assert_eq!((b.parent, b.root), (Some(id("a")), Some(id("a"))));
    assert_eq!((c.parent, c.root), (Some(id("b")), Some(id("a"))));
    assert_eq!(world.claims[2].lineage, Some(Lineage { parent: id("b"), root: id("a"), depth: 1 }));
}

/// Follow-ups that ended make room; the one too many fails its parent with all of its writes.
#[test]
fn a_chain_has_so_many_unfinished_runs_and_no_more() {
    let mut world = World::new(place());
    let roots = world.create((0..3).map(|_| world.new_run(0, 0)).collect(), 0);
    let root = roots[0];
    let child = |world: &World, due| {
        let mut run = world.new_run(due, 0);
        run.lineage = Some(Lineage { parent: root, root, depth: 0 });
        run
    };
    for _ in 0..LIVE_PER_ROOT_MAX / 5_000 {
        world.create((0..5_000).map(|_| child(&world, 5_000)).collect(), 0);
    }
    assert_eq!(world.claim(9, 0).len(), 3);
    let spare = world.new_run(3, 0);
    let over = [Write::Schedule(Box::new(spare.clone())), Write::Schedule(Box::new(child(&world, 9)))];
    world.finish_with(roots[1], 1, succeeded(), write_set(over), 1);
    let failed = world.get(roots[1], 1);
    assert_eq!((failed.status, failed.reason.as_deref()), (Status::Failed, Some("quota-exceeded")));
    assert!(failed.message.unwrap().contains("100000 unfinished runs"));
    assert!(world.storage.get(world.namespace, spare.id, runlater::Timestamp::MIN).unwrap().is_none());
    let refused = world.wait(world.storage.create(world.namespace, vec![child(&world, 9)], crate::conformance::world::at(1)));
    assert!(refused.unwrap_err().to_string().contains("let some of them end"));

    let page = runlater::Page::new(2, None, runlater::model::Order::OldestFirst).unwrap();
    let filter = runlater::RunFilter { parent: Some(root), ..Default::default() };
    let (ids, _) = world.storage.list_ids(world.namespace, &filter, &page, crate::conformance::world::at(1)).unwrap();
    world.wait(world.storage.delete(world.namespace, vec![ids[0]], crate::conformance::world::at(1))).unwrap()[0].clone().unwrap();
    world.wait(world.storage.cancel(world.namespace, ids[1], crate::conformance::world::at(1))).unwrap().unwrap();
    let two = [child(&world, 9), child(&world, 9)].map(|run| Write::Schedule(Box::new(run)));
    world.finish_with(roots[2], 1, succeeded(), write_set(two), 2);
    assert_eq!(world.status(roots[2], 2), Status::Succeeded, "two have left, two fit");
    world.reopen(2);
    let refused = world.wait(world.storage.create(world.namespace, vec![child(&world, 9)], crate::conformance::world::at(2)));
    assert!(refused.is_err(), "the count outlives the host");
}
