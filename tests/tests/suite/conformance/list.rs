//! `list`, `list_ids` and `count`: exactly the runs that the filter means, each on one page.

use proptest::prelude::*;

use super::place;
use crate::conformance::world::{World, at, large, name, registration};
use runlater::model::{Cursor, FailureReason, Lineage, Name, NewRun, Next, Order, Origin, TaskDefinition, TaskPolicy};
use runlater::{Metadata, Page, Run, RunFilter, RunId, Status};

/// When every read of this module is made. Due times lie around it.
const NOW: i64 = 100;

fn tasks() -> [Name; 3] {
    ["task", "t1", "nobody"].map(name)
}

/// What a run is made of, as small numbers.
#[derive(Clone, Debug)]
struct Seed {
    task: usize,
    due: i64,
    end: u8,
    origin: usize,
    metadata: Vec<(u8, u8)>,
    /// 1: a follow-up of the first run; 2: one of its follow-ups.
    depth: u8,
}

fn seed() -> impl Strategy<Value = Seed> {
    let metadata = proptest::collection::vec((0u8..3, 0u8..3), 0..3);
    (0usize..2, 90..115i64, 0u8..8, 0usize..5, metadata, 0u8..3)
        .prop_map(|(task, due, end, origin, metadata, depth)| Seed { task, due, end, origin, metadata, depth })
}

fn entries(pairs: &[(u8, u8)]) -> Metadata {
    Metadata::from_entries(pairs.iter().map(|(key, value)| (format!("k{key}"), format!("v{value}")))).unwrap()
}

/// Stores the runs and brings each to the state that its seed asks for.
fn populate(seeds: &[Seed]) -> World {
    let world = World::new(place());
    for owner in [world.namespace, world.other] {
        let registration = registration(owner, b"t1", vec![(TaskDefinition::new(name("t1")), TaskPolicy::default())]);
        world.wait(world.storage.register(registration, at(0))).unwrap();
    }
    let root = world.create(vec![world.new_run(NOW + 20, 0)], 0)[0];
    let mut parent = root;
    for seed in seeds {
        let run = NewRun {
            task: world.storage.task(world.namespace, tasks()[seed.task].as_str()).unwrap(),
            origin: Origin::ALL[seed.origin],
            metadata: entries(&seed.metadata),
            lineage: (seed.depth > 0).then_some(Lineage { parent: if seed.depth == 1 { root } else { parent }, root, depth: seed.depth.into() }),
            ..world.new_run(seed.due, 0)
        };
        // One of the neighbour's beside each: none of these must ever be seen.
        let theirs = NewRun { task: world.storage.task(world.other, "t1").unwrap(), id: world.storage.next_run_id(at(0)), ..run.clone() };
        world.create(vec![run.clone()], 0);
        world.wait(world.storage.create(world.other, vec![theirs], at(0))).unwrap();
        bring_to(&world, run.id, seed);
        if seed.depth > 0 {
            parent = run.id;
        }
    }
    world.settle();
    world
}

fn bring_to(world: &World, run: RunId, seed: &Seed) {
    let next = match seed.end {
        0 => None,
        1 => {
            world.wait(world.storage.cancel(world.namespace, run, at(1))).unwrap().unwrap();
            return;
        }
        2 => Some(Next::Succeeded { output: None }),
        3 => Some(Next::Failed { reason: FailureReason::Trap, message: String::new() }),
        4 => Some(crate::conformance::world::backoff(seed.due)),
        5 => None,
        6 => Some(Next::Snoozed { due_at: at(NOW + 5) }),
        _ => return,
    };
    if seed.end == 0 {
        let gap = runlater::storage::Gap { from: at(seed.due - 1), until: at(seed.due + 1) };
        world.wait(world.storage.miss(gap, 1, at(1))).unwrap();
        return;
    }
    world.wait(world.storage.trigger(world.namespace, run, at(2))).unwrap().unwrap();
    let claim = world.claim(1, 2).remove(0);
    assert_eq!(claim.run, run);
    if let Some(next) = next {
        world.storage.finish(world.end_of(run, 1, next, Default::default(), 2), at(2));
    }
}

fn filter() -> impl Strategy<Value = (RunFilter, u8)> {
    let subset = |of: usize| proptest::collection::vec(0..of, 0..3);
    let time = || proptest::option::of(88..118i64);
    (subset(3), subset(8), subset(5), proptest::collection::vec((0u8..3, 0u8..3), 0..2), 0u8..4, time(), time(), any::<bool>()).prop_map(
        |(names, statuses, origins, metadata, of, from, before, trigger)| {
            let filter = RunFilter {
                tasks: names.into_iter().map(|one| tasks()[one].clone()).collect(),
                statuses: statuses.into_iter().map(|one| Status::ALL[one]).collect(),
                origins: origins.into_iter().map(|one| Origin::ALL[one]).collect(),
                metadata: entries(&metadata),
                trigger_from: from.filter(|_| trigger).map(at),
                trigger_before: before.filter(|_| trigger).map(at),
                ..RunFilter::default()
            };
            (filter, of)
        },
    )
}

