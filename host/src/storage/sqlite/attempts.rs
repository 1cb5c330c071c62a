//! The history of a run: the attempts that left a row, and the one that its own row tells.

use rusqlite::{OptionalExtension, Row};

use super::list::Reader;
use super::rows::{RUNNING, SUCCEEDED, optional_time, sound, strange, time};
use crate::model::{Attempt, RunId};

/// Oldest first.
pub(super) fn attempts(reader: &Reader<'_>, run: RunId) -> rusqlite::Result<Vec<Attempt>> {
    let Some(key) = run.key_in(reader.id_origin) else { return Ok(Vec::new()) };
    let digest = |component: Option<i64>| component.and_then(|id| reader.registry.digest(id));
    let mut statement = reader.conn.prepare_cached(
        "-- attempts
         SELECT a.number, a.component, a.started_at, a.finished_at, a.outcome, iif(octet_length(a.message) > 65536, 0, a.message), a.log
         FROM runlater_attempts a JOIN runlater_runs r ON r.id = a.run
         WHERE a.run = ?1 AND r.namespace = ?2 ORDER BY a.number",
    )?;
    let read = |row: &Row<'_>| -> rusqlite::Result<Attempt> {
        let outcome: String = row.get(4)?;
        Ok(Attempt {
            number: row.get(0)?,
            digest: digest(row.get(1)?),
            started_at: time(row, 2)?,
            finished_at: Some(time(row, 3)?),
            outcome: Some(outcome.into()),
            message: row.get(5)?,
            log: row.get::<_, Option<Vec<u8>>>(6)?.unwrap_or_default(),
        })
    };
    let (mut rows, mut attempts) = (statement.query((key, reader.namespace.0))?, Vec::new());
    while let Some(row) = rows.next()? {
        attempts.extend(sound("attempts", read(row))?);
    }
    let last = reader
        .conn
        .prepare_cached(
            "-- attempts: last
             SELECT attempt, component, started_at, finished_at, status FROM runlater_runs WHERE id = ?1 AND namespace = ?2 AND status IN (1, 3)",
        )?
        .query_row((key, reader.namespace.0), |row| {
            let outcome = match row.get(4)? {
                RUNNING => None,
                SUCCEEDED => Some("succeeded".into()),
                _ => return Err(strange(4, "a status that was not asked for")),
            };
            Ok(Attempt {
                number: row.get(0)?,
                digest: digest(row.get(1)?).filter(|_| outcome.is_some()),
                started_at: time(row, 2)?,
                finished_at: optional_time(row, 3)?,
                outcome,
                message: None,
                log: Vec::new(),
            })
        })
        .optional()?;
    if let Some(last) = last
        && attempts.iter().all(|attempt| attempt.number != last.number)
    {
        attempts.push(last);
    }
    Ok(attempts)
}
