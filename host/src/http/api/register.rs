//! `POST /v1/tasks?grant=runs&policy=TASK.FIELD=VALUE`: registers the component in the body. With `dry_run=true` it says what that would change.

use axum::Json;
use axum::body::HttpBody;
use axum::extract::Request;
use axum::http::StatusCode;
use axum::response::{IntoResponse, Response};

use super::QueryPairs;
use crate::http::auth::Caller;
use crate::http::error::Problem;
use crate::http::filter::unknown_parameter;
use crate::http::{body, shapes};
use crate::model::{Grant, Invalid, PolicySettings, limits};

pub(super) async fn register(caller: Caller, QueryPairs(query): QueryPairs, request: Request) -> Result<Response, Problem> {
    let (mut grants, mut policies, mut dry_run) = (Vec::new(), Vec::new(), false);
    for (name, value) in query {
        match name.as_str() {
            "grant" => grants.push(Grant::parse(&value)?),
            "policy" => policies.push(policy(&value)?),
            "dry_run" => dry_run = value.parse().map_err(|_| Invalid::new("invalid-field", "dry_run", "true or false").seen(&value))?,
            _ => return Err(unknown_parameter(&name, "grant, policy, dry_run").into()),
        }
    }
    let (head, content) = request.into_parts();
    body::check_media_type(&head.headers, "application/wasm")?;
    // Before its bytes are read.
    caller.scheduler.check_grants(&grants)?;
    // First the room for it, then its bytes: they are held until it is registered.
    let announced = content.size_hint().exact().unwrap_or(limits::COMPONENT_BYTES_MAX as u64);
    let _held = caller.begin_upload(announced.min(limits::COMPONENT_BYTES_MAX as u64))?;
    let (wasm, _) = body::read(&head.headers, content, limits::COMPONENT_BYTES_MAX).await?;
    caller.check()?;
    let mut register = caller.scheduler.register(wasm).grants(grants);
    for (task, said) in policies {
        register = match said {
            Said::Set(settings) => register.policy(&task, *settings),
            Said::Reset(field) => register.reset_policy(&task, &field),
        };
    }
    if dry_run {
        return Ok(Json(shapes::Plan::from(register.plan().await?)).into_response());
    }
    let registered = register.send().await?;
    let now = caller.scheduler.now();
    let tasks = registered.tasks.iter().map(|task| shapes::Task::of(task, now)).collect();
    Ok((StatusCode::CREATED, Json(shapes::Registered { digest: registered.digest.to_string(), tasks })).into_response())
}

/// What a parameter says of one field of a task's policy.
#[derive(Debug, PartialEq)]
enum Said {
    Set(Box<PolicySettings>),
    Reset(String),
}

/// Parses `TASK.FIELD=VALUE`. The value `default` has the component decide again. A task's name may have dots, a field has none.
fn policy(text: &str) -> Result<(String, Said), Invalid> {
    let form = || Invalid::new("invalid-policy", "policy", "write TASK.FIELD=VALUE, such as remind.concurrency=1").seen(text);
    let (path, value) = text.split_once('=').ok_or_else(form)?;
    let (task, field) = path.rsplit_once('.').filter(|(task, field)| !task.is_empty() && !field.is_empty()).ok_or_else(form)?;
    if value == "default" {
        return Ok((task.into(), Said::Reset(field.into())));
    }
    let mut settings = PolicySettings::default();
    settings.set(field, value).map_err(|invalid| Invalid { field: format!("policy.{path}"), ..invalid })?;
    Ok((task.into(), Said::Set(Box::new(settings))))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn policies() {
        let (task, said) = policy("acme.billing.retry-delay=1s..2s").unwrap();
        let expected = PolicySettings {
            retry_delay: Some((std::time::Duration::from_secs(1), std::time::Duration::from_secs(2))),
            ..Default::default()
        };
        assert_eq!((task.as_str(), said), ("acme.billing", Said::Set(Box::new(expected))));
        assert_eq!(policy("a.rate=default").unwrap(), ("a".into(), Said::Reset("rate".into())));
        for (bad, code) in [
            ("", "invalid-policy"),
            ("a.rate", "invalid-policy"),
            ("rate=1/s", "invalid-policy"),
            (".rate=1/s", "invalid-policy"),
            ("a.rate=1", "invalid-rate"),
            ("a.x=1", "unknown-policy"),
        ] {
            assert_eq!(policy(bad).unwrap_err().code, code, "{bad}");
        }
        for (bad, field) in [("a.b.rate=1", "policy.a.b.rate"), ("a.b.colour=1", "policy.a.b.colour")] {
            assert_eq!(policy(bad).unwrap_err().field, field);
        }
    }
}
