//! Takes over what a host that died left behind.
//!
//! Runs once, on the writer's connection, before anything else does. The lock on the file proves that the earlier host is gone, so its
//! leases need no time to run out.

use rusqlite::Connection;

use super::pause::pause_text;
use super::rows::{BACKOFF, CANCELLED, FAILED, SCHEDULED};
use super::writer::Shared;
use super::{chain, meta, on_failure};
use crate::model::limits::{CRASHES_MAX, QUARANTINED_MAX};
use crate::model::{Next, Pause, Timestamp, next_after_host_crash};

/// Runs that are watched as possible killers of their host. More than a host can have in flight.
const SUSPECTS_MAX: i64 = 4_096;

/// What is said of an attempt that its host did not survive.
const DIED: &str = "the host process died during this attempt";

/// The runs that may have killed the host; none after a clean stop.
#[derive(Default)]
pub(super) struct Suspects {
    pub(super) all: Vec<i64>,
    /// Those that the next crash would quarantine.
    pub(super) at_last_chance: Vec<i64>,
    /// Whether tasks were suspended, which the registry does not know yet.
    pub(super) suspended: bool,
}

impl Suspects {
    fn add(&mut self, run: i64, crashes: u32) {
        self.all.push(run);
        if crashes + 1 >= CRASHES_MAX {
            self.at_last_chance.push(run);
        }
    }
}

/// Pauses all tasks of a component of whose runs too many were quarantined since it was registered: it takes the host down again and again,
/// with whatever else is in flight. Somebody resumes them, or registers a better version first.
fn suspend(conn: &Connection, task: i64, now: Timestamp) -> rusqlite::Result<bool> {
    let quarantined: u32 = conn
        .prepare_cached(
            "-- recover: quarantined
             SELECT count(*) FROM runlater_tasks t JOIN runlater_runs r ON r.namespace = t.namespace AND r.task = t.id
             WHERE t.component = (SELECT component FROM runlater_tasks WHERE id = ?1)
                 AND r.status NOT IN (0, 3) AND r.status = 4 AND r.reason = 'quarantined' AND r.finished_at >= t.updated_at",
        )?
        .query_row([task], |row| row.get(0))?;
    if quarantined < QUARANTINED_MAX {
        return Ok(false);
    }
    let note = format!("suspended: {quarantined} runs of this component took the host down; mend it, register it, and resume its tasks");
    tracing::error!(task, "{note}");
    let pause = pause_text(&Pause { since: now, until: None, note });
    conn.prepare_cached(
        "-- recover: suspend
         UPDATE runlater_tasks SET pause = ?2 WHERE pause IS NULL AND component = (SELECT component FROM runlater_tasks WHERE id = ?1)",
    )?
    .execute((task, pause))
    .map(|suspended| suspended > 0)
}

