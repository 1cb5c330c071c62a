//! Random histories against a model of a few lines: what was said is what is there, also after crashes.
//!
//! The model knows no storage: a run is a state, an outcome is taken from the attempt that holds the run, and the
//! follow-ups are those of attempts that succeeded.

use std::collections::BTreeMap;

use proptest::prelude::*;

use super::place;
use crate::conformance::world::{World, at, backoff, large, succeeded, write_set};
use runlater::model::limits::CRASHES_MAX;
use runlater::model::{FailureReason, Lineage, Next, Write};
use runlater::storage::{Cancelled, Move};
use runlater::{RunId, Status};

#[derive(Clone, Debug)]
enum Step {
    Pass(i64),
    Create(i64),
    Claim(usize),
    /// Which run, how it ends, and how many follow-ups it asks for.
    Finish(usize, u8, u8),
    /// An outcome of an attempt that does not hold its run.
    FinishStale(usize),
    Move(usize, i64),
    Delete(usize),
    Cancel(usize),
    Trigger(usize),
    Crash,
    Reopen,
}

fn step() -> impl Strategy<Value = Step> {
    let run = || 0usize..12;
    prop_oneof![
        3 => (1..40i64).prop_map(Step::Pass),
        4 => (-5..100i64).prop_map(Step::Create),
        4 => (1usize..5).prop_map(Step::Claim),
        6 => (run(), 0u8..6, 0u8..3).prop_map(|(run, end, children)| Step::Finish(run, end, children)),
        1 => run().prop_map(Step::FinishStale),
        2 => (run(), -5..100i64).prop_map(|(run, due)| Step::Move(run, due)),
        1 => run().prop_map(Step::Delete),
        2 => run().prop_map(Step::Cancel),
        2 => run().prop_map(Step::Trigger),
        1 => Just(Step::Crash),
        1 => Just(Step::Reopen),
    ]
}

/// A run as the model sees it.
#[derive(Clone, Debug, PartialEq)]
struct Modelled {
    /// `None`: it waits until `due`, in first or later attempt.
    ended: Option<Status>,
    running: bool,
    due: i64,
    /// Only a failure or a snooze makes a run wait as `backoff`.
    backoff: bool,
    attempt: u32,
    crashes: u32,
    /// Another crash would quarantine it: until it ends, it runs beside no other such run.
    last_chance: bool,
    cancel: bool,
}

impl Modelled {
    fn new(due: i64) -> Self {
        Self { ended: None, running: false, due, backoff: false, attempt: 0, crashes: 0, last_chance: false, cancel: false }
    }

    fn status(&self, now: i64) -> Status {
        match self.ended {
            Some(status) => status,
            None if self.running => Status::Running,
            None if self.due <= now => Status::Queued,
            None if self.backoff => Status::Backoff,
            None => Status::Scheduled,
        }
    }

    /// Whether the API may move or delete it.
    fn is_scheduled(&self, now: i64) -> bool {
        self.status(now) == Status::Scheduled
    }

    fn end(&mut self, status: Status) {
        (self.ended, self.running) = (Some(status), false);
    }

    fn wait(&mut self, due: i64, backoff: bool) {
        (self.running, self.due, self.backoff) = (false, due, backoff);
    }

    /// Its host is gone. Unless it stopped cleanly, whatever was due may have been in flight.
    fn crash(&mut self, clean: bool, now: i64) {
        let suspect = self.running || !clean && self.ended.is_none() && self.due <= now;
        if self.running {
            self.repeat(now);
        }
        self.last_chance = suspect && self.ended.is_none() && self.crashes + 1 >= CRASHES_MAX;
    }

    /// Its attempt is counted as crashed.
    fn repeat(&mut self, now: i64) {
        self.crashes += 1;
        if self.cancel {
            self.end(Status::Cancelled);
        } else if self.crashes >= CRASHES_MAX {
            self.end(Status::Failed);
        } else {
            self.wait(now, false);
        }
    }
}

/// What the runs hold, counted by what can be read of them. None of them has metadata or a unique key.
fn run_bytes(world: &World, now: i64) -> u64 {
    let of = |run: runlater::Run| {
        let attempts = world.storage.attempts(world.namespace, run.id, &Default::default()).expect("it can be read").attempts;
        let of_attempt = |attempt: &runlater::model::Attempt| attempt.log.len() + attempt.message.as_ref().map_or(0, String::len);
        256 + run.input.bytes().len() + run.output.map_or(0, |output| output.bytes().len()) + attempts.iter().map(of_attempt).sum::<usize>()
    };
    world.all(world.namespace, now).into_iter().map(of).sum::<usize>() as u64
}

