//! The seam to the database: what happens to runs and tasks, as whole transitions.
//!
//! Called by the scheduler only. Each method commits all of what it says, or changes nothing; `now` is always an argument.
//! Which transition is right was decided in `model`; storage applies it, under the conditions stated here. The suite in
//! `tests/tests/suite/conformance` is the definition of this contract, and runs against every implementation.
//!
//! **Invariants of every implementation**
//! - What a method acknowledged is durable, through loss of power.
//! - Every statement is bound to one namespace, or concerns what the host itself owns (claims, recovery).
//! - An attempt's number is its fencing token: it rises with every claim of a run, and [`finish`](Storage::finish) of an older
//!   attempt changes nothing.
//! - A run that was moved, deleted or cancelled before it was claimed never starts at its old time.

mod error;
pub mod sqlite;

use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;

use crate::model::{
    Attempt, AttemptCounters, Component, Digest, Grants, Lineage, Metadata, Name, Namespace, NamespaceId, NewRun, Next, Origin, Page,
    Payload, Progress, Run, RunFilter, RunId, Task, TaskDefinition, TaskPolicy, Timestamp, WriteSet,
};

pub use crate::cancel::CancelSignal;
pub use crate::model::Gap;
pub use error::{ChangeError, CreateError, RegisterError, StorageError};

