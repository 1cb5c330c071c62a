//! Stores that occurrences of a cron did not run.

use rusqlite::OptionalExtension;

use super::read::Stored;
use crate::model::limits::OCCURRENCES_MAX;
use crate::model::{Because, Gap, Skipped, Timestamp};
use crate::storage::sqlite::group::Tx;
use crate::storage::sqlite::rows::{because_text, metadata_text};
use crate::storage::sqlite::run_bytes::charge_of;
use crate::storage::sqlite::verdict::count;

/// The reason of occurrences for whose runs the namespace has no room.
const QUOTA: &str = "quota-exceeded";

/// One row for all that passed while no host was running: it can be found, and triggered by hand.
pub(super) fn skip_missed(tx: &mut Tx<'_>, stored: &Stored, skipped: Skipped, gap: Gap, now: Timestamp) -> rusqlite::Result<()> {
    let message = match skipped.count {
        1 => format!("no host was running at {}", skipped.first),
        count if count >= OCCURRENCES_MAX as u32 => {
            format!("{count} or more occurrences from {} to {}, while no host was running", skipped.first, skipped.last)
        }
        count => format!("{count} occurrences from {} to {}, while no host was running", skipped.first, skipped.last),
    };
    insert(tx, stored, skipped, "host-down", &message, Some(&Because::of_span(gap.from, now)), now)?;
    count(tx, u64::from(skipped.count), |counts| &counts.host_down);
    Ok(())
}

/// One row for all occurrences in a row for whose runs the namespace has no room. Only the first of them adds a row, so what the quota refuses does not
/// grow with time.
pub(super) fn skip_over_quota(tx: &mut Tx<'_>, stored: &Stored, planned: Timestamp, why: &str, now: Timestamp) -> rusqlite::Result<()> {
    let last = tx
        .conn
        .prepare_cached(
            "-- cron: last
             SELECT id, status = 6 AND reason = 'quota-exceeded' AND skipped IS NOT NULL FROM runlater_runs
             WHERE cron = ?1 AND planned_at IS NOT NULL ORDER BY planned_at DESC LIMIT 1",
        )?
        .query_row([stored.id], |row| Ok((row.get::<_, i64>(0)?, row.get::<_, bool>(1)?)))
        .optional()?;
    if let Some((run, true)) = last {
        return tx
            .conn
            .prepare_cached(
                "-- cron: skip another\nUPDATE runlater_runs SET skipped = skipped + 1, skipped_until = max(skipped_until, ?2), finished_at = ?3 WHERE id = ?1",
            )?
            .execute((run, planned.as_micros(), now.as_micros()))
            .map(drop);
    }
    tracing::warn!(cron = %stored.cron.name, namespace = stored.namespace, "an occurrence does not run: {why}");
    insert(tx, stored, Skipped { first: planned, last: planned, count: 1 }, QUOTA, why, None, now)
}

fn insert(
    tx: &Tx<'_>,
    stored: &Stored,
    skipped: Skipped,
    reason: &str,
    message: &str,
    because: Option<&Because>,
    now: Timestamp,
) -> rusqlite::Result<()> {
    let id = tx.shared.next_run_key(now);
    let spec = &stored.cron.spec;
    let metadata = metadata_text(&spec.metadata);
    let bytes = charge_of(spec.input.bytes(), metadata.as_deref(), None);
    let priority = spec.priority.or(tx.shared.registry.task_by_id(stored.task).map(|task| task.policy.priority)).unwrap_or(1);
    // Of so many that they were not looked at one by one, the first may have its run: then the row stands without its planned time, which its
    // trigger time says.
    tx.conn
        .prepare_cached(
            "-- cron: skip
             INSERT INTO runlater_runs (id, namespace, task, status, trigger_at, created_at, finished_at, priority, origin, reason, message,
                 metadata, input_type, input, cron, planned_at, skipped, skipped_until, because, input_crc, bytes)
             VALUES (?1, ?2, ?3, 6, ?4, ?5, ?5, ?6, 2, ?16, ?7, ?8, ?9, ?10, ?11,
                 CASE WHEN NOT EXISTS (SELECT 1 FROM runlater_runs WHERE cron = ?11 AND planned_at = ?4) THEN ?4 END, ?12, ?13, ?14, ?15, ?17)",
        )?
        .execute(rusqlite::params![
            id,
            stored.namespace,
            stored.task,
            skipped.first.as_micros(),
            now.as_micros(),
            priority,
            message,
            metadata,
            spec.input.stored_media_type(),
            spec.input.bytes(),
            stored.id,
            skipped.count,
            skipped.last.as_micros(),
            because.map(because_text),
            crate::storage::sqlite::input::checksum(spec.input.bytes()),
            reason,
            bytes,
        ])?;
    tx.shared.run_bytes.add(stored.namespace, bytes);
    for (key, value) in spec.metadata.iter() {
        tx.conn
            .prepare_cached("-- create: metadata\nINSERT INTO runlater_run_metadata (namespace, key, value, run) VALUES (?1, ?2, ?3, ?4)")?
            .execute((stored.namespace, key, value, id))?;
    }
    Ok(())
}
