//! Computes anew what is to come of crons when this program knows other time zones than the one that stored them.

use std::time::Duration;

use rusqlite::{Connection, OptionalExtension};

use super::AHEAD;
use super::read::{COLUMNS, stored};
use crate::model::{TZDB_VERSION, Timestamp};
use crate::storage::sqlite::registry::Registry;
use crate::storage::sqlite::rows::sound;

/// Once for each release of the time zone database, when the storage opens. What is overdue stays so: it was planned by the clocks as they were.
/// Occurrences that have their runs already, a minute ahead at most, keep them.
pub(in crate::storage::sqlite) fn renew(conn: &mut Connection, registry: &Registry, now: Timestamp) -> rusqlite::Result<()> {
    let known: Option<String> =
        conn.query_row("-- meta: tzdb\nSELECT value FROM runlater_meta WHERE key = 'tzdb'", [], |row| row.get(0)).optional()?;
    if known.as_deref() == Some(TZDB_VERSION) {
        return Ok(());
    }
    // Up to then occurrences may have their runs.
    let soon = now.saturating_add(Duration::from_micros(AHEAD as u64));
    let transaction = conn.transaction()?;
    let crons = {
        let mut statement = transaction.prepare(&format!("-- crons: to come\nSELECT {COLUMNS} FROM runlater_crons WHERE next_at > ?1"))?;
        let rows = statement.query_map([soon.as_micros()], |row| Ok(stored(row, registry)))?;
        rows.collect::<rusqlite::Result<Vec<_>>>()?
    };
    for read in crons {
        let Some(stored) = sound("crons", read)? else { continue };
        let next = stored.cron.fires_after(now).and_then(|after| stored.cron.spec.rule.next_after(after.max(soon)));
        if next != stored.cron.next_at {
            let (cron, before) = (&stored.cron.name, stored.cron.next_at.map(|at| at.to_string()));
            tracing::warn!(%cron, before, after = next.map(|at| at.to_string()), "the clocks of its time zone changed, and so did its next occurrence");
            transaction
                .prepare_cached("-- cron: renew\nUPDATE runlater_crons SET next_at = ?2 WHERE id = ?1")?
                .execute((stored.id, next.map(Timestamp::as_micros)))?;
        }
    }
    transaction.execute("INSERT OR REPLACE INTO runlater_meta (key, value) VALUES ('tzdb', ?1)", [TZDB_VERSION])?;
    transaction.commit()
}
