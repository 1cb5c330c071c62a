//! The history of a run: the attempts that left a row, and the one that its own row tells.

use rusqlite::{OptionalExtension, Row};

use super::list::Reader;
use super::rows::{RUNNING, SUCCEEDED, optional_time, sound, time};
use crate::model::limits::ATTEMPTS_PAGE_BYTES_MAX;
use crate::model::{Attempt, AttemptPage, AttemptQuery, RunId};

/// What the run's own row tells.
struct OfRow {
    /// Its last attempt, if no other row tells of it.
    last: Option<Attempt>,
    failing_since: Option<crate::model::Timestamp>,
}

/// A page of them, oldest first.
pub(super) fn attempts(reader: &Reader<'_>, run: RunId, query: &AttemptQuery) -> rusqlite::Result<AttemptPage> {
    let Some(key) = run.key_in(reader.id_origin) else { return Ok(AttemptPage::default()) };
    let Some(OfRow { last, failing_since }) = of_row(reader, key)? else { return Ok(AttemptPage::default()) };
    let first: Option<u32> = reader
        .conn
        .prepare_cached("-- attempts: first\nSELECT min(number) FROM runlater_attempts WHERE run = ?1")?
        .query_row([key], |row| row.get(0))?;
    let first = first.or(last.as_ref().map(|last| last.number)).unwrap_or(1);
    let mut page = AttemptPage { dropped: first.saturating_sub(1), failing_since, ..AttemptPage::default() };
    let mut statement = reader.conn.prepare_cached(
        "-- attempts
         SELECT number, component, started_at, finished_at, outcome, iif(octet_length(message) > 65536, 0, message), log_dropped,
             iif(?3, log, NULL)
         FROM runlater_attempts WHERE run = ?1 AND number > ?2 ORDER BY number",
    )?;
    let read = |row: &Row<'_>| -> rusqlite::Result<Attempt> {
        let outcome: String = row.get(4)?;
        Ok(Attempt {
            number: row.get(0)?,
            digest: row.get::<_, Option<i64>>(1)?.and_then(|id| reader.registry.digest(id)),
            started_at: time(row, 2)?,
            finished_at: Some(time(row, 3)?),
            outcome: Some(outcome.into()),
            message: row.get(5)?,
            log_dropped: row.get::<_, Option<i64>>(6)?.unwrap_or(0).max(0).unsigned_abs(),
            log: row.get::<_, Option<Vec<u8>>>(7)?.unwrap_or_default(),
        })
    };
    let mut rows = statement.query((key, query.after, query.with_logs))?;
    let (mut bytes, mut looked_at, mut seen) = (0, 0, query.after);
    while let Some(row) = rows.next()? {
        // What can't be understood counts as well, so that a page has an end.
        let attempt = if looked_at < query.size() { sound("attempts", read(row))? } else { None };
        bytes += attempt.as_ref().map_or(0, |attempt| attempt.log.len() + attempt.message.as_ref().map_or(0, String::len));
        if looked_at == query.size() || bytes > ATTEMPTS_PAGE_BYTES_MAX && !page.attempts.is_empty() {
            page.next = Some(seen);
            return Ok(page);
        }
        looked_at += 1;
        seen = u32::try_from(row.get::<_, i64>(0)?).unwrap_or(u32::MAX);
        page.attempts.extend(attempt);
    }
    let told = |number: u32| page.attempts.iter().any(|attempt| attempt.number == number);
    if let Some(last) = last.filter(|last| last.number > query.after && !told(last.number)) {
        match looked_at < query.size() {
            true => page.attempts.push(last),
            false => page.next = Some(seen),
        }
    }
    Ok(page)
}

/// Reads the run's own row; `None` if there is no such run in the namespace.
fn of_row(reader: &Reader<'_>, key: i64) -> rusqlite::Result<Option<OfRow>> {
    reader
        .conn
        .prepare_cached(
            "-- attempts: last
             SELECT attempt, component, started_at, finished_at, status, failing_since FROM runlater_runs WHERE id = ?1 AND namespace = ?2",
        )?
        .query_row((key, reader.namespace.0), |row| {
            let outcome = match row.get(4)? {
                RUNNING => Some(None),
                SUCCEEDED => Some(Some("succeeded".into())),
                _ => None,
            };
            let last = match outcome {
                Some(outcome) => Some(Attempt {
                    number: row.get(0)?,
                    digest: row.get::<_, Option<i64>>(1)?.and_then(|id| reader.registry.digest(id)).filter(|_| outcome.is_some()),
                    started_at: time(row, 2)?,
                    finished_at: optional_time(row, 3)?,
                    outcome,
                    message: None,
                    log: Vec::new(),
                    log_dropped: 0,
                }),
                None => None,
            };
            // A time that can't be understood hides no attempt.
            Ok(OfRow { last, failing_since: optional_time(row, 5).unwrap_or(None) })
        })
        .optional()
}
