//! What can go wrong in storage, sorted by what the caller can do about it.

use super::NamespaceError;
use crate::model::{Existing, Invalid, Name, RunId};

/// The database could not do it.
#[derive(Clone, Debug, thiserror::Error)]
pub enum StorageError {
    /// It is unknown whether the change was stored. Repeat it with its unique key.
    #[error("the outcome is unknown: {0}; repeat the request with the same unique key")]
    OutcomeUnknown(String),
    /// Nothing was changed: more writes are waiting than may. Try again.
    #[error("the host is overloaded: {0} writes are waiting; try again")]
    Overloaded(usize),
    /// Nothing was changed: the disk is (nearly) full.
    #[error("the disk is full; free some space, the host then goes on by itself")]
    Full,
    /// Nothing was changed, and nothing will be: another program held the database's write lock for too long, so the write was withdrawn. Try again.
    #[error("another program holds the write lock of the database; nothing was changed, try again once it has finished")]
    Locked,
    /// Nothing was changed: the storage is closed or was stopped by an earlier error.
    #[error("the storage is not available: {0}")]
    Unavailable(String),
    /// The read was stopped: it takes longer than it may.
    #[error("the read was stopped because it takes too long; narrow the filter, or list in order of id")]
    TooLong,
    /// Nothing was read: more long reads and costly checks of the namespace are waiting than may. Try again.
    #[error("{0} long reads and costly checks of this namespace are waiting; try again when some of them have ended")]
    Crowded(usize),
    /// What is stored can't be understood.
    #[error("the database is damaged: {0}")]
    Corrupt(String),
    /// The file is no database at all.
    #[error("{0}")]
    NoDatabase(String),
}

impl StorageError {
    /// A stable code for programs.
    pub const fn code(&self) -> &'static str {
        match self {
            Self::OutcomeUnknown(_) => "outcome-unknown",
            Self::Overloaded(_) | Self::Crowded(_) => "overloaded",
            Self::TooLong => "read-too-long",
            Self::Full => "storage-full",
            Self::Locked => "database-locked",
            Self::Unavailable(_) => "unavailable",
            Self::Corrupt(_) | Self::NoDatabase(_) => "database-damaged",
        }
    }
}

/// The runs of a namespace hold as many bytes as they may.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error(
    "the runs of this namespace hold {held} bytes, and may hold {max}; delete some, keep ended runs for a shorter time, or ask the operator for more"
)]
pub struct RunBytesFull {
    /// The bytes that they hold.
    pub held: u64,
    /// The bytes that they may hold.
    pub max: u64,
}

/// Why runs were not created. None of the request's was.
#[derive(Clone, Debug, thiserror::Error)]
pub enum CreateError {
    /// The unique key is held by a run that this request neither means nor may replace.
    #[error("the unique key is held by {0}")]
    UniqueKeyTaken(Box<Existing>),
    /// The idempotency key came with another request before.
    #[error("another request came under this idempotency key before: {0}")]
    IdempotencyConflict(Box<Existing>),
    /// The namespace is being deleted, or is gone.
    #[error(transparent)]
    Namespace(#[from] NamespaceError),
    /// The chain has as many unfinished runs as it may, or the namespace as many that wait, or its runs hold as many bytes as they may.
    #[error("{0}")]
    Quota(String),
    /// The database could not do it.
    #[error(transparent)]
    Storage(#[from] StorageError),
}

/// Why a component was not registered.
#[derive(Clone, Debug, thiserror::Error)]
pub enum RegisterError {
    /// The namespace's components have too many bytes.
    #[error("{0}")]
    Quota(String),
    /// The namespace is being deleted, or is gone.
    #[error(transparent)]
    Namespace(#[from] NamespaceError),
    /// It can't be accepted.
    #[error(transparent)]
    Invalid(#[from] Invalid),
    /// The database could not do it.
    #[error(transparent)]
    Storage(#[from] StorageError),
}

/// Why a token is not created.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum TokenRefused {
    /// The namespace is being deleted, or is gone.
    #[error(transparent)]
    Namespace(#[from] NamespaceError),
    /// The namespace has this many tokens in force, and may have no more.
    #[error("the namespace has {0} tokens in force, which is the limit")]
    Full(u64),
}

/// Why the database was not copied.
#[derive(Clone, Debug, thiserror::Error)]
pub enum BackupError {
    /// The file can't be made there.
    #[error(transparent)]
    Invalid(#[from] Invalid),
    /// The database or the disk could not do it.
    #[error(transparent)]
    Storage(#[from] StorageError),
}

/// Why one run was not changed. It is as it was.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum ChangeError {
    /// There is no such run in this namespace.
    #[error("there is no run {0}")]
    NotFound(RunId),
    /// It has triggered: it can't be moved or deleted any more.
    #[error("run {0} has already triggered; it can't be moved or deleted any more")]
    AlreadyTriggered(RunId),
    /// A component's code declares it.
    #[error("run {0} is defined by a component's code; register a new version of the component to change it")]
    DefinedByCode(RunId),
    /// It has ended.
    #[error("run {0} has already ended")]
    AlreadyEnded(RunId),
    /// It waits or runs already.
    #[error("run {0} is already under way")]
    UnderWay(RunId),
    /// Its unique key is held by a run that has not ended.
    #[error("the unique key of run {0} is held by run {1}, which has not ended")]
    UniqueKeyTaken(RunId, RunId),
    /// It is no longer what the caller saw.
    #[error("run {0} was changed meanwhile; read it again, and decide anew")]
    Stale(RunId),
    /// The time it should be moved to lies outside the accepted range.
    #[error("run {0} can't be moved out of 1970-01-01T00:00:00Z to 9999-12-31T23:59:59Z")]
    OutOfRange(RunId),
}

impl ChangeError {
    /// The run that was not changed.
    pub const fn run(&self) -> RunId {
        match self {
            Self::NotFound(run)
            | Self::AlreadyTriggered(run)
            | Self::DefinedByCode(run)
            | Self::AlreadyEnded(run)
            | Self::UnderWay(run)
            | Self::UniqueKeyTaken(run, _)
            | Self::Stale(run)
            | Self::OutOfRange(run) => *run,
        }
    }
}

/// Why a cron was not made or changed. It is as it was.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum CronError {
    /// There is no such cron in this namespace.
    #[error("there is no cron {0}")]
    NotFound(Name),
    /// There is one of this name.
    #[error("there is a cron {0} already; choose another name, or update that one")]
    Exists(Name),
    /// Its task is not registered in this namespace.
    #[error("there is no task {0}; register its component first")]
    TaskNotFound(Name),
    /// A component's code declares it.
    #[error("cron {0} is defined by a component's code; register a new version of the component to change it, or pause it")]
    DefinedByCode(Name),
    /// Somebody changed it meanwhile.
    #[error("cron {name} was changed meanwhile and has version {version} now; read it again and repeat the change")]
    Stale {
        /// The cron.
        name: Name,
        /// The version that it has.
        version: u32,
    },
    /// The namespace has as many as it may.
    #[error("the namespace has {0} crons, the most it may; delete some")]
    TooMany(u32),
    /// A quota would be exceeded by a run of the cron.
    #[error("{0}")]
    Quota(String),
}
