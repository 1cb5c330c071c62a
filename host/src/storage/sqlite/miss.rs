//! Marks as missed what became due while no host was running.

use super::chain;
use super::change::disarm;
use super::group::Tx;
use super::rows::because_text;
use super::verdict::count;
use crate::model::{Because, NamespaceId, RunId, Status, Timestamp};
use crate::storage::{Gap, RunChange, RunEvent};

/// Marks up to `limit` runs. Only those that wait for their first attempt, at a time that lay ahead when they were given it: what had
/// triggered before the gap goes on, and what was to run at once still does.
pub(super) fn miss(tx: &mut Tx<'_>, gap: Gap, limit: usize, now: Timestamp) -> rusqlite::Result<usize> {
    let found = {
        let mut statement = tx.conn.prepare_cached(
            "-- miss: look
             SELECT r.id, root, namespace, task, parent, trigger_at FROM runlater_namespaces n CROSS JOIN runlater_runs r ON r.namespace = n.id
             WHERE due_at IS NOT NULL AND due_at > ?1 AND due_at < ?2 AND status = 0 AND attempt = 0
                 AND trigger_at = due_at AND trigger_at > created_at LIMIT ?3",
        )?;
        let rows = statement.query_map((gap.from.as_micros(), gap.until.as_micros(), limit as i64), |row| {
            Ok((
                row.get::<_, i64>(0)?,
                row.get::<_, Option<i64>>(1)?,
                row.get::<_, i64>(2)?,
                row.get::<_, i64>(3)?,
                row.get::<_, Option<i64>>(4)?,
                super::rows::time(row, 5)?,
            ))
        })?;
        rows.collect::<rusqlite::Result<Vec<_>>>()?
    };
    let because = because_text(&Because::of_span(gap.from, now));
    let mut missed = 0;
    for (id, root, namespace, task, parent, trigger_at) in found {
        if !disarm(tx, id) {
            continue;
        }
        let why = tx.shared.registry.task_by_id(task).map(|task| task.policy.missed.why_missed(trigger_at, now));
        tx.conn
            .prepare_cached(
                "-- miss
                 UPDATE runlater_runs SET status = 6, due_at = NULL, finished_at = ?2, reason = 'host-down', message = ?3, because = ?4
                 WHERE id = ?1",
            )?
            .execute((id, now.as_micros(), why, &because))?;
        if let Some(root) = root {
            chain::leave(tx.conn, root)?;
        }
        tx.ended.push(id);
        count(tx, 1, |counts| &counts.host_down);
        missed += 1;
        if tx.watched()
            && let Some(task) = tx.shared.registry.task_name(task)
        {
            let run = |key| RunId::from_key(key, tx.shared.id_origin);
            let event = RunEvent {
                namespace: NamespaceId(namespace),
                run: run(id),
                task,
                parent: parent.map(run),
                change: RunChange::Marked(Status::Missed),
            };
            tx.events.push(event);
        }
    }
    Ok(missed)
}