/// Where runs and tasks are kept. See the module for what every implementation promises.
#[async_trait]
pub trait Storage: Send + Sync + 'static {
    /// The namespace of this name; created if `create`, else `None` if it does not exist.
    async fn namespace(&self, name: &Name, create: bool) -> Result<Option<Namespace>, StorageError>;

    /// All namespaces, in order of id. Answered from memory.
    fn namespaces(&self) -> Vec<Namespace>;

    /// Stores the component and makes each of its tasks point at it, adding, moving and removing code-defined runs as
    /// `registration` says. Tasks of other components under the same names are replaced; their waiting runs go to the new one.
    async fn register(&self, registration: Registration, now: Timestamp) -> Result<Vec<Arc<Task>>, RegisterError>;

    /// The registered task of this name. Answered from memory.
    fn task(&self, namespace: NamespaceId, name: &str) -> Option<Arc<Task>>;

    /// All registered tasks of the namespace, in order of name.
    fn tasks(&self, namespace: NamespaceId) -> Vec<Arc<Task>>;

    /// The bytes of a component. Blocks on the disk: for the executor's own threads.
    fn component(&self, digest: &Digest) -> Result<Option<Component>, StorageError>;

    /// The next id: later than every id before, in memory, without a write.
    fn next_run_id(&self, now: Timestamp) -> RunId;

    /// Stores runs: all of them, or none if one is refused.
    ///
    /// A run whose unique key is held by an equal run is not stored: [`Created::Existing`] says which one holds it. Its due time
    /// is its trigger time, or `now` if that has passed.
    async fn create(&self, namespace: NamespaceId, runs: Vec<NewRun>, now: Timestamp) -> Result<Vec<Created>, CreateError>;

    /// Takes up to `limit` due runs for this host to execute, without waiting for the disk.
    ///
    /// - Namespaces that have something due take turns, run by run.
    /// - In each of them in order of [`rank`](crate::model::rank), then id; never before the due time.
    /// - A run is handed out once, until its attempt is finished or its host is dead.
    /// - Each call also tells storage the time, by which it brings into reach what is due within the next minute: so whoever waits calls
    ///   at least each few seconds.
    /// - The claim is durable before its `finish` is, and in cautious mode before it is handed out.
    fn claim(&self, limit: usize, now: Timestamp) -> Vec<Claim>;

    /// Lets what was claimed reach the disk: called when the guests have been entered, so that they don't wait for it.
    fn nudge(&self);

    /// When [`claim`](Self::claim) will have something, as far as is known now.
    fn next_due(&self) -> Option<Timestamp>;

    /// Calls `wake` whenever [`next_due`](Self::next_due) has become earlier, or claims may succeed that did not.
    fn on_due(&self, wake: Box<dyn Fn() + Send + Sync>);

    /// The input of a claimed run that was too large to be kept in memory while it waited.
    fn input(&self, run: RunId) -> Result<Payload, StorageError>;

    /// Ends an attempt: its outcome, its log, what follows, and its writes if [`Next::commits_writes`], in one transaction.
    ///
    /// Returns at once; the outcome is seen by `watch` when it is durable. If the writes can't be committed, the attempt ends
    /// as `finish.refused` says and none of them is. Changes nothing if the run is no longer this attempt's.
    fn finish(&self, finish: Finish, now: Timestamp);

    /// Shows how far a running attempt has come. In memory.
    fn progress(&self, run: RunId, progress: Progress);

    /// Reads one run.
    fn get(&self, namespace: NamespaceId, run: RunId, now: Timestamp) -> Result<Option<Run>, StorageError>;

    /// Reads a page of the runs that match, and where the next page begins. A page of large runs may be shorter than asked.
    fn list(
        &self,
        namespace: NamespaceId,
        filter: &RunFilter,
        page: &Page,
        now: Timestamp,
    ) -> Result<(Vec<Run>, Option<crate::model::Cursor>), StorageError>;

    /// The ids of a page of the runs that match, and where the next page begins.
    fn list_ids(
        &self,
        namespace: NamespaceId,
        filter: &RunFilter,
        page: &Page,
        now: Timestamp,
    ) -> Result<(Vec<RunId>, Option<crate::model::Cursor>), StorageError>;

    /// How many runs match.
    fn count(&self, namespace: NamespaceId, filter: &RunFilter, now: Timestamp) -> Result<u64, StorageError>;

    /// What `create` would say of the unique key of `run` now: `None` if it is free, the run that holds it if that is an equal one.
    fn holder(&self, namespace: NamespaceId, run: &NewRun, now: Timestamp) -> Result<Option<Created>, CreateError>;

    /// The attempts of a run, oldest first.
    fn attempts(&self, namespace: NamespaceId, run: RunId) -> Result<Vec<Attempt>, StorageError>;

    /// Moves scheduled runs, each by itself: one verdict for each move, in order.
    ///
    /// Refused once a run has triggered, and for runs defined by code.
    async fn reschedule(
        &self,
        namespace: NamespaceId,
        moves: Vec<(RunId, Move)>,
        now: Timestamp,
    ) -> Result<Vec<Result<(), ChangeError>>, StorageError>;

    /// Deletes scheduled runs, each by itself: one verdict for each id, in order. Refused as `reschedule` is.
    async fn delete(&self, namespace: NamespaceId, runs: Vec<RunId>, now: Timestamp) -> Result<Vec<Result<(), ChangeError>>, StorageError>;

    /// Makes a scheduled or missed run due at once; also a failed or cancelled one, which begins anew.
    async fn trigger(&self, namespace: NamespaceId, run: RunId, now: Timestamp) -> Result<Result<(), ChangeError>, StorageError>;

    /// Cancels a run that waits, or asks the attempt of one that runs to end. Idempotent.
    async fn cancel(&self, namespace: NamespaceId, run: RunId, now: Timestamp) -> Result<Result<Cancelled, ChangeError>, StorageError>;

    /// Marks as missed the runs that became due between `gap.from` and `gap.until`, while no host was running: up to
    /// `limit` of them. Returns how many.
    async fn miss(&self, gap: Gap, limit: usize, now: Timestamp) -> Result<usize, StorageError>;

    /// The last moment at which an earlier host is known to have been alive, as found when the storage was opened; `None` in a new one.
    fn alive_until(&self) -> Option<Timestamp>;

    /// Records that the host is alive although nothing is committed, because due runs wait for a slot.
    async fn heartbeat(&self, now: Timestamp) -> Result<(), StorageError>;

    /// Sees runs as they change, after their change is durable. Slow observers lose events and are told so.
    ///
    /// What is being committed at the moment of this call may go untold: who must not miss the end of a run asks for [`ended`](Self::ended).
    fn subscribe(&self) -> tokio::sync::broadcast::Receiver<RunEvent>;

    /// Ends when the run has a final status, or is deleted. Register before reading the run, or the end may be missed.
    fn ended(&self, run: RunId) -> tokio::sync::oneshot::Receiver<()>;

    /// Writes a consistent copy of the whole database to a new file, while work goes on.
    async fn backup(&self, to: std::path::PathBuf, progress: Box<dyn Fn(u64, u64) + Send>) -> Result<(), StorageError>;

    /// Stores, reads and revokes API tokens: see [`TokenRecord`].
    async fn create_token(&self, token: TokenRecord) -> Result<(), StorageError>;
    /// All tokens, revoked ones too, in order of creation.
    fn tokens(&self) -> Result<Vec<TokenRecord>, StorageError>;
    /// Revokes a token at `now`; false if there is none of this id.
    async fn revoke_token(&self, id: &str, now: Timestamp) -> Result<bool, StorageError>;

    /// What the host could not know without asking: counts, sizes, last clean stop.
    fn health(&self) -> Health;

    /// Waits until everything that was handed to [`finish`](Self::finish) is durable.
    async fn flush(&self) -> Result<(), StorageError>;

    /// Writes what is pending, marks the stop as clean, and lets the database go. Later calls fail.
    async fn close(&self) -> Result<(), StorageError>;
}

/// A component with its tasks, ready to be stored.
#[derive(Clone, Debug)]
pub struct Registration {
    /// Whose tasks they become.
    pub namespace: NamespaceId,
    /// The component.
    pub component: Component,
    /// What it may do.
    pub grants: Grants,
    /// Its tasks, each with the policy in force.
    pub tasks: Vec<(TaskDefinition, TaskPolicy)>,
}

