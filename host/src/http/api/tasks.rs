//! `GET /v1/tasks`, `GET /v1/tasks/{name}`.

use axum::Json;

use super::PathText;
use crate::http::auth::Caller;
use crate::http::error::Problem;
use crate::http::shapes;
use crate::model::Name;
use crate::scheduler::Error;

pub(super) async fn list(caller: Caller) -> Json<shapes::Tasks> {
    Json(shapes::Tasks { tasks: caller.scheduler.tasks().iter().map(|task| shapes::Task::from(task.as_ref())).collect() })
}

pub(super) async fn show(caller: Caller, PathText(name): PathText) -> Result<Json<shapes::Task>, Problem> {
    let name = Name::parse(&name, "name")?;
    let task = caller.scheduler.task(name.as_str()).ok_or_else(|| Error::TaskNotFound(name.to_string()))?;
    Ok(Json(task.as_ref().into()))
}
