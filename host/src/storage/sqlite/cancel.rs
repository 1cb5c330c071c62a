//! Cancels runs.

use rusqlite::{Connection, OptionalExtension};

use super::chain;
use super::change::{disarm, find, note};
use super::group::Tx;
use crate::model::{NamespaceId, RunId, Status, Timestamp};
use crate::storage::{Cancelled, ChangeError, RunChange};

/// Whether somebody asked for the attempt in flight to end.
pub(super) fn is_requested(conn: &Connection, run: i64) -> rusqlite::Result<bool> {
    let requested = conn
        .prepare_cached("-- cancel: look\nSELECT cancel_requested FROM runlater_runs WHERE id = ?1")?
        .query_row([run], |row| row.get(0));
    Ok(requested.optional()?.unwrap_or(false))
}

/// Why an attempt was asked to make way for another run, if it was.
pub(super) fn made_way(conn: &Connection, run: i64) -> rusqlite::Result<Option<String>> {
    conn.prepare_cached("-- cancel: why\nSELECT message FROM runlater_runs WHERE id = ?1 AND cancel_requested = 1 AND reason = 'overlap'")?
        .query_row([run], |row| row.get(0))
        .optional()
}

/// A run that waits never starts once this is committed; one in flight is told after the commit.
pub(super) fn one(tx: &mut Tx<'_>, namespace: NamespaceId, run: RunId, now: Timestamp) -> rusqlite::Result<Result<Cancelled, ChangeError>> {
    let Some(seen) = find(tx, namespace, run, now)? else { return Ok(Err(ChangeError::NotFound(run))) };
    match seen.status {
        Status::Cancelled => return Ok(Ok(Cancelled::Before)),
        status if status.is_final() => return Ok(Err(ChangeError::AlreadyEnded(run))),
        _ => {}
    }
    let released = tx.released.contains(&seen.id);
    if !released && let Some(signal) = tx.shared.due.in_flight(seen.id, |flight| flight.cancel.clone()) {
        tx.conn.prepare_cached("-- cancel: request\nUPDATE runlater_runs SET cancel_requested = 1 WHERE id = ?1")?.execute([seen.id])?;
        tx.after_commit.push(Box::new(move || signal.set()));
        return Ok(Ok(Cancelled::Requested));
    }
    // Between the look above and here a worker may have taken it: then it is asked again, as one in flight.
    if !disarm(tx, seen.id) {
        return one(tx, namespace, run, now);
    }
    tx.conn
        .prepare_cached("-- cancel\nUPDATE runlater_runs SET status = 5, due_at = NULL, finished_at = ?2, reason = 'cancelled', cancel_requested = 1 WHERE id = ?1")?
        .execute((seen.id, now.as_micros()))?;
    if let Some(root) = seen.root {
        chain::leave(tx.conn, root)?;
    }
    tx.ended.push(seen.id);
    note(tx, namespace, run, &seen, RunChange::Marked(Status::Cancelled));
    Ok(Ok(Cancelled::Now))
}
