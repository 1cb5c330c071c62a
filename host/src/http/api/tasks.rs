//! `/v1/tasks`: which there are, and pausing one. Registering is in `register.rs`.

use axum::Json as Answer;

use super::PathText;
use crate::http::auth::Caller;
use crate::http::error::Problem;
use crate::http::json::Json;
use crate::http::shapes;
use crate::model::Name;
use crate::scheduler::Error;

pub(super) async fn list(caller: Caller) -> Answer<shapes::Tasks> {
    let now = caller.scheduler.now();
    Answer(shapes::Tasks { tasks: caller.scheduler.tasks().iter().map(|task| shapes::Task::of(task, now)).collect() })
}

pub(super) async fn show(caller: Caller, PathText(name): PathText) -> Result<Answer<shapes::Task>, Problem> {
    let name = Name::parse(&name, "name")?;
    let task = caller.scheduler.task(name.as_str()).ok_or_else(|| Error::TaskNotFound(name.to_string()))?;
    Ok(Answer(shapes::Task::of(&task, caller.scheduler.now())))
}

pub(super) async fn pause(
    caller: Caller,
    PathText(name): PathText,
    Json(request): Json<shapes::Pause>,
) -> Result<Answer<shapes::Task>, Problem> {
    let now = caller.scheduler.now();
    let task = caller.scheduler.pause_task(&name, request.end(now)?, &request.note).await?;
    Ok(Answer(shapes::Task::of(&task, now)))
}

pub(super) async fn resume(caller: Caller, PathText(name): PathText) -> Result<Answer<shapes::Task>, Problem> {
    let task = caller.scheduler.resume_task(&name).await?;
    Ok(Answer(shapes::Task::of(&task, caller.scheduler.now())))
}
