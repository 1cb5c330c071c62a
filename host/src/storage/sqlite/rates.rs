//! What each lane has used of its task's rate, so that a restart does not forget it.
//!
//! Written with the claims that used it. Rows that say nothing any more go as others come.

use std::sync::Arc;

use rusqlite::Connection;

use super::group::Tx;

/// A lane of a task, and the time at which nothing of its rate will be used.
pub(super) type LaneUsed = (i64, Arc<str>, i64);

/// Writes what the claims of this group have used.
pub(super) fn write(tx: &Tx<'_>) -> rusqlite::Result<()> {
    if tx.used.is_empty() {
        return Ok(());
    }
    let mut statement = tx.conn.prepare_cached(
        "-- rates
         INSERT INTO runlater_rates (task, lane, used_until) VALUES (?1, ?2, ?3) ON CONFLICT (task, lane) DO UPDATE SET used_until = max(used_until, ?3)",
    )?;
    for ((task, lane), until) in &tx.used {
        statement.execute((task, &**lane, until))?;
    }
    let now = tx.shared.seen_now.load(std::sync::atomic::Ordering::Relaxed);
    // Twice as many as came, so that there are never many more than are needed.
    tx.conn
        .prepare_cached(
            "-- rates: forget
             DELETE FROM runlater_rates WHERE (task, lane) IN (SELECT task, lane FROM runlater_rates WHERE used_until <= ?1 ORDER BY used_until LIMIT ?2)",
        )?
        .execute((now, 2 * tx.used.len() as i64))?;
    Ok(())
}

/// Reads all of it, when the storage opens.
pub(super) fn read(conn: &Connection) -> rusqlite::Result<Vec<LaneUsed>> {
    let mut statement = conn.prepare("-- rates: read\nSELECT task, lane, used_until FROM runlater_rates")?;
    let rows = statement.query_map([], |row| Ok((row.get(0)?, row.get::<_, String>(1)?.into(), row.get(2)?)))?;
    rows.collect()
}
