//! `catch_up`: which missed runs run after all.

use proptest::prelude::*;

use super::place;
use crate::conformance::world::{World, at, name, registration};
use runlater::model::{CatchUp, MissedPolicy, NewRun, Status, TaskDefinition, TaskPolicy};
use runlater::storage::Gap;
use runlater::{Run, RunId};
use std::time::Duration;

const POLICIES: [(&str, CatchUp, u64, u32); 4] =
    [("skip", CatchUp::Skip, 1_000, 9), ("latest", CatchUp::Latest, 1_000, 9), ("all", CatchUp::All, 1_000, 3), ("recent", CatchUp::All, 65, 9)];

/// A world with a task of each policy, and of each task five runs, due at seconds 10, 20, … 50.
fn world() -> (World, Vec<Vec<RunId>>) {
    let world = World::new(place());
    let tasks = POLICIES.map(|(task, catch_up, window, max)| {
        let missed = MissedPolicy { catch_up, window: Duration::from_secs(window), max };
        (TaskDefinition::new(name(task)), TaskPolicy { missed, ..TaskPolicy::default() })
    });
    world.wait(world.storage.register(registration(world.namespace, b"policies", tasks.into()), at(0))).unwrap();
    let runs = POLICIES.map(|(task, ..)| {
        let task = world.storage.task(world.namespace, task).unwrap();
        let runs = (1..=5).map(|each| NewRun { task: task.clone(), ..world.new_run(each * 10, 0) }).collect();
        world.create(runs, 0)
    });
    (world, runs.into())
}

/// Sweeps the gap as the keeper does, in small slices.
fn sweep(world: &World, gap: Gap, now: i64) -> (usize, usize) {
    let (mut caught_up, mut missed) = (0, 0);
    loop {
        let chosen = world.wait(world.storage.catch_up(gap, 2, at(now))).unwrap();
        caught_up += chosen;
        if chosen < 2 {
            break;
        }
    }
    loop {
        let marked = world.wait(world.storage.miss(gap, 2, at(now))).unwrap();
        missed += marked;
        if marked < 2 {
            return (caught_up, missed);
        }
    }
}

fn of<'a>(all: &'a [Run], runs: &[RunId]) -> Vec<&'a Run> {
    runs.iter().map(|id| all.iter().find(|run| run.id == *id).unwrap()).collect()
}

#[test]
fn each_policy_chooses_the_latest() {
    let (world, runs) = world();
    let gap = Gap { from: at(5), until: at(45) };
    assert_eq!(sweep(&world, gap, 100), (1 + 3 + 1, 16 - 5));
    assert_eq!(sweep(&world, gap, 101), (0, 0), "again changes nothing");
    let all = world.all(world.namespace, 101);
    for ((policy, ..), (runs, expected)) in POLICIES.iter().zip(runs.iter().zip([vec![], vec![40], vec![20, 30, 40], vec![40]])) {
        let runs = of(&all, runs);
        let made_up: Vec<_> = runs[..4].iter().filter(|run| run.reason.as_deref() == Some("caught-up")).collect();
        assert_eq!(made_up.iter().map(|run| run.trigger_at).collect::<Vec<_>>(), expected.iter().map(|due| at(*due)).collect::<Vec<_>>(), "{policy}");
        assert!(made_up.iter().all(|run| (run.status, run.due_at) == (Status::Queued, Some(at(100)))), "{policy}");
        let missed: Vec<_> = runs.iter().filter(|run| run.status == Status::Missed).collect();
        assert_eq!(missed.len(), 4 - expected.len(), "{policy}");
        assert!(missed.iter().all(|run| run.reason.as_deref() == Some("host-down") && run.message.as_ref().unwrap().contains("no host was running")));
        assert_eq!((runs[4].status, runs[4].reason.as_deref()), (Status::Queued, None), "within the grace");
    }
    let claimed = world.claim(99, 101);
    assert_eq!(claimed.len(), 5 + 4);
    assert!(claimed.iter().all(|claim| claim.trigger_at < at(60)), "under their own trigger times");
}

#[test]
fn a_sweep_that_was_stopped_half_way_chooses_no_more() {
    let (mut world, runs) = world();
    let gap = Gap { from: at(5), until: at(60) };
    assert_eq!(world.wait(world.storage.catch_up(gap, 99, at(100))).unwrap(), 1 + 3 + 2);
    world.wait(world.storage.miss(gap, 2, at(100))).unwrap();
    world.crash(110);
    assert_eq!(sweep(&world, Gap { from: at(5), until: at(70) }, 110).0, 0);
    let all = world.all(world.namespace, 110);
    let latest = of(&all, &runs[1]);
    assert_eq!(latest.iter().map(|run| run.status.as_str()).collect::<Vec<_>>(), ["missed", "missed", "missed", "missed", "queued"]);
}

