//! Brings the runs that are due soon into memory.
//!
//! Done by the writer between two groups: as it alone changes the database, nothing can slip in between the look and the queue. A row that
//! can't be understood is ended here, so that the others go on.

use std::sync::atomic::Ordering;

use rusqlite::{Connection, Params};

use super::due_queue::Wanted;
use super::ready::Place;
use super::rows::{WAITING_COLUMNS, Waiting, waiting};
use super::unread;
use super::writer::Shared;

/// Rows read at once: a few milliseconds.
const PAGE: usize = 4_096;

/// Loads a page of each namespace that has room and need, as far as a page goes in all: each has its part of it. Asks for another turn while
/// there is more.
pub(super) fn load(conn: &Connection, shared: &Shared) -> rusqlite::Result<()> {
    if shared.due.is_reading() {
        unread::read(conn, shared)?;
    }
    let now = shared.seen_now.load(Ordering::Relaxed);
    let (mut left, all) = (PAGE, shared.due.wants(now));
    let count = all.len();
    for (index, wanted) in all.into_iter().enumerate() {
        if left == 0 {
            shared.request_load();
            break;
        }
        let limit = wanted.room.min((left / (count - index)).max(1));
        let (place, found, more) = page(conn, shared, &wanted, limit, now)?;
        left -= found.len().min(left);
        shared.due.loaded(wanted.namespace, place, found);
        if more {
            shared.request_load();
        }
    }
    Ok(())
}

/// The next waiting runs of a namespace in order of rank, up to which place these are all, and whether there are more.
#[expect(clippy::vec_box, reason = "they move on as they are, into a map of boxes")]
pub(super) fn page(
    conn: &Connection,
    shared: &Shared,
    wanted: &Wanted,
    limit: usize,
    now: i64,
) -> rusqlite::Result<(Place, Vec<Box<Waiting>>, bool)> {
    let Wanted { namespace, after, until, .. } = *wanted;
    let bounds = (namespace, until, after.0, after.1, limit as i64);
    let sql = format!(
        "-- load
         SELECT {WAITING_COLUMNS} FROM runlater_runs
         WHERE namespace = ?1 AND due_at IS NOT NULL AND due_at <= ?2 AND (due_at, id) > (?3, ?4)
         ORDER BY due_at, id LIMIT ?5"
    );
    let common = read(conn, shared, &sql, bounds, limit, now)?;
    let sql = format!(
        "-- load: urgent
         SELECT {WAITING_COLUMNS} FROM runlater_runs
         WHERE namespace = ?1 AND due_at IS NOT NULL AND priority > 1 AND due_at - (priority - 1) * 60000000 BETWEEN ?3 AND ?2
             AND (due_at - (priority - 1) * 60000000, id) > (?3, ?4)
         ORDER BY due_at - (priority - 1) * 60000000, id LIMIT ?5"
    );
    let urgent = read(conn, shared, &sql, bounds, limit, now)?;
    // Where a walk was cut short, it says nothing of what comes after.
    let cut_urgent = urgent.cut.map(|(due_at, id, priority)| (crate::model::rank(due_at, priority), id));
    let cut = common.cut.map(|(due_at, id, _)| (due_at, id)).into_iter().chain(cut_urgent).min();
    // The walk in order of due time meets the urgent ones too, at a place that is not theirs.
    let mut found = common.found;
    found.retain(|waiting| waiting.priority <= 1);
    found.extend(urgent.found);
    Ok((cut.unwrap_or((until, i64::MAX)), found, cut.is_some()))
}

/// What a walk met.
struct Walk {
    #[expect(clippy::vec_box, reason = "they move on as they are, into a map of boxes")]
    found: Vec<Box<Waiting>>,
    /// Due time, id and priority of the last row, if the limit cut the walk short.
    cut: Option<(i64, i64, u8)>,
}

fn read(conn: &Connection, shared: &Shared, sql: &str, params: impl Params, limit: usize, now: i64) -> rusqlite::Result<Walk> {
    let mut statement = conn.prepare_cached(sql)?;
    let mut rows = statement.query(params)?;
    let (mut found, mut damaged, mut seen, mut last) = (Vec::new(), Vec::new(), 0, None);
    while let Some(row) = rows.next()? {
        let (id, due_at, priority): (i64, i64, i64) = (row.get(0)?, row.get(3)?, row.get(5)?);
        (seen, last) = (seen + 1, Some((due_at, id, priority.clamp(1, 255) as u8)));
        match waiting(row) {
            Ok(run) => found.push(run),
            Err(error) => damaged.push((id, error)),
        }
    }
    drop(rows);
    for (run, error) in damaged {
        quarantine(conn, run, &error, now)?;
        shared.due.release(&[], &[run]);
    }
    Ok(Walk { found, cut: last.filter(|_| seen == limit) })
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