/// Ends the attempts that were in flight, as crashed.
pub(super) fn recover(conn: &mut Connection, shared: &Shared, now: i64) -> rusqlite::Result<Suspects> {
    let clean = meta::number(conn, "clean_stop")?.is_none_or(|clean| clean == 1);
    let transaction = conn.transaction_with_behavior(rusqlite::TransactionBehavior::Immediate)?;
    let mut suspects = Suspects::default();
    let in_flight = {
        // The terms on status repeat the condition of the index that holds the few rows meant.
        let mut statement = transaction.prepare(
            "-- recover: look
             SELECT id, attempt, crashes + 1, cancel_requested, started_at, root, task, namespace FROM runlater_runs WHERE status NOT IN (0, 3) AND status = 1",
        )?;
        let rows = statement.query_map([], |row| {
            Ok((
                row.get::<_, i64>(0)?,
                row.get::<_, i64>(1)?,
                row.get::<_, u32>(2)?,
                row.get::<_, bool>(3)?,
                row.get::<_, i64>(4)?,
                row.get::<_, Option<i64>>(5)?,
                row.get::<_, i64>(6)?,
                row.get::<_, i64>(7)?,
            ))
        })?;
        rows.collect::<rusqlite::Result<Vec<_>>>()?
    };
    for (run, attempt, crashes, cancel_requested, started_at, root, task, namespace) in in_flight {
        let next = next_after_host_crash(crashes, cancel_requested);
        let (status, due_at, reason, message) = match &next {
            Next::Failed { reason, message } => (FAILED, None, reason.code(), Some(message.as_str())),
            Next::Cancelled => (CANCELLED, None, "cancelled", None),
            _ => {
                suspects.add(run, crashes);
                // In a lane of one it keeps its place: by this status it is known then.
                let keeps = shared.registry.task_by_id(task).is_some_and(|task| task.policy.concurrency.keeps_order());
                (if keeps { BACKOFF } else { SCHEDULED }, Some(now), "host-crashed", None)
            }
        };
        let finished_at = due_at.is_none().then_some(now);
        transaction
            .prepare_cached(
                "-- recover
             UPDATE runlater_runs SET status = ?2, due_at = ?3, finished_at = ?4, crashes = ?7, bytes = bytes + ?8,
                 reason = CASE WHEN ?2 = 5 AND reason = 'overlap' THEN reason ELSE ?5 END,
                 message = CASE WHEN ?2 = 5 AND reason = 'overlap' THEN message ELSE ?6 END WHERE id = ?1",
            )?
            .execute((run, status, due_at, finished_at, reason, message, crashes, DIED.len() as i64))?;
        transaction
            .prepare_cached(
                "-- recover: attempt
             INSERT OR REPLACE INTO runlater_attempts (run, number, started_at, finished_at, outcome, message)
             VALUES (?1, ?2, ?3, ?4, 'host-crashed', ?5)",
            )?
            .execute((run, attempt, started_at, now, DIED))?;
        shared.run_bytes.add(namespace, DIED.len() as i64);
        if let (Some(root), None) = (root, due_at) {
            chain::leave(&transaction, root)?;
        }
        if status == FAILED {
            let now = Timestamp::from_micros(now).unwrap_or(Timestamp::MIN);
            on_failure::make(&transaction, shared, run, now)?;
            suspects.suspended |= suspend(&transaction, task, now)?;
        }
    }
    if !clean {
        // A claim that was not on disk yet left no trace: whatever was due may be the one. Its attempt may have been told to end.
        let mut statement = transaction.prepare(
            "-- recover: suspects
             SELECT r.id, crashes, cancel_requested, root FROM runlater_namespaces n CROSS JOIN runlater_runs r ON r.namespace = n.id
             WHERE due_at IS NOT NULL AND due_at <= ?1 LIMIT ?2",
        )?;
        let rows = statement.query_map([now, SUSPECTS_MAX], |row| Ok((row.get(0)?, row.get(1)?, row.get(2)?, row.get(3)?)))?;
        for (run, crashes, cancel_requested, root) in rows.collect::<rusqlite::Result<Vec<(i64, u32, bool, Option<i64>)>>>()? {
            if !cancel_requested {
                suspects.add(run, crashes);
                continue;
            }
            transaction
                .prepare_cached(
                    "-- recover: cancel
                     UPDATE runlater_runs SET status = 5, due_at = NULL, finished_at = ?2,
                     reason = CASE WHEN reason = 'overlap' THEN reason ELSE 'cancelled' END WHERE id = ?1",
                )?
                .execute((run, now))?;
            if let Some(root) = root {
                chain::leave(&transaction, root)?;
            }
        }
    }
    meta::set_number(&transaction, "clean_stop", 0)?;
    shared.run_bytes.write(&transaction)?;
    failpoint!("recover:before-commit");
    transaction.commit()?;
    shared.run_bytes.committed();
    failpoint!("recover:after-commit");
    Ok(suspects)
}
