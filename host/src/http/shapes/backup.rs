//! Asks for a copy of the database, and the answer.

use serde::{Deserialize, Serialize};

/// Asks for a copy of the database.
#[derive(Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Backup {
    /// Where to, on the host: an absolute path at which there is no file yet.
    pub path: String,
}

/// A copy that was made.
#[derive(Debug, Serialize, Deserialize)]
pub struct BackedUp {
    /// Where it is.
    pub path: String,
    /// Its size.
    pub bytes: u64,
}
