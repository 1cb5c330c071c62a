//! What a task's policy and pause do to its due runs: who starts, who waits for what, and who is missed.

use super::place;
use crate::conformance::world::{World, at, check, large, name, play, registration, succeeded};
use runlater::RunId;
use runlater::model::{Hold, NewRun, TaskDefinition, TaskPolicy};

#[test]
fn a_lane_has_no_more_attempts_than_it_may() {
    check(
        place(),
        "
        0s  policy concurrency=2          => ok
        0s  create a                      => queued due 0s
        0s  create b                      => queued due 0s
        0s  create c                      => queued due 0s
        0s  create d at=1s                => scheduled due 1s
        0s  claim                         => a 1, b 1
        0s  due                           => 1s
        1s  claim                         => nothing
        1s  due                           => never
        1s  hold c                        => lane full 2 by a 0s, b 0s; 0 ahead
        1s  hold d                        => lane full 2 by a 0s, b 0s; 1 ahead
        1s  get d                         => queued due 1s
        2s  done b                        => succeeded
        2s  hold c                        => 1 running
        2s  claim                         => c 1
        3s  retry a until=9s              => backoff failed due 9s
        3s  claim                         => d 1
        9s  claim                         => nothing
        9s  hold a                        => lane full 2 by c 2s, d 3s; 0 ahead
        10s done d                        => succeeded
        10s claim                         => a 2
        ",
    );
}

