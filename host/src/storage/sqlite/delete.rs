//! Deletes scheduled runs.

use super::change::{Seen, note, take_scheduled};
use super::writer::Tx;
use super::{chain, unique_key};
use crate::model::{NamespaceId, RunId, Timestamp};
use crate::storage::{ChangeError, RunChange};

/// Deletes each run by itself.
pub(super) fn delete(
    tx: &mut Tx<'_>,
    namespace: NamespaceId,
    runs: &[RunId],
    now: Timestamp,
) -> rusqlite::Result<Vec<Result<(), ChangeError>>> {
    runs.iter().map(|run| one(tx, namespace, *run, now)).collect()
}

pub(super) fn one(tx: &mut Tx<'_>, namespace: NamespaceId, run: RunId, now: Timestamp) -> rusqlite::Result<Result<(), ChangeError>> {
    let seen = match take_scheduled(tx, namespace, run, now)? {
        Ok(seen) => seen,
        Err(refusal) => return Ok(Err(refusal)),
    };
    remove(tx, namespace, &seen)?;
    tx.ended.push(seen.id);
    note(tx, namespace, run, &seen, RunChange::Deleted);
    Ok(Ok(()))
}

/// Removes every row of a run.
pub(super) fn remove(tx: &mut Tx<'_>, namespace: NamespaceId, seen: &Seen) -> rusqlite::Result<()> {
    if seen.has_metadata {
        tx.conn
            .prepare_cached(
                "-- delete: metadata
                 DELETE FROM runlater_run_metadata WHERE (namespace, key, value, run) IN (
                     SELECT ?2, entry.key, entry.value, ?1 FROM runlater_runs, json_each(runlater_runs.metadata) AS entry WHERE runlater_runs.id = ?1)",
            )?
            .execute((seen.id, namespace.0))?;
    }
    if let Some(key) = &seen.unique_key {
        unique_key::free(tx.conn, namespace, key, seen.id)?;
    }
    if let Some(root) = seen.root {
        chain::leave(tx.conn, root)?;
    }
    tx.conn.prepare_cached("-- delete\nDELETE FROM runlater_runs WHERE id = ?1")?.execute([seen.id])?;
    Ok(())
}
