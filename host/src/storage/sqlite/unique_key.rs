//! Unique keys: which run holds one, and what a further request under it does to that run.

use std::borrow::Cow;
use std::time::Duration;

use rusqlite::{Connection, OptionalExtension};
use sha2::Digest as _;

use super::change::{Seen, disarm, note, see};
use super::delete::remove;
use super::group::Tx;
use super::list::Reader;
use super::rows::{SCHEDULED, origin_code, status};
use crate::model::limits::UNIQUE_KEY_KEPT;
use crate::model::{
    Existing, Holder, Metadata, Name, NamespaceId, NewRun, Origin, Payload, RunId, Standing, Status, Timestamp, UniqueKey, Verdict,
};
use crate::storage::{Created, RunChange};

/// How many bytes say what makes two requests equal. 128 bits are plenty against accident; a caller who forges a collision only merges its own
/// runs.
pub(super) const HASH_BYTES: usize = 16;

/// What is left to do for a request when its key has been looked at.
pub(super) enum Way {
    /// To store it.
    Free,
    /// To store this in the place of the run that held the key, of which nothing is left. It was first asked for at this time.
    InPlaceOf(Box<NewRun>, Timestamp),
    /// Nothing.
    Done(Created),
    /// To refuse it: this run holds the key.
    Taken(Box<Existing>),
}

/// Looks who holds the unique key of `run`.
pub(super) fn holder(
    conn: &Connection,
    namespace: NamespaceId,
    run: &NewRun,
    id_origin: u64,
    now: Timestamp,
) -> rusqlite::Result<Option<Holder>> {
    let Some(unique) = &run.unique_key else { return Ok(None) };
    holder_of_key(conn, namespace, &unique.key, Some(run), id_origin, now)
}

/// Looks up the run that holds a unique key, and compares it with `request`.
pub(super) fn holder_of_key(
    conn: &Connection,
    namespace: NamespaceId,
    key: &UniqueKey,
    request: Option<&NewRun>,
    id_origin: u64,
    now: Timestamp,
) -> rusqlite::Result<Option<Holder>> {
    let mut statement = conn.prepare_cached(
        "-- unique key
         SELECT k.run, k.hash, k.held_for, coalesce(k.first_at, r.created_at), r.task, r.status, r.due_at, r.origin, r.finished_at, r.trigger_at,
             r.reason, r.attempt > 0
         FROM runlater_unique_keys k JOIN runlater_runs r ON r.id = k.run WHERE k.namespace = ?1 AND k.key = ?2",
    )?;
    statement
        .query_row((namespace.0, key.as_str()), |row| {
            let (code, due_at, origin): (i64, Option<i64>, i64) = (row.get(5)?, row.get(6)?, row.get(7)?);
            let finished_at = super::rows::optional_time(row, 8)?;
            let waits = code == SCHEDULED && due_at.is_some_and(|due_at| due_at > now.as_micros());
            let standing = match finished_at {
                Some(at) => Standing::Ended(at),
                None if waits && origin != origin_code(Origin::Code) => Standing::Waiting,
                None => Standing::Triggered,
            };
            Ok(Holder {
                run: RunId::from_key(row.get(0)?, id_origin),
                trigger_at: super::rows::time(row, 9)?,
                standing,
                same_task: matches!(request, Some(run) if run.task.id.0 == row.get::<_, i64>(4)?),
                is_equal: matches!(request, Some(run) if hash_of(run) == row.get::<_, Vec<u8>>(1)?),
                held_for: Duration::from_micros(row.get::<_, i64>(2)?.max(0) as u64),
                first_at: super::rows::time(row, 3)?,
                status: status(code, due_at, now.as_micros()).ok_or_else(|| super::rows::strange(5, "an unknown status"))?,
                reason: row.get::<_, Option<String>>(10)?.map(Cow::Owned),
                was_attempted: row.get(11)?,
            })
        })
        .optional()
}

