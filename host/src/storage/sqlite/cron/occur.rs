//! Makes runs of occurrences: of planned ones, by hand, and of past ones.

use super::read::{Stored, find};
use crate::model::{Name, NamespaceId, NewRun, Origin, RunId, Timestamp};
use crate::storage::CronError;
use crate::storage::sqlite::create::create_one;
use crate::storage::sqlite::writer::Tx;

/// Makes the run of a planned time, due at `due`; false if it has one, or its chain of chains refuses it.
pub(super) fn occur(
    tx: &mut Tx<'_>,
    stored: &Stored,
    planned: Option<Timestamp>,
    due: Timestamp,
    now: Timestamp,
) -> rusqlite::Result<Option<i64>> {
    if let Some(planned) = planned {
        let made = tx
            .conn
            .prepare_cached("-- cron: is made\nSELECT EXISTS (SELECT 1 FROM runlater_runs WHERE cron = ?1 AND planned_at = ?2)")?
            .query_row((stored.id, planned.as_micros()), |row| row.get::<_, bool>(0))?;
        if made {
            return Ok(None);
        }
    }
    let Some(task) = tx.shared.registry.task_by_id(stored.task) else { return Ok(None) };
    let id = tx.shared.next_run_key(now);
    let spec = &stored.cron.spec;
    let run = NewRun {
        id: RunId::from_key(id, tx.shared.id_origin),
        task,
        trigger_at: due,
        input: spec.input.clone(),
        metadata: spec.metadata.clone(),
        unique_key: None,
        origin: Origin::Cron,
        lineage: None,
        max_attempts: None,
        timeout: None,
        priority: spec.priority,
    };
    if create_one(tx, NamespaceId(stored.namespace), &run, now)?.is_err() {
        return Ok(None);
    }
    tx.conn.prepare_cached("-- cron: mark run\nUPDATE runlater_runs SET cron = ?2, planned_at = ?3 WHERE id = ?1")?.execute((
        id,
        stored.id,
        planned.map(Timestamp::as_micros),
    ))?;
    Ok(Some(id))
}

/// Makes a run at once, beside the planned ones.
pub(in crate::storage::sqlite) fn trigger(
    tx: &mut Tx<'_>,
    namespace: NamespaceId,
    name: &Name,
    now: Timestamp,
) -> rusqlite::Result<Result<RunId, CronError>> {
    let Some(stored) = find(tx.conn, &tx.shared.registry, namespace, name)? else { return Ok(Err(CronError::NotFound(name.clone()))) };
    let made = occur(tx, &stored, None, now, now)?;
    Ok(made.map(|id| RunId::from_key(id, tx.shared.id_origin)).ok_or_else(|| CronError::NotFound(name.clone())))
}

/// Makes the runs of these past times, due at once; those that have one are left alone. Returns how many it made.
pub(in crate::storage::sqlite) fn backfill(
    tx: &mut Tx<'_>,
    namespace: NamespaceId,
    name: &Name,
    planned: &[Timestamp],
    now: Timestamp,
) -> rusqlite::Result<Result<usize, CronError>> {
    let Some(stored) = find(tx.conn, &tx.shared.registry, namespace, name)? else { return Ok(Err(CronError::NotFound(name.clone()))) };
    let mut made = 0;
    for planned in planned {
        made += usize::from(occur(tx, &stored, Some(*planned), now, now)?.is_some());
    }
    Ok(Ok(made))
}
