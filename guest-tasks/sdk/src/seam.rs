//! What the SDK asks of a scheduler: the contract, in the SDK's own types.
//!
//! Two hosts stand behind it: `wasm.rs` calls the real one through the generated bindings, `fake/` is the one of
//! native unit tests. What each call promises is written down once, in the contract's WIT; it holds for both.

use crate::error::Error;
use crate::policy::{CatchUp, MissedPolicy};
use crate::runs::{BulkOutcome, Filter, KeyHolder, Order};
use crate::time::{Duration, Instant};
use crate::values::{Due, Level, Origin, RunId, Shift, Status, UniqueMode};

#[cfg(not(target_family = "wasm"))]
pub(crate) use crate::fake::Fake as Here;
#[cfg(target_family = "wasm")]
pub(crate) use crate::wasm::Wasm as Here;

/// A run that is to be scheduled.
#[derive(Clone, Debug)]
pub(crate) struct NewRun {
    pub(crate) task: String,
    pub(crate) due: Due,
    pub(crate) input: Vec<u8>,
    pub(crate) options: Options,
}

/// What a run can carry beyond task, time and input.
#[derive(Clone, Debug, Default)]
pub(crate) struct Options {
    pub(crate) metadata: Vec<(String, String)>,
    pub(crate) unique_key: Option<String>,
    pub(crate) unique: UniqueMode,
    pub(crate) held_for: Option<Duration>,
    pub(crate) max_attempts: Option<u32>,
    pub(crate) timeout: Option<Duration>,
    pub(crate) priority: Option<u8>,
}

impl Options {
    /// Whether the task's own defaults hold throughout.
    #[cfg(target_family = "wasm")]
    pub(crate) fn is_empty(&self) -> bool {
        self.metadata.is_empty()
            && self.unique_key.is_none()
            && self.max_attempts.is_none()
            && self.timeout.is_none()
            && self.priority.is_none()
    }
}

/// Which missed occurrences run, of at most how long ago, and at most how many; what is not said is the host's default.
pub(crate) type Missed = (CatchUp, Option<Duration>, Option<u32>);

/// What is said of a cron beside its name and its task; what is not set is the host's default, or stays as it is, and `Some(None)` lifts it.
#[derive(Clone, Debug, Default, PartialEq)]
pub(crate) struct NewCron {
    pub(crate) expression: Option<String>,
    pub(crate) timezone: Option<String>,
    pub(crate) start: Option<Instant>,
    pub(crate) end: Option<Option<Instant>>,
    pub(crate) max_count: Option<Option<u32>>,
    pub(crate) jitter: Option<Duration>,
    pub(crate) input: Option<Vec<u8>>,
    /// All of it, in place of what there was.
    pub(crate) metadata: Option<Vec<(String, String)>>,
    pub(crate) priority: Option<Option<u8>>,
    pub(crate) missed: Option<Option<Missed>>,
}

/// One page of a list, and the cursor of the next.
pub(crate) type Page<View> = (Vec<View>, Option<String>);

/// A scheduler, seen from inside an attempt. Functions, not methods: an attempt has exactly one.
pub(crate) trait Host {
    /// A run as it stood when it was read.
    type View: View;
    /// A cron as it stood when it was read.
    type CronView: CronView;

