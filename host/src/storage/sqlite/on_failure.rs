//! Makes the run that a task asks for when one of its own has failed for good.
//!
//! In the transaction that marks the failure, so that there is either both or neither. What stands in its way is added to the failed
//! run's message: nothing is dropped silently.

use rusqlite::Connection;
use serde_json::value::RawValue;

use super::create::{Refused, insert};
use super::group::Tx;
use super::rows::{Waiting, metadata};
use super::writer::Shared;
use crate::model::limits::DEPTH_MAX;
use crate::model::{Effort, Lineage, Misfit, NamespaceId, NewRun, Origin, ParentRun, Payload, RunId, Timestamp};
use crate::storage::{RunChange, RunEvent};

/// What such a run is given: the failed one, as whoever has to deal with it wants to know it.
#[derive(serde::Serialize)]
struct Told<'a> {
    run: RunId,
    task: &'a str,
    reason: Option<String>,
    message: Option<String>,
    attempts: u32,
    #[serde(skip_serializing_if = "Option::is_none")]
    input: Option<&'a RawValue>,
}

/// Follows the failure of `run`, whose row says already that it failed, and arms what was made.
pub(super) fn follow(tx: &mut Tx<'_>, run: i64, now: i64) -> rusqlite::Result<()> {
    let now = Timestamp::from_micros(now).unwrap_or(Timestamp::MIN);
    let Some((made, waiting)) = make(tx.conn, tx.shared, run, now)? else { return Ok(()) };
    if tx.watched() {
        tx.events.push(RunEvent {
            namespace: NamespaceId(waiting.namespace),
            run: made.id,
            task: made.task.name.clone(),
            parent: made.lineage.map(|lineage| lineage.parent),
            change: RunChange::Created { trigger_at: made.trigger_at },
        });
    }
    tx.arm.push(waiting);
    Ok(())
}

/// The same, before there is a queue.
pub(super) fn make(conn: &Connection, shared: &Shared, run: i64, now: Timestamp) -> rusqlite::Result<Option<(NewRun, Box<Waiting>)>> {
    let task: i64 =
        conn.prepare_cached("-- on failure: task\nSELECT task FROM runlater_runs WHERE id = ?1")?.query_row([run], |row| row.get(0))?;
    let Some(task) = shared.registry.task_by_id(task) else { return Ok(None) };
    let Some(wanted) = &task.policy.on_failure else { return Ok(None) };
    let Some(target) = shared.registry.task(task.namespace, wanted.as_str()) else {
        say(conn, run, &format!("no run of {wanted} was made, because no such task is registered"))?;
        return Ok(None);
    };
    let id = RunId::from_key(run, shared.id_origin);
    let failed = conn
        .prepare_cached(
            "-- on failure: look
             SELECT reason, message, attempt, metadata, input_type, input, parent, root, depth, on_failure
             FROM runlater_runs WHERE id = ?1",
        )?
        .query_row([run], |row| {
            let (parent, root): (Option<i64>, Option<i64>) = (row.get(6)?, row.get(7)?);
            let ancestor = |key| RunId::from_key(key, shared.id_origin);
            let lineage = match (parent, root) {
                (Some(parent), Some(root)) => {
                    Some(Lineage { parent: ancestor(parent), root: ancestor(root), depth: row.get::<_, Option<u32>>(8)?.unwrap_or(0) })
                }
                _ => None,
            };
            let input = Payload::from_stored(row.get_ref(4)?.as_str_or_null()?, row.get_ref(5)?.as_blob()?);
            let json = input.as_json().and_then(|json| serde_json::from_str::<&RawValue>(json).ok());
            let told =
                Told { run: id, task: task.name.as_str(), reason: row.get(0)?, message: row.get(1)?, attempts: row.get(2)?, input: json };
            // An input that fills a payload, or its depth, by itself is left to be read from the failed run.
            let told = Payload::from_value(&told, "input").or_else(|_| Payload::from_value(&Told { input: None, ..told }, "input"));
            let told = told.map_err(|invalid| super::rows::strange(5, &invalid.reason))?;
            let is_one_itself: bool = row.get(9)?;
            Ok((told, metadata(row.get_ref(3)?.as_str_or_null()?, 3)?, lineage, is_one_itself))
        })?;
    let (input, metadata, lineage, is_one_itself) = failed;
    if is_one_itself && target.id == task.id {
        say(conn, run, &format!("no further run of {wanted} was made, because this was one itself"))?;
        return Ok(None);
    }
    // The writer waits for nobody: a check that takes long is left to the task itself.
    if let Err(Misfit::Invalid(misfit)) = target.check_input(&input, "input", &mut Effort::at_once()) {
        say(conn, run, &format!("no run of {wanted} was made, because what it is told does not fit its schema: {misfit}"))?;
        return Ok(None);
    }
    let Ok(lineage) = Lineage::follow_up(ParentRun { id, lineage }, now, now) else {
        say(conn, run, &format!("no run of {wanted} was made, because the chain is {DEPTH_MAX} quick hops long"))?;
        return Ok(None);
    };
    let made = NewRun {
        id: RunId::from_key(shared.next_run_key(now), shared.id_origin),
        trigger_at: now,
        input,
        metadata,
        unique_key: None,
        idempotency: None,
        origin: Origin::Guest,
        lineage: Some(lineage),
        occurrence: None,
        max_attempts: None,
        timeout: None,
        priority: None,
        task: target,
    };
    match insert(conn, shared, task.namespace, &made, now)? {
        Ok((waiting, bytes)) => {
            shared.run_bytes.add(task.namespace.0, bytes);
            conn.prepare_cached("-- on failure: mark\nUPDATE runlater_runs SET on_failure = 1 WHERE id = ?1")?.execute([waiting.id])?;
            Ok(Some((made, waiting)))
        }
        Err(Refused::Quota(reason)) => {
            say(conn, run, &format!("no run of {wanted} was made: {reason}"))?;
            Ok(None)
        }
        // Of these, only a request to create runs is refused for its namespace.
        Err(Refused::UniqueKeyTaken(_) | Refused::IdempotencyConflict(_) | Refused::Namespace(_)) => unreachable!("it has no key"),
    }
}

fn say(conn: &Connection, run: i64, what: &str) -> rusqlite::Result<()> {
    conn.prepare_cached("-- on failure: say\nUPDATE runlater_runs SET message = coalesce(message || '; ', '') || ?2 WHERE id = ?1")?
        .execute((run, what))?;
    Ok(())
}
