//! The life cycle of a row in bare SQLite: insert, claim, complete, in groups, with many rows stored.
//!
//! The raw limit of what a durable run can cost. A schema of its own, with the least that a run needs.

use std::time::Instant;

use rusqlite::{Connection, params};

use super::{Bench, input};
use crate::scheduler::Error;
use crate::storage::StorageError;

const GROUP: i64 = 512;

pub(super) fn measure(bench: &mut Bench<'_>) -> Result<(), Error> {
    let path = bench.subject.folder.join("bare.db");
    let cycles = (bench.plan.runs as i64 / GROUP).max(1);
    let measured = cycle(&path, bench.plan.stored as i64, cycles, bench.plan.repeats);
    let measured = measured.map_err(|error| StorageError::Unavailable(format!("bare SQLite: {error}")))?;
    bench.report.add("bare.sqlite_life_cycle_per_s", "bare SQLite: insert, claim, complete, durable, in groups of 512, rows/s", measured);
    for suffix in ["", "-wal", "-shm"] {
        drop(std::fs::remove_file(bench.subject.folder.join(format!("bare.db{suffix}"))));
    }
    Ok(())
}

fn cycle(path: &std::path::Path, stored: i64, cycles: i64, repeats: usize) -> rusqlite::Result<Vec<f64>> {
    let conn = Connection::open(path)?;
    conn.execute_batch(
        "PRAGMA journal_mode = WAL; PRAGMA synchronous = OFF; PRAGMA cache_size = -65536;
         CREATE TABLE row (id INTEGER PRIMARY KEY, status INTEGER NOT NULL, due_at INTEGER, task INTEGER NOT NULL, input BLOB NOT NULL,
             attempt INTEGER NOT NULL DEFAULT 0, started_at INTEGER, finished_at INTEGER, output BLOB);
         CREATE INDEX row_due ON row (due_at) WHERE due_at IS NOT NULL; CREATE INDEX row_task ON row (task);",
    )?;
    let payload = input();
    let insert = |id: i64, due_at: i64| -> rusqlite::Result<()> {
        conn.prepare_cached("INSERT INTO row (id, status, due_at, task, input) VALUES (?1, 0, ?2, 1, ?3)")?.execute(params![
            id,
            due_at,
            payload.bytes()
        ])?;
        Ok(())
    };
    conn.execute_batch("BEGIN")?;
    for id in 0..stored {
        insert(id, i64::MAX / 2 + id)?;
    }
    conn.execute_batch("COMMIT; PRAGMA wal_checkpoint(TRUNCATE); PRAGMA synchronous = FULL;")?;
    let mut measured = Vec::new();
    let mut next = stored;
    for _ in 0..repeats {
        let start = Instant::now();
        for _ in 0..cycles {
            conn.execute_batch("BEGIN")?;
            for id in next..next + GROUP {
                insert(id, id)?;
                conn.prepare_cached("UPDATE row SET status = 1, due_at = NULL, attempt = 1, started_at = ?2 WHERE id = ?1")?
                    .execute((id, id))?;
                conn.prepare_cached("UPDATE row SET status = 3, finished_at = ?2, output = ?3 WHERE id = ?1 AND attempt = 1")?
                    .execute(params![id, id, payload.bytes()])?;
            }
            conn.execute_batch("COMMIT")?;
            next += GROUP;
        }
        measured.push((cycles * GROUP) as f64 / start.elapsed().as_secs_f64());
    }
    Ok(measured)
}
