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
mod namespaces;
mod slots;
pub mod sqlite;

use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;

use crate::model::limits;
use crate::model::{
    Ahead, AttemptCounters, AttemptPage, AttemptQuery, AuditAction, AuditEntry, AuditQuery, Component, Cron, CronChange, CronFilter,
    CronSpec, Digest, Existing, Grants, Hold, Holder, Lineage, Metadata, Name, Namespace, NamespaceId, NewRun, Next, Origin, Page, Pause,
    Payload, PolicySettings, Progress, Retention, Run, RunFilter, RunId, Task, TaskDefinition, TaskId, TaskPolicy, Timestamp, UniqueKey,
    Version, WriteSet, ZoneRelease,
};
use crate::zones::Zones;

pub use crate::cancel::CancelSignal;
pub use crate::model::Gap;
pub use error::{BackupError, ChangeError, CreateError, CronError, RegisterError, RunBytesFull, StorageError, TokenRefused};
pub use namespaces::{Erased, Holdings, NamespaceError, NamespaceLoad, Namespaces};
pub use slots::Slot;

/// Where runs and tasks are kept. See the module for what every implementation promises.
#[async_trait]
pub trait Storage: Namespaces {
    /// The namespace of this name; created if `create`, else `None` if it does not exist.
    async fn namespace(&self, name: &Name, create: bool) -> Result<Option<Namespace>, StorageError>;

    /// All namespaces, in order of id, but for those that are being deleted. Answered from memory.
    fn namespaces(&self) -> Vec<Namespace>;

    /// Stores the component and makes each of its tasks point at it, adding, moving and removing code-defined runs as
    /// `registration` says. Tasks of other components under the same names are replaced; their waiting runs go to the new one. The bytes of a
    /// component that no task has any more are let go of a minute later, or when something is registered after that. Refused if the namespace's
    /// components had more bytes than [`Quotas`] allow.
    async fn register(&self, registration: Registration, now: Timestamp) -> Result<Vec<Arc<Task>>, RegisterError>;

    /// The registered task of this name. Answered from memory.
    fn task(&self, namespace: NamespaceId, name: &str) -> Option<Arc<Task>>;

    /// All registered tasks of the namespace, in order of name.
    fn tasks(&self, namespace: NamespaceId) -> Vec<Arc<Task>>;

    /// Pauses a task, or lets it go on (`None`), and returns it as it is then; `None` if there is no such task.
    ///
    /// None of its runs starts an attempt while the pause holds; those in flight go on. A pause in place of one that holds keeps its
    /// beginning. Later registrations keep the pause.
    async fn pause_task(
        &self,
        namespace: NamespaceId,
        name: Name,
        pause: Option<Pause>,
        now: Timestamp,
    ) -> Result<Option<Arc<Task>>, StorageError>;

    /// The bytes of a component that a task has; `None` if none has it. Blocks on the disk: for the executor's own threads.
    fn component(&self, digest: &Digest) -> Result<Option<Component>, StorageError>;

    /// The next id: later than every id before, in memory, without a write.
    fn next_run_id(&self, now: Timestamp) -> RunId;

    /// Stores runs: all of them, or none if one is refused.
    ///
    /// A run whose unique key is held is judged by [`Unique::verdict`](crate::model::Unique::verdict): it is refused, or not stored
    /// ([`Created::Existing`], [`Created::PutOff`]), or takes the place of the one that held it, which is deleted. Its due time is its
    /// trigger time, or `now` if that has passed. Before that, a run with an idempotency key that is held is not stored: the same request
    /// gets the run that the first one got, whatever became of it, and another request is refused. Refused as a quota if the namespace has no room for them
    /// ([`has_room`](Self::has_room)). What was promised before is not: occurrences, follow-ups, runs that begin anew.
    async fn create(&self, namespace: NamespaceId, runs: Vec<NewRun>, now: Timestamp) -> Result<Vec<Created>, CreateError>;

    /// Whether so many more runs may wait in the namespace; else how many may in all. By a few it may be wrong that are being written meanwhile.
    fn has_room(&self, namespace: NamespaceId, runs: usize, now: Timestamp) -> Result<Result<(), u64>, StorageError>;

    /// What each namespace may have, from now on.
    fn set_quotas(&self, quotas: Quotas);

    /// How many bytes the runs of this namespace may hold, in place of what each namespace may; `None` takes that back. Kept in memory only.
    fn limit_run_bytes(&self, namespace: NamespaceId, max: Option<u64>);

