//! `POST /v1/runs`: schedules a run.

use std::convert::Infallible;

use axum::Json as Answer;
use axum::extract::FromRequestParts;
use axum::http::StatusCode;
use axum::http::request::Parts;

use crate::http::auth::Caller;
use crate::http::error::Problem;
use crate::http::json::Json;
use crate::http::shapes;
use crate::model::{Invalid, Name, UniqueMode, limits, parse_duration};

/// 201 if the run is new; 200 if one was there already under the same unique key or idempotency key.
pub(super) async fn schedule(
    caller: Caller,
    header: IdempotencyKey,
    Json(request): Json<shapes::ScheduleRun>,
) -> Result<(StatusCode, Answer<shapes::Scheduled>), Problem> {
    let task = Name::parse(&request.task, "task")?;
    let mut schedule = caller
        .scheduler
        .schedule(task.as_str())
        .due(shapes::due(request.at.as_deref(), request.after.as_deref())?)
        .payload(request.payload()?)
        .all_metadata(shapes::metadata(&request.metadata)?);
    let mode = unique_mode(&request)?;
    if let Some(key) = header.0? {
        schedule = schedule.idempotency_key(&key);
    }
    match (request.unique_key.as_deref(), mode) {
        (Some(key), mode) => schedule = schedule.unique(key, mode.unwrap_or_default()),
        (None, Some(_)) => return Err(Invalid::new("invalid-unique-key", "unique_key", "say under which key the run is unique").into()),
        (None, None) => {}
    }
    if let Some(span) = &request.unique_for {
        schedule = schedule.unique_for(parse_duration(span, "unique_for")?);
    }
    if let Some(attempts) = request.max_attempts {
        schedule = schedule.max_attempts(attempts);
    }
    if let Some(timeout) = &request.timeout {
        schedule = schedule.timeout(parse_duration(timeout, "timeout")?);
    }
    if let Some(priority) = request.priority {
        schedule = schedule.priority(priority);
    }
    let scheduled = schedule.send_unique().await?;
    let status = if scheduled.created { StatusCode::CREATED } else { StatusCode::OK };
    let existing = scheduled.existing.as_deref().map(Into::into);
    let answer = shapes::Scheduled { id: scheduled.id, trigger_at: scheduled.trigger_at, created: scheduled.created, existing };
    Ok((status, Answer(answer)))
}

/// What the request does if its key is held.
fn unique_mode(request: &shapes::ScheduleRun) -> Result<Option<UniqueMode>, Invalid> {
    let refused = |field: &str, reason: &str| Err(Invalid::new("invalid-unique-mode", field, reason));
    let Some(wait) = &request.debounce else {
        if request.debounce_max.is_some() {
            return refused("debounce_max", "goes with `debounce`");
        }
        return request.unique_mode.as_deref().map(|mode| UniqueMode::parse(mode, "unique_mode")).transpose();
    };
    if request.unique_mode.is_some() {
        return refused("unique_mode", "give either `unique_mode` or `debounce`, not both");
    }
    let wait = parse_duration(wait, "debounce")?;
    let max_wait = match &request.debounce_max {
        Some(max_wait) => parse_duration(max_wait, "debounce_max")?,
        None => wait.saturating_mul(10).min(limits::DURATION_MAX),
    };
    Ok(Some(UniqueMode::Debounce { wait, max_wait }))
}

/// The header by which a request that is sent again is known.
pub(super) struct IdempotencyKey(Result<Option<String>, Invalid>);

impl<S: Sync> FromRequestParts<S> for IdempotencyKey {
    type Rejection = Infallible;

    /// Whatever is wrong with it is told after what is wrong with the body, which must be read first.
    async fn from_request_parts(parts: &mut Parts, _state: &S) -> Result<Self, Infallible> {
        let mut named = parts.headers.get_all("idempotency-key").iter();
        Ok(Self(match (named.next(), named.next()) {
            (None, _) => Ok(None),
            (Some(_), Some(_)) => Err(wrong_key("given twice")),
            (Some(key), None) => match key.to_str() {
                Ok(key) => Ok(Some(key.into())),
                Err(_) => Err(wrong_key("a key in a header is printable ASCII")),
            },
        }))
    }
}

fn wrong_key(reason: &str) -> Invalid {
    Invalid::new("invalid-idempotency-key", "Idempotency-Key", reason)
}
