//! `/v1/namespaces`: the namespaces of the host, for its operator.

use axum::Json as Answer;
use axum::http::StatusCode;

use super::{PathText, QueryPairs};
use crate::http::auth::Caller;
use crate::http::error::Problem;
use crate::http::filter::unknown_parameter;
use crate::http::json::Json;
use crate::http::shapes;
use crate::model::{Invalid, NamespaceQuotas};

pub(super) async fn list(caller: Caller) -> Result<Answer<shapes::Namespaces>, Problem> {
    let namespaces = caller.scheduler.namespaces()?.into_iter().map(|record| shapes::Namespace::of(record, None)).collect();
    Ok(Answer(shapes::Namespaces { namespaces }))
}

pub(super) async fn create(
    caller: Caller,
    Json(request): Json<shapes::CreateNamespace>,
) -> Result<(StatusCode, Answer<shapes::Namespace>), Problem> {
    let changes = shapes::quota_changes(&request.quotas)?;
    let quotas = NamespaceQuotas::default().with(changes.iter().map(|(field, value)| (field.as_str(), value.as_deref())))?;
    let made = caller.scheduler.create_namespace(&request.name, quotas).await?;
    Ok((StatusCode::CREATED, Answer(shapes::Namespace::of(made, None))))
}

pub(super) async fn show(caller: Caller, PathText(name): PathText) -> Result<Answer<shapes::Namespace>, Problem> {
    let record = caller.scheduler.namespace_record(&name)?;
    let holds = caller.scheduler.holdings(&name).await?;
    Ok(Answer(shapes::Namespace::of(record, Some(holds))))
}

pub(super) async fn update(
    caller: Caller,
    PathText(name): PathText,
    Json(request): Json<shapes::UpdateNamespace>,
) -> Result<Answer<shapes::Namespace>, Problem> {
    let changes = shapes::quota_changes(&request.quotas)?;
    Ok(Answer(shapes::Namespace::of(caller.scheduler.change_quotas(&name, changes).await?, None)))
}

/// `DELETE /v1/namespaces/{name}?confirm=NAME`, or `?dry_run=true`. The name must be said again, so that neither a slip in a script nor a path that
/// was put together wrongly deletes everything of a tenant.
pub(super) async fn delete(
    caller: Caller,
    PathText(name): PathText,
    QueryPairs(query): QueryPairs,
) -> Result<(StatusCode, Answer<shapes::NamespaceDeletion>), Problem> {
    let (mut confirm, mut dry_run) = (None, false);
    for (parameter, value) in query {
        match parameter.as_str() {
            "confirm" => confirm = Some(value),
            "dry_run" => dry_run = value.parse().map_err(|_| Invalid::new("invalid-field", "dry_run", "true or false").seen(&value))?,
            _ => return Err(unknown_parameter(&parameter, "confirm, dry_run").into()),
        }
    }
    if dry_run {
        let deletes = caller.scheduler.plan_deletion(&name).await?.into();
        return Ok((StatusCode::OK, Answer(shapes::NamespaceDeletion { name, dry_run, deletes })));
    }
    // Before this, so that a name that does not exist is told as that.
    caller.scheduler.namespace_record(&name)?;
    if confirm.as_deref() != Some(name.as_str()) {
        let reason = "this deletes all that the namespace holds: repeat its name as `confirm`, or ask with `dry_run=true` what that is";
        let mut invalid = Invalid::new("not-confirmed", "confirm", reason);
        invalid.seen = confirm.map(|seen| seen.chars().take(64).collect());
        return Err(invalid.into());
    }
    let deletes = caller.scheduler.delete_namespace(&name).await?.into();
    Ok((StatusCode::ACCEPTED, Answer(shapes::NamespaceDeletion { name, dry_run, deletes })))
}
