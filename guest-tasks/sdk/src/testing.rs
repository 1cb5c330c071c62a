//! A fake scheduler, so that a task's logic has plain unit tests: no server, no WebAssembly, no waiting.
//!
//! ```
//! use runlater_task::prelude::*;
//! use runlater_task::testing::FakeHost;
//!
//! #[task]
//! fn again(run: &Run) -> Result<(), Failure> {
//!     schedule("again").after(hours(run.attempt().into())).send(&())?;
//!     Ok(())
//! }
//!
//! let host = FakeHost::new();
//! host.set_attempt(2);
//! again(&host.run()).unwrap();
//! assert_eq!(host.scheduled()[0].trigger_at, host.now() + hours(2));
//! ```

use std::marker::PhantomData;

use serde::Serialize;
use serde_json::Value;

use crate::fake::{self, FakeRun, State, Writes};
use crate::outcome::{Failure, Outcome};
use crate::run::Run;
use crate::task::Task;
use crate::time::{Duration, Instant};
use crate::values::{Level, Origin, RunId, Status};

/// The scheduler that the SDK's functions reach on this thread. A new one is empty, and replaces the one before.
///
/// Its clock stands still at 2026-01-01T00:00:00Z until a test moves it.
#[derive(Debug)]
pub struct FakeHost {
    // Its state is the thread's, so it must stay there.
    not_send: PhantomData<*const ()>,
}

/// A run that the fake scheduler holds.
#[derive(Clone, Debug, PartialEq)]
pub struct ScheduledRun {
    /// Its name.
    pub id: RunId,
    /// The task it executes.
    pub task: String,
    /// What its task is given.
    pub input: Value,
    /// When it becomes due.
    pub trigger_at: Instant,
    /// Where it stands.
    pub status: Status,
    /// The run that scheduled it.
    pub parent: Option<RunId>,
    /// Its additional metadata, in order of key.
    pub metadata: Vec<(String, String)>,
    /// Its unique key.
    pub unique_key: Option<String>,
    /// How many attempts may fail before it does, if it says so itself.
    pub max_attempts: Option<u32>,
    /// How long one attempt may take, if it says so itself.
    pub timeout: Option<Duration>,
    /// Its priority, if it says so itself.
    pub priority: Option<u8>,
    /// Whether it was committed at once.
    pub detached: bool,
}

impl Default for FakeHost {
    fn default() -> Self {
        FakeHost::new()
    }
}

impl FakeHost {
    /// An empty scheduler for this thread.
    pub fn new() -> Self {
        fake::with(|state| *state = State::new());
        FakeHost { not_send: PhantomData }
    }

    /// What a task function takes as `&Run`.
    pub fn run(&self) -> Run {
        Run::current()
    }

    /// The time of its clock.
    pub fn now(&self) -> Instant {
        fake::with(|state| state.now)
    }

    /// Sets its clock.
    pub fn set_now(&self, now: Instant) {
        fake::with(|state| state.now = now);
    }

    /// Moves its clock on.
    pub fn advance(&self, by: Duration) {
        fake::with(|state| state.now = state.now + by);
    }

    /// Sets which try the attempt is.
    pub fn set_attempt(&self, attempt: u32) {
        fake::with(|state| state.attempt = attempt);
    }

    /// Sets when the attempt's run became due; the time now, unless it is set.
    pub fn set_trigger_at(&self, at: Instant) {
        fake::with(|state| state.trigger_at = Some(at));
    }

    /// Sets how far the attempt's deadline is away.
    pub fn set_timeout(&self, timeout: Duration) {
        fake::with(|state| state.timeout = timeout);
    }

    /// Adds an entry to the metadata of the attempt's run.
    pub fn set_metadata(&self, key: &str, value: &str) {
        fake::with(|state| state.metadata.insert(key.to_owned(), value.to_owned()));
    }

    /// Sets who made the attempt's run.
    pub fn set_origin(&self, origin: Origin) {
        fake::with(|state| state.origin = origin);
    }

    /// Asks the attempt to stop.
    pub fn request_cancel(&self) {
        fake::with(|state| state.is_cancelled = true);
    }

    /// From now on only the tasks named so are registered. Before, every task is.
    pub fn register(&self, task: &str) {
        fake::with(|state| state.tasks.get_or_insert_default().insert(task.to_owned()));
    }

    /// Makes a run look as if it had triggered, succeeded, and so on.
    pub fn set_status(&self, id: &RunId, status: Status) {
        fake::with(|state| {
            let run = state.writes.runs.get_mut(id).unwrap_or_else(|| panic!("no run {id} exists"));
            run.set_status(status, state.now);
        });
    }

