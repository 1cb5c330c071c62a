//! `GET /v1/forecast`: what is to come.

use std::time::Duration;

use axum::Json;

use super::QueryPairs;
use crate::http::auth::Caller;
use crate::http::error::Problem;
use crate::http::filter::unknown_parameter;
use crate::http::shapes;
use crate::model::{Name, parse_duration};

/// How far it looks when nothing is said.
const SPAN: Duration = Duration::from_secs(14 * 24 * 3600);

pub(super) async fn forecast(caller: Caller, QueryPairs(query): QueryPairs) -> Result<Json<shapes::Forecast>, Problem> {
    let (mut span, mut task) = (SPAN, None);
    for (name, value) in query {
        match name.as_str() {
            "for" => span = parse_duration(&value, "for")?,
            "task" => task = Some(Name::parse(&value, "task")?),
            _ => return Err(unknown_parameter(&name, "for, task").into()),
        }
    }
    Ok(Json(caller.scheduler.forecast(span, task.as_ref().map(Name::as_str)).await?.into()))
}
