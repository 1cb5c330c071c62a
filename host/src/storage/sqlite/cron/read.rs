//! Reads crons.

use rusqlite::{Connection, OptionalExtension, Row};

use crate::model::{Cron, CronFilter, CronRule, CronSpec, Name, NamespaceId, Payload, Timestamp, Zone};
use crate::storage::sqlite::list::PAGE_BYTES_MAX;
use crate::storage::sqlite::pause::pause_of;
use crate::storage::sqlite::readers::stop_if_over;
use crate::storage::sqlite::registry::Registry;
use crate::storage::sqlite::rows::{metadata, optional_time, origin, sound, strange, time};

/// A stored cron: what callers see of it, and its key.
pub(super) struct Stored {
    pub(super) id: i64,
    pub(super) namespace: i64,
    pub(super) task: i64,
    pub(super) cron: Cron,
}

pub(super) const COLUMNS: &str = "id, namespace, name, task, origin, expression, timezone, start_at, end_at, jitter, max_count, priority, missed, metadata, \
     input_type, input, pause, next_at, fired, version, created_at, updated_at";

/// Reads the columns above.
pub(super) fn stored(row: &Row<'_>, registry: &Registry) -> rusqlite::Result<Stored> {
    let (task, name): (i64, String) = (row.get(3)?, row.get(2)?);
    let (expression, zone): (String, String) = (row.get(5)?, row.get(6)?);
    let jitter = std::time::Duration::from_micros(row.get::<_, i64>(9)?.max(0) as u64);
    let (start, end) = (time(row, 7)?, optional_time(row, 8)?);
    // A zone may be gone from a folder of an operator's own. Its cron is there all the same, to be seen, changed and deleted.
    let zone = registry.zones().zone(&zone).unwrap_or_else(|_| Zone::unknown(&zone));
    let rule = CronRule::restored(&expression, zone, start, end, jitter);
    let missed: Option<String> = row.get(12)?;
    let spec = CronSpec {
        task: registry.task_name(task).ok_or_else(|| strange(3, "a task that does not exist"))?,
        rule: rule.map_err(|_| strange(5, "a rule that this version does not know"))?,
        max_count: row.get(10)?,
        input: Payload::from_stored(row.get(14).map(|text: Option<String>| text)?.as_deref(), row.get_ref(15)?.as_blob()?),
        metadata: metadata(row.get_ref(13)?.as_str_or_null()?, 13)?,
        priority: row.get(11)?,
        missed: missed
            .map(|text| serde_json::from_str(&text))
            .transpose()
            .map_err(|_| strange(12, "a policy that this version does not know"))?,
    };
    let cron = Cron {
        name: Name::parse(&name, "name").map_err(|_| strange(2, "a name that is none"))?,
        spec,
        origin: origin(row.get(4)?).ok_or_else(|| strange(4, "an unknown origin"))?,
        pause: pause_of(row, 16)?,
        next_at: optional_time(row, 17)?,
        fired: row.get(18)?,
        version: row.get(19)?,
        created_at: time(row, 20)?,
        updated_at: time(row, 21)?,
    };
    Ok(Stored { id: row.get(0)?, namespace: row.get(1)?, task, cron })
}

/// The cron of this name with its key.
pub(super) fn find(conn: &Connection, registry: &Registry, namespace: NamespaceId, name: &Name) -> rusqlite::Result<Option<Stored>> {
    conn.prepare_cached(&format!("-- cron\nSELECT {COLUMNS} FROM runlater_crons WHERE namespace = ?1 AND name = ?2"))?
        .query_row((namespace.0, name.as_str()), |row| stored(row, registry))
        .optional()
}

/// The cron of this name.
pub(in crate::storage::sqlite) fn get(
    conn: &Connection,
    registry: &Registry,
    namespace: NamespaceId,
    name: &Name,
) -> rusqlite::Result<Option<Cron>> {
    let mut found = find(conn, registry, namespace, name)?;
    if let Some(stored) = &mut found {
        show_next(conn, stored)?;
    }
    Ok(found.map(|stored| stored.cron))
}

/// A page of the crons that match, in order of name, as they stand at `now`: a pause that has ended is none.
pub(in crate::storage::sqlite) fn list(
    conn: &Connection,
    registry: &Registry,
    namespace: NamespaceId,
    filter: &CronFilter,
    now: Timestamp,
) -> rusqlite::Result<Vec<Cron>> {
    let task = match &filter.task {
        Some(name) => match registry.task(namespace, name.as_str()) {
            Some(task) => Some(task.id.0),
            None => return Ok(Vec::new()),
        },
        None => None,
    };
    let mut statement = conn.prepare_cached(&format!(
        "-- crons
         SELECT {COLUMNS} FROM runlater_crons WHERE namespace = ?1 AND name > ?2 AND (?3 IS NULL OR task = ?3) ORDER BY name"
    ))?;
    let after = filter.after.as_ref().map_or("", Name::as_str);
    let mut rows = statement.query((namespace.0, after, task))?;
    let (mut found, mut bytes) = (Vec::new(), 0);
    // A page ends early when its inputs are large, so that 500 of them do not fill the memory.
    while found.len() < filter.limit
        && bytes < PAGE_BYTES_MAX
        && let Some(row) = rows.next()?
    {
        stop_if_over()?;
        let Some(mut stored) = sound("crons", stored(row, registry))? else { continue };
        stored.cron.pause = stored.cron.pause.filter(|pause| pause.holds(now));
        if filter.paused.is_none_or(|paused| paused == stored.cron.pause.is_some()) {
            show_next(conn, &mut stored)?;
            bytes += stored.cron.spec.input.bytes().len();
            found.push(stored.cron);
        }
    }
    Ok(found)
}

/// What callers call next is the earliest occurrence that has not come, whether it has its run already or not; and what has not come has not
/// fired.
fn show_next(conn: &Connection, stored: &mut Stored) -> rusqlite::Result<()> {
    let (made, count): (Option<i64>, u32) = conn
        .prepare_cached(
            "-- cron: next run
             SELECT min(planned_at), count(*) FROM runlater_runs
             WHERE cron = ?1 AND planned_at IS NOT NULL AND status = 0 AND attempt = 0 AND trigger_at > created_at",
        )?
        .query_row([stored.id], |row| Ok((row.get(0)?, row.get(1)?)))?;
    stored.cron.fired = stored.cron.fired.saturating_sub(count);
    if let Some(made) = made.and_then(Timestamp::from_micros) {
        stored.cron.next_at = Some(stored.cron.next_at.map_or(made, |next| next.min(made)));
    }
    Ok(())
}
