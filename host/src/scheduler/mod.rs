//! The façade that every door and every embedder uses.
//!
//! [`Scheduler`] turns requests into transitions of [`Storage`] and hands due runs to the [`Executor`]. It knows neither SQL nor
//! wasm nor HTTP. One verb, one file: `schedule.rs`, `register.rs`, `bulk.rs`; what runs in the background is owned by
//! `background.rs`: the threads of `worker.rs`, which share a `crew.rs`, and `keeper.rs`; what a guest may ask for is in `guest_calls.rs`.

mod attempt;
mod background;
mod builder;
mod bulk;
mod claims;
mod component_source;
mod cpu_bound;
mod creates;
mod crew;
mod cron;
mod cron_calls;
mod cursors;
mod derived_id;
mod doorbell;
mod error;
mod explain;
mod forecast;
mod grants;
mod guest_calls;
mod input_check;
mod keeper;
mod long_work;
mod namespaces;
mod own_writes;
mod pause;
mod pause_calls;
mod plan;
mod prune;
mod refused;
mod register;
mod roster;
mod schedule;
mod time_zones;
mod tokens;
mod watchdog;
mod worker;

use std::future::Future;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use crate::clock::Clock;
use crate::executor::Executor;
use crate::listeners::OwnListeners;
use crate::model::{
    AllowedGrants, AttemptPage, AttemptQuery, AuditAction, AuditEntry, AuditQuery, Cursor, Due, Name, Namespace, NamespaceId, Page, Run,
    RunFilter, RunId, Task, Timestamp, Version,
};
use crate::storage::sqlite::SqliteStorage;
use crate::storage::{Amendment, Cancelled, Health, Move, NamespaceLoad, RunEvent, Storage, StorageError};
use crate::time_limit;
use long_work::ON_REQUEST_MAX;

pub use crate::model::Selection;
pub use builder::SchedulerBuilder;
pub use bulk::BulkOutcome;
pub use cron::{Backfill, CronUpdate, NewCron, next};
pub use error::Error;
pub use plan::{Plan, Planned};
pub use register::{Register, Registered};
pub use schedule::{Schedule, Scheduled};
pub use tokens::{NewToken, Role, Token};

/// A scheduler bound to one namespace. Cheap to clone; clones share everything.
///
/// ```no_run
/// # async fn example() -> anyhow::Result<()> {
/// use std::time::Duration;
/// use runlater::{Grant, Scheduler};
///
/// let scheduler = Scheduler::builder().sqlite("app.db").build().await?;
/// scheduler.register(std::fs::read("remind.wasm")?).grant(Grant::Runs).send().await?;
/// let id = scheduler.schedule("remind").after(Duration::from_secs(2)).input(&"hello")?.send().await?;
/// println!("{:?}", scheduler.wait(id).await?.status);
/// scheduler.shutdown(Duration::from_secs(25)).await?;
/// # Ok(()) }
/// ```
#[derive(Clone)]
pub struct Scheduler {
    core: Arc<Core>,
    namespace: Namespace,
    /// Where changes go: on behalf of a token's holder, or of the host itself.
    changes: Arc<dyn Storage>,
    /// The role of that token; `None` for the program itself, which may do everything.
    role: Option<Role>,
}

/// What all clones share.
struct Core {
    storage: Arc<dyn Storage>,
    sqlite: Arc<SqliteStorage>,
    executor: Arc<dyn Executor>,
    clock: Arc<dyn Clock>,
    background: background::Background,
    long: Arc<long_work::LongWork>,
    tokens: tokens::TokenCache,
    forecasts: forecast::Forecasts,
    /// Whether what was missed before the start was dealt with.
    caught_up: tokio::sync::watch::Receiver<bool>,
    /// What cursors are sealed with.
    secret: [u8; 32],
    /// What tokens below the role `operator` may grant over the network.
    allowed_grants: AllowedGrants,
    /// Where this host listens itself: no guest reaches that.
    listeners: OwnListeners,
}

impl Scheduler {
    /// Begins a scheduler: choose a database, then [`build`](SchedulerBuilder::build) it.
    pub fn builder() -> SchedulerBuilder {
        SchedulerBuilder::default()
    }

