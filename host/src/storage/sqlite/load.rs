//! Brings the runs that are due soon into memory.
//!
//! Done by the writer between two groups: as it alone changes the database, nothing can slip in between the look and the queue.

use std::sync::atomic::Ordering;

use rusqlite::Connection;

use super::rows::{WAITING_COLUMNS, waiting};
use super::writer::Shared;

/// Rows read at once: a few milliseconds.
const PAGE: usize = 4_096;

/// Loads the next page, if there is room and need. Asks for another turn while there is more.
pub(super) fn load(conn: &Connection, shared: &Shared) -> rusqlite::Result<()> {
    let Some((after, until)) = shared.due.wants(shared.seen_now.load(Ordering::Relaxed)) else { return Ok(()) };
    let limit = shared.due.room().min(PAGE);
    let sql = format!(
        "-- load
         SELECT {WAITING_COLUMNS} FROM runlater_runs
         WHERE due_at IS NOT NULL AND due_at <= ?1 AND (due_at, id) > (?2, ?3)
         ORDER BY due_at, id LIMIT ?4"
    );
    let mut statement = conn.prepare_cached(&sql)?;
    let mut rows = statement.query((until, after.0, after.1, limit as i64))?;
    let (mut found, mut damaged, mut seen, mut last) = (Vec::new(), Vec::new(), 0, (until, i64::MAX));
    while let Some(row) = rows.next()? {
        (seen, last) = (seen + 1, (row.get(3)?, row.get(0)?));
        match waiting(row) {
            Ok(run) => found.push(run),
            Err(error) => damaged.push((last.1, error)),
        }
    }
    drop(rows);
    for (run, error) in damaged {
        quarantine(conn, run, &error, shared.seen_now.load(Ordering::Relaxed))?;
    }
    let more = seen == limit;
    shared.due.loaded(if more { last } else { (until, i64::MAX) }, found);
    if more {
        shared.request_load();
    }
    Ok(())
}

/// Ends a run whose row can't be understood, so that the others go on. Its row is kept as it is, for whoever mends it.
fn quarantine(conn: &Connection, run: i64, error: &rusqlite::Error, now: i64) -> rusqlite::Result<()> {
    tracing::error!(run, %error, "a run can't be understood and is quarantined; somebody else wrote to the database");
    let message = format!("its row in the database can't be understood: {error}");
    conn.prepare_cached(
        "-- load: quarantine
         UPDATE runlater_runs SET status = 4, due_at = NULL, finished_at = ?2, reason = 'damaged-row', message = ?3 WHERE id = ?1",
    )?
    .execute((run, now, message))?;
    Ok(())
}
