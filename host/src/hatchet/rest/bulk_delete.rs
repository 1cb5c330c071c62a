//! `POST …/workflows/scheduled/bulk-delete`: deletes those that are named, or those that match and have not triggered.

use axum::Json as Answer;
use serde::Deserialize;
use serde_json::{Value, json};

use super::super::filter::Filter;
use super::BULK_MAX;
use super::path::Tenant;
use crate::http::Json;
use crate::http::error::Problem;
use crate::model::{Invalid, Origin, RunId, Selection, Status};
use crate::scheduler::{BulkOutcome, Error};

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct BulkDelete {
    scheduled_workflow_run_ids: Option<Vec<String>>,
    /// An empty one means all.
    filter: Option<Filter>,
}

pub(super) async fn bulk_delete(Tenant { scheduler, .. }: Tenant, Json(request): Json<BulkDelete>) -> Result<Answer<Value>, Problem> {
    const IDS: &str = "scheduledWorkflowRunIds";
    let refused = |reason: &str| Err(Problem::from(Invalid::new("invalid-bulk", IDS, reason)));
    let within = |error| match error {
        Error::Invalid(invalid) => Error::Invalid(invalid.within("filter")),
        error => error,
    };
    let selection = match (request.scheduled_workflow_run_ids, request.filter) {
        (Some(_), Some(_)) => return refused("give either ids or a filter, not both"),
        (None, None) => return refused("say which: ids, or a filter, of which {} means all"),
        (Some(ids), None) => ids_of(&ids, IDS)?,
        (None, Some(filter)) => match filter.parse(&scheduler).await.map_err(within)? {
            // An empty filter of theirs means all; what has triggered, and what code declares, it does not mean.
            Some(mut filter) => {
                filter.statuses = vec![Status::Scheduled];
                filter.origins.retain(|origin| *origin != Origin::Code);
                filter.select()?
            }
            None => return Ok(answer("deletedIds", BulkOutcome::default())),
        },
    };
    Ok(answer("deletedIds", scheduler.bulk_delete(selection, false).await?))
}

/// The runs with these ids, each once: 1 to 500.
fn ids_of(texts: &[String], field: &str) -> Result<Selection, Invalid> {
    check_count(texts.len(), field)?;
    let ids = texts.iter().enumerate().map(|(place, text)| RunId::parse(text, &format!("{field}[{place}]")));
    Selection::ids(ids.collect::<Result<Vec<_>, _>>()?)
}

pub(super) fn check_count(count: usize, field: &str) -> Result<(), Invalid> {
    if (1..=BULK_MAX).contains(&count) {
        return Ok(());
    }
    Err(Invalid::new("invalid-bulk", field, format!("1 to {BULK_MAX} in one request; send more in portions")).seen(count.to_string()))
}

/// The runs that were changed, under this name, and those that were not, each with its reason. Both lists are there even if they are empty.
pub(super) fn answer(changed: &str, outcome: BulkOutcome) -> Answer<Value> {
    let errors: Vec<_> = outcome.refused.iter().map(|refusal| json!({ "id": refusal.run(), "error": refusal.to_string() })).collect();
    Answer(json!({ changed: outcome.changed_ids, "errors": errors }))
}
