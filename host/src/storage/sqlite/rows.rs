//! How values stand in rows: codes of statuses and origins, and the shapes that several verbs read.

use std::borrow::Cow;
use std::sync::Arc;
use std::time::Duration;

use rusqlite::types::Type;
use rusqlite::{Connection, Row};

use super::gated::Standing;
use super::input;
use super::registry::Registry;
use crate::model::{Because, CronOccurrence, Metadata, Name, NewRun, Origin, Payload, Run, RunId, Status, Timestamp};

/// Larger inputs are not kept in memory while their run waits.
const INLINE_INPUT_BYTES_MAX: usize = 2048;

pub(super) const SCHEDULED: i64 = 0;
pub(super) const RUNNING: i64 = 1;
pub(super) const BACKOFF: i64 = 2;
pub(super) const SUCCEEDED: i64 = 3;
pub(super) const FAILED: i64 = 4;
pub(super) const CANCELLED: i64 = 5;
pub(super) const MISSED: i64 = 6;

/// The stored code of a status. What waits and is due is `queued`, and stands as `scheduled`.
pub(super) const fn status_code(status: Status) -> i64 {
    match status {
        Status::Scheduled | Status::Queued => SCHEDULED,
        Status::Running => RUNNING,
        Status::Backoff => BACKOFF,
        Status::Succeeded => SUCCEEDED,
        Status::Failed => FAILED,
        Status::Cancelled => CANCELLED,
        Status::Missed => MISSED,
    }
}

/// The status of a row at `now`.
pub(super) fn status(code: i64, due_at: Option<i64>, now: i64) -> Option<Status> {
    Some(match code {
        SCHEDULED | BACKOFF if due_at.is_some_and(|due_at| due_at <= now) => Status::Queued,
        SCHEDULED => Status::Scheduled,
        RUNNING => Status::Running,
        BACKOFF => Status::Backoff,
        SUCCEEDED => Status::Succeeded,
        FAILED => Status::Failed,
        CANCELLED => Status::Cancelled,
        MISSED => Status::Missed,
        _ => return None,
    })
}

pub(super) const fn origin_code(origin: Origin) -> i64 {
    match origin {
        Origin::Api => 0,
        Origin::Guest => 1,
        Origin::Cron => 2,
        Origin::Code => 3,
        Origin::Trigger => 4,
    }
}

pub(super) fn origin(code: i64) -> Option<Origin> {
    Origin::ALL.into_iter().find(|origin| origin_code(*origin) == code)
}

/// A row that says what no row of ours can say. Names the column, so that the row can be found and mended.
pub(super) fn strange(column: usize, what: &str) -> rusqlite::Error {
    rusqlite::Error::FromSqlConversionFailure(column, Type::Null, what.into())
}

pub(super) fn time(row: &Row<'_>, column: usize) -> rusqlite::Result<Timestamp> {
    Timestamp::from_micros(row.get(column)?).ok_or_else(|| strange(column, "a time outside the accepted range"))
}

/// The nearest time of the accepted range: where a page goes on after a row that says none.
pub(super) fn nearest_time(micros: i64) -> Timestamp {
    Timestamp::from_micros(micros).unwrap_or(if micros < 0 { Timestamp::MIN } else { Timestamp::MAX })
}

/// What was read of a row; `None`, with a word to the operator, if it says what none of ours can say: one row that somebody else wrote must hide
/// no other.
pub(super) fn sound<T>(what: &str, read: rusqlite::Result<T>) -> rusqlite::Result<Option<T>> {
    use rusqlite::Error::{FromSqlConversionFailure, IntegralValueOutOfRange, InvalidColumnType, Utf8Error};
    match read {
        Err(error @ (FromSqlConversionFailure(..) | IntegralValueOutOfRange(..) | InvalidColumnType(..) | Utf8Error(..))) => {
            tracing::error!(%error, "a row of {what} can't be understood and is left out: somebody else wrote to the database");
            Ok(None)
        }
        read => read.map(Some),
    }
}

pub(super) fn optional_time(row: &Row<'_>, column: usize) -> rusqlite::Result<Option<Timestamp>> {
    let micros: Option<i64> = row.get(column)?;
    micros.map(|micros| Timestamp::from_micros(micros).ok_or_else(|| strange(column, "a time outside the accepted range"))).transpose()
}

/// The member of stored metadata that no entry can have, because a key is not empty. It lists the places, in order of key, of the values that
/// are JSON text but were not given as strings. Without such values there is no such member.
const JSON_PLACES: &str = "";

/// Metadata as it is stored: a JSON object of text in order of key, or nothing.
pub(super) fn metadata_text(metadata: &Metadata) -> Option<String> {
    if metadata.is_empty() {
        return None;
    }
    let json: Vec<_> = metadata.json_places().map(|place| place.to_string()).collect();
    let text = if json.is_empty() {
        serde_json::to_string(metadata)
    } else {
        let places = json.join(",");
        let entries: std::collections::BTreeMap<_, _> = metadata.iter().chain([(JSON_PLACES, places.as_str())]).collect();
        serde_json::to_string(&entries)
    };
    Some(text.expect("text as keys and values is JSON"))
}

