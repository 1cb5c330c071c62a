//! Random histories of tasks with a gate, against what a policy promises in plain terms.
//!
//! The model knows no queue. It follows what was claimed and said, and after each claim looks whether that was allowed, and whether anybody
//! waits who need not.

use std::collections::BTreeMap;

use proptest::prelude::*;

use super::place;
use crate::conformance::world::{EPOCH, World, at, backoff, succeeded};
use runlater::model::{Hold, NewRun, Next, Overlap, Pause, RateLimit};
use runlater::storage::{Cancelled, Move};
use runlater::{Metadata, RunId, Status, Timestamp};

#[derive(Clone, Copy, Debug)]
struct Policy {
    per_lane: Option<u32>,
    per_task: Option<u32>,
    overlap: Overlap,
    rate: Option<&'static str>,
    deadline: Option<i64>,
}

#[derive(Clone, Debug)]
enum Step {
    Pass(i64),
    /// In which lane, due when.
    Create(u8, i64),
    Claim,
    /// Which of those in flight, and how it ends.
    Finish(usize, u8),
    Cancel(usize),
    Delete(usize),
    Move(usize, i64),
    Trigger(usize),
    Pause(Option<i64>),
    Resume,
    /// Another limit for each lane.
    Govern(Option<u32>),
    Crash,
    Reopen,
}

fn policy() -> impl Strategy<Value = Policy> {
    let limit = || prop_oneof![1 => Just(None), 2 => (1u32..4).prop_map(Some)];
    let rate = prop_oneof![2 => Just(None), 1 => Just(Some("2/m")), 1 => Just(Some("30/m"))];
    let deadline = prop_oneof![3 => Just(None), 1 => Just(Some(20i64))];
    let overlap = prop::sample::select(Overlap::ALL.to_vec());
    (limit(), limit(), overlap, rate, deadline).prop_map(|(per_lane, per_task, overlap, rate, deadline)| Policy {
        per_lane,
        per_task,
        overlap,
        rate,
        deadline,
    })
}

fn step() -> impl Strategy<Value = Step> {
    let run = || 0usize..20;
    prop_oneof![
        4 => (1..15i64).prop_map(Step::Pass),
        8 => (0u8..2, 0..12i64).prop_map(|(lane, due)| Step::Create(lane, due)),
        8 => Just(Step::Claim),
        6 => (run(), 0u8..6).prop_map(|(run, end)| Step::Finish(run, end)),
        1 => run().prop_map(Step::Cancel),
        1 => run().prop_map(Step::Delete),
        1 => (run(), 0..20i64).prop_map(|(run, due)| Step::Move(run, due)),
        1 => run().prop_map(Step::Trigger),
        1 => prop_oneof![Just(None), (1..20i64).prop_map(Some)].prop_map(Step::Pause),
        2 => Just(Step::Resume),
        1 => prop_oneof![Just(None), (1u32..3).prop_map(Some)].prop_map(Step::Govern),
        1 => Just(Step::Crash),
        1 => Just(Step::Reopen),
    ]
}

#[derive(Clone, Copy, Debug, PartialEq)]
enum State {
    Waits,
    Runs,
    /// It ended, or was deleted.
    Gone,
}

/// A run as the model sees it. Times in seconds.
#[derive(Clone, Copy, Debug)]
struct Seen {
    lane: u8,
    trigger: i64,
    due: i64,
    state: State,
    attempts: u32,
    /// It waits for another attempt, and nobody of its lane may come between.
    kept: bool,
    crashes: u32,
}

struct Model {
    policy: Policy,
    runs: BTreeMap<RunId, Seen>,
    /// What each lane has used of its rate.
    used: BTreeMap<u8, Timestamp>,
    paused: Option<Option<i64>>,
    /// Whether something happened after which runs may wait that would not have been let in, and the other way round.
    disturbed: bool,
}

impl Model {
    fn is_paused(&self, now: i64) -> bool {
        self.paused.is_some_and(|until| until.is_none_or(|until| now < until))
    }

