//! Why a call to the scheduler changed nothing.

use std::fmt;

use crate::time::Duration;
use crate::values::RunId;

/// Why a call changed nothing. Each case is one that a caller handles differently.
///
/// With `?` it becomes the [`Failure`](crate::Failure) that fits: `Invalid` rejects the run, the others are retried.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Error {
    /// The call itself is wrong. Repeating it does not help.
    Invalid {
        /// Which argument, for example `due` or `metadata.customer`.
        field: String,
        /// What is wrong with it, what would be right.
        reason: String,
    },
    /// More than this attempt, run, chain or namespace may have.
    Limit {
        /// Which limit, for example `writes-per-attempt`.
        limit: String,
        /// What is allowed.
        max: u64,
        /// What was asked for.
        asked: u64,
    },
    /// No task of this name is registered.
    TaskNotFound(String),
    /// No run of this id exists (any more).
    RunNotFound(RunId),
    /// The run's trigger time has come: it can't be moved or deleted any more.
    AlreadyTriggered(RunId),
    /// The run is declared by a component's code; only a new version of the component changes it.
    DefinedByCode(RunId),
    /// The run has ended; there is nothing to cancel.
    AlreadyEnded(RunId),
    /// The unique key is held by this other run: one with another task, input or metadata, or one that the request may not share or replace.
    UniqueKeyTaken(RunId),
    /// No cron of this name exists (any more).
    CronNotFound(String),
    /// There is a cron of this name already.
    CronExists(String),
    /// The cron is declared by a component's code; only a new version of the component changes it.
    CronDefinedByCode(String),
    /// The task lacks this grant.
    Forbidden(String),
    /// The host can't answer now; try again, after this long if it says so.
    Unavailable(Option<Duration>),
    /// A condition that this version does not name.
    Other(String),
}

impl Error {
    pub(crate) fn invalid(field: &str, reason: impl fmt::Display) -> Self {
        Error::Invalid { field: field.to_owned(), reason: reason.to_string() }
    }
}

impl fmt::Display for Error {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Error::Invalid { field, reason } => write!(f, "`{field}` is not valid: {reason}"),
            Error::Limit { limit, max, asked } => write!(f, "limit `{limit}`: {asked} asked for, {max} allowed"),
            Error::TaskNotFound(task) => write!(f, "no task `{task}` is registered"),
            Error::RunNotFound(id) => write!(f, "no run {id} exists"),
            Error::AlreadyTriggered(id) => write!(f, "run {id} has triggered already"),
            Error::DefinedByCode(id) => write!(f, "run {id} is declared by a component's code"),
            Error::AlreadyEnded(id) => write!(f, "run {id} has ended already"),
            Error::UniqueKeyTaken(id) => write!(f, "the unique key is held by run {id}"),
            Error::CronNotFound(name) => write!(f, "no cron `{name}` exists"),
            Error::CronExists(name) => write!(f, "there is a cron `{name}` already"),
            Error::CronDefinedByCode(name) => write!(f, "cron `{name}` is declared by a component's code"),
            Error::Forbidden(grant) => write!(f, "the task lacks the grant `{grant}`"),
            Error::Unavailable(_) => f.write_str("the scheduler can't answer now"),
            Error::Other(other) => f.write_str(other),
        }
    }
}

impl std::error::Error for Error {}
