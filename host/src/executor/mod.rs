//! The seam to the guests: run one attempt of one task.
//!
//! Called by the scheduler only. An executor knows components, grants and limits; it knows nothing of storage, of retries, or of
//! what becomes of a run. What a guest may ask of the scheduler goes through [`HostCalls`], so that no executor imports it.

mod cron_calls;
mod forbidden;
mod pause_calls;
#[cfg(any(test, feature = "test-util"))]
pub mod scripted;
pub mod wasm;

pub use cron_calls::CronCalls;
pub use forbidden::forbidden_calls;
pub use pause_calls::PauseCalls;

use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;

use crate::cancel::CancelSignal;
use crate::model::{
    BulkChange, BulkFilter, Cursor, Digest, Due, Existing, Grants, Invalid, Metadata, Name, NamespaceId, Origin, Outcome, Page, Payload,
    Progress, Run, RunFilter, RunId, Task, TaskDefinition, Timestamp, Unique, UniqueKey, WriteSet,
};

/// Runs attempts.
#[async_trait]
pub trait Executor: Send + Sync + 'static {
    /// Checks and compiles a component, and asks it for its tasks.
    ///
    /// Refuses, naming what to do, whatever could not be executed later: not a component, a missing export, an import that was not
    /// granted, a definition that is out of bounds. A namespace has one component inspected at a time; a few more wait for that, and
    /// whatever is beyond is refused as `compiler-busy`.
    async fn inspect(&self, inspection: Inspection) -> Result<Vec<TaskDefinition>, Invalid>;

    /// Ends the inspections in progress, and refuses later ones, as `shutting-down`. The host is about to stop.
    fn stop_inspecting(&self) {}

    /// Executes one attempt in an instance of its own, and reports how it ended. Never fails by itself: whatever goes
    /// wrong is the attempt's outcome.
    async fn execute(&self, attempt: AttemptRequest) -> AttemptReport;

    /// How many bytes the run's attempt waits for, because the host has no more memory for guests at present; `None` if it doesn't wait.
    fn awaited_memory(&self, _namespace: NamespaceId, _run: RunId) -> Option<u64> {
        None
    }

    /// How many attempts wait for memory.
    fn waiting_for_memory(&self) -> usize {
        0
    }
}

/// A component that somebody wants to register.
#[derive(Clone, Debug)]
pub struct Inspection {
    /// Whose tasks they will be.
    pub namespace: NamespaceId,
    /// The component.
    pub wasm: Arc<[u8]>,
    /// What it is allowed.
    pub grants: Grants,
    /// Whether tasks of the namespace have these very bytes already. If not, the time that the inspection takes does not tell whether tasks of
    /// another namespace do.
    pub deployed: bool,
}

/// Everything one attempt needs.
pub struct AttemptRequest {
    /// The task with its component's digest and its grants.
    pub task: Arc<Task>,
    /// The run.
    pub run: RunId,
    /// The attempt's number.
    pub attempt: u32,
    /// What the task is given.
    pub input: Payload,
    /// Additional metadata of the run.
    pub metadata: Arc<Metadata>,
    /// Who made the run.
    pub origin: Origin,
    /// The run that scheduled it.
    pub parent: Option<RunId>,
    /// The run's trigger time.
    pub trigger_at: Timestamp,
    /// Longest duration of the attempt, by the clock on the wall.
    pub timeout: Duration,
    /// Set when somebody asks for the run to be cancelled.
    pub cancel: CancelSignal,
    /// Set when the host shuts down and can't wait any longer.
    pub shut_down: CancelSignal,
    /// What the guest may ask of the scheduler.
    pub calls: Box<dyn HostCalls>,
}

/// How one attempt ended.
pub struct AttemptReport {
    /// The outcome.
    pub outcome: Outcome,
    /// When the guest was entered.
    pub started_at: Timestamp,
    /// What the guest asked to write: to be committed with its success or not at all.
    pub writes: WriteSet,
    /// Stdout, stderr and log lines in the order written, cut at the limit.
    pub log: Vec<u8>,
}

