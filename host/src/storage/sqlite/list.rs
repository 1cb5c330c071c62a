//! Lists and counts runs.
//!
//! The statement is put together from the filter's parts, every value bound. Which table drives it decides how fast it is: a
//! metadata entry is the most selective, then a parent or a root, then the partial indexes of the statuses.

use rusqlite::{Connection, Row, ToSql};

use super::readers::stop_if_over;
use super::registry::Registry;
use super::rows::{RUN_COLUMNS, SCHEDULED, SUCCEEDED, nearest_time, origin_code, run, sound, status_code};
use crate::model::{Cursor, NamespaceId, Order, Page, Run, RunFilter, RunId, Status, Timestamp};

/// Bytes of inputs and outputs after which a page ends early, so that 500 large runs do not fill the memory.
pub(super) const PAGE_BYTES_MAX: usize = 8 << 20;

/// Waiting runs up to which they are sorted for a list in order of id: a few milliseconds. With more of them a walk in order of id meets
/// enough of them soon.
const FEW: i64 = 4_096;

/// A statement with its values.
pub(super) struct Query {
    pub(super) sql: String,
    values: Vec<Box<dyn ToSql>>,
}

impl Query {
    fn bind(&mut self, value: impl ToSql + 'static) -> String {
        self.values.push(Box::new(value));
        format!("?{}", self.values.len())
    }

    fn bind_all<T: ToSql + 'static>(&mut self, values: impl IntoIterator<Item = T>) -> String {
        values.into_iter().map(|value| self.bind(value)).collect::<Vec<_>>().join(", ")
    }

    fn values(&self) -> impl Iterator<Item = &dyn ToSql> {
        self.values.iter().map(|value| value.as_ref())
    }
}

/// `SELECT columns` of what matches; `None` if nothing can match. A page adds its order and bounds. `few_wait`: so few runs wait that
/// sorting them costs less than to pass by all that have ended.
#[allow(clippy::too_many_arguments, reason = "what decides a statement is what it is made of")]
fn query(
    columns: &str,
    registry: &Registry,
    id_origin: u64,
    namespace: NamespaceId,
    filter: &RunFilter,
    page: Option<&Page>,
    few_wait: bool,
    now: Timestamp,
) -> Option<Query> {
    let mut q = Query { sql: String::new(), values: Vec::new() };
    let mut terms = Vec::new();
    let mut entries = filter.metadata.iter();
    let source = match entries.next() {
        Some((key, value)) => {
            let (namespace, key, value) = (q.bind(namespace.0), q.bind(key.to_owned()), q.bind(value.to_owned()));
            terms.push(format!("m.namespace = {namespace} AND m.key = {key} AND m.value = {value}"));
            // CROSS JOIN keeps SQLite from turning the order of the two round.
            "runlater_run_metadata m CROSS JOIN runlater_runs r ON r.id = m.run"
        }
        None => "runlater_runs r",
    };
    let bound = q.bind(namespace.0);
    let driven = !filter.metadata.is_empty();
    let related = filter.parent.is_some() || filter.root.is_some();
    let index = if driven || related || has_better_order(filter, page, few_wait) { "+" } else { "" };
    terms.push(format!("{index}r.namespace = {bound}"));
    for (key, value) in entries {
        let (namespace, key, value) = (q.bind(namespace.0), q.bind(key.to_owned()), q.bind(value.to_owned()));
        terms.push(format!(
            "EXISTS (SELECT 1 FROM runlater_run_metadata e WHERE e.namespace = {namespace} AND e.key = {key} AND e.value = {value} AND e.run = r.id)"
        ));
    }
    if !filter.tasks.is_empty() {
        let ids: Vec<i64> = filter.tasks.iter().filter_map(|name| registry.task(namespace, name.as_str())).map(|task| task.id.0).collect();
        if ids.is_empty() {
            return None;
        }
        let list = q.bind_all(ids);
        terms.push(format!("r.task IN ({list})"));
    }
    if !filter.statuses.is_empty() {
        terms.push(statuses(&mut q, &filter.statuses, now));
    }
    if !filter.origins.is_empty() && filter.origins.len() < crate::model::Origin::ALL.len() {
        let list = q.bind_all(filter.origins.iter().map(|origin| origin_code(*origin)));
        terms.push(format!("r.origin IN ({list})"));
    }
    if let Some(parent) = filter.parent {
        let parent = q.bind(parent.key_in(id_origin)?);
        terms.push(format!("r.parent = {parent}"));
    }
    if let Some(root) = filter.root {
        let root = q.bind(root.key_in(id_origin)?);
        terms.push(format!("r.root = {root}"));
    }
    if let Some(from) = filter.trigger_from {
        let from = q.bind(from.as_micros());
        terms.push(format!("r.trigger_at >= {from}"));
    }
    if let Some(before) = filter.trigger_before {
        let before = q.bind(before.as_micros());
        terms.push(format!("r.trigger_at < {before}"));
    }
    let tail = match page {
        Some(page) => {
            // The column that the driving table is in order of: then a page needs no sorting, however many match.
            let key = match (driven, waits(filter) && few_wait && !related) {
                (true, _) => "m.run",
                (false, true) => "+r.id",
                (false, false) => "r.id",
            };
            tail(&mut q, page, filter, key, &mut terms, id_origin)?
        }
        None => String::new(),
    };
    q.sql = format!("-- list\nSELECT {columns} FROM {source} WHERE {}{tail}", terms.join(" AND "));
    Some(q)
}

