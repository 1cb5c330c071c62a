//! Counts the unfinished follow-ups of each root run, so that a fork bomb stops growing.

use rusqlite::{Connection, OptionalExtension};

use crate::model::limits::LIVE_PER_ROOT_MAX;

/// Counts one more, or says why there may not be more.
pub(super) fn join(conn: &Connection, root: i64) -> rusqlite::Result<Result<(), String>> {
    let live: Option<i64> = conn
        .prepare_cached("-- chain: live\nSELECT live FROM runlater_chains WHERE root = ?1")?
        .query_row([root], |row| row.get(0))
        .optional()?;
    if live.unwrap_or(0) >= LIVE_PER_ROOT_MAX as i64 {
        return Ok(Err(format!(
            "the chain has {LIVE_PER_ROOT_MAX} unfinished runs, which is the limit; let some of them end, or cancel them (`runs cancel --root`, with the id of the run that they follow from)"
        )));
    }
    conn.prepare_cached(
        "-- chain: join\nINSERT INTO runlater_chains (root, live) VALUES (?1, 1) ON CONFLICT (root) DO UPDATE SET live = live + 1",
    )?
    .execute([root])?;
    Ok(Ok(()))
}

/// Counts one less.
pub(super) fn leave(conn: &Connection, root: i64) -> rusqlite::Result<()> {
    conn.prepare_cached("-- chain: leave\nUPDATE runlater_chains SET live = live - 1 WHERE root = ?1")?.execute([root])?;
    conn.prepare_cached("-- chain: forget\nDELETE FROM runlater_chains WHERE root = ?1 AND live <= 0")?.execute([root])?;
    Ok(())
}
