//! Makes, changes and deletes namespaces.
//!
//! A deletion is a mark that is durable first, and then slices that each remove some hundred rows, so that the writer serves everybody else in
//! between. A host that dies meanwhile finds the mark at its next start and goes on. The row of the namespace goes last, in a transaction that has
//! found nothing else.

use async_trait::async_trait;
use rusqlite::{Connection, OptionalExtension};

use super::audit::Note;
use super::change::disarm;
use super::delete::erase;
use super::group::Tx;
use super::{SqliteStorage, component, meta, readers};
use crate::model::limits::NAMESPACES_MAX;
use crate::model::{AuditAction, Name, Namespace, NamespaceId, NamespaceQuotas, NamespaceRecord, RunId, Timestamp};
use crate::storage::{Erased, Holdings, NamespaceError, NamespaceLoad, Namespaces, RunChange, RunEvent, StorageError};

/// Runs that one slice removes, with their attempts, metadata and keys.
const RUNS_PER_SLICE: usize = 200;
/// Bytes of inputs and outputs after which a slice of runs ends: their pages are visited one by one.
const BYTES_PER_SLICE: i64 = 8 << 20;
/// Rows of other tables that one slice removes.
const ROWS_PER_SLICE: i64 = 1_000;
/// Crons, whose inputs may be large, and tasks, whose schemas may be.
const LARGE_ROWS_PER_SLICE: i64 = 100;
/// The meta value that holds the highest key of a namespace that was deleted.
const LAST_DELETED: &str = "last_deleted_namespace";

#[async_trait]
impl Namespaces for SqliteStorage {
    fn namespace_records(&self) -> Vec<NamespaceRecord> {
        self.shared.registry.namespace_records()
    }

    fn find_namespace(&self, name: &str) -> Option<Namespace> {
        Name::parse(name, "name").ok().and_then(|name| self.shared.registry.namespace(&name))
    }

    fn quotas_of(&self, namespace: NamespaceId) -> NamespaceQuotas {
        self.shared.registry.quotas(namespace)
    }

    async fn create_namespace(
        &self,
        recorded_in: Option<NamespaceId>,
        name: Name,
        quotas: NamespaceQuotas,
        now: Timestamp,
    ) -> Result<Result<NamespaceRecord, NamespaceError>, StorageError> {
        let note = Note { detail: in_words(&quotas), ..Note::of(name.as_str()) };
        let made = move |tx: &mut Tx<'_>| create(tx, name, quotas, now);
        match recorded_in {
            Some(place) => {
                let noted = |made: &Result<NamespaceRecord, _>| made.is_ok().then_some(note).into_iter().collect();
                self.change(place, now, AuditAction::CreateNamespace, made, noted).await
            }
            None => self.shared.add(made).await,
        }
    }

    async fn change_quotas(
        &self,
        recorded_in: NamespaceId,
        name: Name,
        changes: Vec<(String, Option<String>)>,
        now: Timestamp,
    ) -> Result<Result<NamespaceRecord, NamespaceError>, StorageError> {
        let detail = changes.iter().map(|(field, value)| format!("{field}={}", value.as_deref().unwrap_or("default")));
        let note = Note::of(name.as_str()).detail(detail.collect::<Vec<_>>().join(" "));
        let noted = |done: &Result<NamespaceRecord, _>| done.is_ok().then_some(note).into_iter().collect();
        self.change(recorded_in, now, AuditAction::SetQuotas, move |tx| change_quotas(tx, &name, &changes), noted).await
    }

    async fn begin_deletion(
        &self,
        recorded_in: NamespaceId,
        name: Name,
        detail: String,
        now: Timestamp,
    ) -> Result<Result<NamespaceRecord, NamespaceError>, StorageError> {
        let note = Note::of(name.as_str()).detail(detail);
        let noted = move |done: &Result<(NamespaceRecord, bool), _>| matches!(done, Ok((_, true))).then_some(note).into_iter().collect();
        let mark = move |tx: &mut Tx<'_>| begin_deletion(tx, recorded_in, &name, now);
        Ok(self.change(recorded_in, now, AuditAction::DeleteNamespace, mark, noted).await?.map(|(record, _)| record))
    }

    async fn erase_namespace(&self, namespace: NamespaceId, now: Timestamp) -> Result<Erased, StorageError> {
        self.shared.call(move |tx| erase_slice(tx, namespace, now)).await
    }

