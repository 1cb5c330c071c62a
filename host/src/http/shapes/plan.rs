//! What a registration would change.

use serde::{Deserialize, Serialize};

use crate::scheduler;

/// What a registration would change: the answer to a dry run.
#[derive(Debug, Serialize, Deserialize)]
pub struct Plan {
    /// The SHA-256 of the component's bytes.
    pub digest: String,
    /// Tasks, then crons. What stays as it is is not there.
    pub changes: Vec<Planned>,
}

/// One change.
#[derive(Debug, Serialize, Deserialize)]
pub struct Planned {
    /// `task` or `cron`.
    pub what: String,
    /// Its name.
    pub name: String,
    /// `added`, `changed` or `removed`.
    pub change: String,
}

impl From<scheduler::Plan> for Plan {
    fn from(plan: scheduler::Plan) -> Self {
        let planned = |one: scheduler::Planned| Planned { what: one.what.into(), name: one.name.to_string(), change: one.change.into() };
        Self { digest: plan.digest.to_string(), changes: plan.changes.into_iter().map(planned).collect() }
    }
}
