//! Tells what keeps a due run from starting.
//!
//! Asked by whoever explains a run. The row says whether it waits, the due queue what for.

use rusqlite::OptionalExtension;

use super::due_queue::DueQueue;
use super::list::Reader;
use crate::model::{Hold, RunId};

pub(super) fn hold(reader: &Reader<'_>, due: &DueQueue, run: RunId) -> rusqlite::Result<Option<Hold>> {
    let Some(id) = run.key_in(reader.id_origin) else { return Ok(None) };
    let due_at: Option<i64> = reader
        .conn
        .prepare_cached("-- hold\nSELECT due_at FROM runlater_runs WHERE id = ?1 AND namespace = ?2 AND due_at IS NOT NULL")?
        .query_row((id, reader.namespace.0), |row| row.get(0))
        .optional()?;
    let is_due = due_at.is_some_and(|due_at| due_at <= reader.now.as_micros());
    Ok(if is_due { due.hold(id, reader.id_origin) } else { None })
}
