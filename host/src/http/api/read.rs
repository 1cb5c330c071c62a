//! `GET /v1/runs` and what is below one run: reading, waiting, attempts.

use std::time::Duration;

use axum::Json;

use super::audit::whole;
use super::{PathRun, QueryPairs};
use crate::http::auth::Caller;
use crate::http::error::Problem;
use crate::http::filter::{ListQuery, unknown_parameter};
use crate::http::if_match::{Etag, etag};
use crate::http::shapes;
use crate::model::{AttemptQuery, Invalid, RunId, Version, format_duration, parse_duration};

/// Longest wait in one request: below what proxies commonly allow.
const WAIT_MAX: Duration = Duration::from_secs(60);
const WAIT_DEFAULT: Duration = Duration::from_secs(30);

pub(super) async fn list(caller: Caller, QueryPairs(query): QueryPairs) -> Result<Json<shapes::RunPage>, Problem> {
    let query = ListQuery::from_pairs(query)?;
    let filter = query.filter.parse()?;
    let page = query.page(|text, order| caller.scheduler.open_cursor(text, &filter, order))?;
    let (runs, next) = caller.scheduler.list(&filter, &page).await?;
    let next = next.map(|cursor| caller.scheduler.seal_cursor(cursor, &filter, page.order));
    Ok(Json(shapes::RunPage { runs: runs.into_iter().map(Into::into).collect(), next }))
}

pub(super) async fn show(caller: Caller, PathRun(run): PathRun) -> Result<(Etag, Json<shapes::Run>), Problem> {
    shown(&caller, run).await
}

/// The run as it stands, with the version by which a caller can change just that.
pub(super) async fn shown(caller: &Caller, run: RunId) -> Result<(Etag, Json<shapes::Run>), Problem> {
    let run = caller.scheduler.get(run).await?;
    Ok((etag(Version::of(&run)), Json(run.into())))
}

/// Answers once the run has ended, or with the run as it stands when the time is over.
pub(super) async fn wait(caller: Caller, PathRun(run): PathRun, QueryPairs(query): QueryPairs) -> Result<Json<shapes::Run>, Problem> {
    let mut timeout = WAIT_DEFAULT;
    for (name, value) in query {
        if name != "timeout" {
            return Err(unknown_parameter(&name, "timeout").into());
        }
        timeout = parse_duration(&value, "timeout")?;
    }
    if timeout > WAIT_MAX {
        return Err(Invalid::new("invalid-timeout", "timeout", "one request waits from 0s to 60s; ask again to wait longer")
            .seen(format_duration(timeout))
            .into());
    }
    let ended = match tokio::time::timeout(timeout, caller.scheduler.wait(run)).await {
        Ok(ended) => ended?,
        Err(_) => caller.scheduler.get(run).await?,
    };
    caller.check()?;
    Ok(Json(ended.into()))
}

/// A page of the attempts of a run. `after` is the number of the last attempt that the caller has.
pub(super) async fn attempts(
    caller: Caller,
    PathRun(run): PathRun,
    QueryPairs(query): QueryPairs,
) -> Result<Json<shapes::Attempts>, Problem> {
    let (mut limit, mut after) = (None, None);
    for (name, value) in query {
        let single = match name.as_str() {
            "limit" => &mut limit,
            "after" => &mut after,
            _ => return Err(unknown_parameter(&name, "limit, after").into()),
        };
        if single.replace(value).is_some() {
            return Err(Invalid::new("invalid-parameter", name, "given twice").into());
        }
    }
    let limit = limit.map(|limit| whole(&limit, "invalid-page-size", "limit")).transpose()?;
    let after = after.map(|after| whole(&after, "invalid-parameter", "after")).transpose()?;
    Ok(Json(caller.scheduler.attempts(run, AttemptQuery::new(limit, after)?).await?.into()))
}