    fn schedule(run: &NewRun) -> Result<RunId, Error>;
    fn schedule_detached(run: &NewRun, unique_key: &str) -> Result<RunId, Error>;
    fn get(id: &RunId) -> Result<Self::View, Error>;
    fn find_by_unique_key(key: &str) -> Result<Option<KeyHolder>, Error>;
    fn list(filter: &Filter, order: Order, size: u32, cursor: Option<&str>) -> Result<Page<Self::View>, Error>;
    fn reschedule(id: &RunId, due: Due) -> Result<(), Error>;
    fn delete(id: &RunId) -> Result<(), Error>;
    fn cancel(id: &RunId) -> Result<(), Error>;
    fn trigger(id: &RunId) -> Result<(), Error>;
    fn bulk_delete(ids: &[RunId]) -> Result<BulkOutcome, Error>;
    fn bulk_delete_matching(filter: &Filter) -> Result<BulkOutcome, Error>;
    fn bulk_reschedule(moves: &[(RunId, Due)]) -> Result<BulkOutcome, Error>;
    fn bulk_reschedule_matching(filter: &Filter, due: Due) -> Result<BulkOutcome, Error>;
    fn bulk_shift_matching(filter: &Filter, by: Shift) -> Result<BulkOutcome, Error>;
    fn bulk_trigger(ids: &[RunId]) -> Result<BulkOutcome, Error>;
    fn bulk_trigger_matching(filter: &Filter) -> Result<BulkOutcome, Error>;

    fn create_cron(name: &str, task: &str, cron: &NewCron) -> Result<(), Error>;
    fn cron(name: &str) -> Result<Self::CronView, Error>;
    fn crons(task: Option<&str>, size: u32, cursor: Option<&str>) -> Result<Page<Self::CronView>, Error>;
    fn update_cron(name: &str, cron: &NewCron) -> Result<(), Error>;
    fn pause_cron(name: &str, until: Option<Instant>, note: &str) -> Result<(), Error>;
    fn resume_cron(name: &str) -> Result<(), Error>;
    fn delete_cron(name: &str) -> Result<(), Error>;
    fn next_of_cron(name: &str, count: u32) -> Result<Vec<Instant>, Error>;
    fn trigger_cron(name: &str) -> Result<RunId, Error>;
    fn backfill_cron(name: &str, from: Instant, until: Instant) -> Result<u32, Error>;

    fn pause(task: &str) -> Result<Option<String>, Error>;
    fn pause_task(task: &str, until: Option<Instant>, note: &str) -> Result<(), Error>;
    fn resume_task(task: &str) -> Result<(), Error>;

    fn id() -> RunId;
    fn task() -> String;
    fn attempt() -> u32;
    fn trigger_at() -> Instant;
    fn deadline() -> Instant;
    fn now() -> Instant;
    fn metadata() -> Vec<(String, String)>;
    fn origin() -> Origin;
    fn parent() -> Option<RunId>;
    fn is_cancelled() -> bool;
    fn set_progress(done: u64, total: u64, note: &str);
    fn log(level: Level, message: &str);
}

/// What can be read of a run.
pub(crate) trait View {
    fn id(&self) -> RunId;
    fn task(&self) -> String;
    fn status(&self) -> Status;
    fn reason(&self) -> Option<String>;
    fn trigger_at(&self) -> Instant;
    fn created_at(&self) -> Instant;
    fn finished_at(&self) -> Option<Instant>;
    fn attempts(&self) -> u32;
    fn origin(&self) -> Origin;
    fn parent(&self) -> Option<RunId>;
    fn metadata(&self) -> Vec<(String, String)>;
    fn input(&self) -> Vec<u8>;
    fn output(&self) -> Option<Vec<u8>>;
}

/// What can be read of a cron.
pub(crate) trait CronView {
    fn name(&self) -> String;
    fn task(&self) -> String;
    fn expression(&self) -> String;
    fn timezone(&self) -> String;
    fn start(&self) -> Instant;
    fn end(&self) -> Option<Instant>;
    fn jitter(&self) -> Duration;
    fn max_count(&self) -> Option<u32>;
    fn priority(&self) -> Option<u8>;
    fn missed(&self) -> Result<Option<MissedPolicy>, Error>;
    fn next_at(&self) -> Option<Instant>;
    fn fired(&self) -> u32;
    fn paused(&self) -> Option<String>;
    fn paused_until(&self) -> Option<Instant>;
    fn version(&self) -> u32;
    fn origin(&self) -> Origin;
    fn input(&self) -> Vec<u8>;
    fn metadata(&self) -> Vec<(String, String)>;
}
