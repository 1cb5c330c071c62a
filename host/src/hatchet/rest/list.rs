//! `GET …/workflows/scheduled`: a page of them.

use axum::Json;
use axum::extract::Query;
use axum::http::{StatusCode, Uri};
use serde_json::{Value, json};

use super::super::filter::Filter;
use super::path::Tenant;
use super::row::Row;
use crate::http::error::Problem;
use crate::model::limits::{PAGE_SIZE_DEFAULT, PAGE_SIZE_MAX, PAGE_SKIP_MAX};
use crate::model::{Invalid, Order, Page, RunFilter};
use crate::scheduler::Scheduler;

/// Bytes of inputs in one page. Its further rows come without theirs, which can be read one by one: a page must not lack rows, because these
/// clients count them.
const INPUT_BYTES_MAX: usize = 16 << 20;

/// Which portion.
#[derive(Clone, Copy)]
pub(super) struct Bounds {
    pub(super) offset: usize,
    pub(super) limit: usize,
}

impl Default for Bounds {
    fn default() -> Self {
        Self { offset: 0, limit: PAGE_SIZE_DEFAULT }
    }
}

impl Bounds {
    pub(super) fn set_offset(&mut self, text: &str) -> Result<(), Invalid> {
        let refused =
            || Invalid::new("invalid-page", "offset", format!("0 to {PAGE_SKIP_MAX}; narrow the filter for what is beyond")).seen(text);
        self.offset = text.parse().ok().filter(|offset| *offset <= PAGE_SKIP_MAX).ok_or_else(refused)?;
        Ok(())
    }

    pub(super) fn set_limit(&mut self, text: &str) -> Result<(), Invalid> {
        let refused = || Invalid::new("invalid-page-size", "limit", format!("a page has 1 to {PAGE_SIZE_MAX} rows")).seen(text);
        self.limit = text.parse().ok().filter(|limit| (1..=PAGE_SIZE_MAX).contains(limit)).ok_or_else(refused)?;
        Ok(())
    }
}

pub(super) async fn list(Tenant { scheduler, .. }: Tenant, uri: Uri) -> Result<Json<Value>, Problem> {
    let (filter, bounds, order) = query(pairs(&uri)?)?;
    let (rows, count) = match filter.parse(&scheduler).await? {
        Some(filter) => (page(&scheduler, &filter, bounds, order).await?, scheduler.count(&filter).await?),
        None => (Vec::new(), 0),
    };
    Ok(Json(json!({ "rows": rows, "pagination": pagination(count, bounds) })))
}

/// All rows of the page, whatever they weigh.
async fn page(scheduler: &Scheduler, filter: &RunFilter, bounds: Bounds, order: Order) -> Result<Vec<Row>, Problem> {
    let (mut rows, mut bytes): (Vec<Row>, usize) = (Vec::new(), 0);
    let mut page = Page::new(bounds.limit, None, order)?.skipping(bounds.offset)?;
    loop {
        let (runs, next) = scheduler.list(filter, &page).await?;
        for run in runs {
            let row = Row::of(run, scheduler);
            bytes += row.bytes();
            rows.push(if bytes > INPUT_BYTES_MAX { row.without_input() } else { row });
        }
        match next {
            // A portion ends early when its runs are large.
            Some(next) if rows.len() < bounds.limit => page = Page::new(bounds.limit - rows.len(), Some(next), order)?,
            _ => return Ok(rows),
        }
    }
}

/// The parameters of the query string, in order.
pub(super) fn pairs(uri: &Uri) -> Result<Vec<(String, String)>, Problem> {
    let undecodable = |_| Problem::new(StatusCode::BAD_REQUEST, "invalid-query", "the query string can't be decoded");
    Query::try_from_uri(uri).map(|Query(pairs)| pairs).map_err(undecodable)
}

/// Reads the parameters. An unknown one is refused: a list that is silently longer than meant may be deleted next.
fn query(pairs: Vec<(String, String)>) -> Result<(Filter, Bounds, Order), Invalid> {
    const KNOWN: &str = "offset, limit, orderByField, orderByDirection, workflowId, parentWorkflowRunId, parentStepRunId, statuses, \
                         additionalMetadata";
    let (mut filter, mut bounds) = (Filter::default(), Bounds::default());
    let (mut by_creation, mut ascending) = (false, false);
    for (name, value) in pairs {
        let word = |known: [&str; 2]| {
            let found = known.iter().position(|known| *known == value);
            found.ok_or_else(|| Invalid::new("invalid-order", name.as_str(), format!("one of {}", known.join(", "))).seen(&value))
        };
        match name.as_str() {
            "offset" => bounds.set_offset(&value)?,
            "limit" => bounds.set_limit(&value)?,
            "orderByField" => by_creation = word(["triggerAt", "createdAt"])? == 1,
            "orderByDirection" => ascending = word(["DESC", "ASC"])? == 1,
            "workflowId" => filter.workflow_id = Some(value),
            "parentWorkflowRunId" => filter.parent_workflow_run_id = Some(value),
            "parentStepRunId" => filter.parent_step_run_id = Some(value),
            "statuses" => filter.statuses.push(value),
            "additionalMetadata" => filter.additional_metadata.get_or_insert_default().push(value),
            _ => {
                return Err(
                    Invalid::new("unknown-parameter", "query", format!("there is no such parameter; there are: {KNOWN}")).seen(name)
                );
            }
        }
    }
    let order = match (by_creation, ascending) {
        (false, false) => Order::LatestTriggerTime,
        (false, true) => Order::TriggerTime,
        (true, false) => Order::NewestFirst,
        (true, true) => Order::OldestFirst,
    };
    Ok((filter, bounds, order))
}

/// Which page of how many. Unlike all else of theirs, its names are not in camel case.
pub(super) fn pagination(count: u64, bounds: Bounds) -> Value {
    let (limit, offset) = (bounds.limit as u64, bounds.offset as u64);
    let (pages, current) = (count.div_ceil(limit), 1 + offset.div_ceil(limit));
    json!({ "current_page": current, "next_page": if current < pages { current + 1 } else { current }, "num_pages": pages })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn pages_are_counted() {
        let page = |count, offset, limit| {
            let page = pagination(count, Bounds { offset, limit });
            ["current_page", "next_page", "num_pages"].map(|name| page[name].as_u64().unwrap())
        };
        assert_eq!((page(0, 0, 50), page(50, 0, 50)), ([1, 1, 0], [1, 1, 1]));
        assert_eq!((page(51, 0, 50), page(51, 50, 50)), ([1, 2, 2], [2, 2, 2]));
    }

    #[test]
    fn bad_queries_are_refused() {
        for (name, value, code) in [
            ("limit", "0", "invalid-page-size"),
            ("limit", "501", "invalid-page-size"),
            ("offset", "-1", "invalid-page"),
            ("offset", "100001", "invalid-page"),
            ("orderByField", "priority", "invalid-order"),
            ("orderByDirection", "asc", "invalid-order"),
            ("order", "x", "unknown-parameter"),
        ] {
            let refused = query(vec![(name.into(), value.into())]).err().map(|invalid| invalid.code);
            assert_eq!(refused, Some(code), "{name}={value}");
        }
    }
}
