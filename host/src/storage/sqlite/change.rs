//! What every change of one waiting run begins with: read its row, and judge whether it may be changed.

use rusqlite::{Connection, OptionalExtension};

use super::due_queue::Disarmed;
use super::group::Tx;
use super::rows::{SCHEDULED, origin_code, status};
use crate::model::{NamespaceId, Origin, RunId, Status, Timestamp};
use crate::storage::{ChangeError, RunChange, RunEvent};

/// What a change needs to know of a row.
pub(super) struct Seen {
    pub(super) id: i64,
    pub(super) task: i64,
    pub(super) status: Status,
    pub(super) code: i64,
    pub(super) trigger_at: i64,
    pub(super) origin: i64,
    pub(super) parent: Option<i64>,
    pub(super) root: Option<i64>,
    pub(super) unique_key: Option<String>,
    pub(super) has_metadata: bool,
}

/// Reads the row; `None` if the namespace has no such run.
pub(super) fn see(conn: &Connection, namespace: NamespaceId, id: i64, now: Timestamp) -> rusqlite::Result<Option<Seen>> {
    conn.prepare_cached(
        "-- see
         SELECT task, status, due_at, trigger_at, origin, parent, root, unique_key, metadata IS NOT NULL FROM runlater_runs WHERE id = ?1 AND namespace = ?2",
    )?
    .query_row((id, namespace.0), |row| {
        let code = row.get(1)?;
        Ok(Seen {
            id,
            task: row.get(0)?,
            status: status(code, row.get(2)?, now.as_micros()).ok_or_else(|| super::rows::strange(1, "an unknown status"))?,
            code,
            trigger_at: row.get(3)?,
            origin: row.get(4)?,
            parent: row.get(5)?,
            root: row.get(6)?,
            unique_key: row.get(7)?,
            has_metadata: row.get(8)?,
        })
    })
    .optional()
}

/// Takes a run out of the queue, if it is still scheduled and the API may change it.
pub(super) fn take_scheduled(
    tx: &mut Tx<'_>,
    namespace: NamespaceId,
    run: RunId,
    now: Timestamp,
) -> rusqlite::Result<Result<Seen, ChangeError>> {
    let Some(seen) = find(tx, namespace, run, now)? else { return Ok(Err(ChangeError::NotFound(run))) };
    if seen.status != Status::Scheduled || seen.code != SCHEDULED {
        return Ok(Err(ChangeError::AlreadyTriggered(run)));
    }
    if seen.origin == origin_code(Origin::Code) {
        return Ok(Err(ChangeError::DefinedByCode(run)));
    }
    if !disarm(tx, seen.id) {
        return Ok(Err(ChangeError::AlreadyTriggered(run)));
    }
    Ok(Ok(seen))
}

/// Reads the row of a run by its id.
pub(super) fn find(tx: &Tx<'_>, namespace: NamespaceId, run: RunId, now: Timestamp) -> rusqlite::Result<Option<Seen>> {
    match run.key_in(tx.shared.id_origin) {
        Some(id) => see(tx.conn, namespace, id, now),
        None => Ok(None),
    }
}

/// Takes a run out of the queue, to be put back if the transaction fails; false if it is in flight.
pub(super) fn disarm(tx: &mut Tx<'_>, id: i64) -> bool {
    // A run that this very transaction is about to arm is not in the queue yet.
    let armed = tx.arm.len();
    match tx.shared.due.disarm(id) {
        Disarmed::Armed(waiting) => tx.disarmed.push(waiting),
        Disarmed::NotLoaded => {}
        // One whose attempt this transaction has ended is released after the commit.
        Disarmed::InFlight if tx.released.contains(&id) => {}
        Disarmed::InFlight => return false,
    }
    tx.unarmed.push((armed, id));
    true
}

/// Notes an event of this run, if anybody listens.
pub(super) fn note(tx: &mut Tx<'_>, namespace: NamespaceId, run: RunId, seen: &Seen, change: RunChange) {
    if tx.watched()
        && let Some(task) = tx.shared.registry.task_name(seen.task)
    {
        let parent = seen.parent.map(|parent| RunId::from_key(parent, tx.shared.id_origin));
        tx.events.push(RunEvent { namespace, run, task, parent, change });
    }
}
