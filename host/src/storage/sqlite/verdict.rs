//! Writes what the gates have decided: who is missed instead of waiting, and who is asked to end.
//!
//! Decided in memory (`gated.rs`), applied by the writer in its order; the row has the last word. A run that was moved, cancelled or started
//! meanwhile is left alone.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use rusqlite::OptionalExtension;

use super::chain;
use super::change::disarm;
use super::gated::time;
use super::group::Tx;
use super::rows::because_text;
use crate::model::{Because, Concurrency, NamespaceId, RunId, Status, format_duration};
use crate::storage::{Missed, RunChange, RunEvent};

/// What was decided about one run.
#[derive(Debug)]
pub(super) enum Verdict {
    /// It is missed, because its lane was busy: `holder` had been there since then.
    Overlap { run: i64, due_at: i64, lane: Option<Arc<str>>, holder: (i64, i64), concurrency: Concurrency },
    /// It is missed, because it had not started so long (in microseconds) after its trigger time.
    Expired { run: i64, due_at: i64, deadline: i64 },
    /// Its attempt is asked to end, because `newcomer` became due in its lane.
    MakeWay { run: i64, attempt: u32, newcomer: i64, concurrency: Concurrency },
}

/// What was missed and asked to end since the start, as far as it was written.
#[derive(Default)]
pub(super) struct Counts {
    pub(super) host_down: AtomicU64,
    pub(super) overlap: AtomicU64,
    pub(super) expired: AtomicU64,
    pub(super) made_way: AtomicU64,
}

impl Counts {
    pub(super) fn missed(&self) -> Missed {
        let count = |count: &AtomicU64| count.load(Ordering::Relaxed);
        Missed { host_down: count(&self.host_down), overlap: count(&self.overlap), expired: count(&self.expired) }
    }
}

pub(super) fn apply(tx: &mut Tx<'_>, verdict: &Verdict, now: i64) -> rusqlite::Result<()> {
    let id_origin = tx.shared.id_origin;
    match verdict {
        Verdict::Overlap { run, due_at, lane, holder: (holder, since), concurrency } => {
            let (holder, since) = (RunId::from_key(*holder, id_origin), time(*since));
            let why = concurrency.why_missed(lane.as_deref(), holder, since);
            if miss(tx, *run, *due_at, "overlap", &why, |_| Because::of_run(holder, Some(since)), now)? {
                count(tx, 1, |counts| &counts.overlap);
            }
        }
        Verdict::Expired { run, due_at, deadline } => {
            let span = format_duration(std::time::Duration::from_micros(*deadline as u64));
            let why = format!(
                "it had not started within {span} of its trigger time, and the task's policy is to start none later (start-deadline = {span})"
            );
            let over = |trigger_at: i64| Because { until: Some(time(trigger_at.saturating_add(*deadline))), ..Because::default() };
            if miss(tx, *run, *due_at, "expired", &why, over, now)? {
                count(tx, 1, |counts| &counts.expired);
            }
        }
        Verdict::MakeWay { run, attempt, newcomer, concurrency } => {
            let newcomer = RunId::from_key(*newcomer, id_origin);
            make_way(tx, *run, *attempt, &concurrency.why_cancelled(newcomer), Because::of_run(newcomer, None))?;
        }
    }
    Ok(())
}

/// Counts so many more, once this is committed.
pub(super) fn count(tx: &mut Tx<'_>, more: u64, of: impl FnOnce(&Counts) -> &AtomicU64 + Send + 'static) {
    let counts = tx.shared.counts.clone();
    tx.after_commit.push(Box::new(move || _ = of(&counts).fetch_add(more, Ordering::Relaxed)));
}

/// Marks a run that still waits for its first attempt as it did when that was decided; false if it does not. `because` is given its trigger time.
fn miss(
    tx: &mut Tx<'_>,
    run: i64,
    due_at: i64,
    reason: &'static str,
    why: &str,
    because: impl FnOnce(i64) -> Because,
    now: i64,
) -> rusqlite::Result<bool> {
    let waits = tx
        .conn
        .prepare_cached(
            "-- verdict: look
             SELECT namespace, task, parent, root, trigger_at FROM runlater_runs WHERE id = ?1 AND due_at = ?2 AND status = 0 AND attempt = 0",
        )?
        .query_row((run, due_at), |row| Ok((row.get::<_, i64>(0)?, row.get(1)?, row.get::<_, Option<i64>>(2)?, row.get(3)?, row.get(4)?)))
        .optional()?;
    let Some((namespace, task, parent, root, trigger_at)) = waits else { return Ok(false) };
    if !disarm(tx, run) {
        return Ok(false);
    }
    tx.conn
        .prepare_cached(
            "-- verdict: miss
             UPDATE runlater_runs SET status = 6, due_at = NULL, finished_at = ?2, reason = ?3, message = ?4, because = ?5 WHERE id = ?1",
        )?
        .execute((run, now, reason, why, because_text(&because(trigger_at))))?;
    if let Some(root) = root {
        chain::leave(tx.conn, root)?;
    }
    tx.ended.push(run);
    if tx.watched()
        && let Some(task) = tx.shared.registry.task_name(task)
    {
        let id = |key| RunId::from_key(key, tx.shared.id_origin);
        let change = RunChange::Marked(Status::Missed);
        tx.events.push(RunEvent { namespace: NamespaceId(namespace), run: id(run), task, parent: parent.map(id), change });
    }
    Ok(true)
}

/// Asks an attempt to end, as a request to cancel does, unless it has ended or somebody has asked before.
fn make_way(tx: &mut Tx<'_>, run: i64, attempt: u32, why: &str, because: Because) -> rusqlite::Result<()> {
    if tx.released.contains(&run) {
        return Ok(());
    }
    let signal = tx.shared.due.in_flight(run, |flight| (flight.attempt == attempt).then(|| flight.cancel.clone())).flatten();
    let Some(signal) = signal else { return Ok(()) };
    let asked = tx
        .conn
        .prepare_cached(
            "-- verdict: make way
             UPDATE runlater_runs SET cancel_requested = 1, reason = 'overlap', message = ?2, because = ?3 WHERE id = ?1 AND cancel_requested = 0",
        )?
        .execute((run, why, because_text(&because)))?;
    if asked > 0 {
        tx.after_commit.push(Box::new(move || signal.set()));
        count(tx, 1, |counts| &counts.made_way);
    }
    Ok(())
}
