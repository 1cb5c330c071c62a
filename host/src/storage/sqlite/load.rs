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
    let found = statement.query_map((until, after.0, after.1, limit as i64), waiting)?.collect::<rusqlite::Result<Vec<_>>>()?;
    let place = match found.last() {
        Some(last) if found.len() == limit => (last.due_at, last.id),
        _ => (until, i64::MAX),
    };
    let more = found.len() == limit;
    shared.due.loaded(place, found);
    if more {
        shared.request_load();
    }
    Ok(())
}
