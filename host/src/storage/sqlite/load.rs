//! Brings the runs that are due soon into memory.
//!
//! Done by the writer between two groups: as it alone changes the database, nothing can slip in between the look and the queue.

use std::sync::atomic::Ordering;

use rusqlite::{Connection, Params, Statement};

use super::due_queue::Wanted;
use super::ready::Place;
use super::rows::{WAITING_COLUMNS, Waiting, waiting};
use super::writer::Shared;

/// Rows read at once: a few milliseconds.
const PAGE: usize = 4_096;

/// Loads a page of each namespace that has room and need, as far as a page goes in all. Asks for another turn while there is more.
pub(super) fn load(conn: &Connection, shared: &Shared) -> rusqlite::Result<()> {
    let mut left = PAGE;
    for wanted in shared.due.wants(shared.seen_now.load(Ordering::Relaxed)) {
        if left == 0 {
            shared.request_load();
            break;
        }
        let limit = wanted.room.min(left);
        let (place, found, more) = page(conn, &wanted, limit)?;
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
fn page(conn: &Connection, wanted: &Wanted, limit: usize) -> rusqlite::Result<(Place, Vec<Box<Waiting>>, bool)> {
    let Wanted { namespace, after, until, .. } = *wanted;
    let bounds = (namespace, until, after.0, after.1, limit as i64);
    let sql = format!(
        "-- load
         SELECT {WAITING_COLUMNS} FROM runlater_runs
         WHERE namespace = ?1 AND due_at IS NOT NULL AND due_at <= ?2 AND (due_at, id) > (?3, ?4)
         ORDER BY due_at, id LIMIT ?5"
    );
    let mut found = read(conn.prepare_cached(&sql)?, bounds)?;
    let sql = format!(
        "-- load: urgent
         SELECT {WAITING_COLUMNS} FROM runlater_runs
         WHERE namespace = ?1 AND due_at IS NOT NULL AND priority > 1 AND due_at - (priority - 1) * 60000000 BETWEEN ?3 AND ?2
             AND (due_at - (priority - 1) * 60000000, id) > (?3, ?4)
         ORDER BY due_at - (priority - 1) * 60000000, id LIMIT ?5"
    );
    let urgent = read(conn.prepare_cached(&sql)?, bounds)?;
    // Where a walk was cut short, it says nothing of what comes after.
    let cut_common = found.last().filter(|_| found.len() == limit).map(|last| (last.due_at, last.id));
    let cut_urgent = urgent.last().filter(|_| urgent.len() == limit).map(|last| last.place());
    let cut = cut_common.into_iter().chain(cut_urgent).min();
    // The walk in order of due time meets the urgent ones too, at a place that is not theirs.
    found.retain(|waiting| waiting.priority <= 1);
    found.extend(urgent);
    Ok((cut.unwrap_or((until, i64::MAX)), found, cut.is_some()))
}

#[expect(clippy::vec_box, reason = "they move on as they are, into a map of boxes")]
fn read<'a>(mut statement: impl std::ops::DerefMut<Target = Statement<'a>>, params: impl Params) -> rusqlite::Result<Vec<Box<Waiting>>> {
    statement.query_map(params, waiting)?.collect()
}
