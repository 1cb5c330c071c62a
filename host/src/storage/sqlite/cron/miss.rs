//! Decides about the occurrences that passed while no host was running.

use std::collections::BTreeSet;

use super::fire::{move_on, or_set_aside};
use super::occur::{made_of, occur};
use super::read::{COLUMNS, Stored, stored};
use super::settle;
use super::withdraw::withdraw;
use crate::model::limits::OCCURRENCES_MAX;
use crate::model::{Because, Gap, NamespaceId, Skipped, Timestamp, catch_up};
use crate::storage::sqlite::group::Tx;
use crate::storage::sqlite::rows::{because_text, metadata_text};
use crate::storage::sqlite::verdict::count;

/// Deals with up to `limit` crons that had occurrences in the gap, whether they had their runs already or not. Returns how many there were.
///
/// A run that was made to run at once, by an earlier slice or by a backfill, was not missed: or the slices would never end.
pub(in crate::storage::sqlite) fn miss(tx: &mut Tx<'_>, gap: Gap, limit: usize, now: Timestamp) -> rusqlite::Result<usize> {
    let found = {
        let mut statement = tx.conn.prepare_cached(&format!(
            "-- crons: missed
             SELECT {COLUMNS} FROM runlater_crons AS c WHERE (next_at IS NOT NULL AND next_at < ?2)
                 OR EXISTS (SELECT 1 FROM runlater_runs WHERE cron = c.id AND planned_at > ?1 - c.jitter AND planned_at < ?2
                     AND trigger_at > ?1 AND trigger_at < ?2 AND status = 0 AND attempt = 0 AND trigger_at > created_at)
             LIMIT ?3"
        ))?;
        let registry = &tx.shared.registry;
        let rows = statement
            .query_map((gap.from.as_micros(), gap.until.as_micros(), limit as i64), |row| Ok((row.get(0)?, stored(row, registry))))?;
        rows.collect::<rusqlite::Result<Vec<_>>>()?
    };
    let count = found.len();
    for (id, read) in found {
        if let Some(stored) = or_set_aside(tx, id, read)? {
            miss_one(tx, stored, gap, now)?;
        }
    }
    settle(tx)?;
    Ok(count)
}

fn miss_one(tx: &mut Tx<'_>, mut stored: Stored, gap: Gap, now: Timestamp) -> rusqlite::Result<()> {
    let moment = std::time::Duration::from_micros(1);
    // What was due at the gap's end is within the grace.
    let until = gap.until.saturating_sub(moment);
    withdraw(tx, &mut stored, gap.from, Some(until), now)?;
    let Some(next) = stored.cron.next_at.filter(|next| *next <= until) else { return Ok(()) };
    let task = tx.shared.registry.task_by_id(stored.task);
    let policy = stored.cron.spec.missed.or(task.map(|task| task.policy.missed)).unwrap_or_default();
    let rule = stored.cron.spec.rule.clone();
    let made: BTreeSet<_> = made_of(tx.conn, stored.id, next, until)?.into_iter().collect();
    let due = |planned: &Timestamp| planned.saturating_add(rule.delay(stored.id, *planned));
    let plan = catch_up(&rule, policy, next.saturating_sub(moment), until, |planned| !made.contains(planned) && due(planned) <= until);
    // Those that run are spread as they would have been; and some that were planned have not come, because of the same jitter.
    let caught_up = plan.run.into_iter().map(|planned| (planned, now.saturating_add(rule.delay(stored.id, planned))));
    let later = next.max(until.saturating_sub(rule.jitter())).saturating_sub(moment);
    let coming = rule.occurrences(later, until, OCCURRENCES_MAX).into_iter().map(|planned| (planned, due(&planned)));
    let runs: Vec<_> = caught_up.chain(coming.filter(|(_, due)| *due > until)).collect();
    for (planned, due) in runs {
        if stored.cron.spec.max_count.is_none_or(|max| stored.cron.fired < max) && occur(tx, &stored, Some(planned), due, now)?.is_some() {
            stored.cron.fired += 1;
        }
    }
    if let Some(skipped) = plan.skipped {
        skip(tx, &stored, skipped, gap, now)?;
    }
    stored.cron.next_at = match stored.cron.spec.max_count {
        Some(max) if stored.cron.fired >= max => None,
        _ => stored.cron.spec.rule.next_after(until),
    };
    move_on(tx, &stored)
}

/// One row for all that was skipped: it can be found, and triggered by hand. Of so many that they were not looked at one by one, the first may
/// have its run: then the row stands without its planned time, which its trigger time says.
fn skip(tx: &mut Tx<'_>, stored: &Stored, skipped: Skipped, gap: Gap, now: Timestamp) -> rusqlite::Result<()> {
    let id = tx.shared.next_run_key(now);
    let spec = &stored.cron.spec;
    let message = match skipped.count {
        1 => format!("no host was running at {}", skipped.first),
        count if count >= OCCURRENCES_MAX as u32 => {
            format!("{count} or more occurrences from {} to {}, while no host was running", skipped.first, skipped.last)
        }
        count => format!("{count} occurrences from {} to {}, while no host was running", skipped.first, skipped.last),
    };
    let priority = spec.priority.or(tx.shared.registry.task_by_id(stored.task).map(|task| task.policy.priority)).unwrap_or(1);
    tx.conn
        .prepare_cached(
            "-- cron: skip
             INSERT INTO runlater_runs (id, namespace, task, status, trigger_at, created_at, finished_at, priority, origin, reason, message,
                 metadata, input_type, input, cron, planned_at, skipped, skipped_until, because, input_crc)
             VALUES (?1, ?2, ?3, 6, ?4, ?5, ?5, ?6, 2, 'host-down', ?7, ?8, ?9, ?10, ?11,
                 CASE WHEN NOT EXISTS (SELECT 1 FROM runlater_runs WHERE cron = ?11 AND planned_at = ?4) THEN ?4 END, ?12, ?13, ?14, ?15)",
        )?
        .execute(rusqlite::params![
            id,
            stored.namespace,
            stored.task,
            skipped.first.as_micros(),
            now.as_micros(),
            priority,
            message,
            metadata_text(&spec.metadata),
            spec.input.stored_media_type(),
            spec.input.bytes(),
            stored.id,
            skipped.count,
            skipped.last.as_micros(),
            because_text(&Because::of_span(gap.from, now)),
            super::super::input::checksum(spec.input.bytes()),
        ])?;
    for (key, value) in spec.metadata.iter() {
        tx.conn
            .prepare_cached("-- create: metadata\nINSERT INTO runlater_run_metadata (namespace, key, value, run) VALUES (?1, ?2, ?3, ?4)")?
            .execute((NamespaceId(stored.namespace).0, key, value, id))?;
    }
    count(tx, u64::from(skipped.count), |counts| &counts.host_down);
    Ok(())
}
