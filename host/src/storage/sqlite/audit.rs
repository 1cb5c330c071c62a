//! Puts on record who changed what, in the transaction of the change; reads it, and forgets what is old.

use std::collections::hash_map;
use std::sync::{Arc, LazyLock, Mutex};
use std::time::Duration;

use rusqlite::{Connection, OptionalExtension, Row};
use rustc_hash::FxHashMap;

use super::SqliteStorage;
use super::group::Tx;
use super::rows::{strange, time};
use crate::model::limits::{AUDIT_ENTRIES_MAX, AUDIT_KEPT, AUDIT_TEXT_BYTES_MAX};
use crate::model::{AuditAction, AuditEntry, AuditQuery, NamespaceId, RunId, Timestamp, format_duration};
use crate::storage::{Move, StorageError};

/// Entries after which the oldest are looked at.
const FORGET_EVERY: i64 = 256;
/// How many are looked at then: more than came, so that a trail that is too long gets shorter.
const FORGET_MAX: i64 = 1_024;

/// What there is to record of one change, beside who made it and when.
#[derive(Default)]
pub(super) struct Note {
    /// What was done, if it is not what was asked for but came with it.
    pub(super) action: Option<AuditAction>,
    pub(super) run: Option<RunId>,
    pub(super) subject: Option<String>,
    pub(super) detail: Option<String>,
}

impl Note {
    pub(super) fn of_run(run: RunId) -> Self {
        Self { run: Some(run), ..Self::default() }
    }

    pub(super) fn of(subject: impl Into<String>) -> Self {
        Self { subject: Some(subject.into()), ..Self::default() }
    }

    pub(super) fn detail(self, detail: impl Into<String>) -> Self {
        Self { detail: Some(detail.into()), ..self }
    }
}

/// Where a run was moved to, in words.
pub(super) fn moved(to: Move) -> String {
    match to {
        Move::To(at) => at.to_string(),
        Move::By(micros) => {
            format!("{}{}", if micros < 0 { '-' } else { '+' }, format_duration(Duration::from_micros(micros.unsigned_abs())))
        }
    }
}

impl SqliteStorage {
    /// Applies a change in the next group, unless it adds something and the disk is nearly full. If it is made on somebody's behalf, `notes` says what to put on record of what came of it.
    pub(super) async fn change<T: Send + 'static>(
        &self,
        namespace: NamespaceId,
        now: Timestamp,
        action: AuditAction,
        change: impl FnOnce(&mut Tx<'_>) -> rusqlite::Result<T> + Send + 'static,
        notes: impl FnOnce(&T) -> Vec<Note> + Send + 'static,
    ) -> Result<T, StorageError> {
        let token = self.token.clone();
        let change = move |tx: &mut Tx<'_>| {
            let done = change(tx)?;
            if let Some(token) = token {
                let entries = notes(&done).into_iter().map(|note| Entry { namespace, at: now, token: token.clone(), action, note });
                tx.audit.extend(entries);
            }
            Ok(done)
        };
        if action.adds() { self.shared.add(change).await } else { self.shared.call(change).await }
    }

    /// What notes are made of, if any are.
    pub(super) fn if_noted<T: Default>(&self, make: impl FnOnce() -> T) -> T {
        if self.token.is_some() { make() } else { T::default() }
    }
}

/// The number of each namespace's last entry, as far as it was needed: asking for it would cost as much as the entry.
#[derive(Default)]
pub(super) struct Numbers(Mutex<FxHashMap<i64, i64>>);

impl Numbers {
    /// The number after the last one.
    fn next(&self, conn: &Connection, namespace: NamespaceId) -> rusqlite::Result<i64> {
        let mut last = self.0.lock().expect("nothing panics while it holds this");
        let last = match last.entry(namespace.0) {
            hash_map::Entry::Occupied(last) => last.into_mut(),
            hash_map::Entry::Vacant(none) => {
                let mut stored = conn.prepare_cached("-- audit: last\nSELECT max(number) FROM runlater_audit WHERE namespace = ?1")?;
                none.insert(stored.query_row([namespace.0], |row| row.get::<_, Option<i64>>(0))?.unwrap_or(0))
            }
        };
        *last += 1;
        Ok(*last)
    }

    /// What was numbered was not stored.
    pub(super) fn forget(&self) {
        self.0.lock().expect("nothing panics while it holds this").clear();
    }
}

/// An entry that is written with the others of its transaction.
pub(super) struct Entry {
    namespace: NamespaceId,
    at: Timestamp,
    token: Arc<str>,
    action: AuditAction,
    note: Note,
}

/// Rows that one statement inserts, from the largest number on. Each statement looks for the end of the trail anew, which costs more than the rows.
const ROWS_AT_ONCE: [usize; 3] = [64, 8, 1];
const RECORD: &str = "-- audit: record
     INSERT INTO runlater_audit (namespace, number, at, token, action, run, subject, detail) VALUES (?, ?, ?, ?, ?, ?, ?, ?)";
const FURTHER_ROW: &str = ", (?, ?, ?, ?, ?, ?, ?, ?)";

/// Writes what was noted in this transaction.
pub(super) fn write(tx: &Tx<'_>) -> rusqlite::Result<()> {
    static STATEMENTS: LazyLock<[String; 3]> = LazyLock::new(|| ROWS_AT_ONCE.map(|rows| RECORD.to_owned() + &FURTHER_ROW.repeat(rows - 1)));
    let mut left = &tx.audit[..];
    for (rows, statement) in ROWS_AT_ONCE.into_iter().zip(&*STATEMENTS) {
        while let Some((some, rest)) = left.split_at_checked(rows) {
            write_some(tx, statement, some)?;
            left = rest;
        }
    }
    Ok(())
}