    /// The namespace that every call on this value concerns.
    pub fn namespace(&self) -> &Namespace {
        &self.namespace
    }

    /// The same scheduler bound to another namespace, which is created if it does not exist.
    ///
    /// # Errors
    ///
    /// [`Error::Namespace`] if it is being deleted, or the host has as many as it may; [`Error::Forbidden`] on behalf of a token below the role
    /// `operator`.
    pub async fn in_namespace(&self, name: &str) -> Result<Self, Error> {
        self.require(Role::Operator)?;
        let namespace = namespaces::named(self.core.storage.as_ref(), Name::parse(name, "namespace")?, self.now()).await?;
        Ok(Self { namespace, ..self.clone() })
    }

    /// The same scheduler bound to another namespace; `None` if there is none of this name, if it is being deleted, or on behalf of a token below
    /// the role `operator`.
    pub fn find_namespace(&self, name: &str) -> Option<Self> {
        self.require(Role::Operator).ok()?;
        self.core.storage.find_namespace(name).map(|namespace| Self { namespace, ..self.clone() })
    }

    /// The same scheduler on behalf of whoever holds the token of this id: what is changed through it is put on record.
    pub fn on_behalf_of(&self, token: &str) -> Self {
        Self { changes: self.core.storage.on_behalf_of(token), ..self.clone() }
    }

    /// The time, by the scheduler's clock.
    pub fn now(&self) -> Timestamp {
        self.core.clock.now()
    }

    /// Time that only passes, by the scheduler's clock: what rates are counted in.
    pub fn elapsed(&self) -> Duration {
        self.core.clock.elapsed()
    }

