//! Reads what is to come: for forecasts.

use std::time::Duration;

use rusqlite::{Connection, Row};

use crate::model::limits::FORECAST_CRONS_MAX;
use crate::model::{Ahead, CronAhead, CronRule, HourCount, Name, NamespaceId, Timestamp};
use crate::storage::sqlite::registry::Registry;
use crate::storage::sqlite::rows::{optional_time, sound, strange, time};

const HOUR_MICROS: i64 = 3_600_000_000;

/// Scheduled runs later than `now` and before `until`, by the hour, and the crons that are to fire before `until`.
pub(in crate::storage::sqlite) fn ahead(
    conn: &Connection,
    registry: &Registry,
    namespace: NamespaceId,
    task: Option<&Name>,
    until: Timestamp,
    now: Timestamp,
) -> rusqlite::Result<Ahead> {
    let task = match task {
        Some(name) => match registry.task(namespace, name.as_str()) {
            Some(task) => Some(task.id.0),
            None => return Ok(Ahead::default()),
        },
        None => None,
    };
    // The plus keeps SQLite on the index of what waits, which is in order of time within the namespace.
    let mut statement = conn.prepare_cached(
        "-- ahead: runs
         SELECT due_at / 3600000000, sum(cron IS NULL), sum(cron IS NOT NULL) FROM runlater_runs
         WHERE due_at IS NOT NULL AND due_at > ?1 AND due_at < ?2 AND status = 0 AND namespace = ?3 AND (?4 IS NULL OR +task = ?4) GROUP BY 1",
    )?;
    let rows = statement.query_map((now.as_micros(), until.as_micros(), namespace.0, task), |row| {
        let hour = row.get::<_, i64>(0)?.checked_mul(HOUR_MICROS).and_then(Timestamp::from_micros);
        let hour = hour.ok_or_else(|| strange(0, "a time outside the accepted range"))?;
        Ok(HourCount { hour, runs: row.get::<_, i64>(1)? as u64, crons: row.get::<_, i64>(2)? as u64 })
    })?;
    let runs = rows.collect::<rusqlite::Result<Vec<_>>>()?;
    let mut statement = conn.prepare_cached(
        "-- ahead: crons
         SELECT name, expression, timezone, start_at, end_at, max_count, fired, next_at FROM runlater_crons
         WHERE namespace = ?1 AND next_at IS NOT NULL AND next_at < ?2 AND (?3 IS NULL OR task = ?3) ORDER BY name LIMIT ?4",
    )?;
    let mut rows = statement.query((namespace.0, until.as_micros(), task, FORECAST_CRONS_MAX as i64 + 1))?;
    let mut crons = Vec::new();
    while let Some(row) = rows.next()? {
        crons.extend(sound("crons", cron(row, registry))?);
    }
    let more = crons.len() > FORECAST_CRONS_MAX;
    crons.truncate(FORECAST_CRONS_MAX);
    Ok(Ahead { runs, crons, more })
}

/// Reads when a cron fires, and not what its runs are made of: inputs take up to 256 KiB each.
fn cron(row: &Row<'_>, registry: &Registry) -> rusqlite::Result<CronAhead> {
    let (name, expression, zone): (String, String, String) = (row.get(0)?, row.get(1)?, row.get(2)?);
    let (start, end) = (time(row, 3)?, optional_time(row, 4)?);
    let rule = registry.zones().zone(&zone).and_then(|zone| CronRule::restored(&expression, zone, start, end, Duration::ZERO));
    let rule = rule.map_err(|_| strange(1, "a rule that this version does not know"))?;
    let (max_count, fired): (Option<u32>, u32) = (row.get(5)?, row.get(6)?);
    Ok(CronAhead {
        name: Name::parse(&name, "name").map_err(|_| strange(0, "a name that is none"))?,
        rule,
        next_at: time(row, 7)?,
        left: max_count.map_or(u64::MAX, |max| max.saturating_sub(fired).into()),
    })
}