    fn keeps(&self) -> bool {
        self.policy.per_lane == Some(1) && self.policy.overlap == Overlap::Queue
    }

    fn waiting(&self, lane: u8, now: i64) -> impl Iterator<Item = (&RunId, &Seen)> {
        self.runs.iter().filter(move |(_, run)| run.state == State::Waits && run.lane == lane && run.due <= now)
    }

    fn running(&self, lane: Option<u8>) -> usize {
        self.runs.values().filter(|run| run.state == State::Runs && lane.is_none_or(|lane| run.lane == lane)).count()
    }

    fn kept(&self, lane: u8) -> usize {
        self.runs.values().filter(|run| run.state == State::Waits && run.kept && run.lane == lane).count()
    }

    /// Follows a start, which must be allowed.
    fn start(&mut self, id: RunId, attempt: u32, now: i64) {
        let run = self.runs[&id];
        assert!(run.state == State::Waits && run.due <= now && attempt == run.attempts + 1, "{run:?} is started at {now}");
        assert!(!self.is_paused(now), "a run of a paused task is started");
        if run.attempts == 0 {
            assert!(self.policy.deadline.is_none_or(|deadline| now < run.trigger + deadline), "{run:?} starts after its deadline, at {now}");
        }
        if let Some(limit) = self.policy.per_lane {
            assert!(self.running(Some(run.lane)) < limit as usize, "the lane is full");
            assert!(run.kept || self.running(Some(run.lane)) + self.kept(run.lane) < limit as usize, "{run:?} comes between two attempts");
        }
        assert!(self.policy.per_task.is_none_or(|limit| self.running(None) < limit as usize), "the task is full");
        if let Some(rate) = self.rate() {
            let used = self.used.get(&run.lane).copied().unwrap_or(Timestamp::MIN);
            self.used.insert(run.lane, rate.start(used, at(now)).expect("the rate allows it"));
        }
        let run = self.runs.get_mut(&id).unwrap();
        (run.state, run.attempts, run.kept) = (State::Runs, attempt, false);
    }

    fn rate(&self) -> Option<RateLimit> {
        self.policy.rate.map(|rate| RateLimit::parse(rate, "rate").unwrap())
    }

    /// Looks at what is left after everybody who may has been started.
    fn look(&self, world: &World, started: &[(RunId, Seen)], now: i64) {
        let alone = self.runs.values().any(|run| run.crashes >= 2);
        for lane in 0..2 {
            let mut waiting: Vec<_> = self.waiting(lane, now).map(|(id, run)| (!run.kept, run.due, *id)).collect();
            waiting.sort();
            for (id, run) in started.iter().filter(|(_, run)| run.lane == lane && !run.kept && !alone) {
                let overtaken = waiting.iter().find(|(first, due, other)| *first && (*due, *other) < (run.due, *id));
                assert!(overtaken.is_none(), "{run:?} has overtaken {overtaken:?}");
            }
            let Some((_, _, head)) = waiting.first().copied() else { continue };
            let run = self.runs[&head];
            let (running, kept) = (self.running(Some(lane)), self.kept(lane));
            let full = self.policy.per_lane.is_some_and(|limit| running >= limit as usize || !run.kept && running + kept >= limit as usize);
            let rate = self.rate().is_some_and(|rate| rate.start(self.used.get(&lane).copied().unwrap_or(Timestamp::MIN), at(now)).is_err());
            let task = self.policy.per_task.is_some_and(|limit| self.running(None) >= limit as usize);
            let hold = world.storage.hold(world.namespace, head, at(now)).unwrap();
            let expected = match &hold {
                Some(Hold::Paused(_)) => self.is_paused(now),
                Some(Hold::LaneFull { held_by, .. }) => full && held_by.len() == (running + kept).min(10),
                Some(Hold::RateReached { .. }) => rate,
                Some(Hold::TaskFull { held_by, .. }) => task && held_by.len() == self.running(None).min(10),
                Some(Hold::LastChance { .. }) => alone,
                _ => false,
            };
            assert!(expected, "{run:?} waits at {now}, held by {hold:?}: full {full}, rate {rate}, task {task}");
            let firsts = waiting.iter().filter(|(_, _, id)| self.runs[id].attempts == 0).count();
            let only_overlap = self.policy.rate.is_none() && self.policy.per_task.is_none() && !self.disturbed;
            match self.policy.overlap {
                Overlap::SkipNew if only_overlap => assert_eq!(firsts, 0, "nobody waits"),
                Overlap::BufferOne if only_overlap => assert!(firsts <= 1, "one waits"),
                Overlap::CancelRunning if only_overlap => {
                    let asked = self.runs.iter().filter(|(id, run)| {
                        run.state == State::Runs && run.lane == lane && world.get(**id, now).cancel_requested
                    });
                    assert!(asked.count() >= firsts.min(running), "for each one that waits another is asked to end");
                }
                _ => {}
            }
        }
    }
}