/// Whether SQLite must be kept from the indexes that begin with the namespace. Without statistics it takes one of them wherever it can, and
/// then reads and sorts all runs there are for a page of fifty: in order of id there is nothing to sort. What waits is found by its due time,
/// unless there is much of it.
fn has_better_order(filter: &RunFilter, page: Option<&Page>, few_wait: bool) -> bool {
    let by_id = page.is_some_and(|page| matches!(page.order, Order::NewestFirst | Order::OldestFirst));
    let marked = !filter.statuses.is_empty() && filter.statuses.iter().all(is_marked);
    let selective = !filter.tasks.is_empty() || marked;
    by_id && if waits(filter) { !few_wait } else { !selective }
}

/// Whether only runs that wait are meant.
fn waits(filter: &RunFilter) -> bool {
    !filter.statuses.is_empty() && filter.statuses.iter().all(is_waiting)
}

/// Whether the partial index of due times holds these.
fn is_waiting(status: &Status) -> bool {
    matches!(status, Status::Scheduled | Status::Queued | Status::Backoff)
}

/// Whether the partial index of statuses holds these.
fn is_marked(status: &Status) -> bool {
    !matches!(status_code(*status), SCHEDULED | SUCCEEDED)
}

/// The condition for these statuses. Repeats the condition of a partial index wherever all of them are within it.
fn statuses(q: &mut Query, statuses: &[Status], now: Timestamp) -> String {
    let mut any = Vec::new();
    for status in statuses {
        let code = q.bind(status_code(*status));
        any.push(match status {
            Status::Scheduled | Status::Backoff => {
                let now = q.bind(now.as_micros());
                format!("(r.status = {code} AND r.due_at > {now})")
            }
            Status::Queued => {
                let now = q.bind(now.as_micros());
                format!("(r.status IN (0, 2) AND r.due_at <= {now} AND {code} = {code})")
            }
            _ => format!("r.status = {code}"),
        });
    }
    let index = if statuses.iter().all(is_waiting) {
        " AND r.due_at IS NOT NULL"
    } else if statuses.iter().all(is_marked) {
        " AND r.status NOT IN (0, 3)"
    } else {
        ""
    };
    format!("({}){index}", any.join(" OR "))
}

/// Whether the order of trigger time can be that of due time, which has an index. For what is scheduled they are one, but for a
/// clock that stepped back: then the cursor has to be the due time too, or the pages would never end.
fn by_due_time(filter: &RunFilter) -> bool {
    filter.statuses == [Status::Scheduled]
}

