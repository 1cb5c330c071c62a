//! The answers of a scheduler that may not be asked: while a component describes itself, and while the platform is measured.

use async_trait::async_trait;

use super::{CallError, CronCalls, HostCalls, PauseCalls, ScheduleRequest, Selected};
use crate::model::{
    BulkChange, BulkFilter, Cron, CronFilter, CronSettings, Cursor, Due, Existing, Name, Occurrence, Page, Pause, Progress, Run, RunFilter,
    RunId, Timestamp, UniqueKey, WriteSet,
};

/// Refuses every call of a guest.
pub fn forbidden_calls() -> Box<dyn HostCalls> {
    Box::new(Forbidden)
}

struct Forbidden;

const FORBIDDEN: CallError = CallError::Forbidden("nothing may be asked of the scheduler here");

#[async_trait]
impl HostCalls for Forbidden {
    async fn schedule(&mut self, _request: ScheduleRequest) -> Result<RunId, CallError> {
        Err(FORBIDDEN)
    }

    async fn schedule_detached(&mut self, _request: ScheduleRequest) -> Result<RunId, CallError> {
        Err(FORBIDDEN)
    }

    fn get(&mut self, _run: RunId) -> Result<Run, CallError> {
        Err(FORBIDDEN)
    }

    fn find_by_unique_key(&mut self, _key: &UniqueKey) -> Result<Option<Existing>, CallError> {
        Err(FORBIDDEN)
    }

    async fn list(&mut self, _filter: &RunFilter, _page: &Page) -> Result<(Vec<Run>, Option<Cursor>), CallError> {
        Err(FORBIDDEN)
    }

    fn reschedule(&mut self, _run: RunId, _due: Due) -> Result<(), CallError> {
        Err(FORBIDDEN)
    }

    fn shift(&mut self, _run: RunId, _micros: i64) -> Result<(), CallError> {
        Err(FORBIDDEN)
    }

    fn delete(&mut self, _run: RunId) -> Result<(), CallError> {
        Err(FORBIDDEN)
    }

    fn cancel(&mut self, _run: RunId) -> Result<(), CallError> {
        Err(FORBIDDEN)
    }

    fn trigger(&mut self, _run: RunId) -> Result<(), CallError> {
        Err(FORBIDDEN)
    }

    async fn select(&mut self, _filter: &BulkFilter, _change: BulkChange) -> Result<Selected, CallError> {
        Err(FORBIDDEN)
    }

    fn progress(&mut self, _progress: Progress) {}

    fn take_writes(&mut self) -> WriteSet {
        WriteSet::default()
    }
}

#[async_trait]
impl CronCalls for Forbidden {
    async fn create_cron(&mut self, _name: Name, _task: Name, _settings: CronSettings) -> Result<(), CallError> {
        Err(FORBIDDEN)
    }

    fn cron(&mut self, _name: &Name) -> Result<Cron, CallError> {
        Err(FORBIDDEN)
    }

    async fn crons(&mut self, _filter: &CronFilter) -> Result<(Vec<Cron>, Option<Name>), CallError> {
        Err(FORBIDDEN)
    }

    async fn update_cron(&mut self, _name: &Name, _settings: CronSettings) -> Result<(), CallError> {
        Err(FORBIDDEN)
    }

    async fn next_of_cron(&mut self, _name: &Name, _count: usize) -> Result<Vec<Occurrence>, CallError> {
        Err(FORBIDDEN)
    }

    fn pause_cron(&mut self, _name: &Name, _until: Option<Timestamp>, _note: &str) -> Result<(), CallError> {
        Err(FORBIDDEN)
    }

    fn resume_cron(&mut self, _name: &Name) -> Result<(), CallError> {
        Err(FORBIDDEN)
    }

    fn delete_cron(&mut self, _name: &Name) -> Result<(), CallError> {
        Err(FORBIDDEN)
    }

    async fn trigger_cron(&mut self, _name: &Name) -> Result<RunId, CallError> {
        Err(FORBIDDEN)
    }

    async fn backfill_cron(&mut self, _name: &Name, _from: Timestamp, _until: Timestamp) -> Result<u32, CallError> {
        Err(FORBIDDEN)
    }
}

impl PauseCalls for Forbidden {
    fn pause(&mut self, _task: &Name) -> Result<Option<Pause>, CallError> {
        Err(FORBIDDEN)
    }

    fn pause_task(&mut self, _task: &Name, _until: Option<Timestamp>, _note: &str) -> Result<(), CallError> {
        Err(FORBIDDEN)
    }

    fn resume_task(&mut self, _task: &Name) -> Result<(), CallError> {
        Err(FORBIDDEN)
    }
}
