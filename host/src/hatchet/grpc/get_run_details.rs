//! `v1.AdminService/GetRunDetails`: where a run stands, and what it came to.

use std::collections::HashMap;

use super::super::metadata::Typed;
use super::super::{output, status};
use super::framing::{Reply, Unary};
use super::messages::{GetRunDetailsRequest, GetRunDetailsResponse, TaskRunDetail};
use crate::http::Caller;
use crate::http::error::Problem;
use crate::model::{RunId, Status};

/// A workflow has one task here, of the same name.
pub(super) async fn get_run_details(
    Caller { scheduler, .. }: Caller,
    Unary(request, _held): Unary<GetRunDetailsRequest>,
) -> Result<Reply<GetRunDetailsResponse>, Problem> {
    let run = scheduler.get(RunId::parse(&request.external_id, "external_id")?).await?;
    let status = status::of_run(run.status);
    let task_run = TaskRunDetail {
        external_id: run.id.to_string(),
        status,
        error: output::error(&run),
        output: (run.status == Status::Succeeded).then(|| output::output(&run).into_bytes()),
        readable_id: run.task.to_string(),
    };
    Ok(Reply(GetRunDetailsResponse {
        // They can read nothing but an object.
        input: output::object(&run.input).unwrap_or_default().into(),
        status,
        task_runs: HashMap::from([(run.task.to_string(), task_run)]),
        done: run.status.is_final(),
        additional_metadata: serde_json::to_vec(&Typed(&run.metadata)).expect("text as keys, and values that are JSON"),
    }))
}
