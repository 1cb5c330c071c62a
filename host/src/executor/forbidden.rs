//! The answers of a scheduler that may not be asked: while a component describes itself, and while the platform is measured.

use async_trait::async_trait;

use super::{CallError, HostCalls, ScheduleRequest};
use crate::model::{Cursor, Due, Page, Progress, Run, RunFilter, RunId, WriteSet};

/// Refuses every call of a guest.
pub fn forbidden_calls() -> Box<dyn HostCalls> {
    Box::new(Forbidden)
}

struct Forbidden;

const FORBIDDEN: CallError = CallError::Forbidden("nothing may be asked of the scheduler here");

#[async_trait]
impl HostCalls for Forbidden {
    fn schedule(&mut self, _request: ScheduleRequest) -> Result<RunId, CallError> {
        Err(FORBIDDEN)
    }

    async fn schedule_detached(&mut self, _request: ScheduleRequest) -> Result<RunId, CallError> {
        Err(FORBIDDEN)
    }

    fn get(&mut self, _run: RunId) -> Result<Run, CallError> {
        Err(FORBIDDEN)
    }

    fn list(&mut self, _filter: &RunFilter, _page: &Page) -> Result<(Vec<Run>, Option<Cursor>), CallError> {
        Err(FORBIDDEN)
    }

    fn reschedule(&mut self, _run: RunId, _due: Due) -> Result<(), CallError> {
        Err(FORBIDDEN)
    }

    fn delete(&mut self, _run: RunId) -> Result<(), CallError> {
        Err(FORBIDDEN)
    }

    fn cancel(&mut self, _run: RunId) -> Result<(), CallError> {
        Err(FORBIDDEN)
    }

    fn changeable(&mut self, _filter: &RunFilter) -> Result<Vec<RunId>, CallError> {
        Err(FORBIDDEN)
    }

    fn progress(&mut self, _progress: Progress) {}

    fn take_writes(&mut self) -> WriteSet {
        WriteSet::default()
    }
}