    /// How many bytes the runs of a namespace hold: 256 each, their inputs, metadata, unique keys and outputs, and the messages and logs of the
    /// attempts that are kept. Counted exactly. Creating runs is refused beyond the limit; how an attempt ended is stored in any case.
    fn run_bytes(&self, namespace: NamespaceId) -> u64;

    /// Whether the runs of a namespace may hold this many bytes more.
    fn has_room_for_bytes(&self, namespace: NamespaceId, bytes: u64) -> Result<(), RunBytesFull>;

    /// How many claims the host may hold at a time. While several namespaces have tasks, each may hold as many as [`Shares`](crate::model::Shares) says:
    /// further due runs wait until a claim is dropped. Called once, before anything is claimed; until then there is no bound.
    fn set_slots(&self, slots: usize);

    /// Takes up to `limit` due runs for this host to execute, without waiting for the disk.
    ///
    /// - Namespaces that have something due take turns, run by run.
    /// - In each of them in order of [`rank`](crate::model::rank), then id; never before the due time.
    /// - A run is handed out once, until its attempt is finished or its host is dead.
    /// - Each call also tells storage the time, by which it brings into reach what is due within the next minute: so whoever waits calls
    ///   at least each few seconds.
    /// - It also says that the host was alive at `now`, which a later start reads. So no gap that is not dealt with may lie before `now`.
    /// - The claim is durable before its `finish` is, and in cautious mode before it is handed out.
    fn claim(&self, limit: usize, now: Timestamp) -> Vec<Claim>;

    /// Lets what was claimed reach the disk: called when the guests have been entered, so that they don't wait for it.
    fn nudge(&self);

    /// What keeps a due run from starting at `now`, as the queue sees it at this moment: it may have started when the answer is read.
    /// `None` if the run is not due, is in flight, has ended, or does not exist.
    fn hold(&self, namespace: NamespaceId, run: RunId, now: Timestamp) -> Result<Option<Hold>, StorageError>;

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

    /// The run that holds the unique key of `run`, by which `create` would judge it now.
    fn holder(&self, namespace: NamespaceId, run: &NewRun, now: Timestamp) -> Result<Option<Holder>, StorageError>;

    /// The run that holds this unique key, or held it last: [`Holder::holding`] decides. Its `same_task` and `is_equal` are false, because it is
    /// compared with no request.
    fn holder_of_key(&self, namespace: NamespaceId, key: &UniqueKey, now: Timestamp) -> Result<Option<Holder>, StorageError>;

    /// When a debounced run was first asked for; `None` if no later request has put it off, and for every other run.
    fn first_asked_for(&self, namespace: NamespaceId, run: RunId) -> Result<Option<Timestamp>, StorageError>;

    /// The unfinished run that keeps `run` from holding its unique key again, by which `trigger` would judge it now.
    fn key_taken_by(&self, namespace: NamespaceId, run: RunId) -> Result<Option<RunId>, StorageError>;

    /// A page of the attempts of a run, oldest first; empty if there is no such run in the namespace.
    ///
    /// Of a run, the last [`ATTEMPTS_KEPT`](crate::model::limits::ATTEMPTS_KEPT) attempts are kept, with the last
    /// [`LOG_BYTES_KEPT`](crate::model::limits::LOG_BYTES_KEPT) bytes of their logs: [`finish`](Self::finish) drops what is older.
    fn attempts(&self, namespace: NamespaceId, run: RunId, query: &AttemptQuery) -> Result<AttemptPage, StorageError>;

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

    /// Moves or deletes one scheduled run if it is still what the caller saw, in one of these versions. Refused as `reschedule` is, and
    /// as [`ChangeError::Stale`] if only the version differs.
    async fn amend(
        &self,
        namespace: NamespaceId,
        run: RunId,
        amendment: Amendment,
        seen: Vec<Version>,
        now: Timestamp,
    ) -> Result<Result<(), ChangeError>, StorageError>;

    /// Makes a scheduled or missed run due at once; also a failed or cancelled one, which begins anew.
    async fn trigger(&self, namespace: NamespaceId, run: RunId, now: Timestamp) -> Result<Result<(), ChangeError>, StorageError>;

    /// Cancels a run that waits, or asks the attempt of one that runs to end. Idempotent.
    async fn cancel(&self, namespace: NamespaceId, run: RunId, now: Timestamp) -> Result<Result<Cancelled, ChangeError>, StorageError>;

    /// Makes due at once those of the runs that became due in the gap that their task's [`MissedPolicy`](crate::model::MissedPolicy) makes
    /// up for, with the reason `caught-up`; their trigger time stays. Up to `limit` of them, the latest first; returns how many. Called before `miss`,
    /// while nothing is claimed, until it returns less than `limit`. Then it chooses no more of them.
    async fn catch_up(&self, gap: Gap, limit: usize, now: Timestamp) -> Result<usize, StorageError>;

