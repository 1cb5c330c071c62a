//! One attempt, from the claim of a run to what follows.
//!
//! Called by the workers. Puts together what the executor needs, and hands what it reports to storage together with the
//! decision that `model` makes of it. Knows nothing of threads and waiting.

use std::panic::AssertUnwindSafe;
use std::sync::{Arc, Mutex};

use futures_util::FutureExt;

use super::creates::GuestCreates;
use super::guest_calls::GuestCalls;
use super::long_work::LongWork;
use crate::clock::Clock;
use crate::executor::{AttemptReport, AttemptRequest, Executor};
use crate::model::{
    AttemptCounters, FailureReason, Jitter, Next, Outcome, ParentRun, RetryPolicy, Timestamp, WriteSet, next_after_attempt,
};
use crate::storage::{CancelSignal, Claim, Finish, Storage, StorageError};

/// Executes attempts. Shared by all workers.
pub(super) struct Attempts {
    pub(super) storage: Arc<dyn Storage>,
    pub(super) executor: Arc<dyn Executor>,
    pub(super) clock: Arc<dyn Clock>,
    /// Set when the host can't wait any longer for attempts in flight.
    pub(super) shut_down: CancelSignal,
    pub(super) guest_creates: Arc<GuestCreates>,
    /// Where guests' calls go on that take long.
    pub(super) long: Arc<LongWork>,
    /// Spreads retries. Drawn from after failures only, so that the lock is never in the way of a run that succeeds.
    pub(super) chance: Mutex<fastrand::Rng>,
}

impl Attempts {
    /// Executes an attempt of the claimed run, and has storage end it.
    pub(super) async fn run(self: Arc<Self>, mut claim: Claim) {
        let claimed_at = self.clock.now();
        // A panic on the host's side of an attempt is this attempt's end and not that of the others on the thread. Nothing
        // that it may have left half-done is used again: the attempt's own state is dropped.
        let report = match AssertUnwindSafe(self.execute(&mut claim)).catch_unwind().await {
            Ok(report) => report,
            Err(panic) => nothing_but(trapped(panic.as_ref()), claimed_at),
        };
        let now = self.clock.now();
        let policy = RetryPolicy { max_attempts: claim.max_attempts, ..claim.task.policy.retry.clone() };
        let (next, if_conflict) = conclude(&policy, claim.counters(), report.outcome, &report.writes, now, || self.draw());
        let finish = Finish {
            run: claim.run,
            attempt: claim.attempt,
            started_at: report.started_at,
            digest: claim.task.digest,
            next,
            if_conflict,
            writes: report.writes,
            log: report.log,
        };
        failpoint!("attempt:ended");
        self.storage.finish(finish, now);
    }

    async fn execute(&self, claim: &mut Claim) -> AttemptReport {
        let input = match claim.input.take() {
            Some(input) => input,
            None => match self.storage.input(claim.run) {
                Ok(input) => input,
                Err(error) => {
                    // What is damaged stays so.
                    let reason = match error {
                        StorageError::Corrupt(_) => FailureReason::DamagedRow,
                        _ => FailureReason::Instantiation,
                    };
                    let outcome = Outcome::failed(reason, format!("the input could not be read: {error}"));
                    return nothing_but(outcome, self.clock.now());
                }
            },
        };
        let parent = ParentRun { id: claim.run, lineage: claim.lineage };
        let (storage, clock) = (self.storage.clone(), self.clock.clone());
        let calls = GuestCalls::new(storage, clock, self.guest_creates.clone(), self.long.clone(), claim.task.namespace, parent);
        let request = AttemptRequest {
            task: claim.task.clone(),
            run: claim.run,
            attempt: claim.attempt,
            input,
            metadata: claim.metadata.clone(),
            origin: claim.origin,
            parent: claim.lineage.map(|lineage| lineage.parent),
            trigger_at: claim.trigger_at,
            timeout: claim.timeout,
            cancel: claim.cancel.clone(),
            shut_down: self.shut_down.clone(),
            calls: Box::new(calls),
        };
        self.executor.execute(request).await
    }

    fn draw(&self) -> Jitter {
        Jitter::new(self.chance.lock().expect("nothing panics while it holds the generator").f64())
    }
}

/// What follows an attempt, and what follows instead if its writes can't be committed.
fn conclude(
    policy: &RetryPolicy,
    counters: AttemptCounters,
    outcome: Outcome,
    writes: &WriteSet,
    now: Timestamp,
    draw: impl Fn() -> Jitter,
) -> (Next, Next) {
    let no_chance = || Jitter::new(1.0);
    let jitter = if matches!(outcome, Outcome::Failed { .. }) { draw() } else { no_chance() };
    let next = next_after_attempt(policy, counters, outcome, now, jitter);
    if writes.is_empty() || !next.commits_writes() {
        // Nothing is written that could conflict.
        return (next, Next::Requeued);
    }
    let conflict = Outcome::failed(FailureReason::WriteConflict, "what the attempt wrote contradicts what others committed meanwhile");
    (next, next_after_attempt(policy, counters, conflict, now, draw()))
}

fn nothing_but(outcome: Outcome, started_at: Timestamp) -> AttemptReport {
    AttemptReport { outcome, started_at, writes: WriteSet::default(), log: Vec::new() }
}

fn trapped(panic: &(dyn std::any::Any + Send)) -> Outcome {
    let said = panic.downcast_ref::<&str>().copied().or_else(|| panic.downcast_ref::<String>().map(String::as_str));
    Outcome::failed(FailureReason::Trap, format!("the host panicked during the attempt: {}", said.unwrap_or("it did not say why")))
}

#[cfg(test)]
mod tests {
    use std::cell::Cell;

    use super::*;
    use crate::model::{RunId, Status, Write};

    #[test]
    fn a_conflict_is_a_failure_and_chance_is_drawn_for_failures_only() {
        let failed = || Outcome::failed(FailureReason::Returned, "");
        let done = || Outcome::Done(None);
        let policy = RetryPolicy { max_attempts: 2, ..RetryPolicy::default() };
        for (case, failures, outcome, writes, expected, draws) in [
            ("success", 0, done(), false, (Status::Succeeded, Status::Queued), 0),
            ("success with writes", 0, done(), true, (Status::Succeeded, Status::Backoff), 1),
            ("success with writes at the last attempt", 1, done(), true, (Status::Succeeded, Status::Failed), 1),
            ("failure", 0, failed(), false, (Status::Backoff, Status::Queued), 1),
            ("failure with writes, which are dropped", 0, failed(), true, (Status::Backoff, Status::Queued), 1),
            ("the last failure", 1, failed(), false, (Status::Failed, Status::Queued), 1),
        ] {
            let counters = AttemptCounters { failures, failing_since: None, cancel_requested: false };
            let mut set = WriteSet::default();
            if writes {
                set.push(Write::Cancel(RunId::from_key(1, 0))).unwrap();
            }
            let drawn = Cell::new(0);
            let draw = || {
                drawn.set(drawn.get() + 1);
                Jitter::new(0.5)
            };
            let (next, if_conflict) = conclude(&policy, counters, outcome, &set, Timestamp::MIN, draw);
            assert_eq!((next.status(), if_conflict.status()), expected, "{case}");
            assert_eq!(drawn.get(), draws, "{case}");
        }
    }
}
