//! Changing one run: `PATCH` and `DELETE /v1/runs/{id}`, `POST …/trigger`, `POST …/cancel`.

use axum::Json as Answer;
use axum::http::StatusCode;

use super::PathRun;
use super::read::shown;
use crate::http::auth::Caller;
use crate::http::error::Problem;
use crate::http::if_match::{Etag, IfMatch};
use crate::http::json::Json;
use crate::http::shapes;
use crate::storage::Cancelled;

pub(super) async fn reschedule(
    caller: Caller,
    PathRun(run): PathRun,
    IfMatch(seen): IfMatch,
    Json(request): Json<shapes::Reschedule>,
) -> Result<(Etag, Answer<shapes::Run>), Problem> {
    let due = shapes::due_required(request.at.as_deref(), request.after.as_deref())?;
    match seen {
        Some(seen) => caller.scheduler.reschedule_seen(run, due, seen).await?,
        None => caller.scheduler.reschedule(run, due).await?,
    }
    shown(&caller, run).await
}

pub(super) async fn delete(caller: Caller, PathRun(run): PathRun, IfMatch(seen): IfMatch) -> Result<StatusCode, Problem> {
    match seen {
        Some(seen) => caller.scheduler.delete_seen(run, seen).await?,
        None => caller.scheduler.delete(run).await?,
    }
    Ok(StatusCode::NO_CONTENT)
}

pub(super) async fn trigger(caller: Caller, PathRun(run): PathRun) -> Result<(Etag, Answer<shapes::Run>), Problem> {
    caller.scheduler.trigger_now(run).await?;
    shown(&caller, run).await
}

/// 200 if the run will not start (again); 202 if it is executing and was told to end.
pub(super) async fn cancel(caller: Caller, PathRun(run): PathRun) -> Result<(StatusCode, Answer<shapes::Cancelled>), Problem> {
    let (status, cancel) = match caller.scheduler.cancel(run).await? {
        Cancelled::Now | Cancelled::Before => (StatusCode::OK, "cancelled"),
        Cancelled::Requested => (StatusCode::ACCEPTED, "requested"),
    };
    Ok((status, Answer(shapes::Cancelled { cancel: cancel.into() })))
}
