//! Deletes what the tasks' policies keep no longer, and idempotency keys that are held no longer, in the background.
//!
//! A pass each minute walks the runs of every task in slices, between which the writer serves everybody else. A task of which many runs were
//! walked in vain rests for a while: what is kept for a month need not be looked at each minute.

use std::sync::Arc;
use std::time::Duration;

use rustc_hash::FxHashMap;

use crate::clock::Clock;
use crate::model::{Task, TaskId};
use crate::storage::{PrunePlace, Storage, StorageError};

/// How often a pass begins.
const PAUSE: Duration = Duration::from_secs(60);
/// A pass that walked so many runs of a task and found nothing to delete has it rest for one pass more.
const WALKED_PER_REST: u64 = 10_000;
/// But never longer than this: about an hour.
const REST_MAX: u64 = 60;

/// Prunes until it is dropped.
pub(super) async fn prune(storage: Arc<dyn Storage>, clock: Arc<dyn Clock>) {
    let mut rests: FxHashMap<TaskId, u64> = FxHashMap::default();
    loop {
        clock.sleep(PAUSE).await;
        let passed = pass(storage.as_ref(), clock.as_ref(), &mut rests).await;
        // Storage logs when the database is locked, and when that ends.
        if let Err(error) = passed
            && !matches!(error, StorageError::Locked)
        {
            tracing::warn!(%error, "ended runs could not be pruned; the next pass is in a minute");
        }
    }
}

async fn pass(storage: &dyn Storage, clock: &dyn Clock, rests: &mut FxHashMap<TaskId, u64>) -> Result<(), StorageError> {
    let mut deleted = 0;
    for namespace in storage.namespaces() {
        for task in storage.tasks(namespace.id) {
            if let Some(rest) = rests.get_mut(&task.id).filter(|rest| **rest > 0) {
                *rest -= 1;
                continue;
            }
            let (gone, walked) = prune_task(storage, clock, &task).await?;
            deleted += gone;
            rests.insert(task.id, if gone > 0 { 0 } else { (walked / WALKED_PER_REST).min(REST_MAX) });
        }
    }
    while storage.forget_keys(clock.now()).await?.more {
        tokio::task::yield_now().await;
    }
    if deleted > 0 {
        tracing::info!(deleted, "ended runs were pruned");
    }
    Ok(())
}

/// Walks all runs of one task: how many were deleted, and how many were looked at.
async fn prune_task(storage: &dyn Storage, clock: &dyn Clock, task: &Task) -> Result<(u64, u64), StorageError> {
    let (mut deleted, mut walked) = (0, 0);
    let mut place = Some(PrunePlace::default());
    while let Some(from) = place {
        let pruned = storage.prune(task.id, task.policy.retention, from, clock.now()).await?;
        deleted += pruned.deleted;
        walked += pruned.looked_at;
        place = pruned.next;
        tokio::task::yield_now().await;
    }
    Ok((deleted, walked))
}
