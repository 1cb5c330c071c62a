//! `GET …/workflows`: the tasks, or the one of a name.

use axum::Json;
use axum::http::Uri;
use serde_json::{Value, json};

use super::super::ids;
use super::list::{Bounds, pagination, pairs};
use super::path::Tenant;
use super::row::RowMetadata;
use crate::http::error::Problem;

/// Only the workflow of exactly this name, if one is given: the client for TypeScript takes the first of several, whatever it is called.
pub(super) async fn list(Tenant { scheduler, id }: Tenant, uri: Uri) -> Result<Json<Value>, Problem> {
    let (mut name, mut bounds) = (None, Bounds::default());
    for (parameter, value) in pairs(&uri)? {
        match parameter.as_str() {
            "name" => name = Some(value.to_ascii_lowercase()),
            "offset" => bounds.set_offset(&value)?,
            "limit" => bounds.set_limit(&value)?,
            // What else there is of it narrows nothing that is here.
            _ => {}
        }
    }
    let tasks = match name {
        Some(name) => scheduler.task(&name).into_iter().collect(),
        None => scheduler.tasks(),
    };
    let rows = tasks.iter().skip(bounds.offset).take(bounds.limit).map(|task| {
        let workflow = ids::workflow(&scheduler, task);
        let metadata = RowMetadata { id: workflow, created_at: task.created_at, updated_at: task.updated_at };
        json!({
            "metadata": metadata, "name": task.name, "tenantId": id, "description": task.description, "isPaused": task.pause.is_some(),
        })
    });
    Ok(Json(json!({ "rows": rows.collect::<Vec<_>>(), "pagination": pagination(tasks.len() as u64, bounds) })))
}
