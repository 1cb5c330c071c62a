//! `GET /v1/runs/{id}/explain`: why a run waits, did not run, or ended as it did.

use axum::Json;

use super::PathRun;
use crate::http::auth::Caller;
use crate::http::error::Problem;
use crate::http::shapes;
use crate::scheduler::Role;

pub(super) async fn explain(caller: Caller, PathRun(run): PathRun) -> Result<Json<shapes::Explanation>, Problem> {
    let explanation = caller.scheduler.explain(run).await?;
    // Who did what is in the audit trail, which not everybody may read who may read runs.
    let explanation = if caller.is(Role::Admin) { explanation } else { explanation.concealed() };
    Ok(Json(explanation.into()))
}