    /// Begins the registration of a component: its bytes, as built for `wasm32-wasip2`.
    pub fn register(&self, wasm: impl Into<Arc<[u8]>>) -> Register<'_> {
        Register::new(self, wasm.into())
    }

    /// The registered task of this name.
    pub fn task(&self, name: &str) -> Option<Arc<Task>> {
        self.core.storage.task(self.namespace.id, name)
    }

    /// All registered tasks, in order of name.
    pub fn tasks(&self) -> Vec<Arc<Task>> {
        self.core.storage.tasks(self.namespace.id)
    }

    /// Begins to schedule a run of a task; without a time, it is due at once.
    pub fn schedule(&self, task: &str) -> Schedule<'_> {
        Schedule::new(self, task)
    }

    /// Reads one run.
    pub async fn get(&self, run: RunId) -> Result<Run, Error> {
        // A look-up by key takes microseconds: cheaper here than a hop to another thread.
        self.core.storage.get(self.namespace.id, run, self.now())?.ok_or(Error::RunNotFound(run))
    }

    /// Reads a page of the runs that match, and where the next page begins.
    pub async fn list(&self, filter: &RunFilter, page: &Page) -> Result<(Vec<Run>, Option<Cursor>), Error> {
        let (filter, page) = (filter.clone().checked()?, *page);
        self.read(move |storage, namespace, now| storage.list(namespace, &filter, &page, now)).await
    }

    /// How many runs match.
    pub async fn count(&self, filter: &RunFilter) -> Result<u64, Error> {
        let filter = filter.clone().checked()?;
        self.read(move |storage, namespace, now| storage.count(namespace, &filter, now)).await
    }

    /// Reads a page of the attempts of a run, oldest first, with their logs.
    ///
    /// Of a run, the last 20 attempts and the last 1 MiB of their logs are kept. [`AttemptPage::dropped`] and
    /// [`Attempt::log_dropped`](crate::model::Attempt::log_dropped) say what is not kept any more.
    pub async fn attempts(&self, run: RunId, query: AttemptQuery) -> Result<AttemptPage, Error> {
        self.get(run).await?;
        self.read(move |storage, namespace, _| storage.attempts(namespace, run, &query)).await
    }

    /// How many bytes the runs of the namespace hold.
    pub fn run_bytes(&self) -> u64 {
        self.core.storage.run_bytes(self.namespace.id)
    }

    /// Moves a scheduled run to another time. Refused once it has triggered, and for runs defined by code.
    pub async fn reschedule(&self, run: RunId, due: impl Into<Due>) -> Result<(), Error> {
        let now = self.now();
        let to = Move::To(due.into().trigger_at(now));
        let mut verdicts = self.changes.reschedule(self.namespace.id, vec![(run, to)], now).await?;
        Ok(verdicts.pop().expect("one verdict for one move")?)
    }

    /// Deletes a scheduled run. Refused once it has triggered (then [`cancel`](Self::cancel) it), and for runs defined by code.
    pub async fn delete(&self, run: RunId) -> Result<(), Error> {
        let mut verdicts = self.changes.delete(self.namespace.id, vec![run], self.now()).await?;
        Ok(verdicts.pop().expect("one verdict for one id")?)
    }

    /// Moves a run that the caller saw, if it still is what it saw, in one of these versions. Else as [`reschedule`](Self::reschedule).
    pub async fn reschedule_seen(&self, run: RunId, due: impl Into<Due>, seen: Vec<Version>) -> Result<(), Error> {
        let now = self.now();
        let amendment = Amendment::Move(Move::To(due.into().trigger_at(now)));
        Ok(self.changes.amend(self.namespace.id, run, amendment, seen, now).await??)
    }

    /// Deletes a run that the caller saw, if it still is what it saw, in one of these versions. Else as [`delete`](Self::delete).
    pub async fn delete_seen(&self, run: RunId, seen: Vec<Version>) -> Result<(), Error> {
        Ok(self.changes.amend(self.namespace.id, run, Amendment::Delete, seen, self.now()).await??)
    }

    /// Makes a scheduled, missed, failed or cancelled run due at once.
    pub async fn trigger_now(&self, run: RunId) -> Result<(), Error> {
        Ok(self.changes.trigger(self.namespace.id, run, self.now()).await??)
    }

    /// Cancels a run. One that waits never starts; one that runs is told so, and dropped after its task's grace, 5 s by default.
    /// Cancelling a run twice is no error.
    pub async fn cancel(&self, run: RunId) -> Result<Cancelled, Error> {
        Ok(match self.changes.cancel(self.namespace.id, run, self.now()).await?? {
            Cancelled::Before => Cancelled::Now,
            cancelled => cancelled,
        })
    }

    /// Waits until the run has a final status, and reads it then. [`Error::RunNotFound`] if it is deleted meanwhile.
    pub async fn wait(&self, run: RunId) -> Result<Run, Error> {
        loop {
            // Register before looking: an end between the two must not be missed.
            let ended = self.end_of(run);
            let seen = self.get(run).await?;
            if seen.status.is_final() {
                return Ok(seen);
            }
            ended.await?;
        }
    }

    /// Waits for a run to end from now on, for callers that bound how many runs they read at a time.
    pub(crate) fn end_of(&self, run: RunId) -> impl Future<Output = Result<(), Error>> {
        let ended = self.core.storage.ended(run);
        async {
            ended.await.map_err(|_| {
                let why = self.health().trouble.unwrap_or_else(|| "the scheduler is shut down".into());
                StorageError::Unavailable(why).into()
            })
        }
    }

    /// Sees the runs of all namespaces as they change, after each change is durable. Slow observers lose events and are told so.
    ///
    /// What is being committed at the moment of this call may go untold: to wait for one run, [`wait`](Self::wait).
    pub fn subscribe(&self) -> tokio::sync::broadcast::Receiver<RunEvent> {
        self.core.storage.subscribe()
    }

    /// What callers with tokens changed in this namespace, the latest first.
    pub async fn audit(&self, query: AuditQuery) -> Result<Vec<AuditEntry>, Error> {
        self.read(move |storage, namespace, _| storage.audit(namespace, &query)).await
    }

    /// What of this namespace waits in memory, and what is in flight.
    pub fn load(&self) -> NamespaceLoad {
        self.core.storage.load_of(self.namespace.id)
    }

    /// Keeps guests from connecting to this address, on which the program serves something of the host: the HTTP API, for example, which
    /// [`serve`](crate::http::serve) does by itself. A port is kept on every local address, as a connection to it may arrive on another one.
    pub fn guard_listener(&self, address: std::net::SocketAddr) {
        self.core.listeners.add(address);
    }

    /// How the storage does, and the whole host: over all namespaces.
    pub fn health(&self) -> Health {
        Health { waiting_for_memory: self.core.executor.waiting_for_memory(), ..self.core.storage.health() }
    }

    /// Writes a consistent copy of the whole database to a new file, while work goes on. `progress` gets pages done and in all.
    pub async fn backup(&self, to: impl Into<PathBuf>, progress: impl Fn(u64, u64) + Send + 'static) -> Result<(), Error> {
        self.require(Role::Operator)?;
        let to = to.into();
        // Before the copy, so that it tells of itself.
        self.changes.record(self.namespace.id, AuditAction::Backup, &to.to_string_lossy(), self.now()).await?;
        Ok(self.core.storage.backup(to, Box::new(progress)).await?)
    }

    /// Works until `signal` ends, then shuts down with a grace of 25 s for the attempts in flight. Ends as well, with the reason, when the
    /// storage gives up: see [`broken`](Self::broken).
    pub async fn run_until(&self, signal: impl Future<Output = ()>) -> Result<(), Error> {
        tokio::select! {
            () = signal => self.shutdown(Duration::from_secs(25)).await,
            why = self.broken() => {
                // What the attempts in flight come to can't be recorded: they are repeated.
                drop(self.shutdown(Duration::ZERO).await);
                Err(why)
            }
        }
    }

    /// Ends when the storage has given up for good, and says why: the disk failed, or the database is damaged. Nothing starts from then on,
    /// and no change is taken. A scheduler that is built anew reads what is true. Never ends while all is well.
    pub async fn broken(&self) -> Error {
        self.core.storage.broken().await.into()
    }

    /// Starts nothing more, waits up to `grace` for the attempts in flight, returns the rest to the queue uncounted, and lets
    /// the database go. Later calls fail with [`StorageError::Unavailable`].
    ///
    /// # Errors
    ///
    /// [`StorageError::Locked`] if another program held the database's write lock for more than 5 s, so that outcomes of attempts are not recorded.
    /// The next start repeats their runs.
    pub async fn shutdown(&self, grace: Duration) -> Result<(), Error> {
        self.refuse_registrations();
        self.core.background.stop(self.core.clock.as_ref(), grace).await;
        self.core.storage.close().await?;
        Ok(())
    }

    /// Ends the registrations in progress, and refuses later ones as `shutting-down`: a component takes up to a minute to compile, for which
    /// no host that is about to stop should wait. [`shutdown`](Self::shutdown) does this first.
    pub fn refuse_registrations(&self) {
        self.core.executor.stop_inspecting();
    }

    /// Waits until what was missed before the start was dealt with. A cron that is changed before that would lose the occurrences that it missed.
    async fn has_caught_up(&self) {
        // An error says that the scheduler is shut down, which the call that follows finds as well.
        let _ = self.core.caught_up.clone().wait_for(|caught_up| *caught_up).await;
    }

    /// Reads on a thread for blocking calls, and then, if that takes long, on one for long work. The read may begin twice.
    async fn read<T: Send + 'static>(
        &self,
        read: impl Fn(&dyn Storage, NamespaceId, Timestamp) -> Result<T, StorageError> + Send + Sync + 'static,
    ) -> Result<T, Error> {
        let (storage, namespace, now) = (self.core.storage.clone(), self.namespace.id, self.now());
        let read = Arc::new(move || read(storage.as_ref(), namespace, now));
        let at_once = read.clone();
        let done = tokio::task::spawn_blocking(move || time_limit::within(ON_REQUEST_MAX, None, || at_once())).await;
        match done.map_err(|_| StorageError::Unavailable("the runtime is shutting down".into()))? {
            Err(StorageError::TooLong) => Ok(self.core.long.run(namespace, move || read()).await??),
            done => Ok(done?),
        }
    }
}
