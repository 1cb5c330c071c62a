//! `GET /v1/audit`: what callers changed in the namespace, the latest first.

use axum::Json;

use super::QueryPairs;
use crate::http::auth::Caller;
use crate::http::error::Problem;
use crate::http::filter::unknown_parameter;
use crate::http::shapes;
use crate::model::{AuditQuery, Invalid, RunId};

pub(super) async fn list(caller: Caller, QueryPairs(query): QueryPairs) -> Result<Json<shapes::AuditPage>, Problem> {
    let (mut limit, mut before, mut run) = (None, None, None);
    for (name, value) in query {
        let single = match name.as_str() {
            "limit" => &mut limit,
            "before" => &mut before,
            "run" => &mut run,
            _ => return Err(unknown_parameter(&name, "limit, before, run").into()),
        };
        if single.replace(value).is_some() {
            return Err(Invalid::new("invalid-parameter", name, "given twice").into());
        }
    }
    let limit = limit.map(|limit| whole(&limit, "invalid-page-size", "limit")).transpose()?;
    let before: Option<i64> = before.map(|before| whole(&before, "invalid-parameter", "before")).transpose()?;
    let run = run.map(|run| RunId::parse(&run, "run")).transpose()?;
    let query = AuditQuery::new(limit, run, before)?;
    let entries = caller.scheduler.audit(query).await?;
    let next = entries.last().map(|last| last.number).filter(|last| entries.len() == query.size() && *last > 1);
    Ok(Json(shapes::AuditPage { entries: entries.into_iter().map(Into::into).collect(), next }))
}

/// Reads a whole number.
pub(super) fn whole<T: std::str::FromStr>(text: &str, code: &'static str, field: &str) -> Result<T, Invalid> {
    text.parse().map_err(|_| Invalid::new(code, field, "a whole number").seen(text))
}
