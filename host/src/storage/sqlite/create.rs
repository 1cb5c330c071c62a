//! Stores runs.

use rusqlite::{Connection, Statement};

use super::group::Tx;
use super::rows::{Waiting, metadata_text, origin_code};
use super::unique_key::{self, Way};
use super::writer::Shared;
use super::{SqliteStorage, chain, idempotency, run_bytes};
use crate::model::{Existing, NamespaceId, NewRun, RunId, Status, Timestamp, Verdict};
use crate::storage::{CreateError, Created, NamespaceError, RunChange, RunEvent, StorageError};

/// Why a run was not stored; the caller sees it as a [`CreateError`].
pub(super) enum Refused {
    UniqueKeyTaken(Box<Existing>),
    IdempotencyConflict(Box<Existing>),
    Namespace(NamespaceError),
    Quota(String),
}

impl From<Refused> for CreateError {
    fn from(refused: Refused) -> Self {
        match refused {
            Refused::UniqueKeyTaken(existing) => Self::UniqueKeyTaken(existing),
            Refused::IdempotencyConflict(existing) => Self::IdempotencyConflict(existing),
            Refused::Namespace(refused) => Self::Namespace(refused),
            Refused::Quota(reason) => Self::Quota(reason),
        }
    }
}

/// What is said where `max` runs wait, and no more may.
pub(super) fn full(max: u64) -> String {
    format!("{max} runs wait in this namespace, which is the limit; delete some, or wait until some have run")
}

/// Stores all of `runs`, or none.
pub(super) fn create(
    tx: &mut Tx<'_>,
    namespace: NamespaceId,
    runs: &[NewRun],
    now: Timestamp,
) -> rusqlite::Result<Result<Vec<Created>, Refused>> {
    if let Some(refusal) = tx.shared.registry.refusal(namespace) {
        return Ok(Err(Refused::Namespace(refusal)));
    }
    // Several runs, or one that comes in place of another, may find out late that they are refused, and then take back what was written.
    let replaces = |run: &NewRun| run.unique_key.as_ref().is_some_and(|unique| unique.mode.replaces());
    let several = runs.len() > 1 || runs.iter().any(replaces);
    if several {
        tx.conn.prepare_cached("SAVEPOINT bunch")?.execute([])?;
    }
    let marks = super::write_set::Marks::of(tx);
    let mut created = Vec::with_capacity(runs.len());
    for run in runs {
        match create_one(tx, namespace, run, now)? {
            Ok(one) => created.push(one),
            Err(refused) => {
                if several {
                    tx.conn.prepare_cached("ROLLBACK TO bunch")?.execute([])?;
                    tx.conn.prepare_cached("RELEASE bunch")?.execute([])?;
                    marks.restore(tx);
                }
                return Ok(Err(refused));
            }
        }
    }
    if several {
        tx.conn.prepare_cached("RELEASE bunch")?.execute([])?;
    }
    Ok(Ok(created))
}

/// Stores one run, unless the same request was sent before, and notes what its commit changes in memory.
pub(super) fn create_one(
    tx: &mut Tx<'_>,
    namespace: NamespaceId,
    run: &NewRun,
    now: Timestamp,
) -> rusqlite::Result<Result<Created, Refused>> {
    let Some(idempotency) = &run.idempotency else { return create_keyless(tx, namespace, run, now) };
    if let Some(answer) = sent_before(tx.conn, namespace, run, tx.shared.id_origin, now)? {
        return Ok(answer);
    }
    let created = create_keyless(tx, namespace, run, now)?;
    if let Ok(created) = &created {
        let trigger_at = match created {
            Created::New(_) => run.trigger_at,
            Created::Existing(existing) | Created::PutOff(existing) => existing.trigger_at,
        };
        let id = created.id().key_in(tx.shared.id_origin).expect("it was created, or found, in this database");
        idempotency::remember(tx.conn, namespace, idempotency, id, trigger_at, now)?;
    }
    Ok(created)
}

/// What a request is answered whose idempotency key is held; `None` if it is to be served.
fn sent_before(
    conn: &Connection,
    namespace: NamespaceId,
    run: &NewRun,
    id_origin: u64,
    now: Timestamp,
) -> rusqlite::Result<Option<Result<Created, Refused>>> {
    let Some(key) = &run.idempotency else { return Ok(None) };
    let Some(remembered) = idempotency::look(conn, namespace, run, key, id_origin, now)? else { return Ok(None) };
    let is_same = remembered.is_same;
    let existing = Box::new(remembered.existing());
    Ok(Some(if is_same { Ok(Created::Existing(existing)) } else { Err(Refused::IdempotencyConflict(existing)) }))
}

