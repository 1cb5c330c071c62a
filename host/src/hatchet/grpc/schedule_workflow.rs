//! `WorkflowService/ScheduleWorkflow`: schedules a run for each of its times, all or none.

use axum::http::StatusCode;

use super::super::ids;
use super::super::new_run::{NewRun, task};
use super::framing::{Reply, Unary};
use super::messages::{ScheduleWorkflowRequest, ScheduledWorkflow, WorkflowVersion};
use super::trigger_workflow::check_parent;
use crate::http::Caller;
use crate::http::error::Problem;
use crate::model::{Due, Invalid};

/// Nothing may fail after the commit: the SDKs would schedule all of it once more.
pub(super) async fn schedule_workflow(
    Caller { scheduler, .. }: Caller,
    Unary(request, _held): Unary<ScheduleWorkflowRequest>,
) -> Result<Reply<WorkflowVersion>, Problem> {
    let task = task(&scheduler, &request.name, StatusCode::NOT_FOUND)?;
    check_parent(&request.parent_id, &request.parent_task_run_external_id, request.child_index)?;
    let new =
        NewRun { input: Some(&request.input), additional_metadata: request.additional_metadata.as_deref(), priority: request.priority };
    let mut runs = Vec::with_capacity(request.schedules.len());
    for (place, at) in request.schedules.iter().enumerate() {
        let refused = || {
            let field = format!("schedules[{place}]");
            Invalid::new("invalid-time", field, "outside 1970-01-01T00:00:00Z to 9999-12-31T23:59:59Z").seen(format!("{} s", at.seconds))
        };
        runs.push(new.schedule(&scheduler, &task, Due::At(at.moment().ok_or_else(refused)?))?);
    }
    let scheduled = scheduler.schedule_all(runs).await?;
    let scheduled_workflows: Vec<_> = scheduled
        .iter()
        .map(|scheduled| ScheduledWorkflow { id: scheduled.id.to_string(), trigger_at: Some(scheduled.trigger_at.into()) })
        .collect();
    let version = ids::version(&scheduler, &task);
    Ok(Reply(WorkflowVersion {
        // What the documentation prints as the id of the schedule. With several there is no such thing.
        id: if let [only] = &scheduled_workflows[..] { only.id.clone() } else { version },
        created_at: Some(task.created_at.into()),
        updated_at: Some(task.updated_at.into()),
        version: task.digest.to_string(),
        order: 1,
        workflow_id: ids::workflow(&scheduler, &task),
        scheduled_workflows,
    }))
}
