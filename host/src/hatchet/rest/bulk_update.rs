//! `POST …/workflows/scheduled/bulk-update`: moves each to its own time, all in one transaction.

use axum::Json as Answer;
use serde::Deserialize;
use serde_json::Value;

use super::bulk_delete::{answer, check_count};
use super::create::required;
use super::path::Tenant;
use crate::http::Json;
use crate::http::error::Problem;
use crate::model::{Due, Invalid, RunId};

#[derive(Deserialize)]
pub(super) struct BulkUpdate {
    updates: Option<Vec<Update>>,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Update {
    id: Option<String>,
    trigger_at: Option<String>,
}

/// A run that is named twice goes where the last one says.
pub(super) async fn bulk_update(Tenant { scheduler, .. }: Tenant, Json(request): Json<BulkUpdate>) -> Result<Answer<Value>, Problem> {
    let updates = request.updates.unwrap_or_default();
    check_count(updates.len(), "updates")?;
    let mut moves: Vec<(RunId, Due)> = Vec::with_capacity(updates.len());
    let mut places = std::collections::HashMap::new();
    for (place, update) in updates.iter().enumerate() {
        let within = |invalid: Invalid| invalid.within(&format!("updates[{place}]"));
        let run = RunId::parse(update.id.as_deref().unwrap_or_default(), "id").map_err(within)?;
        let due = Due::At(required(update.trigger_at.as_deref(), "triggerAt").map_err(within)?);
        match places.get(&run) {
            Some(&first) => moves[first] = (run, due),
            None => {
                places.insert(run, moves.len());
                moves.push((run, due));
            }
        }
    }
    Ok(answer("updatedIds", scheduler.bulk_reschedule(moves).await?))
}
