//! Changes many runs at once, and the answer.

use serde::{Deserialize, Serialize};

use super::{Reschedule, written};
use crate::http::{error, filter};
use crate::model::RunId;
use crate::scheduler::BulkOutcome;
use crate::storage::ChangeError;

/// Deletes, cancels or triggers many runs: the runs in `ids`, the runs that match `filter`, or `all`.
#[derive(Debug, Default, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct BulkChange {
    /// The runs with these ids.
    #[serde(default, deserialize_with = "filter::not_null", skip_serializing_if = "Option::is_none")]
    pub ids: Option<Vec<String>>,
    /// The runs that match. It needs at least one condition.
    #[serde(default, deserialize_with = "filter::object", skip_serializing_if = "Option::is_none")]
    pub filter: Option<filter::Filter>,
    /// Every run of the namespace, instead of `ids` and `filter`.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub all: bool,
    /// Only count.
    #[serde(default)]
    pub dry_run: bool,
}

/// Moves many scheduled runs: each in `moves` to its own time, or those selected to one time or by one span.
#[derive(Debug, Default, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct BulkReschedule {
    /// Each to its own time.
    #[serde(default, deserialize_with = "filter::objects", skip_serializing_if = "Option::is_none")]
    pub moves: Option<Vec<OneMove>>,
    /// The runs with these ids.
    #[serde(default, deserialize_with = "filter::not_null", skip_serializing_if = "Option::is_none")]
    pub ids: Option<Vec<String>>,
    /// The runs that match. It needs at least one condition.
    #[serde(default, deserialize_with = "filter::object", skip_serializing_if = "Option::is_none")]
    pub filter: Option<filter::Filter>,
    /// Every run of the namespace, instead of `ids` and `filter`.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub all: bool,
    /// The one time.
    #[serde(default, deserialize_with = "filter::object", skip_serializing_if = "Option::is_none")]
    pub to: Option<Reschedule>,
    /// The span: `+1h` or `-30m`.
    #[serde(default, deserialize_with = "written::optional", skip_serializing_if = "Option::is_none")]
    pub by: Option<String>,
    /// Only count.
    #[serde(default)]
    pub dry_run: bool,
}

/// One run and its new time.
#[derive(Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct OneMove {
    /// The run.
    pub id: String,
    /// To this moment.
    #[serde(default, deserialize_with = "written::optional", skip_serializing_if = "Option::is_none")]
    pub at: Option<String>,
    /// To this span from now.
    #[serde(default, deserialize_with = "written::optional", skip_serializing_if = "Option::is_none")]
    pub after: Option<String>,
}

/// What a bulk request did.
#[derive(Debug, Default, Serialize, Deserialize)]
pub struct Bulk {
    /// How many runs were changed, or would be in a dry run.
    pub changed: u64,
    /// The selected runs that could not be changed, or could not be in a dry run: all of them if they were named by id, else the first 100.
    pub refused: Vec<Refused>,
    /// How many runs could not be changed.
    #[serde(default)]
    pub refused_total: u64,
}

/// A run that could not be changed.
#[derive(Debug, Serialize, Deserialize)]
pub struct Refused {
    /// The run.
    pub id: RunId,
    /// Why: a stable code.
    pub code: String,
    /// Why, in words.
    pub detail: String,
}

impl From<BulkOutcome> for Bulk {
    fn from(outcome: BulkOutcome) -> Self {
        let refused = |error: ChangeError| Refused { id: error.run(), code: error::change_code(&error).into(), detail: error.to_string() };
        Self { changed: outcome.changed, refused: outcome.refused.into_iter().map(refused).collect(), refused_total: outcome.refused_total }
    }
}
