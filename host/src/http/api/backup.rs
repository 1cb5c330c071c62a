//! `POST /v1/backup`: a consistent copy of the whole database, in a new file on the host.

use std::path::PathBuf;

use axum::Json as Answer;
use axum::http::StatusCode;

use crate::http::auth::Caller;
use crate::http::error::Problem;
use crate::http::json::Json;
use crate::http::shapes;
use crate::model::{Invalid, Namespace};
use crate::scheduler::Error;
use crate::storage::StorageError;

pub(super) async fn backup(caller: Caller, Json(request): Json<shapes::Backup>) -> Result<Answer<shapes::BackedUp>, Problem> {
    // The copy holds what belongs to every namespace.
    if caller.scheduler.namespace().name.as_str() != Namespace::DEFAULT {
        return Err(Problem::new(
            StatusCode::FORBIDDEN,
            "forbidden",
            "only an operator who acts in the namespace `default` may copy the database",
        ));
    }
    let path = PathBuf::from(&request.path);
    if !path.is_absolute() || request.path.contains('\0') {
        return Err(Invalid::new("invalid-path", "path", "an absolute path on the host").seen(&request.path).into());
    }
    if tokio::fs::symlink_metadata(&path).await.is_ok() {
        return Err(Problem::new(StatusCode::CONFLICT, "file-exists", "a backup never overwrites: name a new file").at("path"));
    }
    caller.scheduler.backup(&path, |_, _| {}).await.map_err(|error| match error {
        // It names the copy and what is wrong with its disk, which an operator may know.
        Error::Storage(StorageError::Unavailable(why)) => Problem::new(StatusCode::SERVICE_UNAVAILABLE, "unavailable", why),
        other => other.into(),
    })?;
    let bytes = tokio::fs::metadata(&path).await.map_or(0, |file| file.len());
    Ok(Answer(shapes::BackedUp { path: request.path, bytes }))
}