#[test]
fn what_was_asked_for_at_once_or_tried_before_does_not_count() {
    let world = World::new(place());
    let missed = MissedPolicy { catch_up: CatchUp::Latest, ..MissedPolicy::default() };
    let task = (TaskDefinition::new(name("task")), TaskPolicy { missed, ..TaskPolicy::default() });
    world.wait(world.storage.register(registration(world.namespace, b"2", vec![task]), at(0))).unwrap();
    let [waits, at_once] = [(20, 0), (3, 30)].map(|(due, now)| world.create(vec![world.new_run(due, now)], now)[0]);
    assert_eq!(sweep(&world, Gap { from: at(10), until: at(40) }, 50), (1, 0));
    assert_eq!(world.get(waits, 50).reason.as_deref(), Some("caught-up"));
    assert_eq!(world.get(at_once, 50).reason, None);
}

/// What the policies make of the runs, one by one and without a database: `(caught up, missed)`, each in order of id.
fn model(policies: &[MissedPolicy], runs: &[(usize, i64)], gap: Gap, now: i64) -> Vec<Option<bool>> {
    let mut latest: Vec<usize> = (0..runs.len()).collect();
    latest.sort_by_key(|run| std::cmp::Reverse((runs[*run].1, *run)));
    let mut chosen = vec![0; policies.len()];
    let mut verdicts = vec![None; runs.len()];
    for run in latest {
        let (task, due) = runs[run];
        if at(due) <= gap.from || at(due) >= gap.until {
            continue;
        }
        let most = match policies[task].catch_up {
            CatchUp::Skip => 0,
            CatchUp::Latest => 1,
            CatchUp::All => policies[task].max,
        };
        let runs_after_all = chosen[task] < most && (now - due) as u64 <= policies[task].window.as_secs();
        chosen[task] += u32::from(runs_after_all);
        verdicts[run] = Some(runs_after_all);
    }
    verdicts
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 24, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn whatever_was_missed_becomes_what_its_policy_says(
        policies in prop::collection::vec((0..3_usize, 1..150_u64, 1..4_u32), 1..4),
        runs in prop::collection::vec((0..4_usize, 1..120_i64), 0..24),
        (from, span, crash) in (0..60_i64, 1..80_i64, any::<bool>()),
    ) {
        let policies: Vec<_> = policies
            .into_iter()
            .map(|(catch_up, window, max)| MissedPolicy { catch_up: CatchUp::ALL[catch_up], window: Duration::from_secs(window), max })
            .collect();
        let runs: Vec<_> = runs.into_iter().map(|(task, due)| (task % policies.len(), due)).collect();
        let (gap, now) = (Gap { from: at(from), until: at(from + span) }, from + span + 60);
        let expected = model(&policies, &runs, gap, now);

        let mut world = World::new(place());
        let task = |number: usize| name(&format!("t{number}"));
        let tasks = policies.iter().enumerate().map(|(number, missed)| {
            (TaskDefinition::new(task(number)), TaskPolicy { missed: *missed, ..TaskPolicy::default() })
        });
        world.wait(world.storage.register(registration(world.namespace, b"policies", tasks.collect()), at(0))).unwrap();
        let stored = |world: &World, number: usize| world.storage.task(world.namespace, task(number).as_str()).unwrap();
        let new = runs.iter().map(|(task, due)| NewRun { task: stored(&world, *task), ..world.new_run(*due, 0) }).collect();
        let ids = world.create(new, 0);
        if crash {
            world.wait(world.storage.catch_up(gap, 99, at(now))).unwrap();
            world.wait(world.storage.miss(gap, 1, at(now))).unwrap();
            world.crash(now);
        }
        sweep(&world, gap, now);
        for ((id, (_, due)), expected) in ids.iter().zip(&runs).zip(expected) {
            let run = world.get(*id, now);
            let seen = match (run.status, run.reason.as_deref()) {
                (Status::Queued, Some("caught-up")) => Some(true),
                (Status::Missed, Some("host-down")) => Some(false),
                (Status::Queued | Status::Scheduled, None) => None,
                other => panic!("{other:?}"),
            };
            prop_assert_eq!(seen, expected, "due at {} in {:?}", due, gap);
            prop_assert_eq!(run.trigger_at, at(*due));
        }
    }
}
