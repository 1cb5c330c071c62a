//! `GET …/workflows/scheduled/{id}`: reads one.

use axum::Json;

use super::path::{Scheduled, Tenant};
use super::row::Row;
use crate::http::error::Problem;

pub(super) async fn get(Tenant { scheduler, .. }: Tenant, Scheduled(run): Scheduled) -> Result<Json<Row>, Problem> {
    Ok(Json(Row::of(scheduler.get(run).await?, &scheduler)))
}
