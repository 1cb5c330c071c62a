//! More runs than are kept in memory: none is lost, doubled or late.

use super::place;
use crate::conformance::world::{World, at, large};
use runlater::RunId;

/// Stores runs due at these seconds, in requests of 2,000.
fn store(world: &World, due: impl Iterator<Item = i64>) -> Vec<(i64, RunId)> {
    let runs: Vec<_> = due.map(|due| (due, world.new_run(due, 0))).collect();
    let stored = runs.iter().map(|(due, run)| (*due, run.id)).collect();
    for bunch in runs.chunks(2_000) {
        world.create(bunch.iter().map(|(_, run)| run.clone()).collect(), 0);
    }
    stored
}

#[test]
fn forty_thousand_due_runs_are_claimed_once_and_in_order() {
    let mut world = World::new(place());
    let mut stored = store(&world, (0..40_000).map(|number| 1 + number * 7_919 % 50));
    stored.sort();
    assert_eq!(world.claim(1, 0).len(), 0);
    let first: Vec<_> = world.claim(5_000, 100).iter().map(|claim| claim.run).collect();
    world.settle();
    // The rest after a new start, as the file tells it; what was claimed is repeated.
    world.crash(100);
    let mut again: Vec<_> = world.claim(usize::MAX, 100).iter().map(|claim| (claim.attempt, claim.run)).collect();
    let expected: Vec<_> = stored.iter().map(|(_, run)| *run).collect();
    assert_eq!(first, expected[..5_000]);
    let waited: Vec<_> = again.iter().filter(|(attempt, _)| *attempt == 1).map(|(_, run)| *run).collect();
    assert!(waited == expected[5_000..], "each once, in order of due time and id");
    again.retain(|(attempt, _)| *attempt == 2);
    again.sort();
    let mut repeated: Vec<_> = expected[..5_000].to_vec();
    repeated.sort();
    assert!(again.into_iter().map(|(_, run)| run).eq(repeated), "those that were in flight are repeated once");
}

#[test]
fn ten_thousand_runs_with_one_due_time() {
    let world = World::new(place());
    let stored = store(&world, std::iter::repeat_n(3, 10_000));
    assert_eq!(world.claim(usize::MAX, 2).len(), 0);
    let claimed: Vec<_> = world.claim(usize::MAX, 3).iter().map(|claim| claim.run).collect();
    assert!(claimed.iter().eq(stored.iter().map(|(_, run)| run)));
}

#[test]
fn a_full_memory_does_not_delay_what_is_due_first() {
    let world = World::new(place());
    store(&world, std::iter::repeat_n(50, 20_000));
    let urgent = world.create(vec![world.new_run(1, 0)], 0)[0];
    let claimed = world.storage.claim(10, at(1));
    assert_eq!(claimed.iter().map(|claim| claim.run).collect::<Vec<_>>(), [urgent]);
    assert_eq!(world.claim(usize::MAX, 50).len(), 20_000);
}

#[test]
fn large_inputs_reach_their_attempts() {
    let mut world = World::new(place());
    for bytes in [2, 2_048, 2_049, 256 << 10] {
        let mut run = world.new_run(0, 0);
        run.input = large(bytes);
        world.create(vec![run], 0);
    }
    for round in 1..=2 {
        let claims = world.claim(usize::MAX, 1);
        let lengths: Vec<_> = claims
            .iter()
            .map(|claim| match &claim.input {
                Some(input) => input.clone(),
                None => world.storage.input(claim.run).unwrap(),
            })
            .map(|input| input.bytes().len())
            .collect();
        assert_eq!(lengths, [2, 2_048, 2_049, 256 << 10], "round {round}");
        world.crash(1);
    }
}