    /// Deletes up to 200 ended runs of a task that `retention` does not keep, with their attempts, logs, outputs, metadata and unique keys,
    /// walking its runs from `place` on. Never one that has not ended; the marks of code-defined schedules stay.
    async fn prune(&self, task: TaskId, retention: Retention, place: PrunePlace, now: Timestamp) -> Result<Pruned, StorageError>;

    /// Deletes a slice of the idempotency keys that are held no longer.
    async fn forget_keys(&self, now: Timestamp) -> Result<Forgotten, StorageError>;

    /// Marks as missed the runs that became due between `gap.from` and `gap.until`, while no host was running: up to
    /// `limit` of them. Returns how many.
    async fn miss(&self, gap: Gap, limit: usize, now: Timestamp) -> Result<usize, StorageError>;

    /// Stores a cron under a free name. Its occurrences become runs shortly before their time: each has exactly one, made in the transaction
    /// that moves the cron on.
    async fn create_cron(
        &self,
        namespace: NamespaceId,
        name: Name,
        spec: CronSpec,
        origin: Origin,
        now: Timestamp,
    ) -> Result<Result<Cron, CronError>, StorageError>;

    /// Reads one cron.
    fn cron(&self, namespace: NamespaceId, name: &Name) -> Result<Option<Cron>, StorageError>;

    /// Reads a page of the crons that match, in order of name. A pause that has ended by `now` is none. A page ends early when its inputs are large:
    /// only an empty one says that there are no more.
    fn crons(&self, namespace: NamespaceId, filter: &CronFilter, now: Timestamp) -> Result<Vec<Cron>, StorageError>;

    /// The planned times of a cron that have their run, from `from` to `until`, both included.
    fn made(&self, namespace: NamespaceId, cron: &Name, from: Timestamp, until: Timestamp) -> Result<Vec<Timestamp>, StorageError>;

    /// Changes a cron; its runs that have not triggered are made anew. Refused for crons defined by code.
    async fn change_cron(
        &self,
        namespace: NamespaceId,
        name: Name,
        change: CronChange,
        now: Timestamp,
    ) -> Result<Result<Cron, CronError>, StorageError>;

    /// Pauses a cron, or lets it go on (`None`): its runs that have not triggered are taken back, and what would come meanwhile does not exist.
    async fn pause_cron(
        &self,
        namespace: NamespaceId,
        name: Name,
        pause: Option<Pause>,
        now: Timestamp,
    ) -> Result<Result<Cron, CronError>, StorageError>;

    /// Deletes a cron and its runs that have not triggered. Refused for crons defined by code.
    async fn delete_cron(&self, namespace: NamespaceId, name: Name, now: Timestamp) -> Result<Result<(), CronError>, StorageError>;

    /// Makes a run of a cron at once, beside the planned ones.
    async fn trigger_cron(&self, namespace: NamespaceId, name: Name, now: Timestamp) -> Result<Result<RunId, CronError>, StorageError>;

    /// Makes the runs of these past times of a cron, due at once, all in one transaction; a time that has its run is left alone. Returns how
    /// many were made.
    async fn backfill_cron(
        &self,
        namespace: NamespaceId,
        name: Name,
        planned: Vec<Timestamp>,
        now: Timestamp,
    ) -> Result<Result<usize, CronError>, StorageError>;

    /// Decides about the occurrences of up to `limit` crons in the gap, as their missed policy says, and makes up to 512 runs of them with up to 8 MiB
    /// of inputs. Returns how many crons had some. Called until it returns none: crons of which it was not done with all occurrences count again.
    async fn miss_crons(&self, gap: Gap, limit: usize, now: Timestamp) -> Result<usize, StorageError>;

    /// Computes again when crons fire next, if the time zones are others than those with which that was last done. Logs each cron whose next
    /// occurrence changes. Runs of occurrences that exist already stay as they are.
    async fn renew_crons(&self, now: Timestamp) -> Result<(), StorageError>;

    /// The time zones that crons follow.
    fn zones(&self) -> &Zones;

    /// What is to come of one task, or of all, before `until`: scheduled runs by the hour, and crons.
    fn ahead(&self, namespace: NamespaceId, task: Option<&Name>, until: Timestamp, now: Timestamp) -> Result<Ahead, StorageError>;

