//! `WorkflowService/TriggerWorkflow`: a run that is due at once.

use axum::http::StatusCode;

use super::super::new_run::{NewRun, task};
use super::framing::{Reply, Unary};
use super::messages::{TriggerWorkflowRequest, TriggerWorkflowResponse};
use crate::http::Caller;
use crate::http::error::Problem;
use crate::model::{Due, Invalid, RunId};
use crate::scheduler::{Schedule, Scheduler};

pub(super) async fn trigger_workflow(
    Caller { scheduler, .. }: Caller,
    Unary(request, _held): Unary<TriggerWorkflowRequest>,
) -> Result<Reply<TriggerWorkflowResponse>, Problem> {
    let run = begin(&scheduler, &request)?.send().await?;
    Ok(Reply(TriggerWorkflowResponse { workflow_run_id: run.to_string() }))
}

/// Checks a request, and begins to schedule it.
pub(super) fn begin<'a>(scheduler: &'a Scheduler, request: &TriggerWorkflowRequest) -> Result<Schedule<'a>, Problem> {
    let task = task(scheduler, &request.name, StatusCode::BAD_REQUEST)?;
    check_parent(&request.parent_id, &request.parent_task_run_external_id, request.child_index)?;
    let new =
        NewRun { input: Some(&request.input), additional_metadata: request.additional_metadata.as_deref(), priority: request.priority };
    new.schedule(scheduler, &task, Due::Now)
}

/// A parent must be named completely. It is not kept: only a run's own guest makes follow-ups of it here, within its attempt.
pub(super) fn check_parent(parent: &Option<String>, task_run: &Option<String>, index: Option<i32>) -> Result<(), Invalid> {
    let Some(parent) = parent else { return Ok(()) };
    RunId::parse(parent, "parent_id")?;
    if task_run.is_none() || index.is_none() {
        return Err(Invalid::new("invalid-parent", "parent_id", "goes with parent_task_run_external_id and child_index"));
    }
    Ok(())
}