fn write_some(tx: &Tx<'_>, statement: &str, entries: &[Entry]) -> rusqlite::Result<()> {
    let mut insert = tx.conn.prepare_cached(statement)?;
    let mut place = 1..;
    let mut bind = |insert: &mut rusqlite::CachedStatement<'_>, value: &dyn rusqlite::ToSql| {
        insert.raw_bind_parameter(place.next().expect("there is no last number"), value)
    };
    let mut full = Vec::new();
    for Entry { namespace, at, token, action, note } in entries {
        let number = tx.shared.audit_numbers.next(tx.conn, *namespace)?;
        bind(&mut insert, &namespace.0)?;
        bind(&mut insert, &number)?;
        bind(&mut insert, &at.as_micros())?;
        bind(&mut insert, &&**token)?;
        bind(&mut insert, &note.action.unwrap_or(*action).as_str())?;
        bind(&mut insert, &note.run.and_then(|run| run.key_in(tx.shared.id_origin)))?;
        bind(&mut insert, &note.subject.as_deref().map(cut))?;
        bind(&mut insert, &note.detail.as_deref().map(cut))?;
        if number % FORGET_EVERY == 0 {
            full.push((*namespace, number, *at));
        }
    }
    insert.raw_execute()?;
    full.into_iter().try_for_each(|(namespace, number, at)| forget(tx.conn, namespace, number, at))
}

/// Removes what is too old or too much, from the oldest on. While the oldest is neither, nothing is; one of a clock that was set back since says
/// nothing about those after it.
fn forget(conn: &Connection, namespace: NamespaceId, last: i64, now: Timestamp) -> rusqlite::Result<()> {
    let (too_many, too_old) = (last - AUDIT_ENTRIES_MAX, now.saturating_sub(AUDIT_KEPT).as_micros());
    let oldest = conn
        .prepare_cached("-- audit: oldest\nSELECT number, at FROM runlater_audit WHERE namespace = ?1 ORDER BY number LIMIT 1")?
        .query_row([namespace.0], |row| Ok((row.get::<_, i64>(0)?, row.get::<_, i64>(1)?)))
        .optional()?;
    let Some((number, at)) = oldest else { return Ok(()) };
    if number <= too_many || at < too_old || at > now.as_micros() {
        conn.prepare_cached(
            "-- audit: forget
             DELETE FROM runlater_audit WHERE namespace = ?1 AND number < ?4 AND (number <= ?2 OR at < ?3)",
        )?
        .execute((namespace.0, too_many, too_old, number.saturating_add(FORGET_MAX)))?;
    }
    Ok(())
}

fn cut(text: &str) -> &str {
    &text[..text.floor_char_boundary(AUDIT_TEXT_BYTES_MAX)]
}

/// The entries, the latest first.
pub(super) fn read(conn: &Connection, id_origin: u64, namespace: NamespaceId, query: &AuditQuery) -> rusqlite::Result<Vec<AuditEntry>> {
    let run = match query.run.map(|run| run.key_in(id_origin)) {
        // A run of another database has no entries here.
        Some(None) => return Ok(Vec::new()),
        Some(key) => key,
        None => None,
    };
    let before = query.before.unwrap_or(i64::MAX);
    let size = query.size() as i64;
    let mut statement = match run {
        None => conn.prepare_cached(
            "-- audit
             SELECT number, at, token, action, run, subject, detail FROM runlater_audit
             WHERE namespace = ?1 AND number < ?2 ORDER BY number DESC LIMIT ?3",
        )?,
        Some(_) => conn.prepare_cached(
            "-- audit: of a run
             SELECT number, at, token, action, run, subject, detail FROM runlater_audit
             WHERE namespace = ?1 AND number < ?2 AND run = ?4 ORDER BY number DESC LIMIT ?3",
        )?,
    };
    match run {
        None => statement.query_map((namespace.0, before, size), |row| entry(row, id_origin))?.collect(),
        Some(run) => statement.query_map((namespace.0, before, size, run), |row| entry(row, id_origin))?.collect(),
    }
}

fn entry(row: &Row<'_>, id_origin: u64) -> rusqlite::Result<AuditEntry> {
    let action: String = row.get(3)?;
    Ok(AuditEntry {
        number: row.get(0)?,
        at: time(row, 1)?,
        token: row.get(2)?,
        action: AuditAction::parse(&action).ok_or_else(|| strange(3, "an unknown action"))?,
        run: row.get::<_, Option<i64>>(4)?.map(|key| RunId::from_key(key, id_origin)),
        subject: row.get(5)?,
        detail: row.get(6)?,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_trail_of_a_namespace_is_bounded() {
        let conn = Connection::open_in_memory().unwrap();
        conn.execute_batch(include_str!("migrations/0005_audit.sql")).unwrap();
        for (namespace, number) in (1..=2).flat_map(|namespace| (1..=10).map(move |number| (namespace, number))) {
            let entry = "INSERT INTO runlater_audit (namespace, number, at, token, action) VALUES (?1, ?2, 5, 't', 'delete')";
            conn.execute(entry, (namespace, number)).unwrap();
        }
        forget(&conn, NamespaceId(1), AUDIT_ENTRIES_MAX + 3, Timestamp::MIN).unwrap();
        let left = "SELECT namespace, count(*), min(number) FROM runlater_audit GROUP BY namespace ORDER BY namespace";
        let mut left = conn.prepare(left).unwrap();
        let left = left.query_map([], |row| Ok((row.get(0)?, row.get(1)?, row.get(2)?))).unwrap();
        assert_eq!(left.collect::<Result<Vec<(i64, i64, i64)>, _>>().unwrap(), [(1, 7, 4), (2, 10, 1)]);
    }
}