    /// The last moments at which an earlier host is known to have been alive, as found when the storage was opened: oldest first, none in a new
    /// one. It may have been down between any two of them.
    ///
    /// The first is the latest time up to which that host had claimed what was due. A later one is when a caller made a run due by hand, which
    /// says nothing about the time before it: a machine that has just woken up takes requests before its clock watchdog has judged the gap.
    fn signs_of_life(&self) -> Vec<Timestamp>;

    /// Records that the host is alive although nothing is committed, because due runs wait for a slot. `now` is a time for which the clock
    /// watchdog vouches, as in [`claim`](Self::claim): no gap that is not dealt with lies before it.
    async fn heartbeat(&self, now: Timestamp) -> Result<(), StorageError>;

    /// Sees runs as they change, after their change is durable. Slow observers lose events and are told so.
    ///
    /// What is being committed at the moment of this call may go untold: who must not miss the end of a run asks for [`ended`](Self::ended).
    fn subscribe(&self) -> tokio::sync::broadcast::Receiver<RunEvent>;

    /// Ends when the run has a final status, or is deleted. Register before reading the run, or the end may be missed.
    fn ended(&self, run: RunId) -> tokio::sync::oneshot::Receiver<()>;

    /// Writes a consistent copy of the whole database to a new file, while work goes on.
    async fn backup(&self, to: std::path::PathBuf, progress: Box<dyn Fn(u64, u64) + Send>) -> Result<(), BackupError>;

    /// Stores, reads and revokes API tokens: see [`TokenRecord`].
    ///
    /// Refused with the limit if a caller creates it whose namespace has as many tokens in force as it may. Of the tokens that are revoked or expired, the
    /// last 1,000 of the namespace are kept.
    async fn create_token(&self, token: TokenRecord) -> Result<Result<(), TokenRefused>, StorageError>;
    /// All tokens, revoked ones too, in order of creation.
    fn tokens(&self) -> Result<Vec<TokenRecord>, StorageError>;
    /// The same, of one namespace.
    fn tokens_of(&self, namespace: NamespaceId) -> Result<Vec<TokenRecord>, StorageError>;
    /// Revokes a token of the namespace at `now`; false if there is none of this id.
    async fn revoke_token(&self, namespace: NamespaceId, id: &str, now: Timestamp) -> Result<bool, StorageError>;

    /// The same storage on behalf of whoever holds this token: each change through it is put on record in the change's own transaction.
    fn on_behalf_of(&self, token: &str) -> Arc<dyn Storage>;
    /// Puts on record what changes nothing in the database, if there is somebody on whose behalf it is done.
    async fn record(&self, namespace: NamespaceId, action: AuditAction, subject: &str, now: Timestamp) -> Result<(), StorageError>;
    /// What was put on record of this namespace's changes, the latest first. Old entries go as new ones come.
    fn audit(&self, namespace: NamespaceId, query: &AuditQuery) -> Result<Vec<AuditEntry>, StorageError>;

    /// A secret of this database, drawn once. What callers are given to hand back is sealed with it.
    fn secret(&self) -> [u8; 32];

    /// Ends when the storage has given up for good, and says why: something can't be read or written that must be. Nothing is claimed
    /// from then on, and no change is taken; whoever starts a host anew reads what is true. Never ends while all is well.
    async fn broken(&self) -> StorageError;

    /// What the host could not know without asking: counts, sizes, last clean stop.
    fn health(&self) -> Health;

    /// Waits until everything that was handed to [`finish`](Self::finish) is durable.
    async fn flush(&self) -> Result<(), StorageError>;

    /// Writes what is pending, marks the stop as clean, and lets the database go. Later calls fail.
    async fn close(&self) -> Result<(), StorageError>;
}

/// What each namespace may have.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Quotas {
    /// Runs that wait.
    pub live_runs: u64,
    /// Bytes of all components that its tasks have.
    pub component_bytes: u64,
    /// Bytes that its runs hold.
    pub run_bytes: u64,
    /// Tokens in force, where a caller creates one. The host and embedders are not bounded.
    pub tokens: u64,
}

impl Default for Quotas {
    fn default() -> Self {
        Self {
            live_runs: limits::LIVE_PER_NAMESPACE_MAX,
            component_bytes: limits::COMPONENT_BYTES_PER_NAMESPACE_MAX,
            run_bytes: limits::RUN_BYTES_PER_NAMESPACE_MAX,
            tokens: limits::TOKENS_PER_NAMESPACE_MAX,
        }
    }
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
    /// What the operator says of the policies of these tasks: all of it, in place of what was said before.
    pub overrides: std::collections::BTreeMap<Name, PolicySettings>,
}