    fn holdings(&self, namespace: NamespaceId) -> Result<Holdings, StorageError> {
        self.readers.read(|conn| holdings(conn, namespace)).map_err(readers::sort)
    }

    fn load_of(&self, namespace: NamespaceId) -> NamespaceLoad {
        self.shared.due.load_of(namespace.0)
    }
}

fn in_words(quotas: &NamespaceQuotas) -> Option<String> {
    let entries: Vec<_> = quotas.entries().into_iter().map(|(field, value)| format!("{field}={value}")).collect();
    (!entries.is_empty()).then(|| entries.join(" "))
}

/// What is stored of the namespace of this name, as this transaction sees it.
fn find(conn: &Connection, name: &Name) -> rusqlite::Result<Option<NamespaceRecord>> {
    let sql = "-- namespace\nSELECT id, name, quotas, made_at, deleting_since FROM runlater_namespaces WHERE name = ?1";
    conn.prepare_cached(sql)?.query_row([name.as_str()], super::registry::namespace).optional()
}

/// One that is not being deleted.
fn find_in_force(conn: &Connection, name: &Name) -> rusqlite::Result<Result<NamespaceRecord, NamespaceError>> {
    Ok(match find(conn, name)? {
        None => Err(NamespaceError::NotFound(name.to_string())),
        Some(found) if found.deleting_since.is_some() => Err(NamespaceError::Deleting(name.clone())),
        Some(found) => Ok(found),
    })
}

/// Makes a namespace under a key that none before it had: what still holds the key of one that is gone must not reach another.
fn create(
    tx: &mut Tx<'_>,
    name: Name,
    quotas: NamespaceQuotas,
    now: Timestamp,
) -> rusqlite::Result<Result<NamespaceRecord, NamespaceError>> {
    if let Some(found) = find(tx.conn, &name)? {
        return Ok(Err(if found.deleting_since.is_some() { NamespaceError::Deleting(name) } else { NamespaceError::Exists(name) }));
    }
    let (count, last): (i64, i64) = tx
        .conn
        .prepare_cached("-- namespaces: count\nSELECT count(*), coalesce(max(id), 0) FROM runlater_namespaces")?
        .query_row([], |row| Ok((row.get(0)?, row.get(1)?)))?;
    if count >= NAMESPACES_MAX as i64 {
        return Ok(Err(NamespaceError::TooMany(NAMESPACES_MAX)));
    }
    let id = last.max(meta::number(tx.conn, LAST_DELETED)?.unwrap_or(0)) + 1;
    tx.conn
        .prepare_cached("-- create namespace\nINSERT INTO runlater_namespaces (id, name, quotas, made_at) VALUES (?1, ?2, ?3, ?4)")?
        .execute((id, name.as_str(), super::registry::quotas_text(&quotas), now.as_micros()))?;
    tx.registered = true;
    let namespace = Namespace { id: NamespaceId(id), name };
    Ok(Ok(NamespaceRecord { namespace, quotas, created_at: Some(now), deleting_since: None }))
}

fn change_quotas(
    tx: &mut Tx<'_>,
    name: &Name,
    changes: &[(String, Option<String>)],
) -> rusqlite::Result<Result<NamespaceRecord, NamespaceError>> {
    let mut found = match find_in_force(tx.conn, name)? {
        Ok(found) => found,
        Err(refused) => return Ok(Err(refused)),
    };
    let changes = changes.iter().map(|(field, value)| (field.as_str(), value.as_deref()));
    found.quotas = found.quotas.with(changes).map_err(|invalid| super::rows::strange(2, &invalid.to_string()))?;
    tx.conn
        .prepare_cached("-- set quotas\nUPDATE runlater_namespaces SET quotas = ?2 WHERE id = ?1")?
        .execute((found.namespace.id.0, super::registry::quotas_text(&found.quotas)))?;
    tx.registered = true;
    Ok(Ok(found))
}

