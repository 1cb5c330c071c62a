//! Ends an attempt: outcome, log, what follows, and the guest's writes, in one transaction or not at all.
//!
//! Fenced by the attempt's number: what an attempt says that is no longer the run's last one changes nothing.

use super::group::Tx;
use super::rows::{BACKOFF, CANCELLED, FAILED, SCHEDULED, SUCCEEDED, waiting_run};
use super::{attempt_rows, cancel, chain, on_failure, write_set};
use crate::model::{FailureReason, Next, RunId, Timestamp, WriteRefused};
use crate::storage::{Finish, RunChange, RunEvent};

/// The parts of a run's row that an attempt's end changes.
struct End<'a> {
    status: i64,
    due_at: Option<i64>,
    failures: i64,
    reason: Option<&'static str>,
    message: Option<&'a str>,
    output: Option<&'a crate::model::Payload>,
    /// The word in the attempt's own history; `None` for an end that the run's row tells by itself.
    outcome: Option<&'static str>,
}

pub(super) fn finish(tx: &mut Tx<'_>, finish: &Finish, now: i64) -> rusqlite::Result<()> {
    let Some(run) = finish.run.key_in(tx.shared.id_origin) else { return Ok(()) };
    // The claim may be in this very group and not yet written: then the row is still that of a waiting run.
    let unwritten = tx.claims.get(&run).is_some_and(|claim| claim.attempt == finish.attempt);
    if unwritten {
        tx.claims.remove(&run);
    }
    let mut next = &finish.next;
    let refused;
    // The attempt may have ended before it was told, and after the caller was.
    if !next.status().is_final() && cancel::is_requested(tx.conn, run)? {
        next = &Next::Cancelled;
    }
    let writes = next.commits_writes() && !finish.writes.is_empty();
    let bytes_before = tx.shared.run_bytes.mark();
    if writes {
        tx.conn.prepare_cached("SAVEPOINT finish")?.execute([])?;
    }
    let mut held = apply(tx, run, finish, next, now, unwritten)?;
    if writes && held {
        let marks = write_set::Marks::of(tx);
        if let Err(why) = write_set::apply(tx, run, &finish.writes, now)? {
            tx.conn.prepare_cached("ROLLBACK TO finish")?.execute([])?;
            marks.restore(tx);
            // The savepoint is from before the outcome, which is written again.
            tx.shared.run_bytes.undo_to(bytes_before);
            refused = after_refusal(why, &finish.if_conflict);
            next = &refused;
            held = apply(tx, run, finish, next, now, unwritten)?;
        }
    }
    if writes {
        tx.conn.prepare_cached("RELEASE finish")?.execute([])?;
    }
    if !held {
        tracing::warn!(run = %finish.run, attempt = finish.attempt, "the outcome of an attempt that lost its run is dropped");
        return Ok(());
    }
    settle(tx, run, finish, next, now)
}

/// What follows when the writes could not be committed, with the reason in words.
fn after_refusal(why: WriteRefused, if_conflict: &Next) -> Next {
    match (why, if_conflict.clone()) {
        (WriteRefused::Quota(message), _) => Next::Failed { reason: FailureReason::QuotaExceeded, message },
        (WriteRefused::Conflict(message), Next::Backoff { due_at, reason, .. }) => Next::Backoff { due_at, reason, message },
        (WriteRefused::Conflict(message), Next::Failed { reason, .. }) => Next::Failed { reason, message },
        (WriteRefused::Conflict(_), other) => other,
    }
}

