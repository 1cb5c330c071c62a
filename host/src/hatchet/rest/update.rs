//! `PATCH …/workflows/scheduled/{id}`: moves one.

use axum::Json as Answer;
use serde::Deserialize;

use super::create::required;
use super::path::{Scheduled, Tenant};
use super::row::Row;
use crate::http::Json;
use crate::http::error::Problem;

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct Update {
    trigger_at: Option<String>,
}

pub(super) async fn update(
    Tenant { scheduler, .. }: Tenant,
    Scheduled(run): Scheduled,
    Json(request): Json<Update>,
) -> Result<Answer<Row>, Problem> {
    scheduler.reschedule(run, required(request.trigger_at.as_deref(), "triggerAt")?).await?;
    Ok(Answer(Row::of(scheduler.get(run).await?, &scheduler)))
}
