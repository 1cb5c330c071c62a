//! The answer to a request to cancel.

use serde::{Deserialize, Serialize};

/// What a request to cancel did.
#[derive(Debug, Serialize, Deserialize)]
pub struct Cancelled {
    /// `cancelled` if the run will not start (again); `requested` if it is executing and was told to end.
    pub cancel: String,
}
