//! Moves scheduled runs.

use super::change::{note, take_scheduled};
use super::group::Tx;
use super::meta;
use super::rows::waiting_run;
use crate::model::{NamespaceId, RunId, Timestamp};
use crate::storage::{ChangeError, Move, RunChange};

/// Moves each run by itself.
pub(super) fn reschedule(
    tx: &mut Tx<'_>,
    namespace: NamespaceId,
    moves: &[(RunId, Move)],
    now: Timestamp,
) -> rusqlite::Result<Vec<Result<(), ChangeError>>> {
    moves.iter().map(|(run, to)| one(tx, namespace, *run, *to, now)).collect()
}

pub(super) fn one(
    tx: &mut Tx<'_>,
    namespace: NamespaceId,
    run: RunId,
    to: Move,
    now: Timestamp,
) -> rusqlite::Result<Result<(), ChangeError>> {
    let seen = match take_scheduled(tx, namespace, run, now)? {
        Ok(seen) => seen,
        Err(refusal) => return Ok(Err(refusal)),
    };
    let target = match to {
        Move::To(at) => Some(at),
        Move::By(micros) => seen.trigger_at.checked_add(micros).and_then(Timestamp::from_micros),
    };
    let Some(trigger_at) = target else {
        // It was taken out of the queue a moment ago; nothing else was done.
        tx.arm.push(waiting_run(tx.conn, seen.id)?);
        return Ok(Err(ChangeError::OutOfRange(run)));
    };
    tx.conn.prepare_cached("-- reschedule\nUPDATE runlater_runs SET trigger_at = ?2, due_at = max(?2, ?3) WHERE id = ?1")?.execute((
        seen.id,
        trigger_at.as_micros(),
        now.as_micros(),
    ))?;
    if trigger_at <= now {
        meta::made_due(tx, now)?;
    }
    tx.arm.push(waiting_run(tx.conn, seen.id)?);
    note(tx, namespace, run, &seen, RunChange::Rescheduled { trigger_at });
    Ok(Ok(()))
}
