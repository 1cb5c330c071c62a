//! Pure data and pure decisions: what a run is, and what becomes of it.
//!
//! Used by every layer above. Knows no I/O, no clock, no tokio, no SQL and no wasm: time and chance come in as
//! arguments, so that every case fits in a table.

mod attempt;
mod audit;
mod because;
mod bulk_change;
mod component;
mod concurrency;
mod cron;
mod cursor;
mod digest;
mod exact_json;
mod existing;
mod explain;
mod filter;
mod forecast;
mod grant;
mod hold;
mod id;
mod idempotency;
mod input_schema;
mod invalid;
pub mod limits;
mod metadata;
mod metadata_entry;
mod meter;
mod missed;
mod name;
mod namespace;
mod pause;
mod payload;
mod policy;
mod policy_settings;
mod rank;
mod rate;
mod retention;
pub mod retry;
mod run;
mod schema_bounds;
pub mod seal;
mod selection;
mod task;
mod time;
mod unique_key;
mod version;
mod write_set;
mod zone;
mod zone_database;

pub use attempt::{Attempt, AttemptPage, AttemptQuery, FailureReason, Outcome};
pub use audit::{AuditAction, AuditEntry, AuditQuery};
pub use because::Because;
pub use bulk_change::{BulkChange, Parts, Unfit};
pub use component::{CodeCron, CodeSchedule, Component, TaskDefinition};
pub use concurrency::{Admission, Concurrency, LaneKey, Overlap};
pub use cron::{CatchUpPlan, Cron, CronChange, CronFilter, CronRule, CronSettings, CronSpec, DstNote, Occurrence, Skipped, catch_up};
pub use cursor::{Cursor, List};
pub use digest::Digest;
pub use existing::Existing;
pub use explain::{Advice, Cause, Explanation, Known, explain};
pub use filter::{Order, Page, RunFilter};
pub use forecast::{Ahead, CronAhead, Cut, Forecast, ForecastNote, HourCount, forecast, hour_of};
pub use grant::{Grant, Grants};
pub use hold::{HeldBy, Hold};
pub use id::RunId;
pub use idempotency::{Idempotency, Remembered, Request};
pub use input_schema::InputSchema;
pub use invalid::Invalid;
pub use metadata::Metadata;
pub use metadata_entry::{parse_entry, write_entry};
pub use meter::Meter;
pub use missed::{CatchUp, Gap, MissedPolicy, gap, gaps_at_start};
pub use name::{Name, UniqueKey};
pub use namespace::{Namespace, NamespaceId};
pub use pause::Pause;
pub use payload::Payload;
pub use policy::TaskPolicy;
pub(crate) use policy::{check_max_attempts, check_priority, check_timeout};
pub use policy_settings::PolicySettings;
pub use rank::rank;
pub use rate::{RateLimit, RateUnit};
pub use retention::{Ended, Retention};
pub use retry::{Jitter, RetryPolicy};
pub use run::{
    AttemptCounters, CronOccurrence, Lineage, NewRun, Next, Origin, ParentRun, Progress, Run, Status, next_after_attempt,
    next_after_host_crash,
};
pub use selection::{BulkFilter, RunIds, Selection};
pub(crate) use selection::{check_bulk_count, distinct_moves};
pub use task::{Task, TaskId};
pub use time::{Due, Timestamp, format_duration, parse_duration, parse_duration_floor};
pub use unique_key::{Holder, Standing, Unique, UniqueMode, Verdict};
pub use version::Version;
pub use write_set::{Write, WriteRefused, WriteSet};
pub use zone::Zone;
pub use zone_database::{ZoneDatabase, ZoneRelease};