/// Sets the mark; false if it was set before.
fn begin_deletion(
    tx: &mut Tx<'_>,
    acting_in: NamespaceId,
    name: &Name,
    now: Timestamp,
) -> rusqlite::Result<Result<(NamespaceRecord, bool), NamespaceError>> {
    let Some(mut found) = find(tx.conn, name)? else { return Ok(Err(NamespaceError::NotFound(name.to_string()))) };
    if found.namespace.is_default() {
        return Ok(Err(NamespaceError::Permanent(name.clone())));
    }
    if found.namespace.id == acting_in {
        return Ok(Err(NamespaceError::ActingIn(name.clone())));
    }
    if found.deleting_since.is_some() {
        return Ok(Ok((found, false)));
    }
    found.deleting_since = Some(now);
    tx.conn
        .prepare_cached("-- delete namespace: mark\nUPDATE runlater_namespaces SET deleting_since = ?2 WHERE id = ?1")?
        .execute((found.namespace.id.0, now.as_micros()))?;
    tx.registered = true;
    Ok(Ok((found, true)))
}

/// Removes some rows of the first table that has any.
fn erase_slice(tx: &mut Tx<'_>, namespace: NamespaceId, now: Timestamp) -> rusqlite::Result<Erased> {
    let marked = tx
        .conn
        .prepare_cached("-- delete namespace: look\nSELECT deleting_since IS NOT NULL FROM runlater_namespaces WHERE id = ?1")?
        .query_row([namespace.0], |row| row.get(0))
        .optional()?;
    if marked != Some(true) {
        return Ok(Erased::Nothing);
    }
    // First what would make more of the rest.
    if erase_rows(
        tx.conn,
        "-- delete namespace: crons
         DELETE FROM runlater_crons WHERE id IN (SELECT id FROM runlater_crons WHERE namespace = ?1 LIMIT ?2)",
        namespace,
        LARGE_ROWS_PER_SLICE,
    )? {
        return Ok(Erased::More);
    }
    match erase_runs(tx, namespace)? {
        Erased::Nothing => {}
        left => return Ok(left),
    }
    if erase_tasks(tx, namespace, now)? {
        return Ok(Erased::More);
    }
    for statement in [
        "-- delete namespace: tokens
         DELETE FROM runlater_tokens WHERE id IN (SELECT id FROM runlater_tokens WHERE namespace = ?1 LIMIT ?2)",
        "-- delete namespace: unique keys
         DELETE FROM runlater_unique_keys WHERE namespace = ?1 AND key IN (SELECT key FROM runlater_unique_keys WHERE namespace = ?1 LIMIT ?2)",
        "-- delete namespace: idempotency keys
         DELETE FROM runlater_idempotency_keys WHERE namespace = ?1
             AND key IN (SELECT key FROM runlater_idempotency_keys WHERE namespace = ?1 LIMIT ?2)",
        "-- delete namespace: metadata
         DELETE FROM runlater_run_metadata WHERE (namespace, key, value, run) IN (
             SELECT namespace, key, value, run FROM runlater_run_metadata WHERE namespace = ?1 LIMIT ?2)",
        "-- delete namespace: audit
         DELETE FROM runlater_audit WHERE namespace = ?1 AND number < ?2 + (SELECT min(number) FROM runlater_audit WHERE namespace = ?1)",
    ] {
        if erase_rows(tx.conn, statement, namespace, ROWS_PER_SLICE)? {
            return Ok(Erased::More);
        }
    }
    let last = meta::number(tx.conn, LAST_DELETED)?.unwrap_or(0).max(namespace.0);
    meta::set_number(tx.conn, LAST_DELETED, last)?;
    tx.conn.prepare_cached("-- delete namespace\nDELETE FROM runlater_namespaces WHERE id = ?1")?.execute([namespace.0])?;
    tx.registered = true;
    tx.shared.audit_numbers.forget();
    Ok(Erased::Nothing)
}

fn erase_rows(conn: &Connection, statement: &str, namespace: NamespaceId, rows: i64) -> rusqlite::Result<bool> {
    Ok(conn.prepare_cached(statement)?.execute((namespace.0, rows))? > 0)
}

