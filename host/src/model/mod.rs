//! Pure data and pure decisions: what a run is, and what becomes of it.
//!
//! Used by every layer above. Knows no I/O, no clock, no tokio, no SQL and no wasm: time and chance come in as
//! arguments, so that every case fits in a table.

mod attempt;
mod component;
mod concurrency;
mod digest;
mod filter;
mod grant;
mod id;
mod invalid;
pub mod limits;
mod metadata;
mod missed;
mod name;
mod namespace;
mod payload;
mod policy;
mod rank;
mod rate;
mod retention;
pub mod retry;
mod run;
mod task;
mod time;
mod write_set;

pub use attempt::{Attempt, FailureReason, Outcome};
pub use component::{CodeSchedule, Component, TaskDefinition};
pub use concurrency::{Admission, Concurrency, LaneKey, Overlap};
pub use digest::Digest;
pub use filter::{Cursor, Order, Page, RunFilter};
pub use grant::{Grant, Grants};
pub use id::RunId;
pub use invalid::Invalid;
pub use metadata::Metadata;
pub use missed::{CatchUp, Gap, MissedPolicy, gap};
pub use name::{Name, UniqueKey};
pub use namespace::{Namespace, NamespaceId};
pub use payload::Payload;
pub use policy::{PolicySettings, TaskPolicy};
pub(crate) use policy::{check_max_attempts, check_priority, check_timeout};
pub use rank::rank;
pub use rate::{RateLimit, RateUnit};
pub use retention::Retention;
pub use retry::{Jitter, RetryPolicy};
pub use run::{
    AttemptCounters, Lineage, NewRun, Next, Origin, ParentRun, Progress, Run, Status, next_after_attempt, next_after_host_crash,
};
pub use task::{Pause, Task, TaskId};
pub use time::{Due, Timestamp, format_duration, parse_duration};
pub use write_set::{Write, WriteRefused, WriteSet};
