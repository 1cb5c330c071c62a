//! Idempotency keys: which run a request got, for when it is sent again.
//!
//! A table of its own beside that of the unique keys, because it outlives what happens to the run. Requests without such a key do not touch it.

use std::borrow::Cow;
use std::time::Duration;

use rusqlite::{Connection, OptionalExtension, Row};

use super::rows::{optional_time, status, time};
use super::unique_key;
use crate::model::limits::IDEMPOTENCY_KEY_KEPT;
use crate::model::{Idempotency, NamespaceId, NewRun, Remembered, RunId, Timestamp};
use crate::storage::Forgotten;

/// Keys looked at between two commits.
const LOOKS: usize = 500;

/// The columns of a key and its run, as [`remembered`] reads them.
const COLUMNS: &str = "k.run, k.trigger_at, k.request, k.held_for, k.until, r.status, r.due_at, r.finished_at, r.trigger_at, r.reason";

/// What is known of a request under the same idempotency key, if that is still held.
pub(super) fn look(
    conn: &Connection,
    namespace: NamespaceId,
    run: &NewRun,
    idempotency: &Idempotency,
    id_origin: u64,
    now: Timestamp,
) -> rusqlite::Result<Option<Remembered>> {
    let found = conn
        .prepare_cached(&format!(
            "-- idempotency key
             SELECT {COLUMNS} FROM runlater_idempotency_keys k LEFT JOIN runlater_runs r ON r.id = k.run WHERE k.namespace = ?1 AND k.key = ?2"
        ))?
        .query_row((namespace.0, idempotency.key.as_str()), |row| {
            let request: Vec<u8> = row.get(2)?;
            // Keys of schema 10 and before were unique keys: of those it is known only what makes two runs equal.
            let is_same = match request.len() {
                unique_key::HASH_BYTES => request == unique_key::hash_of(run),
                _ => request == idempotency.request,
            };
            Ok(Remembered { is_same, ..remembered(row, id_origin, now)? })
        })
        .optional()?;
    Ok(found.filter(|remembered| remembered.holds(now)))
}

fn remembered(row: &Row<'_>, id_origin: u64, now: Timestamp) -> rusqlite::Result<Remembered> {
    let status = match row.get::<_, Option<i64>>(5)? {
        None => None,
        Some(code) => Some(status(code, row.get(6)?, now.as_micros()).ok_or_else(|| super::rows::strange(5, "an unknown status"))?),
    };
    Ok(Remembered {
        run: RunId::from_key(row.get(0)?, id_origin),
        is_same: false,
        status,
        reason: row.get::<_, Option<String>>(9)?.map(Cow::Owned),
        trigger_at: if status.is_some() { time(row, 8)? } else { time(row, 1)? },
        ended_at: optional_time(row, 7)?,
        until: time(row, 4)?,
        held_for: Duration::from_micros(row.get::<_, i64>(3)?.max(0) as u64),
    })
}

/// Remembers that a request under this key got this run.
pub(super) fn remember(
    conn: &Connection,
    namespace: NamespaceId,
    idempotency: &Idempotency,
    run: i64,
    trigger_at: Timestamp,
    now: Timestamp,
) -> rusqlite::Result<()> {
    conn.prepare_cached(
        "-- remember idempotency key
         INSERT OR REPLACE INTO runlater_idempotency_keys (namespace, key, run, trigger_at, request, held_for, until)
         VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7)",
    )?
    .execute((
        namespace.0,
        idempotency.key.as_str(),
        run,
        trigger_at.as_micros(),
        &idempotency.request[..],
        IDEMPOTENCY_KEY_KEPT.as_micros() as i64,
        now.saturating_add(IDEMPOTENCY_KEY_KEPT).as_micros(),
    ))?;
    Ok(())
}

/// Lets go of one slice of the keys that are held no longer. A key whose run has not ended is looked at again a
/// day later, so that each slice takes what the one before has not seen.
pub(super) fn forget(conn: &Connection, id_origin: u64, now: Timestamp) -> rusqlite::Result<Forgotten> {
    let passed = {
        let mut statement = conn.prepare_cached(&format!(
            "-- idempotency keys: passed
             SELECT {COLUMNS}, k.namespace, k.key FROM runlater_idempotency_keys k LEFT JOIN runlater_runs r ON r.id = k.run
             WHERE k.until <= ?1 ORDER BY k.until LIMIT ?2"
        ))?;
        let rows = statement.query_map((now.as_micros(), LOOKS as i64), |row| {
            Ok((remembered(row, id_origin, now)?.look_again(now), row.get::<_, i64>(10)?, row.get::<_, String>(11)?))
        })?;
        rows.collect::<rusqlite::Result<Vec<_>>>()?
    };
    for (look_again, namespace, key) in &passed {
        match look_again {
            Some(at) => conn
                .prepare_cached(
                    "-- idempotency key: look again\nUPDATE runlater_idempotency_keys SET until = ?3 WHERE namespace = ?1 AND key = ?2",
                )?
                .execute((namespace, key, at.as_micros()))?,
            None => conn
                .prepare_cached("-- forget idempotency key\nDELETE FROM runlater_idempotency_keys WHERE namespace = ?1 AND key = ?2")?
                .execute((namespace, key))?,
        };
    }
    let keys = passed.iter().filter(|(look_again, ..)| look_again.is_none()).count() as u64;
    Ok(Forgotten { keys, more: passed.len() == LOOKS })
}

/// Logs what the migration that made the table changed for keys that were there.
pub(super) fn tell_what_changed(conn: &Connection) -> rusqlite::Result<()> {
    let copied: i64 = conn.query_row("SELECT count(*) FROM runlater_idempotency_keys", [], |row| row.get(0))?;
    let freed: i64 = conn.query_row(
        "SELECT count(*) FROM runlater_unique_keys k JOIN runlater_runs r ON r.id = k.run WHERE r.finished_at IS NOT NULL AND r.attempt = 0",
        [],
        |row| row.get(0),
    )?;
    if copied > 0 {
        tracing::warn!(
            keys = copied,
            "the Idempotency-Key header no longer sets a unique key; each stored key that may come from the header is kept as both"
        );
    }
    if freed > 0 {
        tracing::warn!(keys = freed, "the unique keys of runs that ended before their first attempt are released");
    }
    Ok(())
}
