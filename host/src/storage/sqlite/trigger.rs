//! Makes a run due at once, by hand.

use super::change::{disarm, find, note};
use super::group::Tx;
use super::rows::waiting_run;
use super::{chain, meta, unique_key};
use crate::model::{NamespaceId, RunId, Status, Timestamp};
use crate::storage::{ChangeError, RunChange};

/// A scheduled run, and one that waits for a further attempt, keeps its history; one that had ended begins anew, with its failures and crashes forgiven.
pub(super) fn trigger(tx: &mut Tx<'_>, namespace: NamespaceId, run: RunId, now: Timestamp) -> rusqlite::Result<Result<(), ChangeError>> {
    let Some(seen) = find(tx, namespace, run, now)? else { return Ok(Err(ChangeError::NotFound(run))) };
    match seen.status {
        Status::Scheduled | Status::Backoff => {}
        Status::Missed | Status::Failed | Status::Cancelled => {
            if let Some(root) = seen.root
                && chain::join(tx.conn, root)?.is_err()
            {
                return Ok(Err(ChangeError::UnderWay(run)));
            }
        }
        Status::Queued | Status::Running => return Ok(Err(ChangeError::UnderWay(run))),
        Status::Succeeded => return Ok(Err(ChangeError::AlreadyEnded(run))),
    }
    if let Some(key) = &seen.unique_key
        && let Some(holder) = unique_key::regain(tx, namespace, &seen, key)?
    {
        if let Some(root) = seen.root.filter(|_| seen.status.is_final()) {
            chain::leave(tx.conn, root)?;
        }
        return Ok(Err(ChangeError::UniqueKeyTaken(run, holder)));
    }
    if !disarm(tx, seen.id) {
        return Ok(Err(ChangeError::UnderWay(run)));
    }
    tx.conn
        .prepare_cached(
            "-- trigger
             UPDATE runlater_runs SET status = CASE status WHEN 2 THEN 2 ELSE 0 END, trigger_at = ?2, due_at = ?2, cancel_requested = 0, finished_at = NULL,
                 reason = NULL, message = NULL, because = NULL,
                 failures = CASE WHEN status IN (0, 2) THEN failures ELSE 0 END, crashes = CASE WHEN status IN (0, 2) THEN crashes ELSE 0 END,
                 failing_since = CASE WHEN status IN (0, 2) THEN failing_since END
             WHERE id = ?1",
        )?
        .execute((seen.id, now.as_micros()))?;
    if seen.status.is_final() {
        tx.shared.live.add();
    }
    meta::made_due(tx, now)?;
    tx.arm.push(waiting_run(tx.conn, seen.id)?);
    note(tx, namespace, run, &seen, RunChange::Marked(Status::Queued));
    Ok(Ok(()))
}