/// What became of one run of [`Storage::create`].
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Created {
    /// It was stored.
    New(RunId),
    /// An equal run under the same unique key was there already.
    Existing(RunId),
}

impl Created {
    /// The run that there is now.
    pub const fn id(self) -> RunId {
        match self {
            Self::New(id) | Self::Existing(id) => id,
        }
    }
}

/// A run that this host holds, and everything an attempt of it needs.
#[derive(Debug)]
#[must_use = "an unfinished claim blocks its run until the host stops"]
pub struct Claim {
    /// The run.
    pub run: RunId,
    /// The attempt's number, which is the fencing token.
    pub attempt: u32,
    /// The task as it is registered now.
    pub task: Arc<Task>,
    /// The input, or `None` if it must be read with [`Storage::input`].
    pub input: Option<Payload>,
    /// Additional metadata.
    pub metadata: Arc<Metadata>,
    /// Who made the run.
    pub origin: Origin,
    /// Where it hangs in its chain.
    pub lineage: Option<Lineage>,
    /// Its trigger time.
    pub trigger_at: Timestamp,
    /// When this attempt was due.
    pub due_at: Timestamp,
    /// The run's own limit on attempts, or the task's.
    pub max_attempts: u32,
    /// The run's own timeout, or the task's.
    pub timeout: Duration,
    /// Failed attempts before this one.
    pub failures: u32,
    /// Set when somebody asks for the run to be cancelled.
    pub cancel: CancelSignal,
}

impl Claim {
    /// What decides, beside its outcome, what follows this attempt.
    pub fn counters(&self) -> AttemptCounters {
        AttemptCounters { failures: self.failures, first_due_at: self.trigger_at, cancel_requested: self.cancel.is_set() }
    }
}

/// How an attempt ended, and what follows.
#[derive(Debug)]
pub struct Finish {
    /// The run.
    pub run: RunId,
    /// The attempt: the fencing token.
    pub attempt: u32,
    /// When the guest was started.
    pub started_at: Timestamp,
    /// The component that was executed.
    pub digest: Digest,
    /// What follows.
    pub next: Next,
    /// What follows instead if the writes conflict with what others committed meanwhile.
    pub if_conflict: Next,
    /// What the guest wrote.
    pub writes: WriteSet,
    /// Its output and log lines.
    pub log: Vec<u8>,
}

/// Where a run is moved to.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Move {
    /// To this time.
    To(Timestamp),
    /// Later by this many microseconds, or earlier if negative.
    By(i64),
}

/// What a request to cancel did.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Cancelled {
    /// The run will not start (again).
    Now,
    /// The run is executing and was told; it ends within the grace.
    Requested,
}

/// A durable change of a run.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct RunEvent {
    /// Whose run.
    pub namespace: NamespaceId,
    /// The run.
    pub run: RunId,
    /// Its task.
    pub task: Name,
    /// The run that scheduled it.
    pub parent: Option<RunId>,
    /// What happened.
    pub change: RunChange,
}

/// What happened to a run.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum RunChange {
    /// It was stored, due then.
    Created {
        /// Its trigger time.
        trigger_at: Timestamp,
    },
    /// It was moved to then.
    Rescheduled {
        /// Its new trigger time.
        trigger_at: Timestamp,
    },
    /// It was deleted.
    Deleted,
    /// It was cancelled before it ran, or marked as missed, or made due by hand.
    Marked(crate::model::Status),
    /// An attempt ended.
    Finished {
        /// Its number.
        attempt: u32,
        /// What follows.
        next: Next,
        /// How late the guest was started.
        lateness: Duration,
        /// How long it took.
        took: Duration,
    },
}

/// An API token as it is stored: never the secret itself.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct TokenRecord {
    /// The public part, by which it is listed and revoked.
    pub id: String,
    /// SHA-256 of the whole token: a random secret needs no slow hash.
    pub hash: [u8; 32],
    /// The namespace that it opens.
    pub namespace: NamespaceId,
    /// What it may do: `read`, `trigger`, `write`, `deploy` or `admin`.
    pub role: String,
    /// What it is for, in words.
    pub note: String,
    /// When it was made.
    pub created_at: Timestamp,
    /// When it stops working.
    pub expires_at: Option<Timestamp>,
    /// When it was revoked.
    pub revoked_at: Option<Timestamp>,
}

/// How the storage does.
#[derive(Clone, Debug, Default, PartialEq, Eq, serde::Serialize)]
pub struct Health {
    /// Whether writes are accepted.
    pub writable: bool,
    /// Why not, in words.
    pub trouble: Option<String>,
    /// Runs armed in memory, to start within the next seconds.
    pub armed: usize,
    /// Attempts in flight.
    pub running: usize,
    /// Writes that wait for their commit.
    pub queued_writes: usize,
}
