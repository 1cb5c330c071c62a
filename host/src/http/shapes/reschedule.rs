//! Moves one run.

use serde::{Deserialize, Serialize};

use super::written;

/// Moves one run.
#[derive(Debug, Default, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Reschedule {
    /// To this moment.
    #[serde(default, deserialize_with = "written::optional", skip_serializing_if = "Option::is_none")]
    pub at: Option<String>,
    /// To this span from now.
    #[serde(default, deserialize_with = "written::optional", skip_serializing_if = "Option::is_none")]
    pub after: Option<String>,
}
