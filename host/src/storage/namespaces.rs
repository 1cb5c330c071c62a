//! The part of the seam to the database that concerns namespaces as such: which there are, what each may have, and deleting one.
//!
//! A part of [`Storage`](super::Storage), called by the scheduler on behalf of the host's operator. Changes are put on record in the namespace
//! that the operator acts from, because the one that is changed may be gone.

use async_trait::async_trait;

use super::StorageError;
use crate::model::{Name, Namespace, NamespaceId, NamespaceQuotas, NamespaceRecord, Timestamp};

/// What is done with namespaces. See [`Storage`](super::Storage) for what every implementation promises.
#[async_trait]
pub trait Namespaces: Send + Sync + 'static {
    /// All namespaces, in order of name, also those that are being deleted. Answered from memory.
    fn namespace_records(&self) -> Vec<NamespaceRecord>;

    /// The namespace of this name, if there is one that is not being deleted. Answered from memory.
    fn find_namespace(&self, name: &str) -> Option<Namespace>;

    /// What is set for this namespace alone; nothing for one that does not exist. Answered from memory.
    fn quotas_of(&self, namespace: NamespaceId) -> NamespaceQuotas;

    /// Makes a namespace. Its key was never that of another one. `recorded_in`: where this is put on record.
    async fn create_namespace(
        &self,
        recorded_in: Option<NamespaceId>,
        name: Name,
        quotas: NamespaceQuotas,
        now: Timestamp,
    ) -> Result<Result<NamespaceRecord, NamespaceError>, StorageError>;

    /// Changes the quotas of a namespace: each field to this text, or to what the host allows each. What is not named stays.
    async fn change_quotas(
        &self,
        recorded_in: NamespaceId,
        name: Name,
        changes: Vec<(String, Option<String>)>,
        now: Timestamp,
    ) -> Result<Result<NamespaceRecord, NamespaceError>, StorageError>;

    /// Marks a namespace as being deleted. From the commit on nothing of it starts, also after a restart, nothing is stored for it at a caller's
    /// request, and it is not found by name; its attempts in flight are asked to end. Repeating it changes nothing. Refused for the default
    /// namespace, and for `recorded_in`. `detail` says on record what goes with it.
    async fn begin_deletion(
        &self,
        recorded_in: NamespaceId,
        name: Name,
        detail: String,
        now: Timestamp,
    ) -> Result<Result<NamespaceRecord, NamespaceError>, StorageError>;

    /// Deletes a slice of what a namespace holds that is marked as being deleted, and the namespace itself once nothing is left. A run whose
    /// attempt is in flight is left for later. Does nothing to a namespace that is not marked.
    async fn erase_namespace(&self, namespace: NamespaceId, now: Timestamp) -> Result<Erased, StorageError>;

    /// Counts what a namespace holds. Blocks on the disk.
    fn holdings(&self, namespace: NamespaceId) -> Result<Holdings, StorageError>;

    /// What of a namespace waits in memory, and what is in flight.
    fn load_of(&self, namespace: NamespaceId) -> NamespaceLoad;
}

/// What a namespace holds: all of it goes when it is deleted.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Holdings {
    /// Its runs, those that have ended too.
    pub runs: u64,
    /// Those of them that wait.
    pub live_runs: u64,
    /// Its tasks.
    pub tasks: u64,
    /// Its crons.
    pub crons: u64,
    /// Its tokens that were not revoked.
    pub tokens: u64,
    /// The components of its tasks.
    pub components: u64,
    /// Their bytes.
    pub component_bytes: u64,
}

/// What of a namespace waits in memory, and what is in flight.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct NamespaceLoad {
    /// Runs armed in memory, to start within the next seconds.
    pub armed: usize,
    /// Runs that are due, and wait in memory for what their task's policy or a pause asks for. More may wait in the database.
    pub parked: usize,
    /// Attempts in flight.
    pub running: usize,
}

/// What is left after a slice of a deletion.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Erased {
    /// More rows.
    More,
    /// Only runs whose attempts are in flight.
    InFlight,
    /// Nothing: the namespace is gone, or is not being deleted.
    Nothing,
}

/// Why a namespace was not made, changed or deleted.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum NamespaceError {
    /// There is none of this name.
    #[error("there is no namespace {0}; see which there are with `runlater namespaces list`")]
    NotFound(String),
    /// There is one of this name.
    #[error("there is a namespace {0} already; choose another name")]
    Exists(Name),
    /// It is being deleted.
    #[error("the namespace {0} is being deleted; nothing can be done in it any more, and its name is free once it is gone")]
    Deleting(Name),
    /// The host has as many as it may.
    #[error("there are {0} namespaces, the most that a host may have; delete some")]
    TooMany(usize),
    /// The default namespace is always there.
    #[error("the namespace {0} is always there; delete what it holds instead, or another namespace")]
    Permanent(Name),
    /// It is the namespace that the request itself acts in.
    #[error("the namespace {0} is the one that this request acts in; act in another one to delete it")]
    ActingIn(Name),
}