impl Registration {
    /// Which of the namespace's `tasks` belong to versions that this component replaces, and are not in it any more.
    pub fn left_behind<'a>(&self, tasks: &'a [Arc<Task>]) -> impl Iterator<Item = &'a Arc<Task>> {
        let has = |task: &Task| self.tasks.iter().any(|(definition, _)| definition.name == task.name);
        let (mine, others): (Vec<_>, Vec<_>) = tasks.iter().partition(|task| has(task));
        let replaced: Vec<_> = mine.iter().map(|task| task.digest).filter(|digest| *digest != self.component.digest).collect();
        others.into_iter().filter(move |task| replaced.contains(&task.digest))
    }
}

/// What became of one run of [`Storage::create`].
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Created {
    /// It was stored.
    New(RunId),
    /// A run under the same unique key or idempotency key was there already.
    Existing(Box<Existing>),
    /// The run that held its unique key was postponed, and has its input now.
    PutOff(Box<Existing>),
}

impl Created {
    /// The run that there is now.
    pub const fn id(&self) -> RunId {
        match self {
            Self::New(id) => *id,
            Self::Existing(existing) | Self::PutOff(existing) => existing.run,
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
    /// When the first of them started.
    pub failing_since: Option<Timestamp>,
    /// Set when somebody asks for the run to be cancelled.
    pub cancel: CancelSignal,
    /// Its slot of the host, which is free again when the claim is dropped.
    pub slot: Slot,
}

impl Claim {
    /// What decides, beside its outcome, what follows this attempt.
    pub fn counters(&self) -> AttemptCounters {
        AttemptCounters { failures: self.failures, failing_since: self.failing_since, cancel_requested: self.cancel.is_set() }
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

/// How far a walk over the runs of a task has come, newest first. The default is its beginning.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct PrunePlace {
    /// The key of the last run that was looked at.
    pub before: i64,
    /// How many of those that count were kept.
    pub newer: u64,
}

impl Default for PrunePlace {
    fn default() -> Self {
        Self { before: i64::MAX, newer: 0 }
    }
}

/// What one slice of a walk did.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Pruned {
    /// Runs deleted.
    pub deleted: u64,
    /// Runs looked at.
    pub looked_at: u64,
    /// Where the next slice begins; `None` at the end.
    pub next: Option<PrunePlace>,
}

/// What one call of [`Storage::forget_keys`] did.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Forgotten {
    /// Keys deleted.
    pub keys: u64,
    /// Whether there may be more of them.
    pub more: bool,
}

/// What is done to one run that somebody saw.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Amendment {
    /// It is moved.
    Move(Move),
    /// It is deleted.
    Delete,
}

/// What a request to cancel did.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Cancelled {
    /// The run will not start (again).
    Now,
    /// The run was cancelled before; nothing was changed.
    Before,
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
    /// What it may do: `read`, `trigger`, `write`, `deploy`, `admin` or `operator`.
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
    /// The time zone database that crons follow.
    pub time_zones: ZoneRelease,
    /// Whether writes can be stored at present.
    pub writable: bool,
    /// Why not: the code of the error that writes meet, as [`StorageError::code`].
    pub reason: Option<&'static str>,
    /// Why the storage stopped for good, in words. Not set while another program holds the write lock, because that passes.
    pub trouble: Option<String>,
    /// Runs armed in memory, to start within the next seconds.
    pub armed: usize,
    /// Runs that are due, and wait in memory for what their task's policy or a pause asks for. More may wait in the database.
    pub parked: usize,
    /// Attempts in flight.
    pub running: usize,
    /// Runs that are due, and wait because their namespace holds as many slots as it may have. More may wait in the database.
    pub waiting_for_slots: usize,
    /// Attempts in flight that wait for guest memory, or for places in the pool of instances. The scheduler knows.
    pub waiting_for_memory: usize,
    /// Writes that wait for their commit.
    pub queued_writes: usize,
    /// Ended runs that were deleted since the start, because they are kept no longer.
    pub pruned: u64,
    /// Runs that were marked as missed since the start.
    pub missed: Missed,
    /// Attempts that were asked to end since the start, to make way for others of their lane.
    pub made_way: u64,
    /// How often a lane's first run had to wait for its rate since the start.
    pub rate_waits: u64,
}

/// Runs that were marked as missed, by reason.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, serde::Serialize)]
pub struct Missed {
    /// Their time passed while no host was running; of crons the occurrences.
    pub host_down: u64,
    /// Their lane was busy.
    pub overlap: u64,
    /// They had not started by their deadline.
    pub expired: u64,
}