/// Does to the holder of the key what the request under it asks for.
pub(super) fn make_way(tx: &mut Tx<'_>, namespace: NamespaceId, run: &NewRun, now: Timestamp) -> rusqlite::Result<Way> {
    let Some(unique) = &run.unique_key else { return Ok(Way::Free) };
    let Some(mut holder) = holder(tx.conn, namespace, run, tx.shared.id_origin, now)? else { return Ok(Way::Free) };
    let mut verdict = unique.verdict(&holder, now);
    let id = holder.run.key_in(tx.shared.id_origin).expect("a key's run is of its own database");
    if matches!(verdict, Verdict::Replace | Verdict::PutOff(_)) && !disarm(tx, id) {
        // A worker has taken it a moment ago.
        holder.standing = Standing::Triggered;
        holder.status = Status::Running;
        verdict = unique.verdict(&holder, now);
    }
    Ok(match verdict {
        // The guest that asked was told that its request would put this run off; now it is too late for that.
        Verdict::Free if holder.run == run.id => Way::Taken(Box::new(holder.existing())),
        Verdict::Free => Way::Free,
        Verdict::Existing => Way::Done(Created::Existing(Box::new(holder.existing()))),
        Verdict::Taken => Way::Taken(Box::new(holder.existing())),
        Verdict::Replace | Verdict::PutOff(_) => {
            let seen = see(tx.conn, namespace, id, now)?.expect("it was there a moment ago");
            remove(tx, namespace, &seen)?;
            if let Verdict::PutOff(trigger_at) = verdict {
                note(tx, namespace, holder.run, &seen, RunChange::Rescheduled { trigger_at });
                return Ok(Way::InPlaceOf(Box::new(NewRun { id: holder.run, trigger_at, ..run.clone() }), holder.first_at));
            }
            tx.ended.push(id);
            note(tx, namespace, holder.run, &seen, RunChange::Deleted);
            Way::Free
        }
    })
}

/// Lets `run` hold its key.
pub(super) fn take(conn: &Connection, namespace: NamespaceId, run: &NewRun, id: i64) -> rusqlite::Result<()> {
    let Some(unique) = &run.unique_key else { return Ok(()) };
    put(conn, namespace, unique.key.as_str(), id, hash_of(run), unique.held_for)
}

fn put(conn: &Connection, namespace: NamespaceId, key: &str, run: i64, hash: Vec<u8>, held_for: Duration) -> rusqlite::Result<()> {
    conn.prepare_cached(
        "-- take unique key
         INSERT OR REPLACE INTO runlater_unique_keys (namespace, key, run, hash, held_for) VALUES (?1, ?2, ?3, ?4, ?5)",
    )?
    .execute((namespace.0, key, run, hash, held_for.as_micros() as i64))?;
    Ok(())
}

/// Lets a run that is to begin anew hold its key again. Returns who holds it meanwhile, if that run has not ended.
pub(super) fn regain(tx: &Tx<'_>, namespace: NamespaceId, seen: &Seen, key: &str) -> rusqlite::Result<Option<RunId>> {
    let holder = tx
        .conn
        .prepare_cached(
            "-- unique key: held
             SELECT k.run, r.finished_at IS NOT NULL FROM runlater_unique_keys k JOIN runlater_runs r ON r.id = k.run
             WHERE k.namespace = ?1 AND k.key = ?2",
        )?
        .query_row((namespace.0, key), |row| Ok((row.get::<_, i64>(0)?, row.get::<_, bool>(1)?)))
        .optional()?;
    match holder {
        Some((run, _)) if run == seen.id => return Ok(None),
        Some((run, false)) => return Ok(Some(RunId::from_key(run, tx.shared.id_origin))),
        _ => {}
    }
    let Some(task) = tx.shared.registry.task_name(seen.task) else { return Ok(None) };
    let hash = tx
        .conn
        .prepare_cached("-- unique key: of\nSELECT input_type, input, metadata FROM runlater_runs WHERE id = ?1")?
        .query_row([seen.id], |row| {
            let input = Payload::from_stored(row.get_ref(0)?.as_str_or_null()?, row.get_ref(1)?.as_blob()?);
            Ok(hash(&task, &input, &super::rows::metadata(row.get_ref(2)?.as_str_or_null()?, 2)?))
        })?;
    put(tx.conn, namespace, key, seen.id, hash, UNIQUE_KEY_KEPT)?;
    Ok(None)
}