pub(super) fn metadata(text: Option<&str>, column: usize) -> rusqlite::Result<Metadata> {
    let Some(text) = text else { return Ok(Metadata::default()) };
    let mut entries: std::collections::BTreeMap<String, String> =
        serde_json::from_str(text).map_err(|_| strange(column, "metadata that is no JSON object of text"))?;
    let places = entries.remove(JSON_PLACES).unwrap_or_default();
    let json: Vec<usize> = places.split(',').filter_map(|place| place.parse().ok()).collect();
    Ok(Metadata::from_stored(entries.into_iter().enumerate().map(|(place, (key, value))| (key, value, json.contains(&place)))))
}

/// A run that waits, with what its attempt will need.
#[derive(Debug)]
pub(super) struct Waiting {
    pub(super) id: i64,
    pub(super) namespace: i64,
    pub(super) task: i64,
    pub(super) due_at: i64,
    pub(super) trigger_at: i64,
    pub(super) priority: u8,
    pub(super) attempt: u32,
    pub(super) failures: u32,
    /// When the first of the failed attempts started.
    pub(super) failing_since: Option<Timestamp>,
    pub(super) origin: Origin,
    /// Parent, root and depth.
    pub(super) lineage: Option<(i64, i64, u32)>,
    pub(super) max_attempts: Option<u32>,
    /// Microseconds.
    pub(super) timeout: Option<u64>,
    pub(super) metadata: Arc<Metadata>,
    pub(super) input: Option<Payload>,
    /// What its task's gate counts it by, once that was asked for.
    pub(super) lane: Option<Arc<str>>,
    /// Whether its gate has let it in, to wait there.
    pub(super) judged: bool,
    pub(super) standing: Standing,
}

/// The columns of [`waiting`].
pub(super) const WAITING_COLUMNS: &str = "id, namespace, task, due_at, trigger_at, priority, attempt, failures, origin, parent, root, depth, max_attempts, timeout, \
     iif(octet_length(metadata) > 65536, 0, metadata), input_type, CASE WHEN length(input) <= 2048 THEN input END, \
     CASE WHEN failures > 0 THEN failing_since END, input_crc, length(input)";

pub(super) fn waiting(row: &Row<'_>) -> rusqlite::Result<Box<Waiting>> {
    let parent: Option<i64> = row.get(9)?;
    let lineage = match parent {
        Some(parent) => Some((parent, row.get(10)?, row.get(11)?)),
        None => None,
    };
    input::check_length(row, 19)?;
    let input: Option<&[u8]> = row.get_ref(16)?.as_blob_or_null()?;
    if let Some(bytes) = input {
        input::check(bytes, row.get(18)?, 16)?;
    }
    let media_type: Option<&str> = row.get_ref(15)?.as_str_or_null()?;
    Ok(Box::new(Waiting {
        id: row.get(0)?,
        namespace: row.get(1)?,
        task: row.get(2)?,
        due_at: time(row, 3)?.as_micros(),
        trigger_at: time(row, 4)?.as_micros(),
        priority: row.get(5)?,
        attempt: row.get(6)?,
        failures: row.get(7)?,
        failing_since: optional_time(row, 17).unwrap_or(None),
        origin: origin(row.get(8)?).ok_or_else(|| strange(8, "an unknown origin"))?,
        lineage,
        max_attempts: row.get(12)?,
        timeout: row.get::<_, Option<i64>>(13)?.map(|micros| micros.max(0) as u64),
        metadata: Arc::new(metadata(row.get_ref(14)?.as_str_or_null()?, 14)?),
        input: input.map(|bytes| Payload::from_stored(media_type, bytes)),
        lane: None,
        judged: false,
        standing: Standing::Armed,
    }))
}

/// Reads one waiting run by its key.
pub(super) fn waiting_run(conn: &Connection, id: i64) -> rusqlite::Result<Box<Waiting>> {
    conn.prepare_cached(&format!("-- waiting\nSELECT {WAITING_COLUMNS} FROM runlater_runs WHERE id = ?1 AND due_at IS NOT NULL"))?
        .query_row([id], waiting)
}

impl Waiting {
    /// Where it stands among the waiting runs of its namespace.
    pub(super) fn place(&self) -> super::ready::Place {
        (crate::model::rank(self.due_at, self.priority), self.id)
    }

    /// What will wait once `run` is stored.
    pub(super) fn from_new(run: &NewRun, namespace: i64, id: i64, due_at: i64, lineage: Option<(i64, i64, u32)>) -> Box<Self> {
        Box::new(Self {
            id,
            namespace,
            task: run.task.id.0,
            due_at,
            trigger_at: run.trigger_at.as_micros(),
            priority: run.priority.unwrap_or(run.task.policy.priority),
            attempt: 0,
            failures: 0,
            failing_since: None,
            origin: run.origin,
            lineage,
            max_attempts: run.max_attempts,
            timeout: run.timeout.map(|timeout| timeout.as_micros() as u64),
            metadata: Arc::new(run.metadata.clone()),
            input: (run.input.bytes().len() <= INLINE_INPUT_BYTES_MAX).then(|| run.input.clone()),
            lane: None,
            judged: false,
            standing: Standing::Armed,
        })
    }
}

