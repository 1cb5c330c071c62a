//! `WorkflowService/BulkTriggerWorkflow`: up to a thousand runs that are due at once, all or none.

use super::framing::{Reply, Unary};
use super::messages::{BulkTriggerWorkflowRequest, BulkTriggerWorkflowResponse};
use super::trigger_workflow::begin;
use crate::http::Caller;
use crate::http::error::Problem;

pub(super) async fn bulk_trigger_workflow(
    Caller { scheduler, .. }: Caller,
    Unary(request, _held): Unary<BulkTriggerWorkflowRequest>,
) -> Result<Reply<BulkTriggerWorkflowResponse>, Problem> {
    let within = |place: usize| {
        move |problem: Problem| Problem { field: problem.field.map(|field| format!("workflows[{place}].{field}")), ..problem }
    };
    let runs: Result<Vec<_>, _> =
        request.workflows.iter().enumerate().map(|(place, one)| begin(&scheduler, one).map_err(within(place))).collect();
    let scheduled = scheduler.schedule_all(runs?).await?;
    Ok(Reply(BulkTriggerWorkflowResponse { workflow_run_ids: scheduled.iter().map(|scheduled| scheduled.id.to_string()).collect() }))
}
