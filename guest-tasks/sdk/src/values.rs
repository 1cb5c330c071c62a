//! The values of the contract's `types` interface, as an author meets them.
//!
//! The same on both backends; only `wasm.rs` knows the generated bindings.

use std::fmt;

use serde::{Deserialize, Serialize};

use crate::time::{Duration, Instant};

/// The name of a run for as long as the run is kept. Not a secret, and grants nothing.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(transparent)]
pub struct RunId(String);

impl RunId {
    /// As text.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl From<String> for RunId {
    fn from(text: String) -> Self {
        RunId(text)
    }
}

impl From<&str> for RunId {
    fn from(text: &str) -> Self {
        RunId(text.to_owned())
    }
}

impl From<RunId> for String {
    fn from(id: RunId) -> Self {
        id.0
    }
}

impl AsRef<str> for RunId {
    fn as_ref(&self) -> &str {
        &self.0
    }
}

impl fmt::Display for RunId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

/// When a run becomes due.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Due {
    /// As soon as the scheduling attempt has committed.
    Now,
    /// At this moment. A moment in the past means now.
    At(Instant),
    /// This long after the call.
    After(Duration),
}

impl From<Instant> for Due {
    fn from(at: Instant) -> Self {
        Due::At(at)
    }
}

impl From<Duration> for Due {
    fn from(after: Duration) -> Self {
        Due::After(after)
    }
}

/// How far runs are moved, each from its own trigger time.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Shift {
    /// To a later time.
    Later(Duration),
    /// To an earlier time.
    Earlier(Duration),
}

/// What a request does whose unique key is held by another run.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum UniqueMode {
    /// An equal request gets the run that holds it; a different one fails with [`UniqueKeyTaken`](crate::Error::UniqueKeyTaken).
    #[default]
    Existing,
    /// It fails.
    Reject,
    /// A run of the same task that still waits for its time is deleted, and this one takes its place; any other one fails the request.
    Replace,
    /// A run of the same task that still waits for its time is put off, and gets this request's input and metadata.
    Debounce {
        /// It waits so long after the last request.
        wait: Duration,
        /// But not longer than this after the first.
        max_wait: Duration,
    },
}

/// Where a run stands.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Status {
    /// Its trigger time lies ahead.
    Scheduled,
    /// Due, waiting for a slot.
    Queued,
    /// An attempt is in flight.
    Running,
    /// An attempt failed, or asked to be run again later; another one is planned.
    Backoff,
    /// An attempt ended well. Final.
    Succeeded,
    /// No further attempt will be made. Final.
    Failed,
    /// Cancelled before it could end by itself. Final.
    Cancelled,
    /// Its time passed, and a policy said not to run it. Final.
    Missed,
    /// A status that this version does not name.
    Other(String),
}

impl fmt::Display for Status {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Status::Scheduled => "scheduled",
            Status::Queued => "queued",
            Status::Running => "running",
            Status::Backoff => "backoff",
            Status::Succeeded => "succeeded",
            Status::Failed => "failed",
            Status::Cancelled => "cancelled",
            Status::Missed => "missed",
            Status::Other(other) => other,
        })
    }
}

/// Who made a run.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Origin {
    /// A client of the host: HTTP, command line or the embedding program.
    Api,
    /// A guest, during an attempt.
    Guest,
    /// An occurrence of a cron.
    Cron,
    /// A schedule that the component itself declares.
    Code,
    /// A webhook.
    Trigger,
    /// An origin that this version does not name.
    Other(String),
}

impl fmt::Display for Origin {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Origin::Api => "api",
            Origin::Guest => "guest",
            Origin::Cron => "cron",
            Origin::Code => "code",
            Origin::Trigger => "trigger",
            Origin::Other(other) => other,
        })
    }
}

/// How much a log line matters.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Level {
    /// For whoever looks for a fault.
    Debug,
    /// What happened.
    Info,
    /// What somebody should look at some day.
    Warn,
    /// What went wrong.
    Error,
}
