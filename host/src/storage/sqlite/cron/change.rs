//! Creates, changes, pauses and deletes crons.

use super::fire::{fire_overdue, move_on};
use super::read::{Stored, find};
use super::settle;
use super::withdraw::withdraw;
use crate::model::limits::CRONS_MAX;
use crate::model::{Cron, CronChange, CronSpec, Name, NamespaceId, Origin, Pause, Timestamp};
use crate::storage::CronError;
use crate::storage::sqlite::group::Tx;
use crate::storage::sqlite::pause::pause_text;
use crate::storage::sqlite::rows::{metadata_text, origin_code};

type Changed<T> = rusqlite::Result<Result<T, CronError>>;

/// Stores a cron under a name that is free.
pub(in crate::storage::sqlite) fn create(
    tx: &mut Tx<'_>,
    namespace: NamespaceId,
    name: &Name,
    spec: &CronSpec,
    origin: Origin,
    now: Timestamp,
) -> Changed<Cron> {
    let Some(task) = tx.shared.registry.task(namespace, spec.task.as_str()) else {
        return Ok(Err(CronError::TaskNotFound(spec.task.clone())));
    };
    create_for(tx, namespace, task.id.0, name, spec, origin, now)
}

/// As [`create`], for a task that is perhaps being registered.
pub(super) fn create_for(
    tx: &mut Tx<'_>,
    namespace: NamespaceId,
    task: i64,
    name: &Name,
    spec: &CronSpec,
    origin: Origin,
    now: Timestamp,
) -> Changed<Cron> {
    if find(tx.conn, &tx.shared.registry, namespace, name)?.is_some() {
        return Ok(Err(CronError::Exists(name.clone())));
    }
    let count: u32 = tx
        .conn
        .prepare_cached("-- crons: count\nSELECT count(*) FROM runlater_crons WHERE namespace = ?1")?
        .query_row([namespace.0], |row| row.get(0))?;
    let own = tx.shared.registry.quotas(namespace).crons.map(|max| u32::try_from(max).unwrap_or(u32::MAX));
    let max = own.unwrap_or(CRONS_MAX);
    if count >= max {
        return Ok(Err(CronError::TooMany(max)));
    }
    let next_at = spec.rule.next_after(now);
    // No key is given out twice: the runs of a cron that was deleted must not become those of the next one.
    let id = tx.shared.next_run_key(now);
    tx.conn
        .prepare_cached(
            "-- cron: create
             INSERT INTO runlater_crons (id, namespace, name, task, origin, expression, timezone, start_at, jitter, input, created_at, updated_at)
             VALUES (?1, ?2, ?3, ?4, ?5, '', '', 0, 0, x'', ?6, ?6)",
        )?
        .execute((id, namespace.0, name.as_str(), task, origin_code(origin), now.as_micros()))?;
    let cron = Cron {
        name: name.clone(),
        spec: spec.clone(),
        origin,
        pause: None,
        next_at,
        fired: 0,
        version: 0,
        created_at: now,
        updated_at: now,
    };
    store(tx, Stored { id, namespace: namespace.0, task, cron }, now).map(Ok)
}

/// Changes what a cron does; its runs that have not triggered are made anew.
pub(in crate::storage::sqlite) fn change(
    tx: &mut Tx<'_>,
    namespace: NamespaceId,
    name: &Name,
    change: CronChange,
    now: Timestamp,
) -> Changed<Cron> {
    let mut stored = match changeable(tx, namespace, name)? {
        Ok(stored) => stored,
        Err(refusal) => return Ok(Err(refusal)),
    };
    if let Some(version) = change.if_version
        && version != stored.cron.version
    {
        return Ok(Err(CronError::Stale { name: name.clone(), version: stored.cron.version }));
    }
    fire_overdue(tx, &mut stored, now)?;
    stored.cron.spec = stored.cron.spec.with(change);
    replace(tx, stored, now).map(Ok)
}

/// Makes the runs of what a cron has become, in place of those that have not triggered.
pub(super) fn replace(tx: &mut Tx<'_>, mut stored: Stored, now: Timestamp) -> rusqlite::Result<Cron> {
    withdraw(tx, &mut stored, now, None, now)?;
    stored.cron.next_at = following(&stored, now);
    store(tx, stored, now)
}

