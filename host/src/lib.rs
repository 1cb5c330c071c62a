//! **runlater** runs a sandboxed WebAssembly task at the time you asked for, exactly the way you asked, and never loses one.

// First: what follows uses its macro.
#[macro_use]
pub mod failpoint;

#[cfg(feature = "server")]
pub mod bench;
mod cancel;
#[cfg(feature = "server")]
pub mod cli;
pub mod clock;
pub mod executor;
#[cfg(feature = "fuzzing")]
pub mod fuzzing;
#[cfg(feature = "hatchet")]
pub mod hatchet;
#[cfg(feature = "server")]
pub mod http;
mod listeners;
mod machine_memory;
pub mod model;
pub mod scheduler;
mod stand_back;
pub mod storage;
mod time_limit;
mod urgent;
pub mod zones;

pub use clock::{Clock, ManualClock, SystemClock};
pub use listeners::OwnListeners;
pub use model::{
    Cron, CronFilter, CronRule, Due, Grant, GrantPattern, Metadata, NamespaceQuotas, Page, Payload, Run, RunFilter, RunId, Status,
    Timestamp,
};
pub use scheduler::{Backfill, BulkOutcome, CronUpdate, Error, Registered, Schedule, Scheduled, Scheduler, SchedulerBuilder, Selection};
pub use zones::Zones;

/// Compiles the code of the first page.
#[cfg(doctest)]
#[doc = include_str!("../../README.md")]
pub struct FirstPage;

/// Compiles the code of the page on Hatchet's SDKs.
#[cfg(all(doctest, feature = "hatchet"))]
#[doc = include_str!("../../docs/hatchet.md")]
pub struct HatchetPage;

/// Compiles the code of the page on embedding.
#[cfg(doctest)]
#[doc = include_str!("../../docs/embedding.md")]
pub struct EmbeddingPage;
