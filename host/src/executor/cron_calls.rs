//! What a guest may ask of the scheduler about crons. A part of [`HostCalls`](super::HostCalls).

use async_trait::async_trait;

use super::CallError;
use crate::model::{Cron, CronFilter, CronSettings, Name, Occurrence, RunId, Timestamp};

/// Crons, as one attempt sees and changes them: writes are validated at once and buffered, and reads see them.
#[async_trait]
pub trait CronCalls {
    /// Buffers a new cron.
    async fn create_cron(&mut self, name: Name, task: Name, settings: CronSettings) -> Result<(), CallError>;

    /// Reads one cron.
    fn cron(&mut self, name: &Name) -> Result<Cron, CallError>;

    /// Reads a page of crons, and the name after which the next one begins.
    async fn crons(&mut self, filter: &CronFilter) -> Result<(Vec<Cron>, Option<Name>), CallError>;

    /// The next planned times, at most so many.
    async fn next_of_cron(&mut self, name: &Name, count: usize) -> Result<Vec<Occurrence>, CallError>;

    /// Buffers a change of what is set.
    async fn update_cron(&mut self, name: &Name, settings: CronSettings) -> Result<(), CallError>;

    /// Buffers a pause.
    fn pause_cron(&mut self, name: &Name, until: Option<Timestamp>, note: &str) -> Result<(), CallError>;

    /// Buffers the end of a pause.
    fn resume_cron(&mut self, name: &Name) -> Result<(), CallError>;

    /// Buffers a deletion.
    fn delete_cron(&mut self, name: &Name) -> Result<(), CallError>;

    /// Buffers a run beside the planned ones; its id is final.
    async fn trigger_cron(&mut self, name: &Name) -> Result<RunId, CallError>;

    /// Buffers the runs of a past range that there are none of yet, and says how many.
    async fn backfill_cron(&mut self, name: &Name, from: Timestamp, until: Timestamp) -> Result<u32, CallError>;
}