fn settings(policy: Policy) -> Vec<(&'static str, String)> {
    let mut settings = vec![("lane", "metadata.of".to_owned()), ("overlap", policy.overlap.as_str().to_owned())];
    settings.extend(policy.per_lane.map(|limit| ("concurrency", limit.to_string())));
    settings.extend(policy.per_task.map(|limit| ("concurrency-per-task", limit.to_string())));
    settings.extend(policy.rate.map(|rate| ("rate", rate.to_owned())));
    settings.extend(policy.deadline.map(|deadline| ("start-deadline", format!("{deadline}s"))));
    settings
}

fn govern(world: &mut World, policy: Policy, now: i64) {
    let settings = settings(policy);
    world.govern(&settings.iter().map(|(field, value)| (*field, value.as_str())).collect::<Vec<_>>(), now);
}

fn play(policy: Policy, steps: Vec<Step>) {
    let mut world = World::new(place());
    let mut model = Model { policy, runs: BTreeMap::new(), used: BTreeMap::new(), paused: None, disturbed: false };
    govern(&mut world, policy, 0);
    let mut now = 0;
    for step in steps {
        let pick = |model: &Model, number: usize| (!model.runs.is_empty()).then(|| *model.runs.keys().nth(number % model.runs.len()).unwrap());
        match step {
            Step::Pass(span) => now += span,
            Step::Create(lane, due) => {
                let metadata = Metadata::from_entries([("of", ["x", "y"][usize::from(lane)])]).unwrap();
                let run = world.create(vec![NewRun { metadata, ..world.new_run(now + due, now) }], now)[0];
                let due = now + due;
                model.runs.insert(run, Seen { lane, trigger: due, due, state: State::Waits, attempts: 0, kept: false, crashes: 0 });
            }
            Step::Claim => claim(&world, &mut model, now),
            Step::Finish(number, end) => {
                let running: Vec<RunId> = model.runs.iter().filter(|(_, run)| run.state == State::Runs).map(|(id, _)| *id).collect();
                let Some(id) = running.get(number % running.len().max(1)).copied() else { continue };
                let next = match end {
                    0..=2 => succeeded(),
                    3 => backoff(now + 7),
                    4 => Next::Snoozed { due_at: at(now + 3) },
                    _ => Next::Requeued,
                };
                let due = next_due(&next, now);
                world.finish(id, model.runs[&id].attempts, next, now);
                let (keeps, stored) = (model.keeps(), world.get(id, now));
                let run = model.runs.get_mut(&id).unwrap();
                match due {
                    Some(due) if !stored.status.is_final() => (run.state, run.due, run.kept) = (State::Waits, due, keeps),
                    _ => run.state = State::Gone,
                }
                assert!(stored.status != Status::Cancelled || stored.cancel_requested, "{stored:?}");
            }
            Step::Cancel(number) => {
                let Some(id) = pick(&model, number) else { continue };
                model.disturbed |= model.runs[&id].state == State::Runs;
                if let Ok(Cancelled::Now) = world.wait(world.storage.cancel(world.namespace, id, at(now))).unwrap() {
                    assert_ne!(model.runs[&id].state, State::Runs);
                    model.runs.get_mut(&id).unwrap().state = State::Gone;
                }
            }
            Step::Delete(number) => {
                let Some(id) = pick(&model, number) else { continue };
                let done = world.wait(world.storage.delete(world.namespace, vec![id], at(now))).unwrap();
                if done[0].is_ok() {
                    assert!(model.runs[&id].due > now);
                    model.runs.remove(&id);
                }
            }
            Step::Move(number, due) => {
                let Some(id) = pick(&model, number) else { continue };
                let done = world.wait(world.storage.reschedule(world.namespace, vec![(id, Move::To(at(now + due)))], at(now))).unwrap();
                if done[0].is_ok() {
                    let run = model.runs.get_mut(&id).unwrap();
                    (run.trigger, run.due) = (now + due, now + due);
                }
            }
            Step::Trigger(number) => {
                let Some(id) = pick(&model, number) else { continue };
                if world.wait(world.storage.trigger(world.namespace, id, at(now))).unwrap().is_ok() {
                    let run = model.runs.get_mut(&id).unwrap();
                    let crashes = if run.state == State::Gone { 0 } else { run.crashes };
                    *run = Seen { trigger: now, due: now, state: State::Waits, crashes, ..*run };
                    run.kept &= crashes == run.crashes;
                }
            }
            Step::Pause(span) => {
                let pause = Pause { since: at(now), until: span.map(|span| at(now + span)), note: String::new() };
                world.wait(world.storage.pause_task(world.namespace, world.task.name.clone(), Some(pause), at(now))).unwrap();
                (model.paused, model.disturbed) = (Some(span.map(|span| now + span)), true);
            }
            Step::Resume => {
                world.wait(world.storage.pause_task(world.namespace, world.task.name.clone(), None, at(now))).unwrap();
                model.paused = None;
            }
            Step::Govern(per_lane) => {
                let kept_before = model.keeps();
                (model.policy.per_lane, model.disturbed) = (per_lane, true);
                govern(&mut world, model.policy, now);
                let keeps = model.keeps();
                for (id, run) in model.runs.iter_mut().filter(|(_, run)| run.state == State::Waits) {
                    // Whoever waits for another attempt under a policy that keeps the order has a slot; what a row of an attempt that a
                    // crash cut off says of it, it says only if the policy did so then.
                    run.kept = keeps && if kept_before { run.kept } else { run.attempts > 0 && waits_for_another(&world, *id, now) };
                }
            }
            Step::Crash | Step::Reopen => {
                if matches!(step, Step::Crash) { world.crash(now) } else { world.reopen(now) }
                model.disturbed = true;
                let keeps = model.keeps();
                for (id, run) in model.runs.iter_mut() {
                    let stored = world.storage.get(world.namespace, *id, at(now)).unwrap();
                    match run.state {
                        State::Runs if stored.is_some_and(|run| !run.status.is_final()) => {
                            (run.state, run.due, run.kept, run.crashes) = (State::Waits, now, keeps, run.crashes + 1);
                        }
                        State::Runs => run.state = State::Gone,
                        // After an unclean stop, whoever was due is watched.
                        _ => {}
                    }
                }
            }
        }
        for (id, run) in &model.runs {
            let Some(stored) = world.storage.get(world.namespace, *id, at(now)).unwrap() else { panic!("{id} is lost: {run:?}") };
            let state = if stored.status.is_final() { State::Gone } else if stored.status == Status::Running { State::Runs } else { State::Waits };
            assert_eq!(state, run.state, "at {now}: {stored:?}");
            if run.state == State::Waits {
                assert_eq!(stored.due_at, Some(at(run.due)), "at {now}: {stored:?}");
            }
        }
    }
    // In the end nobody is forgotten: without its policy, and once those in flight have ended, whoever waits starts.
    for (id, run) in model.runs.iter_mut().filter(|(_, run)| run.state == State::Runs) {
        world.finish(*id, run.attempts, succeeded(), now);
        run.state = State::Gone;
    }
    world.wait(world.storage.pause_task(world.namespace, world.task.name.clone(), None, at(now))).unwrap();
    world.govern(&[], now);
    now += 1_000;
    loop {
        let claims = world.claim(usize::MAX, now);
        if claims.is_empty() {
            break;
        }
        for claim in claims {
            world.finish(claim.run, claim.attempt, succeeded(), now);
            model.runs.get_mut(&claim.run).unwrap().state = State::Gone;
        }
    }
    assert!(model.runs.values().all(|run| run.state != State::Waits), "{:?}", model.runs);
}

