//! A whole scheduler in a folder of its own, with real storage and real guests, and a clock that only the test moves.
//!
//! Nothing here sleeps. A test waits for an outcome, for a change of a run, or for somebody to sleep by the clock, which is how it
//! knows that an attempt has got to where it waits. The guard of 30 s only turns a hang into a failure.

use std::future::Future;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use runlater::clock::Sleep;
use runlater::model::{Attempt, AttemptQuery, Grant};
use runlater::storage::RunEvent;
use runlater::{Clock, ManualClock, Metadata, Page, Run, RunFilter, RunId, Schedule, Scheduler, SchedulerBuilder, Status, Timestamp};
use serde_json::Value;
use tokio::sync::{broadcast, watch};

use crate::guests;

const GUARD: Duration = Duration::from_secs(30);

pub(super) const fn secs(seconds: u64) -> Duration {
    Duration::from_secs(seconds)
}

/// Fails if this takes very much longer than it ever should.
pub(super) async fn guarded<T>(what: &str, work: impl Future<Output = T>) -> T {
    tokio::time::timeout(GUARD, work).await.unwrap_or_else(|_| panic!("{what}: nothing happened for {GUARD:?}"))
}

/// A manual clock that tells who sleeps by it.
#[derive(Clone)]
pub(super) struct TestClock {
    manual: ManualClock,
    /// Every span that somebody wanted to sleep.
    sleeps: Arc<watch::Sender<Vec<Duration>>>,
}

impl TestClock {
    fn new() -> Self {
        let start = Timestamp::parse("2027-03-14T15:09:26Z", "start").unwrap();
        Self { manual: ManualClock::new(start), sleeps: Arc::new(watch::Sender::new(Vec::new())) }
    }

    /// Ends when `count` sleeps of exactly this span have begun. An attempt that waits or computes sleeps until its timeout.
    pub(super) async fn sleeping(&self, span: Duration, count: usize) {
        let mut sleeps = self.sleeps.subscribe();
        let begun = sleeps.wait_for(|spans| spans.iter().filter(|begun| **begun == span).count() >= count);
        guarded(&format!("{count} sleeps of {span:?}"), begun).await.unwrap();
    }

    /// How often somebody slept for this span so far.
    pub(super) fn slept(&self, span: Duration) -> usize {
        self.sleeps.borrow().iter().filter(|begun| **begun == span).count()
    }
}

impl Clock for TestClock {
    fn now(&self) -> Timestamp {
        self.manual.now()
    }

    fn elapsed(&self) -> Duration {
        self.manual.elapsed()
    }

    fn since_boot(&self) -> Duration {
        self.manual.since_boot()
    }

    fn sleep(&self, span: Duration) -> Sleep {
        let sleep = self.manual.sleep(span);
        self.sleeps.send_modify(|spans| spans.push(span));
        sleep
    }

    fn block_for(&self, span: Duration) -> Option<Duration> {
        self.manual.block_for(span)
    }

    fn on_jump(&self, wake: Box<dyn Fn() + Send + Sync>) {
        self.manual.on_jump(wake);
    }
}

/// The scheduler under test.
pub(super) struct World {
    // Declared first: it lets go of the folder before that is removed.
    pub(super) scheduler: Scheduler,
    pub(super) clock: TestClock,
    /// Held all the time: storage tells of changes only while somebody watches as they are made.
    events: broadcast::Receiver<RunEvent>,
    folder: tempfile::TempDir,
}

impl World {
    /// A world in which the tasks of these guests are registered, and may schedule.
    pub(super) async fn with(guests: &[&str]) -> Self {
        Self::built(guests, |builder| builder).await
    }

    /// The same, with more said to the builder.
    pub(super) async fn built(guests: &[&str], build: impl FnOnce(SchedulerBuilder) -> SchedulerBuilder) -> Self {
        let (folder, clock) = (tempfile::tempdir().unwrap(), TestClock::new());
        let scheduler = build(builder(&folder.path().join("runs.db"), &clock)).build().await.unwrap();
        let world = Self { events: scheduler.subscribe(), scheduler, clock, folder };
        for guest in guests {
            world.scheduler.register(guests::component(guest)).grant(Grant::Runs).send().await.unwrap();
        }
        world
    }

    pub(super) fn database(&self) -> PathBuf {
        self.folder.path().join("runs.db")
    }

    pub(super) fn now(&self) -> Timestamp {
        self.clock.now()
    }

    /// This long from now.
    pub(super) fn then(&self, span: Duration) -> Timestamp {
        self.now().saturating_add(span)
    }

    pub(super) fn advance(&self, span: Duration) {
        self.clock.manual.advance(span);
    }

    /// Has the machine sleep for this long.
    pub(super) fn suspend(&self, span: Duration) {
        self.clock.manual.suspend(span);
    }

    pub(super) fn advance_to(&self, moment: Timestamp) {
        self.advance(moment.since(self.now()));
    }

    /// Sets the time of day, as an operator would.
    pub(super) fn step_to(&self, moment: Timestamp) {
        self.clock.manual.step_to(moment);
    }

    /// Stops the host, and starts it again this much later.
    pub(super) async fn restart(&mut self, down: Duration) {
        guarded("shutdown", self.scheduler.shutdown(Duration::ZERO)).await.unwrap();
        self.step_to(self.then(down));
        self.open().await;
    }

    /// The same with a host that answers calls before it has dealt with what was missed.
    pub(super) async fn restart_serving(&mut self, down: Duration) {
        guarded("shutdown", self.scheduler.shutdown(Duration::ZERO)).await.unwrap();
        self.step_to(self.then(down));
        self.scheduler = builder(&self.database(), &self.clock).catch_up_later().build().await.unwrap();
        self.events = self.scheduler.subscribe();
    }

