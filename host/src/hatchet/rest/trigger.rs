//! `POST …/workflows/scheduled/{id}`: makes one due at once. Also one that was missed, or failed.

use axum::Json;
use serde_json::{Value, json};

use super::path::{Scheduled, Tenant};
use crate::http::error::Problem;

pub(super) async fn trigger(Tenant { scheduler, .. }: Tenant, Scheduled(run): Scheduled) -> Result<Json<Value>, Problem> {
    scheduler.trigger_now(run).await?;
    Ok(Json(json!({ "externalId": run })))
}
