//! Reads what the gates must know and memory does not tell: lanes of large inputs, who has kept a slot, and what was left in the database.
//!
//! Done by the writer between two groups, in bounded pages, as loading is (`load.rs`): nothing can slip in between the look and the queue.

use std::sync::Arc;
use std::sync::atomic::Ordering;

use rusqlite::{Connection, OptionalExtension, Row};

use super::due_queue::{Inner, Wanted};
use super::load::page;
use super::rows::metadata;
use super::writer::Shared;
use crate::model::{LaneKey, Payload};

/// Lanes read at once: at most 64 MiB of inputs, one after the other.
const LANES: usize = 256;
/// Rows looked at at once for those who have kept their slot, or for what was left in the database.
const PAGE: usize = 2_048;

/// What is to be read for one task.
enum Reading {
    /// Of these runs the lane.
    Lanes(Vec<i64>),
    /// Those of the namespace that wait for a further attempt, after this id.
    Kept(i64, i64),
    /// Its waiting runs from here on.
    Walk(Wanted),
}

/// Reads a bounded part of what is wanted, and asks for another turn while there is more.
pub(super) fn read(conn: &Connection, shared: &Shared) -> rusqlite::Result<()> {
    let now = shared.seen_now.load(Ordering::Relaxed);
    let Some((task, key, reading)) = shared.due.with_gates(next) else { return Ok(()) };
    match reading {
        Reading::Lanes(runs) => {
            let mut lanes = Vec::with_capacity(runs.len());
            for run in runs {
                let read = conn
                    .prepare_cached("-- gate: lane\nSELECT input_type, input, metadata FROM runlater_runs WHERE id = ?1")?
                    .query_row([run], |row| Ok(lane(&key, row, 0)))
                    .optional()?;
                lanes.push((run, read));
            }
            shared.due.with_gates(|inner| inner.lanes_read(task, &key, lanes, now));
        }
        Reading::Kept(namespace, after) => {
            let mut statement = conn.prepare_cached(
                "-- gate: kept
                 SELECT id, task, started_at, input_type, CASE WHEN task = ?3 THEN input ELSE x'' END, metadata FROM runlater_runs
                 WHERE namespace = ?1 AND status NOT IN (0, 3) AND status = 2 AND id > ?2 ORDER BY id LIMIT ?4",
            )?;
            let mut rows = statement.query((namespace, after, task, PAGE as i64))?;
            let (mut kept, mut looks, mut last) = (Vec::new(), 0, after);
            while let Some(row) = rows.next()? {
                (looks, last) = (looks + 1, row.get(0)?);
                if row.get::<_, i64>(1)? == task {
                    kept.push((last, lane(&key, row, 3), row.get::<_, Option<i64>>(2)?.unwrap_or(0)));
                }
            }
            let next = (looks == PAGE).then_some(last);
            shared.due.with_gates(|inner| inner.kept_read(task, &key, kept, next, now));
        }
        Reading::Walk(wanted) => {
            let limit = wanted.room.clamp(256, PAGE);
            let (place, mut found, more) = page(conn, shared, &wanted, limit, now)?;
            found.retain(|waiting| waiting.task == task);
            shared
                .due
                .with_gates(|inner| inner.gates.by_task.get_mut(&task).into_iter().for_each(|gate| gate.beyond = more.then_some(place)));
            shared.due.arm(found);
        }
    }
    shared.request_load();
    Ok(())
}

/// A row that can't be understood has the empty lane here, and is ended when it is loaded.
fn lane(key: &LaneKey, row: &Row<'_>, column: usize) -> Arc<str> {
    let read = || -> rusqlite::Result<String> {
        let input = Payload::from_stored(row.get_ref(column)?.as_str_or_null()?, row.get_ref(column + 1)?.as_blob()?);
        Ok(key.lane_of_stored(&input, &metadata(row.get_ref(column + 2)?.as_str_or_null()?, column + 2)?))
    };
    read().unwrap_or_default().into()
}

/// What to read next; `None` if there is nothing, as far as there is room.
fn next(inner: &mut Inner) -> Option<(i64, LaneKey, Reading)> {
    let mut found = None;
    for (task, gate) in &inner.gates.by_task {
        let reading = if let Some(after) = gate.kept_after {
            Some(Reading::Kept(gate.namespace, after))
        } else if !gate.unread.is_empty() {
            Some(Reading::Lanes(gate.unread.iter().copied().take(LANES).collect()))
        } else {
            inner.gates.room(gate).map(|room| {
                let until = inner.ready.loaded(gate.namespace);
                Reading::Walk(Wanted { namespace: gate.namespace, after: gate.beyond.unwrap_or(until), until: until.0, room })
            })
        };
        // What shuts a gate goes before what only fills it.
        let shuts = !matches!(reading, Some(Reading::Walk(_)) | None);
        if reading.is_some() && (shuts || found.is_none()) {
            found = reading.map(|reading| (*task, gate.rules.key.clone(), reading));
        }
        if shuts {
            break;
        }
    }
    inner.gates.reading = found.is_some();
    found
}
