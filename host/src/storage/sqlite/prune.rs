//! Deletes ended runs that their task's policy keeps no longer, with everything that belongs to them.
//!
//! Walks the runs of one task by id, newest first, a slice at a time. What has not ended is never touched; the marks that keep a
//! code-defined schedule from firing twice have a table of their own, and stay.

use std::sync::atomic::Ordering;

use super::delete::erase;
use super::group::Tx;
use super::rows::{optional_time, status};
use crate::model::{Ended, Retention, TaskId, Timestamp};
use crate::storage::{PrunePlace, Pruned};

/// Runs looked at between two commits, and deleted at most.
const LOOKS: usize = 1_000;
const DELETIONS: usize = 200;

/// Prunes one slice of a task's runs, from `place` on.
pub(super) fn prune(tx: &mut Tx<'_>, task: TaskId, retention: Retention, place: PrunePlace, now: Timestamp) -> rusqlite::Result<Pruned> {
    let Some(namespace) = tx.shared.registry.task_by_id(task.0).map(|task| task.namespace) else { return Ok(Pruned::default()) };
    let mut doomed = Vec::new();
    let (mut looked_at, mut next, mut newer) = (0, None, place.newer);
    {
        let mut statement = tx.conn.prepare_cached(
            "-- prune: look
             SELECT id, status, due_at, finished_at, metadata IS NOT NULL, unique_key,
                 iif(attempt > 0, (SELECT held_for FROM runlater_unique_keys AS k WHERE k.namespace = r.namespace AND k.key = r.unique_key AND k.run = r.id), NULL),
                 (SELECT max(max(i.until, r.finished_at + i.held_for)) FROM runlater_idempotency_keys AS i WHERE i.run = r.id)
             FROM runlater_runs AS r WHERE namespace = ?1 AND task = ?2 AND id < ?3 ORDER BY id DESC LIMIT ?4",
        )?;
        let mut rows = statement.query((namespace.0, task.0, place.before, LOOKS as i64))?;
        while let Some(row) = rows.next()? {
            looked_at += 1;
            let id: i64 = row.get(0)?;
            let status = status(row.get(1)?, row.get(2)?, now.as_micros()).ok_or_else(|| super::rows::strange(1, "an unknown status"))?;
            if let (true, Some(at)) = (status.is_final(), optional_time(row, 3)?) {
                let held_for: Option<i64> = row.get(6)?;
                let unique_until = held_for.map(|micros| at.saturating_add(std::time::Duration::from_micros(micros.max(0) as u64)));
                let key_held_until = unique_until.max(optional_time(row, 7)?);
                let ended = Ended { status, at, key_held_until };
                if retention.keeps(&ended, newer, now) {
                    newer += u64::from(ended.counts());
                } else {
                    doomed.push((id, row.get::<_, bool>(4)?, row.get::<_, Option<String>>(5)?));
                }
            }
            if looked_at == LOOKS || doomed.len() == DELETIONS {
                next = Some(PrunePlace { before: id, newer });
                break;
            }
        }
    }
    for (id, has_metadata, unique_key) in &doomed {
        tx.conn.prepare_cached("-- prune: attempts\nDELETE FROM runlater_attempts WHERE run = ?1")?.execute([id])?;
        erase(tx, namespace, *id, *has_metadata, unique_key.as_deref())?;
    }
    let deleted = doomed.len() as u64;
    tx.shared.pruned.fetch_add(deleted, Ordering::Relaxed);
    Ok(Pruned { deleted, looked_at: looked_at as u64, next })
}