/// What a guest may ask of the scheduler during one attempt. Bound to the run and its namespace.
///
/// Writes are validated at once and buffered; reads see them. All but the detached form answer without waiting for a commit.
#[async_trait]
pub trait HostCalls: CronCalls + PauseCalls + Send + 'static {
    /// Buffers a new run; its id is final.
    async fn schedule(&mut self, request: ScheduleRequest) -> Result<RunId, CallError>;

    /// Stores a new run at once, whatever becomes of the attempt. The request has a unique key.
    async fn schedule_detached(&mut self, request: ScheduleRequest) -> Result<RunId, CallError>;

    /// Reads one run.
    fn get(&mut self, run: RunId) -> Result<Run, CallError>;

    /// Returns the run that holds a unique key, or `None` if the key is free.
    fn find_by_unique_key(&mut self, key: &UniqueKey) -> Result<Option<Existing>, CallError>;

    /// Reads a page of runs, and where the next one begins.
    async fn list(&mut self, filter: &RunFilter, page: &Page) -> Result<(Vec<Run>, Option<Cursor>), CallError>;

    /// Buffers a move.
    fn reschedule(&mut self, run: RunId, due: Due) -> Result<(), CallError>;

    /// Buffers a move by so many microseconds from its trigger time: later, or earlier if negative.
    fn shift(&mut self, run: RunId, micros: i64) -> Result<(), CallError>;

    /// Buffers a deletion.
    fn delete(&mut self, run: RunId) -> Result<(), CallError>;

    /// Buffers a cancellation.
    fn cancel(&mut self, run: RunId) -> Result<(), CallError>;

    /// Buffers that it is made due.
    fn trigger(&mut self, run: RunId) -> Result<(), CallError>;

    /// The runs that match now, divided by whether the change can be done to them. Those that it can be done to are at most as many as there is
    /// room for writes, else the limit.
    async fn select(&mut self, filter: &BulkFilter, change: BulkChange) -> Result<Selected, CallError>;

    /// Shows how far the attempt has come.
    fn progress(&mut self, progress: Progress);

    /// The writes so far, which are gone from here then.
    fn take_writes(&mut self) -> WriteSet;
}

/// The runs that a guest's bulk call by filter is about.
#[derive(Clone, Debug, Default)]
pub struct Selected {
    /// Those that can be changed.
    pub fit: Vec<RunId>,
    /// The first of the others, in order of id, each with the reason.
    pub refused: Vec<(RunId, CallError)>,
    /// How many others there are.
    pub refused_total: u64,
}

/// What a guest asks for when it schedules.
#[derive(Clone, Debug)]
pub struct ScheduleRequest {
    /// The task's name.
    pub task: Name,
    /// When.
    pub due: Due,
    /// With what.
    pub input: Payload,
    /// What to find it by.
    pub metadata: Metadata,
    /// What makes it unique.
    pub unique_key: Option<Unique>,
    /// Overrides the task's policy.
    pub max_attempts: Option<u32>,
    /// Overrides the task's policy.
    pub timeout: Option<Duration>,
    /// Overrides the task's policy.
    pub priority: Option<u8>,
}

/// Why a guest's call changed nothing. Mirrors the variant `error` of the WIT interface `types`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum CallError {
    /// The call itself is wrong.
    Invalid(Invalid),
    /// A limit would be exceeded.
    Limit {
        /// Which one.
        limit: &'static str,
        /// What is allowed.
        max: u64,
        /// What was asked for.
        asked: u64,
    },
    /// No such task.
    TaskNotFound(String),
    /// No such run.
    RunNotFound(RunId),
    /// Too late to move or delete it.
    AlreadyTriggered(RunId),
    /// Only a new version of its component changes it.
    DefinedByCode(RunId),
    /// There is nothing to cancel.
    AlreadyEnded(RunId),
    /// The unique key is this other run's.
    UniqueKeyTaken(RunId),
    /// No such cron.
    CronNotFound(String),
    /// There is one of this name.
    CronExists(String),
    /// Only a new version of its component changes it.
    CronDefinedByCode(String),
    /// The task lacks the grant.
    Forbidden(&'static str),
    /// The host can't answer now.
    Unavailable,
}

impl From<Invalid> for CallError {
    fn from(invalid: Invalid) -> Self {
        Self::Invalid(invalid)
    }
}

/// Where an executor finds the bytes of a component it has not compiled yet. Implemented by the scheduler over storage.
pub trait ComponentSource: Send + Sync + 'static {
    /// The component's bytes, or why there are none.
    fn load(&self, digest: &Digest) -> Result<Arc<[u8]>, String>;
}