/// Removes runs with all that belongs to them, but for those in flight.
fn erase_runs(tx: &mut Tx<'_>, namespace: NamespaceId) -> rusqlite::Result<Erased> {
    let in_flight = tx.shared.due.load_of(namespace.0).running;
    let (mut found, mut bytes) = (Vec::new(), 0);
    {
        let mut statement = tx.conn.prepare_cached(
            "-- delete namespace: runs
             SELECT id, metadata IS NOT NULL, unique_key, task, parent, length(input) + coalesce(length(output), 0)
             FROM runlater_runs WHERE namespace = ?1 LIMIT ?2",
        )?;
        let mut rows = statement.query((namespace.0, (RUNS_PER_SLICE + in_flight) as i64))?;
        while let Some(row) = rows.next()?
            && bytes < BYTES_PER_SLICE
        {
            let id: i64 = row.get(0)?;
            if tx.shared.due.in_flight(id, |_| ()).is_none() {
                bytes += row.get::<_, i64>(5)?;
                found.push((id, row.get(1)?, row.get::<_, Option<String>>(2)?, row.get(3)?, row.get::<_, Option<i64>>(4)?));
            }
        }
    }
    let mut erased = 0;
    for (id, has_metadata, unique_key, task, parent) in found {
        if !disarm(tx, id) {
            continue;
        }
        tx.conn.prepare_cached("-- delete namespace: attempts\nDELETE FROM runlater_attempts WHERE run = ?1")?.execute([id])?;
        tx.conn.prepare_cached("-- delete namespace: chain\nDELETE FROM runlater_chains WHERE root = ?1")?.execute([id])?;
        erase(tx, namespace, id, has_metadata, unique_key.as_deref())?;
        tx.ended.push(id);
        erased += 1;
        if tx.watched()
            && let Some(task) = tx.shared.registry.task_name(task)
        {
            let of = |key: i64| RunId::from_key(key, tx.shared.id_origin);
            tx.events.push(RunEvent { namespace, run: of(id), task, parent: parent.map(of), change: RunChange::Deleted });
        }
    }
    let any = "-- delete namespace: any run\nSELECT EXISTS (SELECT 1 FROM runlater_runs WHERE namespace = ?1)";
    Ok(match (erased > 0, tx.conn.prepare_cached(any)?.query_row([namespace.0], |row| row.get(0))?) {
        (true, _) => Erased::More,
        (false, true) => Erased::InFlight,
        (false, false) => Erased::Nothing,
    })
}

/// Removes tasks with the marks and rates that belong to them, and lets go of components that nobody has any more.
fn erase_tasks(tx: &mut Tx<'_>, namespace: NamespaceId, now: Timestamp) -> rusqlite::Result<bool> {
    let found = {
        let mut statement =
            tx.conn.prepare_cached("-- delete namespace: tasks\nSELECT id, component FROM runlater_tasks WHERE namespace = ?1 LIMIT ?2")?;
        let rows = statement.query_map((namespace.0, LARGE_ROWS_PER_SLICE), |row| Ok((row.get::<_, i64>(0)?, row.get::<_, i64>(1)?)))?;
        rows.collect::<rusqlite::Result<Vec<_>>>()?
    };
    for (task, _) in &found {
        for statement in [
            "-- delete namespace: code schedules\nDELETE FROM runlater_code_schedules WHERE task = ?1",
            "-- delete namespace: rates\nDELETE FROM runlater_rates WHERE task = ?1",
            "-- delete namespace: task\nDELETE FROM runlater_tasks WHERE id = ?1",
        ] {
            tx.conn.prepare_cached(statement)?.execute([task])?;
        }
    }
    let components: Vec<i64> = found.iter().map(|(_, component)| *component).collect();
    component::note_unused(tx.conn, &components, now)?;
    tx.registered |= !found.is_empty();
    Ok(!found.is_empty())
}

fn holdings(conn: &Connection, namespace: NamespaceId) -> rusqlite::Result<Holdings> {
    let mut statement = conn.prepare_cached(
        "-- holdings
         SELECT (SELECT count(*) FROM runlater_runs WHERE namespace = ?1),
             (SELECT count(*) FROM runlater_runs WHERE namespace = ?1 AND due_at IS NOT NULL),
             (SELECT count(*) FROM runlater_tasks WHERE namespace = ?1),
             (SELECT count(*) FROM runlater_crons WHERE namespace = ?1),
             (SELECT count(*) FROM runlater_tokens WHERE namespace = ?1 AND revoked_at IS NULL),
             count(*), coalesce(sum(length(wasm)), 0)
         FROM runlater_components WHERE id IN (SELECT component FROM runlater_tasks WHERE namespace = ?1)",
    )?;
    statement.query_row([namespace.0], |row| {
        let number = |column| row.get::<_, i64>(column).map(i64::unsigned_abs);
        Ok(Holdings {
            runs: number(0)?,
            live_runs: number(1)?,
            tasks: number(2)?,
            crons: number(3)?,
            tokens: number(4)?,
            components: number(5)?,
            component_bytes: number(6)?,
        })
    })
}
