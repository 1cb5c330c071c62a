//! The ids of runs: what all of one database have in common, and the next one.
//!
//! Called when the file is opened, and whenever a run is made. How an id is spelled is the model's (`model/id.rs`).

use std::sync::atomic::Ordering;

use rusqlite::Connection;

use super::meta;
use super::writer::Shared;
use crate::model::{RunId, Timestamp};

/// The constant of this database in the ids of its runs: drawn once.
pub(super) fn origin(conn: &Connection) -> rusqlite::Result<u64> {
    if let Some(origin) = meta::number(conn, "id_origin")? {
        return Ok(origin as u64);
    }
    // 53 bits of SQLite's own generator, which is seeded from the system.
    let origin: i64 = conn.query_row("SELECT random() & 0x1fffffffffffff", [], |row| row.get(0))?;
    meta::set_number(conn, "id_origin", origin)?;
    Ok(origin as u64)
}

impl Shared {
    /// Ids only rise, also when the clock steps back.
    pub(super) fn next_run_key(&self, now: Timestamp) -> i64 {
        let earliest = RunId::first_key_at(now.as_micros() / 1_000);
        let step = |last: i64| Some((last + 1).max(earliest));
        let last = self.last_key.fetch_update(Ordering::Relaxed, Ordering::Relaxed, step).expect("the closure always answers");
        (last + 1).max(earliest)
    }
}
