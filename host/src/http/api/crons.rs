//! `/v1/crons`: what makes runs again and again.

use std::time::Duration;

use axum::Json as Answer;
use axum::http::StatusCode;

use super::{PathText, QueryPairs};
use crate::http::auth::Caller;
use crate::http::error::Problem;
use crate::http::filter::unknown_parameter;
use crate::http::json::Json;
use crate::http::shapes;
use crate::model::limits::PAGE_SIZE_MAX;
use crate::model::{CronChange, CronFilter, Invalid, Name, Payload, Timestamp, parse_duration};
use crate::scheduler::CronUpdate;

pub(super) async fn create(caller: Caller, Json(request): Json<shapes::CreateCron>) -> Result<(StatusCode, Answer<shapes::Cron>), Problem> {
    let mut cron = caller
        .scheduler
        .cron(&request.name, &request.task)
        .expression(&request.expression)
        .payload(request.payload()?)
        .all_metadata(shapes::metadata(&request.metadata)?);
    if let Some(timezone) = &request.timezone {
        cron = cron.timezone(timezone);
    }
    if let Some(start) = &request.start {
        cron = cron.start(Timestamp::parse(start, "start")?);
    }
    if let Some(end) = &request.end {
        cron = cron.end(Timestamp::parse(end, "end")?);
    }
    if let Some(jitter) = &request.jitter {
        cron = cron.jitter(parse_duration(jitter, "jitter")?);
    }
    if let Some(count) = request.max_count {
        cron = cron.max_count(count);
    }
    if let Some(priority) = request.priority {
        cron = cron.priority(priority);
    }
    if let Some(missed) = &request.missed {
        cron = cron.missed(missed.policy()?);
    }
    Ok((StatusCode::CREATED, Answer(cron.create().await?.into())))
}

pub(super) async fn list(caller: Caller, QueryPairs(query): QueryPairs) -> Result<Answer<shapes::CronPage>, Problem> {
    let mut filter = CronFilter { limit: 50, ..CronFilter::default() };
    for (name, value) in query {
        match name.as_str() {
            "task" => filter.task = Some(Name::parse(&value, "task")?),
            "paused" => {
                let paused = value.parse().map_err(|_| Invalid::new("invalid-field", "paused", "true or false").seen(&value))?;
                filter.paused = Some(paused);
            }
            "cursor" => filter.after = Some(Name::parse(&value, "cursor").map_err(|invalid| Invalid { code: "bad-cursor", ..invalid })?),
            "limit" => {
                let limit = value.parse().ok().filter(|limit| (1..=PAGE_SIZE_MAX).contains(limit));
                filter.limit =
                    limit.ok_or_else(|| Invalid::new("invalid-page-size", "limit", format!("1 to {PAGE_SIZE_MAX}")).seen(&value))?;
            }
            _ => return Err(unknown_parameter(&name, "task, paused, cursor, limit").into()),
        }
    }
    let crons = caller.scheduler.list_crons(&filter).await?;
    // Whether a page is the last one, only a further look tells: it may have ended early because its inputs are large.
    let last = crons.last().map(|cron| cron.name.clone());
    let next = match last {
        Some(last) => {
            let further = CronFilter { after: Some(last.clone()), limit: 1, ..filter };
            (!caller.scheduler.list_crons(&further).await?.is_empty()).then(|| last.to_string())
        }
        None => None,
    };
    Ok(Answer(shapes::CronPage { crons: crons.into_iter().map(Into::into).collect(), next }))
}

pub(super) async fn show(caller: Caller, PathText(name): PathText) -> Result<Answer<shapes::Cron>, Problem> {
    Ok(Answer(caller.scheduler.get_cron(&name).await?.into()))
}

