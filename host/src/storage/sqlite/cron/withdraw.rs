//! Takes back the runs of occurrences that have not come.

use super::read::Stored;
use crate::model::{NamespaceId, RunId, Status, Timestamp};
use crate::storage::RunChange;
use crate::storage::sqlite::change::{disarm, note, see};
use crate::storage::sqlite::delete::remove;
use crate::storage::sqlite::group::Tx;

/// Takes back the cron's runs that trigger later than `after` and, if that is given, not later than `until`: its next occurrence is then the earliest
/// of them. What has triggered stays, and what was made to run at once.
pub(super) fn withdraw(
    tx: &mut Tx<'_>,
    stored: &mut Stored,
    after: Timestamp,
    until: Option<Timestamp>,
    now: Timestamp,
) -> rusqlite::Result<()> {
    let found = {
        let mut statement = tx.conn.prepare_cached(
            "-- cron: withdraw
             SELECT id, planned_at FROM runlater_runs
             WHERE cron = ?1 AND planned_at > ?4 AND trigger_at > ?2 AND (?3 IS NULL OR trigger_at <= ?3) AND status = 0 AND attempt = 0
                 AND trigger_at > created_at",
        )?;
        // No run is due later than its jitter after its planned time: what was planned before that has triggered.
        let planned = after.saturating_sub(stored.cron.spec.rule.jitter());
        let range = (stored.id, after.as_micros(), until.map(Timestamp::as_micros), planned.as_micros());
        let rows = statement.query_map(range, |row| Ok((row.get(0)?, row.get(1)?)))?;
        rows.collect::<rusqlite::Result<Vec<(i64, i64)>>>()?
    };
    let namespace = NamespaceId(stored.namespace);
    for (run, planned) in found {
        let Some(seen) = see(tx.conn, namespace, run, now)? else { continue };
        if !matches!(seen.status, Status::Scheduled | Status::Queued) || !disarm(tx, run) {
            continue;
        }
        remove(tx, namespace, &seen)?;
        tx.ended.push(run);
        note(tx, namespace, RunId::from_key(run, tx.shared.id_origin), &seen, RunChange::Deleted);
        stored.cron.fired = stored.cron.fired.saturating_sub(1);
        let planned = Timestamp::from_micros(planned).unwrap_or(now);
        stored.cron.next_at = Some(stored.cron.next_at.map_or(planned, |next| next.min(planned)));
    }
    Ok(())
}
