//! `POST …/workflows/{workflow}/scheduled`: schedules a run.

use axum::Json as Answer;
use axum::http::StatusCode;
use serde::Deserialize;
use serde_json::value::RawValue;

use super::super::new_run::{NewRun, task};
use super::path::{Tenant, WorkflowName};
use super::row::Row;
use crate::http::Json;
use crate::http::error::Problem;
use crate::model::{Due, Invalid, Timestamp};

/// What is asked for. Their client for Go writes `null` where there is nothing.
#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct Create {
    trigger_at: Option<String>,
    input: Option<Box<RawValue>>,
    additional_metadata: Option<Box<RawValue>>,
    priority: Option<i32>,
}

/// A time in the past means at once.
pub(super) async fn create(
    tenant: Tenant,
    WorkflowName(workflow): WorkflowName,
    Json(request): Json<Create>,
) -> Result<Answer<Row>, Problem> {
    create_of(&tenant, &workflow, &request).await
}

/// The same for the workflow `scheduled`.
pub(super) async fn create_scheduled(tenant: Tenant, Json(request): Json<Create>) -> Result<Answer<Row>, Problem> {
    create_of(&tenant, "scheduled", &request).await
}

async fn create_of(Tenant { scheduler, .. }: &Tenant, workflow: &str, request: &Create) -> Result<Answer<Row>, Problem> {
    let task = task(scheduler, workflow, StatusCode::BAD_REQUEST)?;
    let at = required(request.trigger_at.as_deref(), "triggerAt")?;
    let new = NewRun {
        input: request.input.as_deref().map(RawValue::get),
        additional_metadata: request.additional_metadata.as_deref().map(RawValue::get),
        priority: request.priority,
    };
    let run = new.schedule(scheduler, &task, Due::At(at))?.send().await?;
    Ok(Answer(Row::of(scheduler.get(run).await?, scheduler)))
}

/// A time that must be given, with any offset.
pub(super) fn required(text: Option<&str>, field: &str) -> Result<Timestamp, Invalid> {
    Timestamp::parse(text.ok_or_else(|| Invalid::new("invalid-time", field, "say when, for example 2027-03-14T15:09:26Z"))?, field)
}