pub(super) async fn update(
    caller: Caller,
    PathText(name): PathText,
    Json(request): Json<shapes::UpdateCron>,
) -> Result<Answer<shapes::Cron>, Problem> {
    let input = request.input.as_ref().map(|json| Payload::raw_json(json, "input")).transpose()?;
    let start = request.start.map(|start| start.map_or_else(|| Ok(caller.scheduler.now()), |start| Timestamp::parse(&start, "start")));
    let jitter = request.jitter.map(|jitter| jitter.map_or(Ok(Duration::ZERO), |jitter| parse_duration(&jitter, "jitter")));
    let mut if_version = request.if_version;
    let missed = match request.missed {
        Some(Some(change)) => {
            let before = caller.scheduler.get_cron(&name).await?;
            // The policy is made of what was read: nobody may have changed it meanwhile.
            if_version = if_version.or(Some(before.version));
            Some(Some(change.over(before.spec.missed)?))
        }
        null_or_left_out => null_or_left_out.map(|_| None),
    };
    let update = CronUpdate {
        expression: request.expression,
        timezone: request.timezone.map(|timezone| timezone.unwrap_or_else(|| "UTC".into())),
        start: start.transpose()?,
        end: request.end.map(|end| end.map(|end| Timestamp::parse(&end, "end")).transpose()).transpose()?,
        jitter: jitter.transpose()?,
        change: CronChange {
            rule: None,
            max_count: request.max_count,
            input,
            metadata: request.metadata.map(|metadata| shapes::metadata(&metadata.unwrap_or_default())).transpose()?,
            priority: request.priority,
            missed,
            if_version,
        },
    };
    Ok(Answer(caller.scheduler.update_cron(&name, update).await?.into()))
}

pub(super) async fn pause(
    caller: Caller,
    PathText(name): PathText,
    Json(request): Json<shapes::Pause>,
) -> Result<Answer<shapes::Cron>, Problem> {
    let until = request.end(caller.scheduler.now())?;
    Ok(Answer(caller.scheduler.pause_cron(&name, until, &request.note).await?.into()))
}

pub(super) async fn resume(caller: Caller, PathText(name): PathText) -> Result<Answer<shapes::Cron>, Problem> {
    Ok(Answer(caller.scheduler.resume_cron(&name).await?.into()))
}

pub(super) async fn delete(caller: Caller, PathText(name): PathText) -> Result<StatusCode, Problem> {
    caller.scheduler.delete_cron(&name).await?;
    Ok(StatusCode::NO_CONTENT)
}

pub(super) async fn trigger(caller: Caller, PathText(name): PathText) -> Result<(StatusCode, Answer<shapes::CronTriggered>), Problem> {
    let id = caller.scheduler.trigger_cron(&name).await?;
    Ok((StatusCode::CREATED, Answer(shapes::CronTriggered { id })))
}

pub(super) async fn backfill(
    caller: Caller,
    PathText(name): PathText,
    Json(request): Json<shapes::BackfillCron>,
) -> Result<Answer<shapes::Backfilled>, Problem> {
    let until = request.until.map(|until| Timestamp::parse_floor(&until, "until")).transpose()?.unwrap_or_else(|| caller.scheduler.now());
    let from = Timestamp::parse(&request.from, "from")?;
    let done = caller.scheduler.backfill_cron(&name, from, until, request.dry_run).await?;
    Ok(Answer(shapes::Backfilled { planned: done.planned, made: done.made }))
}

/// `GET /v1/crons/{name}/next?count=N`.
pub(super) async fn next(
    caller: Caller,
    PathText(name): PathText,
    QueryPairs(query): QueryPairs,
) -> Result<Answer<shapes::Occurrences>, Problem> {
    let mut count = 10;
    for (name, value) in query {
        if name != "count" {
            return Err(unknown_parameter(&name, "count").into());
        }
        let parsed = value.parse().ok().filter(|count| (1..=PAGE_SIZE_MAX).contains(count));
        count = parsed.ok_or_else(|| Invalid::new("invalid-count", "count", format!("1 to {PAGE_SIZE_MAX}")).seen(&value))?;
    }
    let cron = caller.scheduler.get_cron(&name).await?;
    let occurrences = caller.scheduler.next_of_cron(&name, count).await?;
    Ok(Answer(shapes::Occurrences {
        occurrences: occurrences.iter().map(|occurrence| shapes::Occurrence::of(&cron.spec.rule, occurrence)).collect(),
    }))
}
