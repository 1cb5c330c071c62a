//! `GET /healthz`: whether this host can do its work. Needs no token, and tells no more than that. `GET /v1/health`: in numbers.

use axum::Json;
use axum::http::StatusCode;
use serde_json::{Value, json};

use crate::http::auth::{Anybody, Caller};
use crate::http::error::Problem;
use crate::http::shapes;

pub(super) async fn healthz(anybody: Anybody) -> Result<Json<Value>, Problem> {
    if anybody.scheduler.health().writable {
        return Ok(Json(json!({ "status": "ok" })));
    }
    let detail = "the storage does not take writes; the host's log says why";
    Err(Problem { retry_after: Some(5), ..Problem::new(StatusCode::SERVICE_UNAVAILABLE, "unavailable", detail) })
}

/// Not for every namespace: the numbers are those of all.
pub(super) async fn counts(caller: Caller) -> Json<shapes::Health> {
    Json(caller.scheduler.health().into())
}