/// Remembers when a run that was put off was first asked for.
pub(super) fn first_asked_for(conn: &Connection, namespace: NamespaceId, run: &NewRun, at: Timestamp) -> rusqlite::Result<()> {
    let Some(unique) = &run.unique_key else { return Ok(()) };
    conn.prepare_cached("-- unique key: first asked for\nUPDATE runlater_unique_keys SET first_at = ?3 WHERE namespace = ?1 AND key = ?2")?
        .execute((namespace.0, unique.key.as_str(), at.as_micros()))?;
    Ok(())
}

/// When a run that was put off was first asked for.
pub(super) fn first_at(reader: &Reader<'_>, run: RunId) -> rusqlite::Result<Option<Timestamp>> {
    let Some(id) = run.key_in(reader.id_origin) else { return Ok(None) };
    let found = reader
        .conn
        .prepare_cached(
            "-- unique key: of run
             SELECT k.first_at FROM runlater_runs r JOIN runlater_unique_keys k ON k.namespace = r.namespace AND k.key = r.unique_key AND k.run = r.id
             WHERE r.id = ?1 AND r.namespace = ?2",
        )?
        .query_row((id, reader.namespace.0), |row| super::rows::optional_time(row, 0))
        .optional()?;
    Ok(found.flatten())
}

/// The unfinished run that keeps this one from regaining its key.
pub(super) fn taken_by(reader: &Reader<'_>, run: RunId) -> rusqlite::Result<Option<RunId>> {
    let Some(id) = run.key_in(reader.id_origin) else { return Ok(None) };
    reader
        .conn
        .prepare_cached(
            "-- unique key: taken by
             SELECT h.id FROM runlater_runs r JOIN runlater_unique_keys k ON k.namespace = r.namespace AND k.key = r.unique_key
             JOIN runlater_runs h ON h.id = k.run WHERE r.id = ?1 AND r.namespace = ?2 AND h.id <> r.id AND h.finished_at IS NULL",
        )?
        .query_row((id, reader.namespace.0), |row| Ok(RunId::from_key(row.get(0)?, reader.id_origin)))
        .optional()
}

/// Frees the key of a run that is deleted.
pub(super) fn free(conn: &Connection, namespace: NamespaceId, key: &str, id: i64) -> rusqlite::Result<()> {
    conn.prepare_cached("-- free unique key\nDELETE FROM runlater_unique_keys WHERE namespace = ?1 AND key = ?2 AND run = ?3")?
        .execute((namespace.0, key, id))?;
    Ok(())
}

/// What makes two requests equal: task, input and metadata. Not the time: `after 2s` means another one each time it is said.
pub(super) fn hash_of(run: &NewRun) -> Vec<u8> {
    hash(&run.task.name, &run.input, &run.metadata)
}

fn hash(task: &Name, input: &Payload, metadata: &Metadata) -> Vec<u8> {
    let mut hash = sha2::Sha256::new();
    let mut part = |bytes: &[u8]| {
        hash.update((bytes.len() as u64).to_le_bytes());
        hash.update(bytes);
    };
    part(task.as_str().as_bytes());
    part(input.media_type().as_bytes());
    part(input.bytes());
    for (key, value) in metadata.iter() {
        part(key.as_bytes());
        part(value.as_bytes());
    }
    hash.finalize()[..HASH_BYTES].to_vec()
}
