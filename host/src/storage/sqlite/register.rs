//! Stores a component and its tasks, and brings the runs that its code defines in line with what it says now.

use std::sync::Arc;
use std::sync::atomic::Ordering;

use rusqlite::{Connection, OptionalExtension};

use super::change::{disarm, note, see};
use super::component;
use super::create::create_one;
use super::delete::remove;
use super::group::Tx;
use super::pause::{pause_of, pause_text};
use super::registry::overrides_text;

use crate::model::{
    CodeSchedule, InputSchema, NamespaceId, NewRun, Origin, Pause, RunId, Status, Task, TaskDefinition, TaskId, TaskPolicy, Timestamp,
};
use crate::storage::{RegisterError, Registration, RunChange};

/// Refused if the namespace's components have too many bytes together, or the namespace is being deleted.
pub(super) fn register(tx: &mut Tx<'_>, registration: &Registration, now: Timestamp) -> rusqlite::Result<Result<(), RegisterError>> {
    if let Some(refusal) = tx.shared.registry.refusal(registration.namespace) {
        return Ok(Err(refusal.into()));
    }
    let own = tx.shared.registry.quotas(registration.namespace).component_bytes;
    let max = own.unwrap_or_else(|| tx.shared.component_bytes_max.load(Ordering::Relaxed));
    if !component::fits(tx.conn, registration, max)? {
        let what = "bytes in all components of this namespace, which is the limit; register fewer of them, or smaller ones";
        return Ok(Err(RegisterError::Quota(format!("{max} {what}"))));
    }
    let left_behind = left_behind(tx, registration);
    let component = component::store(tx.conn, registration, now)?;
    let mut before = Vec::new();
    for (definition, policy) in &registration.tasks {
        before.extend(component::of_task(tx.conn, registration.namespace, definition.name.as_str())?);
        let task = store_task(tx.conn, registration, component, definition, policy, now)?;
        sync_schedules(tx, registration, &task, &definition.schedules, now)?;
        super::cron::sync(tx, registration.namespace, &task, &definition.crons, now)?;
    }
    for task in left_behind {
        sync_schedules(tx, registration, &task, &[], now)?;
        super::cron::sync(tx, registration.namespace, &task, &[], now)?;
    }
    component::settle(tx.conn, &before, component, now)?;
    tx.registered = true;
    Ok(Ok(()))
}

/// Tasks of the versions that this registration replaces which it does not have any more. They stay, for runs that wait and for callers; what
/// their code declared does not.
fn left_behind(tx: &Tx<'_>, registration: &Registration) -> Vec<Arc<Task>> {
    let tasks = tx.shared.registry.tasks(registration.namespace);
    registration.left_behind(&tasks).cloned().collect()
}

fn store_task(
    conn: &Connection,
    registration: &Registration,
    component: i64,
    definition: &TaskDefinition,
    policy: &TaskPolicy,
    now: Timestamp,
) -> rusqlite::Result<Task> {
    let grants: Vec<String> = registration.grants.iter().map(ToString::to_string).collect();
    let overrides = registration.overrides.get(&definition.name).cloned().unwrap_or_default();
    let policy_text = serde_json::to_string(policy).expect("a policy is plain data");
    let (id, created_at, pause): (i64, i64, rusqlite::Result<Option<Pause>>) = conn
        .prepare_cached(
            "-- register: task
             INSERT INTO runlater_tasks (namespace, name, component, grants, description, input_schema, policy, created_at, updated_at, overrides)
             VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?8, ?9)
             ON CONFLICT (namespace, name) DO UPDATE SET component = ?3, grants = ?4, description = ?5, input_schema = ?6, policy = ?7, updated_at = ?8,
                 overrides = ?9
             RETURNING id, created_at, pause",
        )?
        .query_row(
            (
                registration.namespace.0,
                definition.name.as_str(),
                component,
                grants.join(" "),
                &definition.description,
                definition.input_schema.as_ref().map(InputSchema::as_str),
                policy_text,
                now.as_micros(),
                overrides_text(&overrides),
            ),
            |row| Ok((row.get(0)?, row.get(1)?, pause_of(row, 2))),
        )?;
    let pause = match pause {
        Ok(pause) => pause,
        // So a damaged task is mended. That it was paused is known, and no more: somebody decides whether it still is to be.
        Err(_) => {
            let pause = Pause { since: now, until: None, note: "it was paused, and what for can't be understood any more".into() };
            conn.execute("-- register: pause\nUPDATE runlater_tasks SET pause = ?2 WHERE id = ?1", (id, pause_text(&pause)))?;
            Some(pause)
        }
    };
    Ok(Task {
        id: TaskId(id),
        namespace: registration.namespace,
        name: definition.name.clone(),
        digest: registration.component.digest,
        grants: registration.grants.clone(),
        description: definition.description.clone(),
        input_schema: definition.input_schema.clone(),
        policy: policy.clone(),
        overrides,
        created_at: Timestamp::from_micros(created_at).unwrap_or(now),
        updated_at: now,
        pause,
    })
}