/// Reads all pages of a list.
fn pages<T>(read: impl Fn(&Page) -> (Vec<T>, Option<Cursor>), size: usize, order: Order) -> Vec<T> {
    let (mut all, mut cursor) = (Vec::new(), None);
    for _ in 0..1_000 {
        let (some, next) = read(&Page::new(size, cursor, order).unwrap());
        assert!(some.len() <= size && (next.is_none() || !some.is_empty()));
        all.extend(some);
        // A cursor survives its journey through a client.
        cursor = next.map(|cursor| Cursor::parse(&cursor.to_text()).unwrap());
        if cursor.is_none() {
            return all;
        }
    }
    panic!("the pages never end");
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 12, failure_persistence: None, ..ProptestConfig::default() })]
    #[test]
    fn pages_hold_what_the_filter_means(
        seeds in proptest::collection::vec(seed(), 0..40),
        filters in proptest::collection::vec((filter(), 1usize..20, 0usize..4), 30),
    ) {
        let world = populate(&seeds);
        let all = world.all(world.namespace, NOW);
        prop_assert_eq!(all.len(), seeds.len() + 1);
        for ((mut filter, of), size, order) in filters {
            // All of them, what follows from the first at once, all that does, and what follows from its first follow-up.
            match of {
                0 => {}
                1 => filter.parent = Some(all[0].id),
                2 => filter.root = Some(all[0].id),
                _ => (filter.parent, filter.root) = (all.get(1).map(|run| run.id), Some(all[0].id)),
            }
            let order = [Order::NewestFirst, Order::OldestFirst, Order::TriggerTime, Order::LatestTriggerTime][order];
            let mut expected: Vec<&Run> = all.iter().filter(|run| filter.matches(run)).collect();
            match order {
                Order::NewestFirst => expected.reverse(),
                Order::OldestFirst => {}
                Order::TriggerTime => expected.sort_by_key(|run| (run.trigger_at, run.id)),
                Order::LatestTriggerTime => expected.sort_by_key(|run| (std::cmp::Reverse(run.trigger_at), run.id)),
            }
            let expected: Vec<RunId> = expected.into_iter().map(|run| run.id).collect();
            let runs = pages(|page| world.storage.list(world.namespace, &filter, page, at(NOW)).unwrap(), size, order);
            prop_assert_eq!(&runs.iter().map(|run| run.id).collect::<Vec<_>>(), &expected, "{:?}", filter);
            let ids = pages(|page| world.storage.list_ids(world.namespace, &filter, page, at(NOW)).unwrap(), size, order);
            prop_assert_eq!(&ids, &expected, "{:?}", filter);
            // Half of them passed by.
            let page = Page::new(size, None, order).unwrap().skipping(expected.len() / 2).unwrap();
            let (ids, next) = world.storage.list_ids(world.namespace, &filter, &page, at(NOW)).unwrap();
            let rest = &expected[expected.len() / 2..];
            prop_assert_eq!((&ids[..], next.is_some()), (&rest[..rest.len().min(size)], rest.len() > size), "{:?}", filter);
            prop_assert_eq!(world.storage.count(world.namespace, &filter, at(NOW)).unwrap(), expected.len() as u64);
        }
    }
}

#[test]
fn a_page_of_large_runs_ends_early_and_goes_on() {
    let world = World::new(place());
    let runs: Vec<_> = (0..60).map(|_| NewRun { input: large(256 << 10), ..world.new_run(50, 0) }).collect();
    let stored = world.create(runs, 0);
    let read = |page: &Page| world.storage.list(world.namespace, &RunFilter::default(), page, at(0)).unwrap();
    let (first, next) = read(&Page::new(500, None, Order::OldestFirst).unwrap());
    assert!(first.len() < 60 && next.is_some());
    let all: Vec<_> = pages(read, 500, Order::OldestFirst).iter().map(|run| run.id).collect();
    assert_eq!(all, stored);
}

/// A clock that stepped back shows runs as scheduled whose due time is later than their trigger time.
#[test]
fn pages_end_also_when_the_clock_has_stepped_back() {
    let world = World::new(place());
    let late = world.create(vec![world.new_run(5, 20)], 20)[0];
    let early = world.create(vec![world.new_run(10, 0)], 0)[0];
    let filter = RunFilter { statuses: vec![Status::Scheduled], ..RunFilter::default() };
    let read = |page: &Page| world.storage.list(world.namespace, &filter, page, at(1)).unwrap();
    let mut runs: Vec<_> = pages(read, 1, Order::TriggerTime).iter().map(|run| run.id).collect();
    runs.sort();
    let mut both = vec![late, early];
    both.sort();
    assert_eq!(runs, both);
    let read = |page: &Page| world.storage.list_ids(world.namespace, &filter, page, at(1)).unwrap();
    assert_eq!(pages(read, 1, Order::TriggerTime).len(), 2);
    assert_eq!(pages(read, 1, Order::LatestTriggerTime).len(), 2);
}

#[test]
fn so_much_may_be_passed_by() {
    let page = Page::default();
    assert_eq!(page.skipping(100_000).unwrap().skip(), 100_000);
    assert_eq!(page.skipping(100_001).unwrap_err().code, "invalid-page");
}
