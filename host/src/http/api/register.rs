//! `POST /v1/tasks?grant=runs`: registers the component in the body.

use axum::Json;
use axum::extract::Request;
use axum::http::StatusCode;

use super::QueryPairs;
use crate::http::auth::Caller;
use crate::http::error::Problem;
use crate::http::filter::unknown_parameter;
use crate::http::{body, shapes};
use crate::model::{Grant, limits};

pub(super) async fn register(
    caller: Caller,
    QueryPairs(query): QueryPairs,
    request: Request,
) -> Result<(StatusCode, Json<shapes::Registered>), Problem> {
    let mut grants = Vec::new();
    for (name, value) in query {
        if name != "grant" {
            return Err(unknown_parameter(&name, "grant").into());
        }
        grants.push(Grant::parse(&value)?);
    }
    let (head, content) = request.into_parts();
    body::check_media_type(&head.headers, "application/wasm")?;
    let wasm = body::read(&head.headers, content, limits::COMPONENT_BYTES_MAX).await?;
    let registered = caller.scheduler.register(wasm).grants(grants).send().await?;
    let tasks = registered.tasks.iter().map(|task| shapes::Task::from(task.as_ref())).collect();
    Ok((StatusCode::CREATED, Json(shapes::Registered { digest: registered.digest.to_string(), tasks })))
}
