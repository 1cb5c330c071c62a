//! Single values about the database itself.

use rusqlite::{Connection, OptionalExtension, TransactionBehavior};

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

/// Records that the host was alive at `now`, and had claimed what was due by then.
pub(super) fn set_alive(conn: &Connection, now: i64) -> rusqlite::Result<()> {
    set_number(conn, "alive_until", now)
}

/// Records that a caller made a run due at `now`: a crash right after that must not make it one that became due while no host was running. This is
/// no sign that the host was alive before `now`, so it leaves alone what [`set_alive`] recorded.
pub(super) fn made_due(tx: &Tx<'_>, now: Timestamp) -> rusqlite::Result<()> {
    set_number(tx.conn, "made_due_at", now.as_micros())
}

/// When the host that had this database before is known to have been alive, oldest first.
pub(super) fn signs_of_life(conn: &Connection) -> rusqlite::Result<Vec<Timestamp>> {
    let alive_until = number(conn, "alive_until")?;
    let made_due = number(conn, "made_due_at")?.filter(|at| alive_until.is_none_or(|until| *at > until));
    Ok(alive_until.into_iter().chain(made_due).filter_map(Timestamp::from_micros).collect())
}

/// Records that the host stopped with nothing in flight, and the last id that it gave out: ids rise also when the run with the
/// last one is gone and the clock has stepped back.
pub(super) fn mark_clean(conn: &mut Connection, now: i64, last_key: i64) -> rusqlite::Result<()> {
    let transaction = conn.transaction_with_behavior(TransactionBehavior::Immediate)?;
    set_number(&transaction, "last_key", last_key)?;
    if now > 0 {
        set_alive(&transaction, now)?;
    }
    set_number(&transaction, "clean_stop", 1)?;
    transaction.commit()
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