/// Whether the page's order has no index, so that SQLite sorts all that matches.
fn is_sorted(filter: &RunFilter, page: &Page) -> bool {
    matches!(page.order, Order::TriggerTime | Order::LatestTriggerTime) && !by_due_time(filter)
}

/// Order, cursor and limit. `key` is the id, spelled so that SQLite walks the right index.
fn tail(q: &mut Query, page: &Page, filter: &RunFilter, key: &str, terms: &mut Vec<String>, id_origin: u64) -> Option<String> {
    let cursor = match page.cursor {
        Some(cursor) => Some((cursor.after.key_in(id_origin)?, cursor.trigger_at.as_micros())),
        None => None,
    };
    let order = match page.order {
        Order::NewestFirst => {
            if let Some((id, _)) = cursor {
                let id = q.bind(id);
                terms.push(format!("{key} < {id}"));
            }
            format!("{key} DESC")
        }
        Order::OldestFirst => {
            if let Some((id, _)) = cursor {
                let id = q.bind(id);
                terms.push(format!("{key} > {id}"));
            }
            key.to_owned()
        }
        Order::TriggerTime => {
            let time = if by_due_time(filter) { "r.due_at" } else { "r.trigger_at" };
            if let Some((id, at)) = cursor {
                let (at, id) = (q.bind(at), q.bind(id));
                terms.push(format!("({time}, r.id) > ({at}, {id})"));
            }
            format!("{time}, r.id")
        }
        Order::LatestTriggerTime => {
            let time = if by_due_time(filter) { "r.due_at" } else { "r.trigger_at" };
            if let Some((id, at)) = cursor {
                let (at, id) = (q.bind(at), q.bind(id));
                // The first part is what an index can go by.
                terms.push(format!("{time} <= {at} AND ({time} < {at} OR r.id > {id})"));
            }
            format!("{time} DESC, r.id")
        }
    };
    let limit = q.bind(page.size() as i64 + 1);
    let skip = if page.skip() > 0 { format!(" OFFSET {}", q.bind(page.skip() as i64)) } else { String::new() };
    Some(format!(" ORDER BY {order} LIMIT {limit}{skip}"))
}

/// What a read needs beside its connection.
pub(super) struct Reader<'a> {
    pub(super) conn: &'a Connection,
    pub(super) registry: &'a Registry,
    pub(super) id_origin: u64,
    pub(super) namespace: NamespaceId,
    pub(super) now: Timestamp,
}

