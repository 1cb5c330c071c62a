//! Makes up for runs that were missed, where their task's policy says so.
//!
//! Before the others are marked, and while nothing is claimed: what is chosen here becomes due now, under its own trigger time, and is
//! therefore none of those that [`miss`](super::miss) marks.

use rustc_hash::FxHashMap;

use super::change::disarm;
use super::group::Tx;
use super::rows::waiting_run;
use crate::model::{MissedPolicy, NamespaceId, Timestamp};
use crate::storage::Gap;

/// How far one task has come.
struct Place {
    namespace: NamespaceId,
    policy: MissedPolicy,
    /// Later ones that run.
    chosen: u32,
}

/// Chooses up to `limit` runs, for every task the latest first. Returns how many it chose. Called again for the same gap, it chooses the next ones, and
/// none once each task has those that its policy makes up for.
pub(super) fn catch_up(tx: &mut Tx<'_>, gap: Gap, limit: usize, now: Timestamp) -> rusqlite::Result<usize> {
    let mut places: FxHashMap<i64, Place> = FxHashMap::default();
    for task in tx.shared.registry.all_tasks() {
        if task.policy.missed.most() > 0 {
            places.insert(task.id.0, Place { namespace: task.namespace, policy: task.policy.missed, chosen: 0 });
        }
    }
    if places.is_empty() {
        return Ok(0);
    }
    let mut chosen = Vec::new();
    for namespace in tx.shared.registry.namespaces() {
        count_chosen(tx, namespace.id, gap, now, &mut places)?;
        choose(tx, namespace.id, gap, now, &mut places, &mut chosen, limit)?;
    }
    let mut caught_up = 0;
    for id in chosen {
        if !disarm(tx, id) {
            continue;
        }
        tx.conn
            .prepare_cached("-- catch up\nUPDATE runlater_runs SET due_at = ?2, reason = 'caught-up' WHERE id = ?1")?
            .execute((id, now.as_micros()))?;
        tx.arm.push(waiting_run(tx.conn, id)?);
        caught_up += 1;
    }
    Ok(caught_up)
}

/// Chooses the latest runs of a namespace's tasks, as far as their policies go.
fn choose(
    tx: &Tx<'_>,
    namespace: NamespaceId,
    gap: Gap,
    now: Timestamp,
    places: &mut FxHashMap<i64, Place>,
    chosen: &mut Vec<i64>,
    limit: usize,
) -> rusqlite::Result<()> {
    let mut statement = tx.conn.prepare_cached(
        "-- catch up: look
         SELECT id, task, trigger_at FROM runlater_runs
         WHERE namespace = ?1 AND due_at IS NOT NULL AND due_at > ?2 AND due_at < ?3 AND status = 0 AND attempt = 0
             AND trigger_at = due_at AND trigger_at > created_at ORDER BY due_at DESC, id DESC",
    )?;
    let mut rows = statement.query((namespace.0, gap.from.as_micros(), gap.until.as_micros()))?;
    while chosen.len() < limit
        && let Some(row) = rows.next()?
    {
        let Some(place) = places.get_mut(&row.get(1)?) else { continue };
        if place.policy.makes_up(place.chosen, super::rows::time(row, 2)?, now) {
            chosen.push(row.get(0)?);
            place.chosen += 1;
        }
        if places.values().all(|place| place.namespace != namespace || place.chosen >= place.policy.most()) {
            break;
        }
    }
    Ok(())
}

/// Counts what was chosen before, by a sweep that was stopped half-way.
fn count_chosen(tx: &Tx<'_>, namespace: NamespaceId, gap: Gap, now: Timestamp, places: &mut FxHashMap<i64, Place>) -> rusqlite::Result<()> {
    let mut statement = tx.conn.prepare_cached(
        "-- catch up: chosen before
         SELECT task, count(*) FROM runlater_runs
         WHERE namespace = ?1 AND due_at IS NOT NULL AND due_at > ?2 AND due_at <= ?3 AND status = 0 AND attempt = 0
             AND reason = 'caught-up' AND trigger_at > ?2
         GROUP BY task",
    )?;
    let mut rows = statement.query((namespace.0, gap.from.as_micros(), now.as_micros()))?;
    while let Some(row) = rows.next()? {
        if let Some(place) = places.get_mut(&row.get(0)?) {
            place.chosen = row.get(1)?;
        }
    }
    Ok(())
}