/// Adds, moves and removes the runs that the code defines. One that has triggered is left alone, and is not made again: its key is
/// remembered. A schedule whose time has passed when it is first seen is remembered as done.
fn sync_schedules(
    tx: &mut Tx<'_>,
    registration: &Registration,
    task: &Task,
    schedules: &[CodeSchedule],
    now: Timestamp,
) -> rusqlite::Result<()> {
    let namespace = registration.namespace;
    let known: Vec<(String, i64, i64)> = {
        let mut statement =
            tx.conn.prepare_cached("-- code schedules\nSELECT key, run, trigger_at FROM runlater_code_schedules WHERE task = ?1")?;
        let rows = statement.query_map([task.id.0], |row| Ok((row.get(0)?, row.get(1)?, row.get(2)?)))?;
        rows.collect::<rusqlite::Result<_>>()?
    };
    for (key, run, _) in &known {
        if !schedules.iter().any(|schedule| schedule.key == *key) {
            withdraw(tx, namespace, *run, now)?;
            tx.conn
                .prepare_cached("-- code schedule: forget\nDELETE FROM runlater_code_schedules WHERE task = ?1 AND key = ?2")?
                .execute((task.id.0, key))?;
        }
    }
    for schedule in schedules {
        let run = match known.iter().find(|(key, ..)| *key == schedule.key) {
            Some((_, run, at)) if *at == schedule.at.as_micros() && unchanged(tx.conn, *run, schedule)? => continue,
            Some((_, run, _)) if !withdraw(tx, namespace, *run, now)? && schedule.at <= now => continue,
            _ if schedule.at <= now => 0,
            _ => define(tx, namespace, task, schedule, now)?,
        };
        tx.conn
            .prepare_cached(
                "-- code schedule\nINSERT OR REPLACE INTO runlater_code_schedules (task, key, run, trigger_at) VALUES (?1, ?2, ?3, ?4)",
            )?
            .execute((task.id.0, &schedule.key, run, schedule.at.as_micros()))?;
    }
    Ok(())
}

fn define(tx: &mut Tx<'_>, namespace: NamespaceId, task: &Task, schedule: &CodeSchedule, now: Timestamp) -> rusqlite::Result<i64> {
    let id = tx.shared.next_run_key(now);
    let run = NewRun {
        id: RunId::from_key(id, tx.shared.id_origin),
        task: Arc::new(task.clone()),
        trigger_at: schedule.at,
        input: schedule.input.clone(),
        metadata: Default::default(),
        unique_key: None,
        idempotency: None,
        origin: Origin::Code,
        lineage: None,
        occurrence: None,
        max_attempts: None,
        timeout: None,
        priority: None,
    };
    match create_one(tx, namespace, &run, now)? {
        Ok(_) => Ok(id),
        Err(_) => Err(super::rows::strange(0, "a code-defined run without key and parent can't be refused")),
    }
}

/// Whether the run is given what the schedule says. One that is gone had its turn.
fn unchanged(conn: &Connection, run: i64, schedule: &CodeSchedule) -> rusqlite::Result<bool> {
    let same = conn
        .prepare_cached("-- code schedule: compare\nSELECT input = ?2 AND input_type IS ?3 FROM runlater_runs WHERE id = ?1")?
        .query_row((run, schedule.input.bytes(), schedule.input.stored_media_type()), |row| row.get(0))
        .optional()?;
    Ok(same.unwrap_or(true))
}

/// Removes the run if it has not triggered; false if it has, or is gone.
fn withdraw(tx: &mut Tx<'_>, namespace: NamespaceId, run: i64, now: Timestamp) -> rusqlite::Result<bool> {
    let Some(seen) = see(tx.conn, namespace, run, now)? else { return Ok(false) };
    if seen.status != Status::Scheduled || !disarm(tx, run) {
        return Ok(false);
    }
    remove(tx, namespace, &seen)?;
    tx.ended.push(run);
    note(tx, namespace, RunId::from_key(run, tx.shared.id_origin), &seen, RunChange::Deleted);
    Ok(true)
}
