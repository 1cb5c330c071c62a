//! Single values about the database itself.

use std::sync::atomic::Ordering;

use rusqlite::{Connection, OptionalExtension};

use super::group::Tx;
use crate::model::Timestamp;

/// Reads a number.
pub(super) fn number(conn: &Connection, key: &str) -> rusqlite::Result<Option<i64>> {
    conn.query_row("-- meta\nSELECT value FROM runlater_meta WHERE key = ?1", [key], |row| row.get(0)).optional()
}

/// Stores a number.
pub(super) fn set_number(conn: &Connection, key: &str, value: i64) -> rusqlite::Result<()> {
    conn.prepare_cached("-- set meta\nINSERT OR REPLACE INTO runlater_meta (key, value) VALUES (?1, ?2)")?.execute((key, value))?;
    Ok(())
}

/// Records that the host was alive at `now`.
pub(super) fn set_alive(conn: &Connection, now: i64) -> rusqlite::Result<()> {
    set_number(conn, "alive_until", now)
}

/// Records it beside a run that somebody made due: a crash right after that must not make it one that became due while no host was running.
pub(super) fn alive_at(tx: &Tx<'_>, now: Timestamp) -> rusqlite::Result<()> {
    let seen = tx.shared.seen_now.fetch_max(now.as_micros(), Ordering::Relaxed).max(now.as_micros());
    set_alive(tx.conn, seen)
}

/// Records that the host stopped with nothing in flight, and the last id that it gave out: ids rise also when the run with the
/// last one is gone and the clock has stepped back.
pub(super) fn mark_clean(conn: &Connection, now: i64, last_key: i64) -> rusqlite::Result<()> {
    set_number(conn, "last_key", last_key)?;
    if now > 0 {
        set_alive(conn, now)?;
    }
    set_number(conn, "clean_stop", 1)
}

/// The secret of this database, which is drawn when it is first asked for.
pub(super) fn secret(conn: &Connection) -> rusqlite::Result<[u8; 32]> {
    let stored =
        conn.query_row("-- meta: secret\nSELECT value FROM runlater_meta WHERE key = 'secret'", [], |row| row.get(0)).optional()?;
    if let Some(secret) = stored {
        return Ok(secret);
    }
    let mut secret = [0; 32];
    getrandom::fill(&mut secret).map_err(|error| super::rows::strange(0, &format!("no secret, and the system gives none: {error}")))?;
    conn.execute("INSERT INTO runlater_meta (key, value) VALUES ('secret', ?1)", [&secret[..]])?;
    Ok(secret)
}
