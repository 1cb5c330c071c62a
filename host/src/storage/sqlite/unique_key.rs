//! Unique keys: which run holds one, and whether another request means the same run.

use rusqlite::{Connection, OptionalExtension};
use sha2::Digest as _;

use crate::model::limits::UNIQUE_KEY_KEPT;
use crate::model::{NamespaceId, NewRun, RunId, Timestamp};
use crate::storage::Created;

/// What the key of a request says.
pub(super) enum Holder {
    /// Nobody holds it (any more).
    Free,
    /// An equal run does.
    Equal(Created),
    /// A different run does.
    Other(RunId),
}

/// Looks whether the unique key of `run` is held.
pub(super) fn holder(conn: &Connection, namespace: NamespaceId, run: &NewRun, id_origin: u64, now: Timestamp) -> rusqlite::Result<Holder> {
    let Some(key) = &run.unique_key else { return Ok(Holder::Free) };
    let mut statement = conn.prepare_cached(
        "-- unique key
         SELECT k.run, k.hash, r.finished_at FROM runlater_unique_keys k LEFT JOIN runlater_runs r ON r.id = k.run
         WHERE k.namespace = ?1 AND k.key = ?2",
    )?;
    let held: Option<(i64, Vec<u8>, Option<i64>)> =
        statement.query_row((namespace.0, key.as_str()), |row| Ok((row.get(0)?, row.get(1)?, row.get(2)?))).optional()?;
    let Some((holder, hash, finished_at)) = held else { return Ok(Holder::Free) };
    if finished_at.is_some_and(|at| at + UNIQUE_KEY_KEPT.as_micros() as i64 <= now.as_micros()) {
        return Ok(Holder::Free);
    }
    let holder = RunId::from_key(holder, id_origin);
    Ok(if hash == hash_of(run) { Holder::Equal(Created::Existing(holder)) } else { Holder::Other(holder) })
}

/// Lets `run` hold its key.
pub(super) fn take(conn: &Connection, namespace: NamespaceId, run: &NewRun, id: i64) -> rusqlite::Result<()> {
    let Some(key) = &run.unique_key else { return Ok(()) };
    conn.prepare_cached(
        "-- take unique key\nINSERT OR REPLACE INTO runlater_unique_keys (namespace, key, run, hash) VALUES (?1, ?2, ?3, ?4)",
    )?
    .execute((namespace.0, key.as_str(), id, hash_of(run)))?;
    Ok(())
}

/// Frees the key of a run that is deleted.
pub(super) fn free(conn: &Connection, namespace: NamespaceId, key: &str, id: i64) -> rusqlite::Result<()> {
    conn.prepare_cached("-- free unique key\nDELETE FROM runlater_unique_keys WHERE namespace = ?1 AND key = ?2 AND run = ?3")?
        .execute((namespace.0, key, id))?;
    Ok(())
}

/// What makes two requests equal: task, input and metadata. Not the time: `after 2s` means another one each time it is said.
fn hash_of(run: &NewRun) -> Vec<u8> {
    let mut hash = sha2::Sha256::new();
    let mut part = |bytes: &[u8]| {
        hash.update((bytes.len() as u64).to_le_bytes());
        hash.update(bytes);
    };
    part(run.task.name.as_str().as_bytes());
    part(run.input.media_type().as_bytes());
    part(run.input.bytes());
    for (key, value) in run.metadata.iter() {
        part(key.as_bytes());
        part(value.as_bytes());
    }
    // 128 bits are plenty against accident; a caller who forges a collision only merges its own runs.
    hash.finalize()[..16].to_vec()
}
