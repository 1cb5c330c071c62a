//! `DELETE …/workflows/scheduled/{id}`: deletes one that has not triggered.

use axum::http::StatusCode;

use super::path::{Scheduled, Tenant};
use crate::http::error::Problem;

pub(super) async fn delete(Tenant { scheduler, .. }: Tenant, Scheduled(run): Scheduled) -> Result<StatusCode, Problem> {
    scheduler.delete(run).await?;
    Ok(StatusCode::NO_CONTENT)
}
