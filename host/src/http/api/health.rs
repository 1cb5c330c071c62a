//! `GET /healthz`: whether this host can do its work. Needs no token, and tells no more than that. `GET /v1/health`: in numbers.

use axum::Json;
use axum::http::StatusCode;
use serde_json::{Value, json};

use crate::http::auth::{Anybody, Caller};
use crate::http::error::Problem;
use crate::http::shapes;
use crate::scheduler::Role;

pub(super) async fn healthz(anybody: Anybody) -> Result<Json<Value>, Problem> {
    let health = anybody.scheduler.health();
    if health.writable {
        return Ok(Json(json!({ "status": "ok" })));
    }
    let code = health.reason.unwrap_or("unavailable");
    let detail = "the storage can't store writes at present; the host's log says why";
    Err(Problem { retry_after: Some(5), ..Problem::new(StatusCode::SERVICE_UNAVAILABLE, code, detail) })
}

/// The numbers of the caller's namespace. Those of the host tell of the others, so they are its operator's.
pub(super) async fn counts(caller: Caller) -> Json<shapes::Health> {
    let (scheduler, with_host) = (&caller.scheduler, caller.is(Role::Operator));
    Json(shapes::Health::of(scheduler.namespace().name.to_string(), scheduler.load(), scheduler.health(), with_host))
}