impl Reader<'_> {
    fn query(&self, columns: &str, filter: &RunFilter, page: Option<&Page>) -> Option<Query> {
        let few_wait = waits(filter) && filter.metadata.is_empty() && self.few_wait();
        query(columns, self.registry, self.id_origin, self.namespace, filter, page, few_wait, self.now)
    }

    /// Whether at most [`FEW`] runs wait; looks at no more than that. Only decides which way a list goes, so an error means no.
    fn few_wait(&self) -> bool {
        let sql = "-- few wait\nSELECT count(*) FROM (SELECT 1 FROM runlater_runs WHERE namespace = ?2 AND due_at IS NOT NULL LIMIT ?1)";
        let seen = self.conn.prepare_cached(sql).and_then(|mut few| few.query_row([FEW + 1, self.namespace.0], |row| row.get::<_, i64>(0)));
        seen.is_ok_and(|seen| seen <= FEW)
    }

    /// A page of runs, and where the next one begins.
    pub(super) fn list(&self, filter: &RunFilter, page: &Page) -> rusqlite::Result<(Vec<Run>, Option<Cursor>)> {
        if is_sorted(filter, page) {
            return self.list_sorted(filter, page);
        }
        let Some(query) = self.query(RUN_COLUMNS, filter, Some(page)) else { return Ok((Vec::new(), None)) };
        let mut statement = self.conn.prepare_cached(&query.sql)?;
        let mut rows = statement.query(rusqlite::params_from_iter(query.values()))?;
        let (mut runs, mut bytes, mut seen, mut last): (Vec<Run>, usize, usize, _) = (Vec::new(), 0, 0, None);
        while let Some(row) = rows.next()? {
            if seen == page.size() || bytes > PAGE_BYTES_MAX {
                return Ok((runs, last));
            }
            stop_if_over()?;
            seen += 1;
            last = Some(self.place(row, if by_due_time(filter) { 3 } else { 4 })?);
            if let Some(run) = sound("runs", run(row, self.registry, self.id_origin, self.now.as_micros()))? {
                bytes += run.input.bytes().len() + run.output.as_ref().map_or(0, |output| output.bytes().len());
                runs.push(run);
            }
        }
        Ok((runs, None))
    }

    /// The same, for an order that no index has: sorts the ids, and then reads the runs of the page. So what is sorted is small, however large
    /// inputs and outputs are.
    fn list_sorted(&self, filter: &RunFilter, page: &Page) -> rusqlite::Result<(Vec<Run>, Option<Cursor>)> {
        // Both reads see the same state.
        let _state = self.conn.unchecked_transaction()?;
        let (places, next) = self.places(filter, page)?;
        let (mut runs, mut bytes): (Vec<Run>, usize) = (Vec::new(), 0);
        for (count, place) in places.iter().enumerate() {
            if bytes > PAGE_BYTES_MAX {
                return Ok((runs, places.get(count - 1).copied()));
            }
            stop_if_over()?;
            if let Some(run) = sound("runs", self.get(place.after))?.flatten() {
                bytes += run.input.bytes().len() + run.output.as_ref().map_or(0, |output| output.bytes().len());
                runs.push(run);
            }
        }
        Ok((runs, next))
    }

    /// The same, with nothing but the ids.
    pub(super) fn list_ids(&self, filter: &RunFilter, page: &Page) -> rusqlite::Result<(Vec<RunId>, Option<Cursor>)> {
        let (places, next) = self.places(filter, page)?;
        Ok((places.into_iter().map(|place| place.after).collect(), next))
    }

    /// Where the runs of a page stand.
    fn places(&self, filter: &RunFilter, page: &Page) -> rusqlite::Result<(Vec<Cursor>, Option<Cursor>)> {
        let columns = if by_due_time(filter) { "r.id, r.due_at" } else { "r.id, r.trigger_at" };
        let Some(query) = self.query(columns, filter, Some(page)) else { return Ok((Vec::new(), None)) };
        let mut statement = self.conn.prepare_cached(&query.sql)?;
        let rows = statement.query_map(rusqlite::params_from_iter(query.values()), |row| self.place(row, 1))?;
        let mut found = rows.collect::<rusqlite::Result<Vec<_>>>()?;
        let more = found.len() > page.size();
        found.truncate(page.size());
        let next = found.last().copied().filter(|_| more);
        Ok((found, next))
    }

    /// Where a row stands in a list, whatever else it says.
    fn place(&self, row: &Row<'_>, time: usize) -> rusqlite::Result<Cursor> {
        let micros: Option<i64> = row.get(time)?;
        Ok(Cursor { after: RunId::from_key(row.get(0)?, self.id_origin), trigger_at: nearest_time(micros.unwrap_or(i64::MAX)) })
    }

    /// How many match.
    pub(super) fn count(&self, filter: &RunFilter) -> rusqlite::Result<u64> {
        let Some(query) = self.query("count(*)", filter, None) else { return Ok(0) };
        let count: i64 = self.conn.prepare_cached(&query.sql)?.query_row(rusqlite::params_from_iter(query.values()), |row| row.get(0))?;
        Ok(count as u64)
    }

    /// One run.
    pub(super) fn get(&self, id: RunId) -> rusqlite::Result<Option<Run>> {
        use rusqlite::OptionalExtension;
        let Some(key) = id.key_in(self.id_origin) else { return Ok(None) };
        let sql = format!("-- get\nSELECT {RUN_COLUMNS} FROM runlater_runs r WHERE r.id = ?1 AND r.namespace = ?2");
        self.conn
            .prepare_cached(&sql)?
            .query_row((key, self.namespace.0), |row| run(row, self.registry, self.id_origin, self.now.as_micros()))
            .optional()
    }
}