fn next_due(next: &Next, now: i64) -> Option<i64> {
    match next {
        Next::Backoff { due_at, .. } | Next::Snoozed { due_at } => Some((due_at.as_micros() - EPOCH) / 1_000_000),
        Next::Requeued => Some(now),
        _ => None,
    }
}

/// Whether the row says that its run was put off by its own last attempt.
fn waits_for_another(world: &World, id: RunId, now: i64) -> bool {
    let run = world.get(id, now);
    matches!(run.reason.as_deref(), Some("failed" | "snoozed"))
}

/// Has everybody start who may, and looks at who did not.
fn claim(world: &World, model: &mut Model, now: i64) {
    let claims = world.claim(usize::MAX, now);
    // Until what was decided on the way is written.
    world.settle();
    let before: BTreeMap<RunId, Seen> = model.runs.clone();
    let mut missed = Vec::new();
    for (id, run) in model.runs.iter_mut().filter(|(_, run)| run.state == State::Waits) {
        let stored = world.get(*id, now);
        if stored.status == Status::Missed {
            run.state = State::Gone;
            missed.push((*run, stored.reason.unwrap().into_owned()));
        }
    }
    for claim in &claims {
        model.start(claim.run, claim.attempt, now);
    }
    for (run, reason) in missed {
        assert_eq!(run.attempts, 0, "what was started once is never missed");
        match reason.as_str() {
            "expired" => assert!(model.policy.deadline.is_some_and(|deadline| run.trigger + deadline <= now)),
            "overlap" => {
                assert!(matches!(model.policy.overlap, Overlap::SkipNew | Overlap::BufferOne));
                let in_lane = model.running(Some(run.lane)) + model.waiting(run.lane, now).count();
                assert!(model.policy.per_lane.is_some_and(|limit| in_lane >= limit as usize), "{run:?} is missed in a lane with room");
            }
            other => panic!("missed as {other}"),
        }
    }
    for run in model.runs.values().filter(|run| run.state == State::Waits && run.attempts == 0 && run.due <= now) {
        assert!(model.policy.deadline.is_none_or(|deadline| now < run.trigger + deadline), "{run:?} is too late at {now}");
    }
    let started: Vec<_> = claims.iter().map(|claim| (claim.run, before[&claim.run])).collect();
    model.look(world, &started, now);
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 60, failure_persistence: None, ..ProptestConfig::default() })]
    #[test]
    fn every_history_goes_as_the_policy_promises(policy in policy(), steps in proptest::collection::vec(step(), 1..60)) {
        play(policy, steps);
    }
}

#[test]
fn a_history_that_is_long_and_crowded() {
    let policy = Policy { per_lane: Some(2), per_task: Some(3), overlap: Overlap::Queue, rate: Some("30/m"), deadline: None };
    let mut steps = Vec::new();
    for round in 0..30 {
        steps.extend((0..6).map(|number| Step::Create((number + round) % 2, i64::from(number))));
        steps.extend([Step::Claim, Step::Finish(0, 0), Step::Finish(0, round % 6), Step::Claim, Step::Pass(2)]);
    }
    play(policy, steps);
}