/// The same without a look at the idempotency key.
fn create_keyless(tx: &mut Tx<'_>, namespace: NamespaceId, run: &NewRun, now: Timestamp) -> rusqlite::Result<Result<Created, Refused>> {
    let (in_place, created) = match unique_key::make_way(tx, namespace, run, now)? {
        Way::Free => (None, Created::New(run.id)),
        Way::InPlaceOf(run, first_at) => {
            let existing = Existing {
                run: run.id,
                status: Some(Status::Scheduled),
                reason: None,
                trigger_at: run.trigger_at,
                ended_at: None,
                held_until: None,
            };
            let created = Created::PutOff(Box::new(existing));
            (Some((run, first_at)), created)
        }
        Way::Done(created) => return Ok(Ok(created)),
        Way::Taken(holder) => return Ok(Err(Refused::UniqueKeyTaken(holder))),
    };
    let run = in_place.as_ref().map_or(run, |(run, _)| run);
    let mut statement = match tx.insert.take() {
        Some(statement) => statement,
        None => tx.conn.prepare_cached(INSERT)?,
    };
    let inserted = insert_with(tx.conn, &mut statement, tx.shared, namespace, run, now)?;
    tx.insert = Some(statement);
    let (waiting, bytes) = match inserted {
        Ok(done) => done,
        Err(refused) => return Ok(Err(refused)),
    };
    tx.shared.run_bytes.add(namespace.0, bytes);
    tx.arm.push(waiting);
    tx.shared.live.add();
    if let Some((run, first_at)) = &in_place {
        unique_key::first_asked_for(tx.conn, namespace, run, *first_at)?;
    } else if tx.watched() {
        tx.events.push(RunEvent {
            namespace,
            run: run.id,
            task: run.task.name.clone(),
            parent: run.lineage.map(|lineage| lineage.parent),
            change: RunChange::Created { trigger_at: run.trigger_at },
        });
    }
    Ok(Ok(created))
}

const INSERT: &str = "-- create
     INSERT INTO runlater_runs (id, namespace, task, status, due_at, trigger_at, created_at, priority, origin, parent, root, depth, max_attempts, timeout,
         unique_key, metadata, input_type, input, input_crc, bytes)
     VALUES (?1, ?2, ?3, 0, ?4, ?5, ?6, ?7, ?8, ?9, ?10, ?11, ?12, ?13, ?14, ?15, ?16, ?17, ?18, ?19)";

/// Writes the rows of one run on any connection, its unique key being free. Writes nothing if it is refused. Returns the bytes that its namespace
/// holds more by it: for the caller to count.
pub(super) fn insert(
    conn: &Connection,
    shared: &Shared,
    namespace: NamespaceId,
    run: &NewRun,
    now: Timestamp,
) -> rusqlite::Result<Result<(Box<Waiting>, i64), Refused>> {
    insert_with(conn, &mut *conn.prepare_cached(INSERT)?, shared, namespace, run, now)
}

