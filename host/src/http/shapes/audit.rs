//! What callers changed, as it is on record.

use serde::{Deserialize, Serialize};

use crate::model::{self, RunId, Timestamp};

/// One entry.
#[derive(Debug, Serialize, Deserialize)]
pub struct AuditEntry {
    /// Its number in the namespace.
    pub number: i64,
    /// When.
    pub at: Timestamp,
    /// The id of the token that was used.
    pub token: String,
    /// What was done.
    pub action: String,
    /// To which run.
    pub run: Option<RunId>,
    /// To which task, token or file.
    pub subject: Option<String>,
    /// More of it: a new time, a digest, a role.
    pub detail: Option<String>,
}

impl From<model::AuditEntry> for AuditEntry {
    fn from(entry: model::AuditEntry) -> Self {
        let model::AuditEntry { number, at, token, action, run, subject, detail } = entry;
        Self { number, at, token, action: action.as_str().into(), run, subject, detail }
    }
}

/// Entries, the latest first.
#[derive(Debug, Serialize, Deserialize)]
pub struct AuditPage {
    /// The entries.
    pub entries: Vec<AuditEntry>,
    /// What to ask for as `before` to go on; `None` at the end.
    pub next: Option<i64>,
}