    /// Executes one attempt as the scheduler would: the input passes through JSON, and a failure takes back the writes.
    pub fn execute<T: Task>(&self, input: &impl Serialize) -> Result<Outcome<Value>, Failure> {
        let input = serde_json::to_vec(input).expect("a test's input is JSON");
        let before = fake::with(|state| {
            state.task = T::NAME.to_owned();
            state.writes.clone()
        });
        let outcome = T::handle(&input, &Run::current());
        if outcome.is_err() {
            fake::with(|state| state.writes = taken_back(before, &state.writes));
        }
        Ok(match outcome? {
            Outcome::Done(output) => Outcome::Done(output.map_or(Value::Null, |json| value(&json))),
            Outcome::Snooze(delay) => Outcome::Snooze(delay),
        })
    }

    /// Executes a scheduled run: the clock moves to its time, and the attempt is its first.
    ///
    /// # Panics
    ///
    /// When the run is not scheduled, or is one of another task.
    pub fn execute_scheduled<T: Task>(&self, id: &RunId) -> Result<Outcome<Value>, Failure> {
        let input = fake::with(|state| {
            let run = state.writes.runs.get_mut(id).unwrap_or_else(|| panic!("no run {id} exists"));
            assert_eq!((run.task.as_str(), &run.status), (T::NAME, &Status::Scheduled), "run {id} is not a scheduled one of this task");
            (run.status, run.attempts) = (Status::Running, 1);
            let run = run.clone();
            state.now = state.now.max(run.trigger_at);
            (state.id, state.attempt, state.trigger_at) = (run.id, 1, Some(run.trigger_at));
            (state.origin, state.parent) = (run.origin, run.parent);
            state.metadata = run.metadata.into_iter().collect();
            value(&run.input)
        });
        let outcome = self.execute::<T>(&input);
        self.set_status(
            id,
            match outcome {
                Ok(Outcome::Done(_)) => Status::Succeeded,
                Ok(Outcome::Snooze(_)) | Err(Failure::Retry { .. }) => Status::Backoff,
                Err(Failure::Reject { .. }) => Status::Failed,
            },
        );
        outcome
    }

    /// The runs that lie ahead, first trigger time first.
    pub fn scheduled(&self) -> Vec<ScheduledRun> {
        let mut runs: Vec<_> =
            fake::with(|state| state.writes.runs.values().filter(|run| run.status == Status::Scheduled).map(view).collect());
        runs.sort_by_key(|run: &ScheduledRun| (run.trigger_at, run.id.clone()));
        runs
    }

    /// A run, wherever it stands; none once it is deleted.
    pub fn find(&self, id: &RunId) -> Option<ScheduledRun> {
        fake::with(|state| state.writes.runs.get(id).map(view))
    }

    /// The runs that were moved, in order, with the time of each move.
    pub fn moved(&self) -> Vec<(RunId, Instant)> {
        fake::with(|state| state.writes.moved.clone())
    }

    /// The runs that were deleted, in order.
    pub fn deleted(&self) -> Vec<RunId> {
        fake::with(|state| state.writes.deleted.clone())
    }

    /// The runs that were cancelled, in order.
    pub fn cancelled(&self) -> Vec<RunId> {
        fake::with(|state| state.writes.cancelled.clone())
    }

    /// The runs that were made due by hand, in order.
    pub fn triggered(&self) -> Vec<RunId> {
        fake::with(|state| state.writes.triggered.clone())
    }

    /// Every progress that was said, in order: done, total, note.
    pub fn progress(&self) -> Vec<(u64, u64, String)> {
        fake::with(|state| state.progress.clone())
    }

    /// Every line that was logged through the SDK, in order. What a task prints is not here.
    pub fn log(&self) -> Vec<(Level, String)> {
        fake::with(|state| state.log.clone())
    }
}

/// What stays of a failed attempt's writes: those of before, and what was committed at once.
fn taken_back(mut before: Writes, after: &Writes) -> Writes {
    let detached = after.runs.values().filter(|run| run.detached && !before.runs.contains_key(&run.id)).cloned().collect::<Vec<_>>();
    before.runs.extend(detached.into_iter().map(|run| (run.id.clone(), run)));
    before
}

fn value(json: &[u8]) -> Value {
    serde_json::from_slice(json).expect("the SDK writes JSON")
}

fn view(run: &FakeRun) -> ScheduledRun {
    ScheduledRun {
        id: run.id.clone(),
        task: run.task.clone(),
        input: value(&run.input),
        trigger_at: run.trigger_at,
        status: run.status.clone(),
        parent: run.parent.clone(),
        metadata: run.metadata.clone(),
        unique_key: run.unique_key.clone(),
        max_attempts: run.max_attempts,
        timeout: run.timeout,
        priority: run.priority,
        detached: run.detached,
    }
}