/// The columns of [`run`], of a table or alias `r`. What is longer than any of ours can be is not read at all.
pub(super) const RUN_COLUMNS: &str = "r.id, r.task, r.status, r.due_at, r.trigger_at, r.created_at, r.priority, r.origin, r.attempt, r.cancel_requested, r.started_at, \
     r.finished_at, r.parent, r.root, r.reason, iif(octet_length(r.message) > 65536, 0, r.message), r.unique_key, iif(octet_length(r.metadata) > 65536, 0, r.metadata), \
     r.input_type, iif(length(r.input) > 262144, 0, r.input), r.output_type, iif(length(r.output) > 262144, 0, r.output), \
     r.cron, r.planned_at, r.skipped, r.skipped_until, (SELECT name FROM runlater_crons AS c WHERE c.id = r.cron), \
     r.failures, r.max_attempts, r.timeout, r.on_failure, r.because";

/// A run as its row shows it at `now`.
pub(super) fn run(row: &Row<'_>, registry: &Registry, id_origin: u64, now: i64) -> rusqlite::Result<Run> {
    let task: i64 = row.get(1)?;
    let due_at: Option<i64> = row.get(3)?;
    let id = |column: usize| -> rusqlite::Result<Option<RunId>> {
        let key: Option<i64> = row.get(column)?;
        Ok(key.map(|key| RunId::from_key(key, id_origin)))
    };
    let long = |column| move |_| strange(column, "no bytes, or more than any may have");
    let output: Option<&[u8]> = row.get_ref(21)?.as_blob_or_null().map_err(long(21))?;
    let status = status(row.get(2)?, due_at, now).ok_or_else(|| strange(2, "an unknown status"))?;
    // Of an attempt before the one in flight: that one's history tells it.
    let past = status == Status::Running;
    let (reason, message): (Option<String>, Option<String>) = if past { (None, None) } else { (row.get(14)?, row.get(15)?) };
    Ok(Run {
        id: id(0)?.ok_or_else(|| strange(0, "a run without an id"))?,
        task: registry.task_name(task).ok_or_else(|| strange(1, "a task that does not exist"))?,
        status,
        reason: reason.map(Cow::Owned),
        message,
        because: because(row, 31)?,
        trigger_at: time(row, 4)?,
        due_at: optional_time(row, 3)?,
        created_at: time(row, 5)?,
        started_at: optional_time(row, 10)?,
        finished_at: optional_time(row, 11)?,
        attempts: row.get(8)?,
        failures: row.get(27)?,
        max_attempts: row.get(28)?,
        timeout: row.get::<_, Option<i64>>(29)?.map(|micros| Duration::from_micros(micros.max(0) as u64)),
        cancel_requested: row.get(9)?,
        priority: row.get(6)?,
        origin: origin(row.get(7)?).ok_or_else(|| strange(7, "an unknown origin"))?,
        parent: id(12)?,
        root: id(13)?,
        on_failure: row.get(30)?,
        metadata: metadata(row.get_ref(17)?.as_str_or_null()?, 17)?,
        unique_key: row.get(16)?,
        input: Payload::from_stored(row.get_ref(18)?.as_str_or_null()?, row.get_ref(19)?.as_blob().map_err(long(19))?),
        output: match output {
            Some(bytes) => Some(Payload::from_stored(row.get_ref(20)?.as_str_or_null()?, bytes)),
            None => None,
        },
        progress: None,
        occurrence: occurrence(row)?,
    })
}

/// What a reason refers to, as it is stored.
pub(super) fn because_text(because: &Because) -> String {
    serde_json::to_string(because).expect("plain data")
}

fn because(row: &Row<'_>, column: usize) -> rusqlite::Result<Option<Because>> {
    let text = row.get_ref(column)?.as_str_or_null()?;
    text.map(|text| serde_json::from_str(text).map_err(|_| strange(column, "a cause that this version does not know"))).transpose()
}

fn occurrence(row: &Row<'_>) -> rusqlite::Result<Option<CronOccurrence>> {
    if row.get::<_, Option<i64>>(22)?.is_none() {
        return Ok(None);
    }
    let (count, name): (Option<u32>, Option<String>) = (row.get(24)?, row.get(26)?);
    Ok(Some(CronOccurrence {
        cron: name.and_then(|name| Name::parse(&name, "name").ok()),
        planned_at: match optional_time(row, 23)? {
            // A row of skipped occurrences whose first was made after all.
            None if count.is_some() => optional_time(row, 4)?,
            planned => planned,
        },
        skipped: count.zip(optional_time(row, 25)?),
    }))
}
