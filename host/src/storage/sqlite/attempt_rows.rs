//! Stores how an attempt ended, and keeps the history of its run short: the last attempts, and the last of what they logged.
//!
//! A run may snooze for ever, so its history would otherwise grow without a bound. The numbers of attempts go on, which tells how many are gone; a
//! log that was dropped leaves its size.

use rusqlite::Connection;

use crate::model::limits::{ATTEMPTS_KEPT, LOG_BYTES_KEPT};

/// An attempt that has ended.
pub(super) struct Ended<'a> {
    pub(super) run: i64,
    pub(super) number: u32,
    pub(super) started_at: i64,
    pub(super) finished_at: i64,
    pub(super) component: Option<i64>,
    pub(super) outcome: &'static str,
    pub(super) message: Option<&'a str>,
    pub(super) log: &'a [u8],
}

impl Ended<'_> {
    /// What its run is charged for it.
    pub(super) fn bytes(&self) -> i64 {
        (self.message.map_or(0, str::len) + self.log.len()) as i64
    }
}

/// Stores it, and drops what its run then has too much of. Returns the bytes that were dropped.
pub(super) fn put(conn: &Connection, attempt: &Ended<'_>) -> rusqlite::Result<i64> {
    let log = (!attempt.log.is_empty()).then_some(attempt.log);
    conn.prepare_cached(
        "-- finish: attempt
         INSERT OR REPLACE INTO runlater_attempts (run, number, started_at, finished_at, component, outcome, message, log)
         VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8)",
    )?
    .execute((
        attempt.run,
        attempt.number,
        attempt.started_at,
        attempt.finished_at,
        attempt.component,
        attempt.outcome,
        attempt.message,
        log,
    ))?;
    let mut dropped = 0;
    if attempt.number > ATTEMPTS_KEPT {
        dropped += drop_rows(conn, attempt.run, attempt.number - ATTEMPTS_KEPT)?;
    }
    if log.is_some() && attempt.number > 1 {
        dropped += drop_logs(conn, attempt.run)?;
    }
    Ok(dropped)
}

/// Deletes the attempts up to this number. Those of an older host may be many; one more each time is the rule.
fn drop_rows(conn: &Connection, run: i64, last: u32) -> rusqlite::Result<i64> {
    let mut statement = conn.prepare_cached(
        "-- finish: drop attempts
         DELETE FROM runlater_attempts WHERE run = ?1 AND number <= ?2 RETURNING ifnull(octet_length(message), 0) + ifnull(octet_length(log), 0)",
    )?;
    let rows = statement.query_map((run, last), |row| row.get::<_, i64>(0))?;
    rows.sum()
}

/// Drops the logs that lie behind the newest ones of [`LOG_BYTES_KEPT`]. That of the newest attempt is kept whatever its size, which has a limit of its own.
fn drop_logs(conn: &Connection, run: i64) -> rusqlite::Result<i64> {
    let logs = {
        let mut statement = conn.prepare_cached(
            "-- finish: logs
             SELECT number, octet_length(log) FROM runlater_attempts WHERE run = ?1 AND log IS NOT NULL ORDER BY number DESC",
        )?;
        let rows = statement.query_map([run], |row| Ok((row.get::<_, u32>(0)?, row.get::<_, i64>(1)?)))?;
        rows.collect::<rusqlite::Result<Vec<_>>>()?
    };
    let (mut kept, mut dropped) = (0, 0);
    for (place, (number, bytes)) in logs.into_iter().enumerate() {
        kept += bytes;
        if place > 0 && kept > LOG_BYTES_KEPT {
            conn.prepare_cached(
                "-- finish: drop log\nUPDATE runlater_attempts SET log = NULL, log_dropped = ?3 WHERE run = ?1 AND number = ?2",
            )?
            .execute((run, number, bytes))?;
            dropped += bytes;
        }
    }
    Ok(dropped)
}
