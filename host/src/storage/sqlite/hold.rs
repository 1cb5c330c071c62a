//! Tells what keeps a due run from starting.
//!
//! Asked by whoever explains a run. The row says whether it waits, the due queue what for; so it can also be told of a run that is not in memory.

use rusqlite::OptionalExtension;

use super::due_queue::DueQueue;
use super::list::Reader;
use super::rows::{WAITING_COLUMNS, waiting};
use crate::model::{Hold, Payload, RunId};

pub(super) fn hold(reader: &Reader<'_>, due: &DueQueue, run: RunId) -> rusqlite::Result<Option<Hold>> {
    let Some(id) = run.key_in(reader.id_origin) else { return Ok(None) };
    let sql = format!("-- hold\nSELECT {WAITING_COLUMNS} FROM runlater_runs WHERE id = ?1 AND namespace = ?2 AND due_at IS NOT NULL");
    let seen = reader.conn.prepare_cached(&sql)?.query_row((id, reader.namespace.0), waiting).optional()?;
    let now = reader.now.as_micros();
    let Some(mut waiting) = seen.filter(|waiting| waiting.due_at <= now) else { return Ok(None) };
    if waiting.input.is_none() {
        let input = reader
            .conn
            .prepare_cached("-- hold: input\nSELECT input_type, input FROM runlater_runs WHERE id = ?1")?
            .query_row([id], |row| Ok(Payload::from_stored(row.get_ref(0)?.as_str_or_null()?, row.get_ref(1)?.as_blob()?)))
            .optional()?;
        waiting.input = input;
    }
    Ok(due.hold(&waiting, reader.id_origin, now))
}
