//! What a task usually needs: `use runlater_task::prelude::*;`.

pub use serde::{Deserialize, Serialize};

pub use crate::export_tasks;
pub use crate::time::{days, hours, milliseconds, minutes, seconds};
pub use crate::{
    Due, Duration, Failure, Instant, JsonSchema, Outcome, Run, RunId, Shift, Status, cron, crons, log, pauses, runs, schedule, task,
};