/// The same with its statement, [`INSERT`].
fn insert_with(
    conn: &Connection,
    statement: &mut Statement<'_>,
    shared: &Shared,
    namespace: NamespaceId,
    run: &NewRun,
    now: Timestamp,
) -> rusqlite::Result<Result<(Box<Waiting>, i64), Refused>> {
    let id_origin = shared.id_origin;
    let (metadata, unique_key) = (metadata_text(&run.metadata), run.unique_key.as_ref().map(|unique| unique.key.as_str()));
    let bytes = run_bytes::charge_of(run.input.bytes(), metadata.as_deref(), unique_key);
    if let Err(full) = shared.run_bytes.has_room(namespace, bytes) {
        return Ok(Err(Refused::Quota(full.to_string())));
    }
    let id = run.id.key_in(id_origin).ok_or_else(|| super::rows::strange(0, "an id that this database did not make"))?;
    let lineage = run.lineage.map(|lineage| {
        let key = |id: RunId| id.key_in(id_origin).expect("a run's ancestors are of its own database");
        (key(lineage.parent), key(lineage.root), lineage.depth)
    });
    if let Some((_, root, _)) = lineage
        && let Err(reason) = chain::join(conn, root)?
    {
        return Ok(Err(Refused::Quota(reason)));
    }
    // A run created with a time in the past is due at once, and never counts as missed.
    let due_at = run.trigger_at.max(now).as_micros();
    let waiting = Waiting::from_new(run, namespace.0, id, due_at, lineage);
    // rusqlite's tuples end at 16 parameters.
    statement.execute(rusqlite::params![
        id,
        namespace.0,
        run.task.id.0,
        due_at,
        run.trigger_at.as_micros(),
        now.as_micros(),
        waiting.priority,
        origin_code(run.origin),
        lineage.map(|(parent, ..)| parent),
        lineage.map(|(_, root, _)| root),
        lineage.map(|(.., depth)| depth),
        run.max_attempts,
        waiting.timeout.map(|micros| micros as i64),
        unique_key,
        metadata,
        run.input.stored_media_type(),
        run.input.bytes(),
        super::input::checksum(run.input.bytes()),
        bytes,
    ])?;
    for (key, value) in run.metadata.iter() {
        conn.prepare_cached("-- create: metadata\nINSERT INTO runlater_run_metadata (namespace, key, value, run) VALUES (?1, ?2, ?3, ?4)")?
            .execute((namespace.0, key, value, id))?;
    }
    unique_key::take(conn, namespace, run, id)?;
    Ok(Ok((waiting, bytes)))
}

impl SqliteStorage {
    /// Stores a run inside a transaction of the embedding program, on its own connection to the same file.
    ///
    /// The run exists if and only if that transaction commits. The queue learns of it by looking: until it is seen, or long enough
    /// to be sure that the transaction was rolled back, the writer looks each millisecond whether the file has changed.
    pub(crate) fn create_in(
        &self,
        transaction: &rusqlite::Transaction<'_>,
        namespace: NamespaceId,
        run: NewRun,
        now: Timestamp,
    ) -> Result<Created, CreateError> {
        let file: Option<String> = transaction
            .query_row("SELECT file FROM pragma_database_list WHERE name = 'main'", [], |row| row.get(0))
            .map_err(|error| StorageError::Unavailable(error.to_string()))?;
        let same = file.is_some_and(|file| std::fs::canonicalize(file).ok() == std::fs::canonicalize(&self.path).ok());
        if !same {
            return Err(StorageError::Unavailable(format!(
                "the transaction is not on {}, where the scheduler's runs are",
                self.path.display()
            ))
            .into());
        }
        if let Some(refusal) = self.shared.registry.refusal(namespace) {
            return Err(refusal.into());
        }
        let sorted = |error: rusqlite::Error| super::writer::sort(&error, false);
        if let Some(answer) = sent_before(transaction, namespace, &run, self.shared.id_origin, now).map_err(sorted)? {
            return answer.map_err(Into::into);
        }
        let remember = |id: RunId, trigger_at| match (&run.idempotency, id.key_in(self.shared.id_origin)) {
            (Some(key), Some(id)) => idempotency::remember(transaction, namespace, key, id, trigger_at, now).map_err(sorted),
            _ => Ok(()),
        };
        let holder = unique_key::holder(transaction, namespace, &run, self.shared.id_origin, now).map_err(sorted)?;
        if let (Some(holder), Some(unique)) = (holder, &run.unique_key) {
            match unique.verdict(&holder, now) {
                Verdict::Free => {}
                Verdict::Existing => {
                    remember(holder.run, holder.trigger_at)?;
                    return Ok(Created::Existing(Box::new(holder.existing())));
                }
                // The queue in memory can't follow a transaction that is not its own before that commits.
                Verdict::Taken | Verdict::Replace | Verdict::PutOff(_) => {
                    return Err(CreateError::UniqueKeyTaken(Box::new(holder.existing())));
                }
            }
        }
        if let Err(max) = self.shared.live.has_room(&self.readers, namespace, 1, now).map_err(super::readers::sort)? {
            return Err(CreateError::Quota(full(max)));
        }
        let (waiting, bytes) = insert(transaction, &self.shared, namespace, &run, now).map_err(sorted)??;
        run_bytes::add_to_row(transaction, namespace.0, bytes).map_err(sorted)?;
        remember(run.id, run.trigger_at)?;
        self.shared.live.add();
        self.foreign.expect(waiting);
        Ok(Created::New(run.id))
    }
}
