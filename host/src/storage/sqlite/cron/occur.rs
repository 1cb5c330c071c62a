//! Makes runs of occurrences: of planned ones, by hand, and of past ones.

use rusqlite::{Connection, OptionalExtension};

use super::read::{Stored, find};
use crate::model::{CronOccurrence, Name, NamespaceId, NewRun, Origin, RunId, Timestamp};
use crate::storage::CronError;
use crate::storage::sqlite::create::{Refused, create_one};
use crate::storage::sqlite::group::Tx;
use crate::storage::sqlite::rows::{metadata_text, time};
use crate::storage::sqlite::run_bytes::charge_of;

/// Makes the run of a planned time, due at `due`; `None` if it has one, or its task is gone. Refused, with the reason in words, if the namespace has no
/// room for it.
pub(super) fn occur(
    tx: &mut Tx<'_>,
    stored: &Stored,
    planned: Option<Timestamp>,
    due: Timestamp,
    now: Timestamp,
) -> rusqlite::Result<Result<Option<i64>, String>> {
    if is_made(tx.conn, stored.id, planned)? {
        return Ok(Ok(None));
    }
    let Some(task) = tx.shared.registry.task_by_id(stored.task) else { return Ok(Ok(None)) };
    let id = tx.shared.next_run_key(now);
    let spec = &stored.cron.spec;
    let run = NewRun {
        id: RunId::from_key(id, tx.shared.id_origin),
        task,
        trigger_at: due,
        input: spec.input.clone(),
        metadata: spec.metadata.clone(),
        unique_key: None,
        idempotency: None,
        origin: Origin::Cron,
        lineage: None,
        occurrence: None,
        max_attempts: None,
        timeout: None,
        priority: spec.priority,
    };
    match create_one(tx, NamespaceId(stored.namespace), &run, now)? {
        Ok(_) => {}
        Err(Refused::Quota(why)) => return Ok(Err(why)),
        Err(Refused::UniqueKeyTaken(_) | Refused::IdempotencyConflict(_) | Refused::Namespace(_)) => {
            unreachable!("it has no key, and whether its namespace is being deleted is asked for callers only")
        }
    }
    mark(tx.conn, id, stored.id, planned)?;
    Ok(Ok(Some(id)))
}

/// Whether a planned time has its run. What is made by hand has no planned time, and is made as often as is asked. A row that stands for skipped
/// occurrences is no run unless somebody triggered it: it gives up the planned time, which its trigger time still says.
fn is_made(conn: &Connection, cron: i64, planned: Option<Timestamp>) -> rusqlite::Result<bool> {
    let Some(planned) = planned else { return Ok(false) };
    let found = conn
        .prepare_cached(
            "-- cron: is made\nSELECT id, skipped IS NOT NULL AND status = 6 FROM runlater_runs WHERE cron = ?1 AND planned_at = ?2",
        )?
        .query_row((cron, planned.as_micros()), |row| Ok((row.get::<_, i64>(0)?, row.get::<_, bool>(1)?)))
        .optional()?;
    match found {
        Some((row, true)) => {
            conn.prepare_cached("-- cron: give way\nUPDATE runlater_runs SET planned_at = NULL WHERE id = ?1")?.execute([row])?;
            Ok(false)
        }
        found => Ok(found.is_some()),
    }
}

/// Says of a run which occurrence it is.
pub(in crate::storage::sqlite) fn mark(conn: &Connection, run: i64, cron: i64, planned: Option<Timestamp>) -> rusqlite::Result<()> {
    conn.prepare_cached("-- cron: mark run\nUPDATE runlater_runs SET cron = ?2, planned_at = ?3 WHERE id = ?1")?
        .execute((run, cron, planned.map(Timestamp::as_micros)))
        .map(drop)
}

/// The key of the cron of which a guest makes this occurrence; `None` if the occurrence has its run by now.
pub(in crate::storage::sqlite) fn vacant(
    tx: &Tx<'_>,
    namespace: NamespaceId,
    cron: &Name,
    occurrence: &CronOccurrence,
) -> rusqlite::Result<Result<Option<i64>, CronError>> {
    let Some(stored) = find(tx.conn, &tx.shared.registry, namespace, cron)? else { return Ok(Err(CronError::NotFound(cron.clone()))) };
    let is_made = is_made(tx.conn, stored.id, occurrence.planned_at)?;
    Ok(Ok((!is_made).then_some(stored.id)))
}

/// The planned times of a range that have their run, both ends included.
pub(in crate::storage::sqlite) fn made(
    conn: &Connection,
    namespace: NamespaceId,
    name: &Name,
    from: Timestamp,
    until: Timestamp,
) -> rusqlite::Result<Vec<Timestamp>> {
    let cron = conn
        .prepare_cached("-- cron: key\nSELECT id FROM runlater_crons WHERE namespace = ?1 AND name = ?2")?
        .query_row((namespace.0, name.as_str()), |row| row.get(0))
        .optional()?;
    cron.map_or(Ok(Vec::new()), |cron| made_of(conn, cron, from, until))
}

/// The same, of the cron with this key.
pub(super) fn made_of(conn: &Connection, cron: i64, from: Timestamp, until: Timestamp) -> rusqlite::Result<Vec<Timestamp>> {
    let mut statement = conn.prepare_cached(
        "-- cron: made
         SELECT planned_at FROM runlater_runs WHERE cron = ?1 AND planned_at BETWEEN ?2 AND ?3 AND (skipped IS NULL OR status <> 6)
         ORDER BY planned_at",
    )?;
    let rows = statement.query_map((cron, from.as_micros(), until.as_micros()), |row| time(row, 0))?;
    rows.collect()
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
    Ok(made
        .map_err(CronError::Quota)
        .and_then(|made| made.map(|id| RunId::from_key(id, tx.shared.id_origin)).ok_or_else(|| CronError::NotFound(name.clone()))))
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
    // All of them, or none.
    let spec = &stored.cron.spec;
    let each = charge_of(spec.input.bytes(), metadata_text(&spec.metadata).as_deref(), None);
    if let Err(full) = tx.shared.run_bytes.has_room(namespace, each.saturating_mul(planned.len() as i64)) {
        return Ok(Err(CronError::Quota(full.to_string())));
    }
    let mut made = 0;
    for planned in planned {
        match occur(tx, &stored, Some(*planned), now, now)? {
            Ok(run) => made += usize::from(run.is_some()),
            Err(why) => return Ok(Err(CronError::Quota(why))),
        }
    }
    Ok(Ok(made))
}
