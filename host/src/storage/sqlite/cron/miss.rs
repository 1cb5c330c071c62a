//! Decides about the occurrences that passed while no host was running.

use std::collections::BTreeSet;

use super::fire::{move_on, or_set_aside};
use super::occur::{made_of, occur};
use super::read::{COLUMNS, Stored, stored};
use super::settle;
use super::skip::{skip_missed, skip_over_quota};
use super::withdraw::withdraw;
use crate::model::limits::OCCURRENCES_MAX;
use crate::model::{Gap, Timestamp, catch_up};
use crate::storage::sqlite::group::Tx;

/// Runs, and bytes of their inputs, that one transaction makes, so that it does not hold up the writer.
const RUNS_MAX: usize = 512;
const BYTES_MAX: usize = 8 << 20;

/// How much one transaction may still do.
struct Budget {
    runs: usize,
    bytes: usize,
}

impl Budget {
    const fn is_used_up(&self) -> bool {
        self.runs == 0 || self.bytes == 0
    }

    /// Takes one run with an input of this many bytes. The last one may go beyond.
    fn take(&mut self, bytes: usize) {
        (self.runs, self.bytes) = (self.runs.saturating_sub(1), self.bytes.saturating_sub(bytes));
    }
}

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
    let (mut count, mut budget) = (0, Budget { runs: RUNS_MAX, bytes: BYTES_MAX });
    for (id, read) in found {
        let Some(stored) = or_set_aside(tx, id, read)? else { continue };
        count += 1;
        miss_one(tx, stored, gap, &mut budget, now)?;
        if budget.is_used_up() {
            break;
        }
    }
    settle(tx)?;
    Ok(count)
}

/// Deals with one cron as far as the budget goes. What is left is found by the next slice: the cron's next occurrence is then the first that this one
/// did not come to, and all occurrences from there on that are to run still are those that the policy chooses.
fn miss_one(tx: &mut Tx<'_>, mut stored: Stored, gap: Gap, budget: &mut Budget, now: Timestamp) -> rusqlite::Result<()> {
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
    let mut runs: Vec<_> = caught_up.chain(coming.filter(|(_, due)| *due > until)).collect();
    // In order of time, so that a slice may end at any of them. One that is in both lists runs now.
    runs.sort_by_key(|(planned, _)| *planned);
    runs.dedup_by_key(|(planned, _)| *planned);
    if let Some(skipped) = plan.skipped {
        skip_missed(tx, &stored, skipped, gap, now)?;
    }
    let bytes = stored.cron.spec.input.bytes().len();
    let mut left = None;
    for (planned, due) in runs {
        if budget.is_used_up() {
            left = Some(planned);
            break;
        }
        budget.take(bytes);
        if stored.cron.spec.max_count.is_some_and(|max| stored.cron.fired >= max) {
            break;
        }
        match occur(tx, &stored, Some(planned), due, now)? {
            Ok(made) => stored.cron.fired += u32::from(made.is_some()),
            Err(why) => skip_over_quota(tx, &stored, planned, &why, now)?,
        }
    }
    stored.cron.next_at = match stored.cron.spec.max_count {
        Some(max) if stored.cron.fired >= max => None,
        _ => left.or_else(|| stored.cron.spec.rule.next_after(until)),
    };
    move_on(tx, &stored)
}
