//! Refusals in the form and with the statuses that the SDKs know.

use axum::Json;
use axum::http::StatusCode;
use axum::response::{IntoResponse, Response};
use serde_json::json;

use crate::http::error::Problem;

/// A list of errors, of which there is one, and beside it a message for clients that read only that.
pub(super) fn refuse(problem: &Problem) -> Response {
    let status = match (problem.status, problem.code.as_ref()) {
        // Of code: it can be changed by nobody. Of a run that has triggered, or what is wrong in a request: theirs is always 400.
        (409, "defined-by-code") => 403,
        (409 | 422, _) => 400,
        (status, _) => status,
    };
    let description = match &problem.seen {
        Some(seen) => format!("{} (seen: \"{seen}\")", problem.detail),
        None => problem.detail.clone(),
    };
    let mut error = json!({ "description": description });
    if let Some(field) = &problem.field {
        error["field"] = field.as_str().into();
    }
    // Their own `code` is a number of theirs.
    let body = json!({ "errors": [error], "message": description, "runlaterCode": problem.code });
    (StatusCode::from_u16(status).unwrap_or(StatusCode::INTERNAL_SERVER_ERROR), Json(body)).into_response()
}
