//! Why the façade refused, sorted by what the caller can do.

use super::Role;
use crate::model::{Existing, Invalid, RunId};
use crate::storage::{BackupError, ChangeError, CreateError, CronError, NamespaceError, RegisterError, StorageError};

/// Why a request changed nothing (but see [`StorageError::OutcomeUnknown`]).
#[derive(Clone, Debug, thiserror::Error)]
pub enum Error {
    /// The request itself is wrong.
    #[error(transparent)]
    Invalid(#[from] Invalid),
    /// No task of this name is registered in the namespace.
    #[error("there is no task {0:?} in this namespace; register the component that has it, or see which there are with `runlater tasks`")]
    TaskNotFound(String),
    /// There is no such run in the namespace.
    #[error("there is no run {0} in this namespace")]
    RunNotFound(RunId),
    /// The run can't be changed in this way (any more).
    #[error(transparent)]
    Change(ChangeError),
    /// The unique key is held by a run that this request neither means nor may replace.
    #[error(
        "the unique key is held by {0}; this request has another task, input or metadata, or its mode does not allow it to share or replace that run"
    )]
    UniqueKeyTaken(Box<Existing>),
    /// The idempotency key came with another request before.
    #[error("another request came under this idempotency key before, and got {0}; send the same request, or use another key")]
    IdempotencyConflict(Box<Existing>),
    /// The cron was not made or changed.
    #[error(transparent)]
    Cron(#[from] CronError),
    /// The namespace was not made, changed or deleted.
    #[error(transparent)]
    Namespace(#[from] NamespaceError),
    /// The token on whose behalf this was asked for may not do it.
    #[error("this needs a token with the role `{needed}`; this one has `{held}`")]
    Forbidden {
        /// The token's role.
        held: Role,
        /// The role that it takes.
        needed: Role,
    },
    /// A quota would be exceeded.
    #[error("{0}")]
    Quota(String),
    /// The database could not do it.
    #[error(transparent)]
    Storage(#[from] StorageError),
    /// The host could not start.
    #[error("{0}")]
    Start(String),
}

impl From<ChangeError> for Error {
    fn from(error: ChangeError) -> Self {
        match error {
            ChangeError::NotFound(run) => Self::RunNotFound(run),
            other => Self::Change(other),
        }
    }
}

impl From<CreateError> for Error {
    fn from(error: CreateError) -> Self {
        match error {
            CreateError::UniqueKeyTaken(existing) => Self::UniqueKeyTaken(existing),
            CreateError::IdempotencyConflict(existing) => Self::IdempotencyConflict(existing),
            CreateError::Namespace(refused) => Self::Namespace(refused),
            CreateError::Quota(reason) => Self::Quota(reason),
            CreateError::Storage(error) => Self::Storage(error),
        }
    }
}

impl From<BackupError> for Error {
    fn from(error: BackupError) -> Self {
        match error {
            BackupError::Invalid(invalid) => Self::Invalid(invalid),
            BackupError::Storage(error) => Self::Storage(error),
        }
    }
}

impl From<RegisterError> for Error {
    fn from(error: RegisterError) -> Self {
        match error {
            RegisterError::Invalid(invalid) => Self::Invalid(invalid),
            RegisterError::Namespace(refused) => Self::Namespace(refused),
            RegisterError::Quota(reason) => Self::Quota(reason),
            RegisterError::Storage(error) => Self::Storage(error),
        }
    }
}
