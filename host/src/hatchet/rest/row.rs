//! A scheduled run as the SDKs read it. What they don't know they pass on or ignore; a word that they don't know breaks the whole list.

use serde::Serialize;
use serde_json::value::RawValue;

use super::super::metadata::Typed;
use super::super::{ids, output, status};
use crate::model::{Metadata, Origin, Run, RunId, Status, Timestamp};
use crate::scheduler::Scheduler;

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct Row {
    metadata: RowMetadata,
    tenant_id: String,
    workflow_version_id: String,
    workflow_id: String,
    workflow_name: String,
    trigger_at: Timestamp,
    method: &'static str,
    #[serde(skip_serializing_if = "Option::is_none")]
    input: Option<Box<RawValue>>,
    additional_metadata: Typed<Metadata>,
    priority: u8,
    #[serde(skip_serializing_if = "Option::is_none")]
    workflow_run_id: Option<RunId>,
    #[serde(skip_serializing_if = "Option::is_none")]
    workflow_run_status: Option<&'static str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    workflow_run_name: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    workflow_run_created_at: Option<Timestamp>,
    /// Where the run stands in our own words, which tell a missed run from a cancelled one.
    runlater_status: &'static str,
    #[serde(skip_serializing_if = "Option::is_none")]
    runlater_error: Option<String>,
}

/// What every object of theirs has.
#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct RowMetadata {
    pub(super) id: String,
    pub(super) created_at: Timestamp,
    pub(super) updated_at: Timestamp,
}

impl Row {
    pub(super) fn of(run: Run, scheduler: &Scheduler) -> Self {
        let (error, status) = (output::error(&run), run.status);
        let task = scheduler.task(run.task.as_str());
        let of_task =
            |id: fn(&Scheduler, &crate::model::Task) -> String| task.as_deref().map(|task| id(scheduler, task)).unwrap_or_default();
        // What was missed has no run; what waits has none yet.
        let fired = !matches!(status, Status::Scheduled | Status::Missed);
        Self {
            metadata: RowMetadata {
                id: run.id.to_string(),
                created_at: run.created_at,
                updated_at: run.finished_at.or(run.started_at).unwrap_or(run.created_at),
            },
            tenant_id: ids::tenant(scheduler),
            workflow_version_id: of_task(ids::version),
            workflow_id: of_task(ids::workflow),
            trigger_at: run.trigger_at,
            // Theirs for what can't be changed by a caller, and for all else.
            method: if run.origin == Origin::Code { "DEFAULT" } else { "API" },
            input: output::object(&run.input).and_then(|text| RawValue::from_string(text.trim().into()).ok()),
            additional_metadata: Typed(run.metadata),
            priority: run.priority,
            workflow_run_id: fired.then_some(run.id),
            workflow_run_status: status::of_row(status),
            workflow_run_name: fired.then(|| run.task.to_string()),
            workflow_run_created_at: fired.then_some(run.started_at.unwrap_or(run.trigger_at.max(run.created_at))),
            workflow_name: run.task.to_string(),
            runlater_status: status.as_str(),
            runlater_error: error,
        }
    }

    /// How much it will take as text, more or less.
    pub(super) fn bytes(&self) -> usize {
        self.input.as_ref().map_or(0, |input| input.get().len()) + self.additional_metadata.0.bytes()
    }

    /// The same without its input.
    pub(super) fn without_input(self) -> Self {
        Self { input: None, ..self }
    }
}