/// Writes the run's row and its attempt's; false if the run is no longer this attempt's.
fn apply(tx: &mut Tx<'_>, run: i64, finish: &Finish, next: &Next, now: i64, unwritten: bool) -> rusqlite::Result<bool> {
    let mut end = end_of(next, now);
    // Who was asked to make way for another run is told so.
    let made_way = if matches!(next, Next::Cancelled) { cancel::made_way(tx.conn, run)? } else { None };
    if let Some(why) = &made_way {
        (end.reason, end.message) = (Some("overlap"), Some(why.as_str()));
    }
    // What is repeated keeps its place in a lane of one; by this status it is known after a restart.
    if matches!(next, Next::Requeued | Next::GivenBack)
        && tx.shared.due.in_flight(run, |flight| flight.task).is_some_and(|task| keeps_order(tx, task))
    {
        end.status = BACKOFF;
    }
    let component = tx.shared.registry.component_id(&finish.digest);
    // An attempt that succeeded without a log is told by its run's row.
    let attempt = (end.outcome.is_some() || !finish.log.is_empty()).then(|| attempt_rows::Ended {
        run,
        number: finish.attempt,
        started_at: finish.started_at.as_micros(),
        finished_at: now,
        component,
        outcome: end.outcome.unwrap_or("succeeded"),
        message: end.message,
        log: &finish.log,
    });
    let bytes = end.output.map_or(0, |output| output.bytes().len() as i64) + attempt.as_ref().map_or(0, attempt_rows::Ended::bytes);
    let mut statement = match tx.finish.take() {
        Some(statement) => statement,
        None => tx.conn.prepare_cached(
            "-- finish
             UPDATE runlater_runs SET status = ?2, due_at = ?3, attempt = ?4, failures = failures + ?5, started_at = ?6, finished_at = ?7, component = ?8,
                 reason = ?9, message = ?10, output_type = ?11, output = ?12, bytes = bytes + ?15,
                 failing_since = CASE WHEN ?5 > 0 THEN coalesce(failing_since, ?6) ELSE failing_since END
             WHERE id = ?1 AND attempt = ?13 AND CASE WHEN ?14 THEN status IN (0, 2) ELSE status = 1 END",
        )?,
    };
    let finished_at = next.status().is_final().then_some(now);
    let changed = statement.execute(rusqlite::params![
        run,
        end.status,
        end.due_at,
        finish.attempt,
        end.failures,
        finish.started_at.as_micros(),
        finished_at,
        component,
        end.reason,
        end.message,
        end.output.and_then(|output| output.stored_media_type()),
        end.output.map(|output| output.bytes()),
        finish.attempt.saturating_sub(u32::from(unwritten)),
        unwritten,
        bytes,
    ])?;
    tx.finish = Some(statement);
    if changed == 0 {
        return Ok(false);
    }
    let dropped = attempt.map_or(Ok(0), |attempt| attempt_rows::put(tx.conn, &attempt))?;
    if dropped > 0 {
        tx.conn.prepare_cached("-- finish: dropped\nUPDATE runlater_runs SET bytes = bytes - ?2 WHERE id = ?1")?.execute((run, dropped))?;
    }
    if bytes != dropped {
        let namespace = match tx.shared.due.in_flight(run, |flight| flight.namespace) {
            Some(namespace) => namespace,
            None => tx
                .conn
                .prepare_cached("-- finish: namespace\nSELECT namespace FROM runlater_runs WHERE id = ?1")?
                .query_row([run], |row| row.get(0))?,
        };
        tx.shared.run_bytes.add(namespace, bytes - dropped);
    }
    Ok(true)
}

fn end_of(next: &Next, now: i64) -> End<'_> {
    let plain = End { status: SUCCEEDED, due_at: None, failures: 0, reason: None, message: None, output: None, outcome: None };
    match next {
        Next::Succeeded { output } => End { output: output.as_ref(), ..plain },
        Next::Failed { reason, message } => {
            End { status: FAILED, failures: 1, reason: Some(reason.code()), message: Some(message), outcome: Some(reason.code()), ..plain }
        }
        Next::Backoff { due_at, reason, message } => End {
            status: BACKOFF,
            due_at: Some(due_at.as_micros()),
            failures: 1,
            reason: Some(reason.code()),
            message: Some(message),
            outcome: Some(reason.code()),
            ..plain
        },
        Next::Snoozed { due_at } => {
            End { status: BACKOFF, due_at: Some(due_at.as_micros()), reason: Some("snoozed"), outcome: Some("snoozed"), ..plain }
        }
        Next::Requeued => End { status: SCHEDULED, due_at: Some(now), reason: Some("shut-down"), outcome: Some("shut-down"), ..plain },
        Next::GivenBack => End { status: SCHEDULED, due_at: Some(now), reason: Some("no-room"), outcome: Some("no-room"), ..plain },
        Next::Cancelled => End { status: CANCELLED, reason: Some("cancelled"), outcome: Some("cancelled"), ..plain },
    }
}

/// Whether the task's runs keep their slot until they have their outcome.
fn keeps_order(tx: &Tx<'_>, task: i64) -> bool {
    tx.shared.registry.task_by_id(task).is_some_and(|task| task.policy.concurrency.keeps_order())
}

/// Notes what the commit changes in memory.
fn settle(tx: &mut Tx<'_>, run: i64, finish: &Finish, next: &Next, now: i64) -> rusqlite::Result<()> {
    let about = tx.shared.due.in_flight(run, |flight| (flight.root, flight.parent, flight.task, flight.namespace, flight.due_at));
    tx.released.push(run);
    if next.status().is_final() {
        if let Some((Some(root), ..)) = about {
            chain::leave(tx.conn, root)?;
        }
        tx.ended.push(run);
        if matches!(next, Next::Failed { .. }) {
            on_failure::follow(tx, run, now)?;
        }
    } else {
        tx.arm.push(waiting_run(tx.conn, run)?);
    }
    if tx.watched()
        && let Some((_, parent, task, namespace, due_at)) = about
        && let Some(task) = tx.shared.registry.task_name(task)
    {
        let time = |micros| Timestamp::from_micros(micros).unwrap_or(Timestamp::MIN);
        tx.events.push(RunEvent {
            namespace: crate::model::NamespaceId(namespace),
            run: finish.run,
            task,
            parent: parent.map(|parent| RunId::from_key(parent, tx.shared.id_origin)),
            change: RunChange::Finished {
                attempt: finish.attempt,
                next: next.clone(),
                lateness: finish.started_at.since(time(due_at)),
                took: time(now).since(finish.started_at),
            },
        });
    }
    Ok(())
}
