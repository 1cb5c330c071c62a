//! Builds a scheduler.
use super::{Error, Scheduler};
use crate::clock::Clock;
use crate::executor::Executor;
use crate::model::limits::Limits;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

/// What a scheduler is built from.
#[derive(Default)]
pub struct SchedulerBuilder {}
impl SchedulerBuilder {
    /// Keeps everything in this SQLite file, which is created if it does not exist.
    pub fn sqlite(self, _path: impl Into<PathBuf>) -> Self {
        self
    }
    /// Tells the time by this clock.
    pub fn clock(self, _clock: impl Clock) -> Self {
        self
    }
    /// Executes attempts with this instead of wasmtime.
    pub fn executor(self, _executor: Arc<dyn Executor>) -> Self {
        self
    }
    /// How many threads execute guests; default: one per core.
    pub fn threads(self, _threads: usize) -> Self {
        self
    }
    /// Bounds on each attempt.
    pub fn limits(self, _limits: Limits) -> Self {
        self
    }
    /// The namespace that the scheduler is bound to; default: `default`.
    pub fn namespace(self, _name: &str) -> Self {
        self
    }
    /// Seeds the chance in retry delays.
    pub fn seed(self, _seed: u64) -> Self {
        self
    }
    /// How late a scheduled run may start because no host was running; later, it is missed. Default 60 s.
    pub fn missed_grace(self, _grace: Duration) -> Self {
        self
    }
    /// Opens the database, recovers what an earlier host left, and starts to execute.
    pub async fn build(self) -> Result<Scheduler, Error> {
        todo!()
    }
}
pub(super) struct Background {}
impl Background {
    pub(super) async fn stop(&self, _clock: &dyn Clock, _grace: Duration) {}
}
