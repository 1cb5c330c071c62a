//! Namespaces as such: making them, what each may have, and deleting one.
//!
//! Called by the HTTP door for tokens with the role `operator`, and by the program itself; refused for every other token. A deletion is begun here
//! and done in the background by [`keep`], which finds what an earlier host left undone.

use std::sync::Arc;
use std::time::Duration;

use super::{Error, Role, Scheduler};
use crate::clock::Clock;
use crate::model::{Name, Namespace, NamespaceId, NamespaceQuotas, NamespaceRecord, Timestamp};
use crate::storage::{Erased, Holdings, NamespaceError, Storage, StorageError};

/// How often the background looks for namespaces that are being deleted.
const LOOK_EVERY: Duration = Duration::from_secs(1);

impl Scheduler {
    /// All namespaces of the host, in order of name, also those that are being deleted.
    pub fn namespaces(&self) -> Result<Vec<NamespaceRecord>, Error> {
        self.require(Role::Operator)?;
        Ok(self.core.storage.namespace_records())
    }

    /// One namespace, by its name.
    pub fn namespace_record(&self, name: &str) -> Result<NamespaceRecord, Error> {
        let found = self.namespaces()?.into_iter().find(|record| record.namespace.name.as_str() == name);
        // A name that nobody can give is no name of a namespace.
        Ok(found.ok_or_else(|| NamespaceError::NotFound(name.chars().take(128).collect()))?)
    }

    /// Makes a namespace. It is put on record in the namespace that this scheduler is bound to, as all changes here are.
    pub async fn create_namespace(&self, name: &str, quotas: NamespaceQuotas) -> Result<NamespaceRecord, Error> {
        self.require(Role::Operator)?;
        let name = Name::parse(name, "name")?;
        Ok(self.changes.create_namespace(Some(self.namespace.id), name, quotas, self.now()).await??)
    }

    /// Changes what a namespace may have: each field of [`NamespaceQuotas::FIELDS`] that is named to this text, or, if `None`, to what the host
    /// allows each namespace.
    pub async fn change_quotas(&self, name: &str, changes: Vec<(String, Option<String>)>) -> Result<NamespaceRecord, Error> {
        self.require(Role::Operator)?;
        // Checked here, where the field is still named; storage applies what was checked.
        NamespaceQuotas::default().with(changes.iter().map(|(field, value)| (field.as_str(), value.as_deref())))?;
        let name = self.namespace_record(name)?.namespace.name;
        Ok(self.changes.change_quotas(self.namespace.id, name, changes, self.now()).await??)
    }

    /// Counts what a namespace holds, which is what deleting it would delete.
    pub async fn holdings(&self, name: &str) -> Result<Holdings, Error> {
        let namespace = self.namespace_record(name)?.namespace.id;
        self.read(move |storage, _, _| storage.holdings(namespace)).await
    }

    /// Begins to delete a namespace with all that it holds, and returns what that is. From then on nothing of it starts, its attempts in flight
    /// are asked to end, and its tokens open nothing. The rest is deleted in the background, and goes on after a restart; until it is done, its name
    /// is taken.
    ///
    /// # Errors
    ///
    /// [`Error::Namespace`] for the default namespace, and for the one that this scheduler is bound to.
    pub async fn delete_namespace(&self, name: &str) -> Result<Holdings, Error> {
        let record = self.deletable(name)?;
        let holdings = self.holdings(name).await?;
        let Holdings { runs, tasks, crons, tokens, .. } = holdings;
        let detail = format!("{runs} runs, {tasks} tasks, {crons} crons, {tokens} tokens");
        self.changes.begin_deletion(self.namespace.id, record.namespace.name, detail, self.now()).await??;
        self.reload_tokens();
        Ok(holdings)
    }

    /// Checks whether [`delete_namespace`](Self::delete_namespace) would be refused, and counts what it would delete.
    pub async fn plan_deletion(&self, name: &str) -> Result<Holdings, Error> {
        self.deletable(name)?;
        self.holdings(name).await
    }

    fn deletable(&self, name: &str) -> Result<NamespaceRecord, Error> {
        let record = self.namespace_record(name)?;
        if record.namespace.is_default() {
            return Err(NamespaceError::Permanent(record.namespace.name).into());
        }
        if record.namespace.id == self.namespace.id {
            return Err(NamespaceError::ActingIn(record.namespace.name).into());
        }
        Ok(record)
    }
}

/// The namespace of this name, made if there is none.
pub(super) async fn named(storage: &dyn Storage, name: Name, now: Timestamp) -> Result<Namespace, Error> {
    if let Some(known) = storage.namespace(&name, false).await? {
        return Ok(known);
    }
    match storage.create_namespace(None, name.clone(), NamespaceQuotas::default(), now).await? {
        Ok(made) => Ok(made.namespace),
        // Somebody else made it meanwhile.
        Err(NamespaceError::Exists(_)) => Ok(storage.namespace(&name, false).await?.ok_or(NamespaceError::NotFound(name.to_string()))?),
        Err(refused) => Err(refused.into()),
    }
}

/// Deletes what namespaces hold that are being deleted, until it is dropped. A tick removes one slice of each, so that they go side by side and
/// the writer serves everybody else in between.
pub(super) async fn keep(storage: Arc<dyn Storage>, clock: Arc<dyn Clock>) {
    loop {
        match tick(storage.as_ref(), clock.now()).await {
            Ok(true) => tokio::task::yield_now().await,
            Ok(false) => clock.sleep(LOOK_EVERY).await,
            Err(error) => {
                // Storage logs when the database is locked, and when that ends.
                if !matches!(error, StorageError::Locked) {
                    tracing::warn!(%error, "a namespace could not be deleted further; trying again in a second");
                }
                clock.sleep(LOOK_EVERY).await;
            }
        }
    }
}

/// One slice of each; whether there is more to do at once.
async fn tick(storage: &dyn Storage, now: Timestamp) -> Result<bool, StorageError> {
    let doomed = storage.namespace_records().into_iter().filter(|record| record.deleting_since.is_some());
    let (mut more, mut failed) = (false, None);
    for record in doomed {
        let NamespaceId(id) = record.namespace.id;
        match storage.erase_namespace(record.namespace.id, now).await {
            Ok(Erased::More) => more = true,
            Ok(Erased::InFlight) => {}
            Ok(Erased::Nothing) => tracing::info!(namespace = %record.namespace.name, id, "a namespace was deleted"),
            // One that can't be deleted holds up no other.
            Err(error) => failed = Some(error),
        }
    }
    failed.map_or(Ok(more), Err)
}