fn play(steps: Vec<Step>) {
    let mut world = World::new(place());
    let mut model: BTreeMap<RunId, Modelled> = BTreeMap::new();
    let mut now = 0;
    for step in steps {
        let pick = |model: &BTreeMap<RunId, Modelled>, number: usize| {
            (!model.is_empty()).then(|| *model.keys().nth(number % model.len()).expect("within"))
        };
        match step {
            Step::Pass(span) => now += span,
            Step::Create(due) => {
                let run = world.create(vec![world.new_run(now + due, now)], now)[0];
                model.insert(run, Modelled::new(now + due.max(0)));
            }
            Step::Claim(limit) => {
                let claims = world.claim(limit, now);
                let mut due: Vec<_> = model.iter().filter(|(_, run)| run.status(now) == Status::Queued).map(|(id, run)| (run.due, *id)).collect();
                due.sort();
                let mut alone = model.values().any(|run| run.running && run.last_chance);
                due.retain(|(_, id)| !model[id].last_chance || !std::mem::replace(&mut alone, true));
                due.truncate(limit);
                let mut claimed: Vec<_> = claims.iter().map(|claim| (claim.due_at, claim.run)).collect();
                claimed.sort();
                assert_eq!(claimed, due.iter().map(|(due, id)| (at(*due), *id)).collect::<Vec<_>>());
                for claim in &claims {
                    let run = model.get_mut(&claim.run).unwrap();
                    (run.running, run.attempt) = (true, run.attempt + 1);
                    assert_eq!(claim.attempt, run.attempt);
                }
                world.claims.extend(claims);
                world.settle();
            }
            Step::Finish(number, end, children) => {
                let Some(id) = model.iter().filter(|(_, run)| run.running).map(|(id, _)| *id).nth(number) else { continue };
                let next = match end {
                    0 => succeeded(),
                    1 => Next::Succeeded { output: Some(large(9)) },
                    2 => Next::Failed { reason: FailureReason::Trap, message: String::new() },
                    3 => backoff(now + 7),
                    4 => Next::Snoozed { due_at: at(now + 3) },
                    _ => Next::Requeued,
                };
                let children: Vec<_> = (0..children)
                    .map(|_| runlater::model::NewRun { lineage: Some(Lineage { parent: id, root: id, depth: 0 }), ..world.new_run(now + 5, now) })
                    .collect();
                let writes = write_set(children.iter().map(|child| Write::Schedule(Box::new(child.clone()))));
                let run = model.get_mut(&id).unwrap();
                let mut finish = world.end_of(id, run.attempt, next.clone(), writes, now);
                finish.log = vec![b'x'; 3 * number];
                world.storage.finish(finish, at(now));
                world.settle();
                match next {
                    Next::Succeeded { .. } => run.end(Status::Succeeded),
                    Next::Failed { .. } => run.end(Status::Failed),
                    _ if run.cancel => run.end(Status::Cancelled),
                    Next::Requeued => run.wait(now, false),
                    Next::Backoff { .. } => run.wait(now + 7, true),
                    _ => run.wait(now + 3, true),
                }
                let commits = run.ended == Some(Status::Succeeded) || (end == 4 && run.ended.is_none());
                if commits {
                    model.extend(children.iter().map(|child| (child.id, Modelled::new(now + 5))));
                }
            }
            Step::FinishStale(number) => {
                let Some(id) = pick(&model, number) else { continue };
                let run = &model[&id];
                let stale = if run.running { run.attempt.saturating_sub(1) } else { run.attempt };
                let child = write_set([Write::Schedule(Box::new(world.new_run(now, now)))]);
                if stale > 0 {
                    world.finish_with(id, stale, succeeded(), child, now);
                }
            }
            Step::Move(number, due) => {
                let Some(id) = pick(&model, number) else { continue };
                let done = world.wait(world.storage.reschedule(world.namespace, vec![(id, Move::To(at(now + due)))], at(now))).unwrap();
                let run = model.get_mut(&id).unwrap();
                assert_eq!(done[0].is_ok(), run.is_scheduled(now), "{run:?}");
                if done[0].is_ok() {
                    run.due = now + due.max(0);
                }
            }
            Step::Delete(number) => {
                let Some(id) = pick(&model, number) else { continue };
                let done = world.wait(world.storage.delete(world.namespace, vec![id], at(now))).unwrap();
                assert_eq!(done[0].is_ok(), model[&id].is_scheduled(now), "{:?}", model[&id]);
                if done[0].is_ok() {
                    model.remove(&id);
                }
            }
            Step::Cancel(number) => {
                let Some(id) = pick(&model, number) else { continue };
                let done = world.wait(world.storage.cancel(world.namespace, id, at(now))).unwrap();
                let run = model.get_mut(&id).unwrap();
                match done {
                    Ok(Cancelled::Requested) => {
                        assert!(run.running);
                        run.cancel = true;
                    }
                    Ok(Cancelled::Now) => {
                        assert!(!run.running && run.ended.is_none());
                        run.end(Status::Cancelled);
                    }
                    Ok(Cancelled::Before) => assert_eq!(run.ended, Some(Status::Cancelled)),
                    Err(_) => assert!(run.ended.is_some()),
                }
            }
            Step::Trigger(number) => {
                let Some(id) = pick(&model, number) else { continue };
                let done = world.wait(world.storage.trigger(world.namespace, id, at(now))).unwrap();
                let run = model.get_mut(&id).unwrap();
                let may = matches!(run.status(now), Status::Scheduled | Status::Backoff | Status::Failed | Status::Cancelled);
                assert_eq!(done.is_ok(), may, "{run:?}");
                if may {
                    let crashes = if run.ended.is_some() { 0 } else { run.crashes };
                    let last_chance = run.ended.is_none() && run.last_chance;
                    *run = Modelled { attempt: run.attempt, crashes, last_chance, ..Modelled::new(now) };
                }
            }
            Step::Crash | Step::Reopen => {
                if matches!(step, Step::Crash) { world.crash(now) } else { world.reopen(now) }
                model.values_mut().for_each(|run| run.crash(matches!(step, Step::Reopen), now));
            }
        }
        let stored: Vec<_> = world.all(world.namespace, now).into_iter().map(|run| (run.id, run.status, run.attempts)).collect();
        let modelled: Vec<_> = model.iter().map(|(id, run)| (*id, run.status(now), run.attempt)).collect();
        assert_eq!(stored, modelled, "at {now}");
        assert_eq!(world.storage.run_bytes(world.namespace), run_bytes(&world, now), "at {now}");
    }
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 40, failure_persistence: None, ..ProptestConfig::default() })]
    #[test]
    fn every_history_goes_as_the_model_says(steps in proptest::collection::vec(step(), 1..60)) {
        play(steps);
    }
}
