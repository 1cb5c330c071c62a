//! Deletes scheduled runs.

use rusqlite::OptionalExtension;

use super::chain;
use super::change::{Seen, note, take_scheduled};
use super::group::Tx;
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

/// Removes every row of a run that has not ended.
pub(super) fn remove(tx: &mut Tx<'_>, namespace: NamespaceId, seen: &Seen) -> rusqlite::Result<()> {
    if let Some(root) = seen.root {
        chain::leave(tx.conn, root)?;
    }
    erase(tx, namespace, seen.id, seen.has_metadata, seen.unique_key.as_deref())
}

/// Removes a run's row, and what it is found by. Its namespace then holds fewer bytes.
pub(super) fn erase(tx: &Tx<'_>, namespace: NamespaceId, id: i64, has_metadata: bool, unique_key: Option<&str>) -> rusqlite::Result<()> {
    let conn = tx.conn;
    if has_metadata {
        conn
            .prepare_cached(
                "-- delete: metadata
                 DELETE FROM runlater_run_metadata WHERE (namespace, key, value, run) IN (
                     SELECT ?2, entry.key, entry.value, ?1 FROM runlater_runs, json_each(runlater_runs.metadata) AS entry WHERE runlater_runs.id = ?1)",
            )?
            .execute((id, namespace.0))?;
    }
    if let Some(key) = unique_key {
        super::unique_key::free(conn, namespace, key, id)?;
    }
    let bytes: Option<i64> = conn
        .prepare_cached("-- delete\nDELETE FROM runlater_runs WHERE id = ?1 RETURNING bytes")?
        .query_row([id], |row| row.get(0))
        .optional()?;
    tx.shared.run_bytes.add(namespace.0, -bytes.unwrap_or(0));
    Ok(())
}
