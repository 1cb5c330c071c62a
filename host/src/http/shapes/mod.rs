//! The JSON bodies of the API, as the server writes and the client reads them, and the other way round.
//!
//! Names are those of `model`; times are RFC 3339 in UTC, spans are text such as `30s`. A JSON payload is embedded as it is, in
//! `input` or `output`; one of another media type stands beside it as `input_bytes` or `output_bytes`. Requests refuse unknown
//! fields; answers may grow, so the client ignores what it does not know.

mod attempt;
mod audit;
mod backup;
mod bulk;
mod bytes;
mod cancelled;
mod cron;
mod due;
mod explain;
mod forecast;
mod health;
mod metadata;
mod namespace;
mod pause;
mod plan;
mod reschedule;
mod run;
mod schedule_run;
mod task;
mod token;
pub(super) mod written;

pub use attempt::{Attempt, Attempts};
pub use audit::{AuditEntry, AuditPage};
pub use backup::{BackedUp, Backup};
pub use bulk::{Bulk, BulkChange, BulkReschedule, OneMove, Refused};
pub use bytes::Bytes;
pub use cancelled::Cancelled;
pub use cron::{
    BackfillCron, Backfilled, CreateCron, Cron, CronPage, CronTriggered, Missed, MissedChange, Occurrence, Occurrences, UpdateCron,
};
pub use due::{due, due_required};
pub use explain::{Advice, Cause, Explanation};
pub use forecast::{Forecast, ForecastHour, ForecastNote};
pub use health::{Health, HostHealth, MissedCounts};
pub use metadata::metadata;
pub use namespace::{CreateNamespace, Holdings, Namespace, NamespaceDeletion, Namespaces, Quotas, UpdateNamespace, quota_changes};
pub use pause::Pause;
pub use plan::{Plan, Planned};
pub use reschedule::Reschedule;
pub use run::{CronOccurrence, Progress, Run, RunPage};
pub use schedule_run::{Existing, ScheduleRun, Scheduled};
pub use task::{Registered, Task, Tasks};
pub use token::{CreateToken, NewToken, Token, Tokens};