/// The first occurrence whose run is due from `now` on, as the pause lets it and if there may be any more. With jitter it may be one that was
/// planned before.
fn following(stored: &Stored, now: Timestamp) -> Option<Timestamp> {
    let Cron { spec, fired, .. } = &stored.cron;
    if spec.max_count.is_some_and(|max| *fired >= max) {
        return None;
    }
    let after = stored.cron.fires_after(now)?;
    let rule = &spec.rule;
    std::iter::successors(rule.next_after(after.saturating_sub(rule.jitter())), |planned| rule.next_after(*planned))
        .find(|planned| planned.saturating_add(rule.delay(stored.id, *planned)) > after)
}

/// Pauses a cron, or lets it go on: what would have come meanwhile does not exist.
pub(in crate::storage::sqlite) fn pause(
    tx: &mut Tx<'_>,
    namespace: NamespaceId,
    name: &Name,
    pause: Option<Pause>,
    now: Timestamp,
) -> Changed<Cron> {
    let Some(mut stored) = find(tx.conn, &tx.shared.registry, namespace, name)? else { return Ok(Err(CronError::NotFound(name.clone()))) };
    fire_overdue(tx, &mut stored, now)?;
    stored.cron.pause = pause.map(|pause| pause.in_place_of(stored.cron.pause.as_ref(), now));
    replace(tx, stored, now).map(Ok)
}

/// Deletes a cron and its runs that have not triggered. Its other runs stay.
pub(in crate::storage::sqlite) fn delete(tx: &mut Tx<'_>, namespace: NamespaceId, name: &Name, now: Timestamp) -> Changed<()> {
    match changeable(tx, namespace, name)? {
        Ok(stored) => remove(tx, stored, now).map(Ok),
        Err(refusal) => Ok(Err(refusal)),
    }
}

pub(super) fn remove(tx: &mut Tx<'_>, mut stored: Stored, now: Timestamp) -> rusqlite::Result<()> {
    fire_overdue(tx, &mut stored, now)?;
    withdraw(tx, &mut stored, now, None, now)?;
    tx.conn.prepare_cached("-- cron: delete\nDELETE FROM runlater_crons WHERE id = ?1")?.execute([stored.id])?;
    settle(tx)
}

/// The cron, if others than its component's code may change it.
fn changeable(tx: &Tx<'_>, namespace: NamespaceId, name: &Name) -> Changed<Stored> {
    Ok(match find(tx.conn, &tx.shared.registry, namespace, name)? {
        None => Err(CronError::NotFound(name.clone())),
        Some(stored) if stored.cron.origin == Origin::Code => Err(CronError::DefinedByCode(name.clone())),
        Some(stored) => Ok(stored),
    })
}

/// Writes the whole row. Runs that are near are made when the writer is asked for them, at once after the commit.
fn store(tx: &mut Tx<'_>, mut stored: Stored, now: Timestamp) -> rusqlite::Result<Cron> {
    (stored.cron.version, stored.cron.updated_at) = (stored.cron.version + 1, now);
    let Cron { spec, pause, version, .. } = &stored.cron;
    let json = |value: serde_json::Result<String>| value.expect("plain data");
    tx.conn
        .prepare_cached(
            "-- cron: store
             UPDATE runlater_crons SET expression = ?2, timezone = ?3, start_at = ?4, end_at = ?5, jitter = ?6, max_count = ?7, priority = ?8, missed = ?9,
                 metadata = ?10, input_type = ?11, input = ?12, pause = ?13, version = ?14, updated_at = ?15 WHERE id = ?1",
        )?
        .execute((
            stored.id,
            spec.rule.text(),
            spec.rule.zone(),
            spec.rule.start().as_micros(),
            spec.rule.end().map(Timestamp::as_micros),
            spec.rule.jitter().as_micros() as i64,
            spec.max_count,
            spec.priority,
            spec.missed.as_ref().map(|missed| json(serde_json::to_string(missed))),
            metadata_text(&spec.metadata),
            spec.input.stored_media_type(),
            spec.input.bytes(),
            pause.as_ref().map(pause_text),
            version,
            now.as_micros(),
        ))?;
    move_on(tx, &stored)?;
    settle(tx)?;
    Ok(stored.cron)
}