    /// Starts a host on the database of one that was stopped.
    pub(super) async fn open(&mut self) {
        self.scheduler = builder(&self.database(), &self.clock).build().await.unwrap();
        self.events = self.scheduler.subscribe();
    }

    pub(super) fn schedule(&self, task: &str, input: Value) -> Schedule<'_> {
        self.scheduler.schedule(task).input(&input).unwrap()
    }

    /// Schedules a run for now, and waits for its outcome.
    pub(super) async fn run(&self, task: &str, input: Value) -> Run {
        self.wait(self.schedule(task, input).max_attempts(1).send().await.unwrap()).await
    }

    pub(super) async fn get(&self, run: RunId) -> Run {
        self.scheduler.get(run).await.unwrap()
    }

    pub(super) async fn status(&self, run: RunId) -> Status {
        self.get(run).await.status
    }

    pub(super) async fn wait(&self, run: RunId) -> Run {
        guarded("an outcome", self.scheduler.wait(run)).await.unwrap()
    }

    /// Waits until the run is as wanted.
    pub(super) async fn until(&self, run: RunId, wanted: impl Fn(&Run) -> bool) -> Run {
        let mut events = self.events.resubscribe();
        guarded("a change of a run", async {
            loop {
                let seen = self.get(run).await;
                if wanted(&seen) {
                    return seen;
                }
                events.recv().await.unwrap();
            }
        })
        .await
    }

    /// Waits until the attempt in flight says that it has got so far. Progress is no change that is told of, so this looks.
    pub(super) async fn progressed(&self, run: RunId, done: u64) -> Run {
        guarded("progress", async {
            loop {
                let seen = self.get(run).await;
                if seen.progress.as_ref().is_some_and(|progress| progress.done >= done) {
                    return seen;
                }
                tokio::task::yield_now().await;
            }
        })
        .await
    }

    /// Waits until an attempt of the run is in flight. That is nothing which is told of, so this looks.
    pub(super) async fn started(&self, run: RunId) -> Run {
        guarded("a start", async {
            loop {
                let seen = self.get(run).await;
                if seen.status == Status::Running {
                    return seen;
                }
                tokio::task::yield_now().await;
            }
        })
        .await
    }

    /// A run that `schedule-then-wait` waits for until it is cancelled.
    pub(super) async fn gate(&self) -> RunId {
        self.schedule("touch", Value::Null).after(secs(86_400)).send().await.unwrap()
    }

    /// Waits until the run has ended, and lets time pass to each of its further attempts.
    pub(super) async fn drive(&self, run: RunId) -> Run {
        loop {
            let seen = self.until(run, |run| run.status.is_final() || run.status == Status::Backoff).await;
            if seen.status.is_final() {
                return seen;
            }
            self.advance_to(seen.due_at.unwrap());
        }
    }

    /// Everything that was due by now has ended then, because a run with less of a claim to be started has.
    pub(super) async fn quiet(&self) {
        self.quiet_with("touch").await;
    }

    /// The same, where there is this task.
    pub(super) async fn quiet_with(&self, task: &str) {
        assert_eq!(self.run(task, Value::Null).await.status, Status::Succeeded);
    }

    /// Lets time pass second by second, as it does, and has what came due by then ended now and then: time that leaps on while an attempt is in
    /// flight is time that it took, and 60 s of that are its timeout.
    pub(super) async fn pass(&self, seconds: u64, task: &str) {
        for second in 1..=seconds {
            self.advance(secs(1));
            if second % 20 == 0 || second == seconds {
                self.quiet_with(task).await;
            }
        }
    }

    pub(super) async fn list(&self, filter: RunFilter) -> Vec<Run> {
        let page = Page::new(500, None, runlater::model::Order::OldestFirst).unwrap();
        self.scheduler.list(&filter, &page).await.unwrap().0
    }

    pub(super) async fn children(&self, parent: RunId) -> Vec<Run> {
        self.list(RunFilter { parent: Some(parent), ..RunFilter::default() }).await
    }

    /// The runs with this entry of metadata.
    pub(super) async fn marked(&self, key: &str, value: &str) -> Vec<Run> {
        self.list(RunFilter { metadata: Metadata::from_entries([(key, value)]).unwrap(), ..RunFilter::default() }).await
    }

    /// Waits until so many of these have succeeded.
    pub(super) async fn succeeded(&self, key: &str, value: &str, count: usize) -> Vec<Run> {
        let mut events = self.events.resubscribe();
        guarded("a success", async {
            loop {
                let mut seen = self.marked(key, value).await;
                seen.retain(|run| run.status == Status::Succeeded);
                if seen.len() >= count {
                    return seen;
                }
                events.recv().await.unwrap();
            }
        })
        .await
    }

    pub(super) async fn attempts(&self, run: RunId) -> Vec<Attempt> {
        self.scheduler.attempts(run, AttemptQuery::default()).await.unwrap().attempts
    }

    /// How each attempt of the run ended.
    pub(super) async fn history(&self, run: RunId) -> Vec<String> {
        self.attempts(run).await.into_iter().map(|attempt| attempt.outcome.unwrap_or("running".into()).into_owned()).collect()
    }
}

/// A scheduler on this database. Machine code is kept between tests: it is the same each time, and slow to make.
pub(super) fn builder(database: &Path, clock: &TestClock) -> SchedulerBuilder {
    let code = Path::new(env!("CARGO_TARGET_TMPDIR")).join("code");
    Scheduler::builder().sqlite(database).clock(clock.clone()).threads(2).seed(7).code_cache(code, [7; 32])
}

/// What a run returned, as JSON; null if it returned nothing.
pub(super) fn output(run: &Run) -> Value {
    run.output.as_ref().map_or(Value::Null, |output| serde_json::from_slice(output.bytes()).unwrap())
}