#[test]
fn lanes_come_from_input_or_metadata() {
    check(
        place(),
        "
        0s  policy concurrency=1 lane=metadata.of => ok
        0s  create a meta=of:x                    => queued due 0s
        0s  create b meta=of:x                    => queued due 0s
        0s  create c meta=of:y                    => queued due 0s
        0s  create d                              => queued due 0s
        0s  claim                                 => a 1, c 1, d 1
        0s  hold b                                => lane \"x\" full 1 by a 0s; 0 ahead
        1s  policy concurrency=1 lane=input.of    => ok
        1s  create e input={\"of\":7}             => queued due 1s
        1s  create f input={\"of\":7}             => queued due 1s
        1s  claim                                 => e 1
        1s  hold b                                => lane \"\" full 1 by a 0s, c 0s, d 0s; 0 ahead
        2s  done e                                => succeeded
        2s  done a                                => succeeded
        2s  done c                                => succeeded
        2s  claim                                 => f 1
        2s  done d                                => succeeded
        2s  claim                                 => b 1
        ",
    );
}

#[test]
fn the_lane_of_a_large_input_is_read_before_others_pass() {
    let mut world = World::new(place());
    world.govern(&[("concurrency", "1"), ("lane", "input.of")], 0);
    let input = |of: u8| runlater::Payload::json(format!("{{\"of\":{of},\"x\":\"{}\"}}", "x".repeat(4_000)).as_bytes(), "input").unwrap();
    let runs = [1, 1, 2].map(|of| NewRun { input: input(of), ..world.new_run(0, 0) });
    let ids = world.create(runs.to_vec(), 0);
    let small = NewRun { input: runlater::Payload::json(br#"{"of":1}"#, "input").unwrap(), ..world.new_run(0, 0) };
    let small = world.create(vec![small], 0)[0];
    let claimed: Vec<RunId> = world.claim(9, 0).iter().map(|claim| claim.run).collect();
    assert_eq!(claimed, [ids[0], ids[2]]);
    world.finish(ids[0], 1, succeeded(), 1);
    let claims = world.claim(9, 1);
    assert_eq!(claims.iter().map(|claim| claim.run).collect::<Vec<_>>(), [ids[1]]);
    let input = claims[0].input.clone().unwrap_or_else(|| world.storage.input(ids[1]).unwrap());
    assert_eq!(input.bytes(), runs[1].input.bytes());
    world.finish(ids[1], 1, succeeded(), 2);
    assert_eq!(world.claim(9, 2)[0].run, small);
}

#[test]
fn lanes_take_turns_at_the_limit_of_their_task() {
    check(
        place(),
        "
        0s  policy concurrency-per-task=1 lane=metadata.of => ok
        0s  create a1 meta=of:a  => queued due 0s
        0s  create a2 meta=of:a  => queued due 0s
        0s  create a3 meta=of:a  => queued due 0s
        0s  create b1 meta=of:b  => queued due 0s
        0s  create b2 meta=of:b  => queued due 0s
        0s  claim                => a1 1
        0s  hold b1              => task full 1 by a1 0s; 1 ahead
        0s  hold a3              => task full 1 by a1 0s; 2 ahead
        1s  done a1              => succeeded
        1s  claim                => a2 1
        2s  create c1 meta=of:c  => queued due 2s
        2s  claim                => nothing
        2s  done a2              => succeeded
        2s  claim                => b1 1
        3s  done b1              => succeeded
        3s  claim                => a3 1
        4s  done a3              => succeeded
        4s  claim                => c1 1
        5s  done c1              => succeeded
        5s  claim                => b2 1
        ",
    );
}

#[test]
fn a_lane_of_one_keeps_its_order_through_retries_and_restarts() {
    check(
        place(),
        "
        0s  policy concurrency=1     => ok
        0s  create a                 => queued due 0s
        0s  create b                 => queued due 0s
        0s  create c at=1s           => scheduled due 1s
        0s  claim                    => a 1
        1s  retry a until=9s         => backoff failed due 9s
        1s  claim                    => nothing
        1s  hold b                   => lane full 1 by a kept 0s; 0 ahead
        2s  reopen                   => ok
        2s  claim                    => nothing
        2s  hold c                   => lane full 1 by a kept 1s; 1 ahead
        9s  claim                    => a 2
        10s crash                    => ok
        10s claim                    => a 3
        11s snooze a until=19s       => backoff snoozed due 19s
        12s claim                    => nothing
        12s trigger a                => queued due 12s
        13s crash                    => ok
        13s claim                    => a 4
        14s requeue a                => queued shut-down due 14s
        14s reopen                   => ok
        14s claim                    => a 5
        15s retry a until=50s        => backoff failed due 50s
        15s cancel a                 => cancelled cancelled
        15s claim                    => b 1
        16s done b                   => succeeded
        16s claim                    => c 1
        ",
    );
}

#[test]
fn what_is_due_while_its_lane_is_busy_is_missed_if_it_may_not_wait() {
    let world = check(
        place(),
        "
        0s  policy concurrency=1 overlap=skip-new => ok
        0s  create a                 => queued due 0s
        0s  create b at=5s           => scheduled due 5s
        0s  claim                    => a 1
        5s  claim                    => nothing
        5s  get b                    => missed overlap
        6s  retry a until=9s         => backoff failed due 9s
        7s  create c                 => queued due 7s
        7s  claim                    => c 1
        9s  claim                    => nothing
        9s  get a                    => queued failed due 9s
        9s  hold a                   => lane full 1 by c 7s; 0 ahead
        10s done c                   => succeeded
        10s claim                    => a 2
        11s trigger b                => queued due 11s
        11s done a                   => succeeded
        11s claim                    => b 1
        ",
    );
    assert_eq!(world.storage.health().missed, runlater::storage::Missed { overlap: 1, ..Default::default() });
}

#[test]
fn a_missed_run_says_who_was_in_its_way() {
    let mut world = check(
        place(),
        "
        0s  policy concurrency=1 overlap=skip-new lane=metadata.of => ok
        0s  create a meta=of:x       => queued due 0s
        0s  claim                    => a 1
        5s  create b meta=of:x       => queued due 5s
        5s  claim                    => nothing
        5s  get b                    => missed overlap
        ",
    );
    let why = world.get(world.names["b"], 5).message.unwrap();
    assert!(why.contains("\"x\"") && why.contains(&world.names["a"].to_string()) && why.contains(&at(0).to_string()), "{why}");
    assert!(why.contains("overlap = skip-new"), "{why}");
    world.crash(6);
    play(&mut world, "6s get b => missed overlap");
}

#[test]
fn one_may_wait_and_no_more() {
    check(
        place(),
        "
        0s  policy concurrency=1 overlap=buffer-one => ok
        0s  create a                 => queued due 0s
        0s  create b                 => queued due 0s
        0s  create c                 => queued due 0s
        0s  claim                    => a 1
        0s  get b                    => queued due 0s
        0s  get c                    => missed overlap
        1s  done a                   => succeeded
        1s  create d                 => queued due 1s
        1s  create e                 => queued due 1s
        1s  claim                    => b 1
        1s  get d                    => queued due 1s
        1s  get e                    => missed overlap
        1s  cancel d                 => cancelled cancelled
        2s  create f                 => queued due 2s
        2s  claim                    => nothing
        3s  done b                   => succeeded
        3s  claim                    => f 1
        ",
    );
}

#[test]
fn a_new_run_has_the_oldest_make_way() {
    let mut world = check(
        place(),
        "
        0s  policy concurrency=2 overlap=cancel-running => ok
        0s  create a                 => queued due 0s
        0s  claim                    => a 1
        1s  create b                 => queued due 1s
        1s  claim                    => b 1
        2s  create c                 => queued due 2s
        2s  claim                    => nothing
        2s  signal a                 => set
        2s  signal b                 => unset
        3s  create d                 => queued due 3s
        3s  claim                    => nothing
        3s  signal b                 => set
        4s  stop a                   => cancelled overlap
        4s  claim                    => c 1
        4s  signal c                 => unset
        5s  done b                   => succeeded
        5s  claim                    => d 1
        6s  retry c until=8s         => backoff failed due 8s
        6s  create e                 => queued due 6s
        6s  claim                    => e 1
        8s  claim                    => nothing
        8s  signal d                 => unset
        ",
    );
    let why = world.get(world.names["a"], 8).message.unwrap();
    assert!(why.contains(&world.names["c"].to_string()) && why.contains("cancel-running"), "{why}");
    assert_eq!(world.storage.health().made_way, 2);
    play(&mut world, "8s create g => queued due 8s\n 8s claim => nothing\n 8s signal d => set\n 9s crash => ok\n 9s get d => cancelled overlap");
}

#[test]
fn nobody_makes_way_for_a_run_that_its_rate_keeps_out() {
    check(
        place(),
        "
        0s     policy concurrency=1 overlap=cancel-running rate=1/h => ok
        0s     create a                 => queued due 0s
        0s     claim                    => a 1
        10s    create b                 => queued due 10s
        10s    claim                    => nothing
        10s    signal a                 => unset
        3599s  claim                    => nothing
        3599s  signal a                 => unset
        3600s  claim                    => nothing
        3600s  signal a                 => set
        3601s  stop a                   => cancelled overlap
        3601s  claim                    => b 1
        3602s  create c                 => queued due 1h2s
        3602s  claim                    => nothing
        3602s  signal b                 => unset
        3603s  done b                   => succeeded
        7200s  claim                    => nothing
        7201s  claim                    => c 1
        ",
    );
}

#[test]
fn who_waits_longest_for_a_lane_that_makes_way_is_itself_made_to() {
    check(
        place(),
        "
        0s  policy concurrency=1 overlap=cancel-running => ok
        0s  create a                 => queued due 0s
        0s  claim                    => a 1
        1s  create b                 => queued due 1s
        1s  create c                 => queued due 1s
        1s  claim                    => nothing
        2s  stop a                   => cancelled overlap
        2s  claim                    => b 1
        2s  signal b                 => set
        3s  retry b until=9s         => cancelled overlap
        3s  claim                    => c 1
        3s  signal c                 => unset
        ",
    );
}

#[test]
fn a_rate_lets_a_burst_start_and_then_one_after_the_other() {
    check(
        place(),
        "
        0s   policy rate=2/m         => ok
        0s   create a                => queued due 0s
        0s   create b                => queued due 0s
        0s   create c                => queued due 0s
        0s   create d                => queued due 0s
        0s   claim                   => a 1, b 1
        0s   due                     => 30s
        0s   hold c                  => rate 2/m until 30s; 0 ahead
        0s   hold d                  => rate 2/m until 30s; 1 ahead
        1s   done a                  => succeeded
        1s   claim                   => nothing
        29s  claim                   => nothing
        30s  claim                   => c 1
        30s  due                     => 1m
        40s  crash                   => ok
        40s  claim                   => nothing
        40s  due                     => 1m
        60s  claim                   => d 1
        90s  claim                   => b 2
        120s claim                   => c 2
        ",
    );
}

#[test]
fn a_clock_that_was_set_back_shuts_no_lane_for_longer_than_its_span() {
    check(
        place(),
        "
        0s     policy rate=1/m         => ok
        9000s  create a                => queued due 2h30m
        9000s  claim                   => a 1
        100s   create b                => queued due 1m40s
        100s   claim                   => nothing
        100s   due                     => 2m40s
        160s   claim                   => b 1
        ",
    );
}

#[test]
fn what_has_not_started_by_its_deadline_is_missed() {
    let world = check(
        place(),
        "
        0s  policy start-deadline=10s concurrency=1 => ok
        0s  create a                 => queued due 0s
        0s  create b at=1s           => scheduled due 1s
        0s  create c at=2s           => scheduled due 2s
        0s  claim                    => a 1
        2s  claim                    => nothing
        2s  due                      => 11s
        3s  retry a until=20s        => backoff failed due 20s
        11s claim                    => nothing
        11s get b                    => missed expired
        11s due                      => 12s
        11s cancel a                 => cancelled cancelled
        11s claim                    => c 1
        11s due                      => never
        11s create e at=15s          => scheduled due 15s
        40s claim                    => nothing
        40s get e                    => missed expired
        40s create f at=35s          => queued due 40s
        40s done c                   => succeeded
        40s claim                    => f 1
        ",
    );
    assert_eq!(world.storage.health().missed.expired, 2);
    let why = world.get(world.names["b"], 40).message.unwrap();
    assert!(why.contains("start-deadline = 10s"), "{why}");
}

#[test]
fn runs_of_a_paused_task_wait_until_it_goes_on() {
    check(
        place(),
        "
        0s  create a                 => queued due 0s
        0s  claim                    => a 1
        1s  create b                 => queued due 1s
        1s  pause                    => ok
        1s  claim                    => nothing
        1s  hold b                   => paused until resumed
        2s  create c at=4s           => scheduled due 4s
        2s  retry a until=3s         => backoff failed due 3s
        4s  claim                    => nothing
        5s  crash                    => ok
        5s  claim                    => nothing
        5s  due                      => never
        5s  resume                   => ok
        5s  claim                    => b 1, a 2, c 1
        6s  create d                 => queued due 6s
        6s  pause until=9s           => ok
        6s  claim                    => nothing
        6s  due                      => 9s
        6s  hold d                   => paused until 9s
        6s  cancel d                 => cancelled cancelled
        7s  create e                 => queued due 7s
        8s  claim                    => nothing
        9s  claim                    => e 1
        ",
    );
}

#[test]
fn a_policy_that_changes_holds_for_those_who_wait() {
    check(
        place(),
        "
        0s  create a                 => queued due 0s
        0s  create b                 => queued due 0s
        0s  create c                 => queued due 0s
        0s  create d                 => queued due 0s
        0s  claim 2                  => a 1, b 1
        1s  policy concurrency=1     => ok
        1s  claim                    => nothing
        1s  hold c                   => lane full 1 by a 0s, b 0s; 0 ahead
        2s  done a                   => succeeded
        2s  claim                    => nothing
        2s  policy concurrency=2     => ok
        2s  claim                    => c 1
        3s  policy concurrency=2 rate=1/h => ok
        3s  done b                   => succeeded
        3s  claim                    => d 1
        3s  create e                 => queued due 3s
        3s  done c                   => succeeded
        3s  claim                    => nothing
        3s  hold e                   => rate 1/h until 1h3s; 0 ahead
        4s  policy                   => ok
        4s  claim                    => e 1
        ",
    );
}

#[test]
fn what_is_parked_can_be_changed_as_any_queued_run() {
    check(
        place(),
        "
        0s  policy concurrency=1     => ok
        0s  create a                 => queued due 0s
        0s  create b                 => queued due 0s
        0s  create c                 => queued due 0s
        0s  create k key=k           => queued due 0s
        0s  claim                    => a 1
        0s  trigger b                => under way
        0s  delete b                 => already triggered
        0s  move b to=5s             => already triggered
        0s  create x key=k mode=replace => taken by k
        1s  cancel b                 => cancelled cancelled
        1s  done a                   => succeeded
        1s  trigger b                => queued due 1s
        1s  claim                    => c 1
        2s  done c                   => succeeded
        2s  claim                    => k 1
        3s  fail k                   => failed trap
        3s  claim                    => b 1
        ",
    );
}

#[test]
fn a_change_that_is_taken_back_leaves_a_parked_run_where_it_was() {
    check(
        place(),
        "
        0s  policy concurrency=1         => ok
        0s  create a                     => queued due 0s
        0s  create b                     => queued due 0s
        0s  create s at=50s              => scheduled due 50s
        0s  claim                        => a 1
        1s  delete s                     => none
        1s  done a + cancel b; delete s  => backoff write-conflict due 11s
        1s  get b                        => queued due 0s
        1s  claim                        => nothing
        1s  hold b                       => lane full 1 by a kept 0s; 0 ahead
        11s claim                        => a 2
        12s done a                       => succeeded
        12s claim                        => b 1
        ",
    );
}

/// Two writes at once, one of which fails and takes the whole group with it, if they happen to be in one.
#[test]
fn a_commit_that_fails_leaves_a_parked_run_where_it_was() {
    let mut world = World::new(place());
    world.govern(&[("concurrency", "1")], 0);
    let there = world.new_run(1_000, 0);
    world.create(vec![there.clone()], 0);
    for now in 0..20 {
        let ids = world.create(vec![world.new_run(now, now), world.new_run(now, now)], now);
        assert_eq!(world.claim(9, now)[0].run, ids[0]);
        let (cancelled, refused) = world.wait(async {
            let cancel = world.storage.cancel(world.namespace, ids[1], at(now));
            tokio::join!(cancel, world.storage.create(world.namespace, vec![there.clone()], at(now)))
        });
        assert!(refused.is_err(), "the id is taken");
        world.finish(ids[0], 1, succeeded(), now);
        let claimed = world.claim(9, now);
        assert_eq!(claimed.len(), usize::from(cancelled.is_err()), "{cancelled:?}");
        claimed.into_iter().for_each(|claim| world.finish(claim.run, 1, succeeded(), now));
    }
}

#[test]
fn priorities_hold_within_a_lane() {
    check(
        place(),
        "
        0s  policy concurrency=1     => ok
        0s  create a                 => queued due 0s
        0s  create b                 => queued due 0s
        0s  claim                    => a 1
        1s  create urgent priority=2 => queued due 1s
        1s  claim                    => nothing
        2s  done a                   => succeeded
        2s  claim                    => urgent 1
        3s  done urgent              => succeeded
        3s  claim                    => b 1
        ",
    );
}

/// A world in which so many runs wait for one that runs, in a lane of one; and so many other tasks with a gate share the memory.
fn crowd(blocked: usize, gates: usize) -> (World, RunId, Vec<RunId>) {
    let mut world = World::new(place());
    world.govern(&[("concurrency", "1"), ("lane", "metadata.of")], 0);
    let gated = TaskPolicy { start_deadline: Some(std::time::Duration::from_secs(1_000)), ..TaskPolicy::default() };
    let tasks = (0..gates).map(|number| (TaskDefinition::new(name(&format!("other-{number}"))), gated.clone())).collect();
    world.wait(world.storage.register(registration(world.namespace, b"others", tasks), at(0))).unwrap();
    let first = world.create(vec![world.new_run(0, 0)], 0)[0];
    assert_eq!(world.claim(1, 0)[0].run, first);
    let runs: Vec<NewRun> = (0..blocked).map(|_| world.new_run(1, 1)).collect();
    let ids = runs.chunks(2_000).flat_map(|some| world.create(some.to_vec(), 1)).collect();
    (world, first, ids)
}

/// What workers claim at second 2 who look as long as they are told to, and while the storage reads.
fn looks(world: &World, rounds: usize) -> Vec<RunId> {
    let mut claimed = Vec::new();
    for _ in 0..rounds {
        claimed.extend(world.storage.claim(16, at(2)).into_iter().map(|claim| claim.run));
        world.settle();
    }
    world.storage.nudge();
    claimed
}

#[test]
fn a_crowd_that_waits_does_not_delay_its_neighbours() {
    let (world, _, blocked) = crowd(10_000, 0);
    assert_eq!(looks(&world, 20), []);
    assert_eq!(world.storage.health().parked, blocked.len());
    let neighbour = world.storage.task(world.other, "task").unwrap();
    let task = (TaskDefinition::new(name("neighbour")), TaskPolicy::default());
    let near = world.wait(world.storage.register(registration(world.namespace, b"neighbour", vec![task]), at(1))).unwrap().swap_remove(0);
    let near = world.create(vec![NewRun { task: near, ..world.new_run(2, 2) }], 2)[0];
    let metadata = runlater::Metadata::from_entries([("of", "x")]).unwrap();
    let in_another_lane = world.create(vec![NewRun { metadata, ..world.new_run(2, 2) }], 2)[0];
    let far = NewRun { task: neighbour, ..world.new_run(2, 2) };
    world.wait(world.storage.create(world.other, vec![far.clone()], at(2))).unwrap();
    // One look of a worker.
    let mut claimed: Vec<_> = world.storage.claim(16, at(2)).into_iter().map(|claim| claim.run).collect();
    claimed.sort();
    assert_eq!(claimed, [near, in_another_lane, far.id]);
    assert_eq!(world.storage.health().armed, 0);
}

#[test]
fn more_wait_than_are_kept_in_memory_and_each_gets_its_turn() {
    let (mut world, first, blocked) = crowd(2_000, 127);
    assert_eq!(looks(&world, 5), []);
    let parked = world.storage.health().parked;
    assert!((256..=512).contains(&parked), "{parked} are parked, of 65,536 for 128 tasks");
    let last = *blocked.last().unwrap();
    let hold = world.storage.hold(world.namespace, last, at(2)).unwrap();
    assert!(matches!(hold, Some(Hold::LaneFull { limit: 1, .. })), "also of one that is not in memory: {hold:?}");
    world.finish(first, 1, succeeded(), 2);
    // All that are in memory go, and some more: the rest is found in its order.
    for run in &blocked[..700] {
        world.wait(world.storage.cancel(world.namespace, *run, at(2))).unwrap().unwrap();
    }
    for run in &blocked[700..710] {
        assert_eq!(looks(&world, 3), [*run]);
        world.finish(*run, 1, succeeded(), 2);
    }
    world.govern(&[("concurrency", "100"), ("lane", "metadata.of")], 2);
    let mut expected = blocked[710..].to_vec();
    while !expected.is_empty() {
        // How many of them are in memory by then, a busy machine decides: so not each look takes the very next ones.
        let claimed = looks(&world, 12);
        assert!(!claimed.is_empty(), "{} are lost", expected.len());
        for run in &claimed {
            let place = expected.iter().position(|expected| expected == run);
            expected.remove(place.unwrap_or_else(|| panic!("{run} had its turn before")));
        }
        claimed.into_iter().for_each(|run| world.storage.finish(world.end_of(run, 1, succeeded(), Default::default(), 2), at(2)));
        world.settle();
    }
}

#[test]
fn a_gate_that_goes_lets_everybody_go() {
    let (mut world, _, blocked) = crowd(2_000, 127);
    assert_eq!(looks(&world, 5), []);
    world.govern(&[], 2);
    let claimed = looks(&world, 150);
    assert!(claimed == blocked, "{} of them, in order", claimed.len());
}

#[test]
fn large_inputs_of_parked_runs_reach_their_attempts() {
    let mut world = World::new(place());
    world.govern(&[("concurrency", "1")], 0);
    let runs: Vec<NewRun> = [2, 1_000, 9_000].map(|bytes| NewRun { input: large(bytes), ..world.new_run(0, 0) }).into();
    let ids = world.create(runs.clone(), 0);
    for (id, run) in ids.into_iter().zip(runs) {
        let claim = world.claim(9, 0).swap_remove(0);
        assert_eq!(claim.run, id);
        let input = claim.input.clone().unwrap_or_else(|| world.storage.input(id).unwrap());
        assert_eq!(input.bytes(), run.input.bytes());
        world.finish(id, 1, succeeded(), 0);
    }
}
