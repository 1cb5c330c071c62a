//! Pauses a task, or lets it go on.
//!
//! What that means for its runs is the due queue's to decide, which reads it from the registry.

use rusqlite::{OptionalExtension, Row};

use super::group::Tx;
use super::rows::strange;
use crate::model::{Name, NamespaceId, Pause, Timestamp};

/// How a pause stands in a row.
pub(super) fn pause_text(pause: &Pause) -> String {
    serde_json::to_string(pause).expect("plain data")
}

/// Reads it.
pub(super) fn pause_of(row: &Row<'_>, column: usize) -> rusqlite::Result<Option<Pause>> {
    let text: Option<String> = row.get(column)?;
    text.map(|text| serde_json::from_str(&text).map_err(|_| strange(column, "a pause that this version does not know"))).transpose()
}

/// What of it is put on record.
pub(super) fn in_words(pause: &Pause) -> String {
    let until = pause.until.map_or("until it is resumed".into(), |until| format!("until {until}"));
    if pause.note.is_empty() { until } else { format!("{until}: {}", pause.note) }
}

/// False if there is no such task.
pub(super) fn pause(tx: &mut Tx<'_>, namespace: NamespaceId, name: &Name, pause: Option<Pause>, now: Timestamp) -> rusqlite::Result<bool> {
    // The row, not the registry: what an earlier write of the same group did is not there yet.
    let before = tx
        .conn
        .prepare_cached("-- task: pause\nSELECT pause FROM runlater_tasks WHERE namespace = ?1 AND name = ?2")?
        .query_row((namespace.0, name.as_str()), |row| pause_of(row, 0))
        .optional()?;
    let Some(before) = before else { return Ok(false) };
    let pause = pause.map(|pause| pause_text(&pause.in_place_of(before.as_ref(), now)));
    tx.conn.prepare_cached("-- task: store pause\nUPDATE runlater_tasks SET pause = ?3 WHERE namespace = ?1 AND name = ?2")?.execute((
        namespace.0,
        name.as_str(),
        pause,
    ))?;
    tx.registered = true;
    Ok(true)
}
