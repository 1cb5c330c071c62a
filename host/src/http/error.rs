//! Refusals as RFC 9457 problem details.
//!
//! Made by handlers and layers, written by `answer.rs`, which adds the id of the request. Says what is wrong, where, and how to
//! mend it; never a path, a statement or a stack of the host.

use std::borrow::Cow;
use std::time::Duration;

use axum::http::{HeaderValue, StatusCode, header};
use axum::response::{IntoResponse, Response};
use serde::{Deserialize, Serialize};

use super::shapes;
use crate::model::{Existing, Invalid, RateLimit};
use crate::scheduler::{Error, Role};
use crate::storage::{ChangeError, CronError, NamespaceError, StorageError};

/// The media type of a problem.
pub const PROBLEM_JSON: &str = "application/problem+json";

/// Why a request was refused. Read by the client, too.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Problem {
    /// A URI for the kind of problem: `about:blank`, as the code says more than a page could.
    #[serde(rename = "type", default)]
    pub kind: String,
    /// What the status means.
    #[serde(default)]
    pub title: String,
    /// The HTTP status.
    pub status: u16,
    /// A stable, machine-readable code.
    #[serde(default)]
    pub code: Cow<'static, str>,
    /// What is wrong here, the limit, and how to mend it.
    #[serde(default)]
    pub detail: String,
    /// The path of the field.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub field: Option<String>,
    /// The value seen, cut and escaped.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub seen: Option<String>,
    /// The run that is in the way: how it stands, how it ended, and until when it holds the key.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub existing: Option<Box<shapes::Existing>>,
    /// The request, as the server's log knows it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub request_id: Option<String>,
    /// Seconds after which another try is worth it.
    #[serde(skip)]
    pub retry_after: Option<u32>,
}

impl Problem {
    /// A problem without a field.
    pub fn new(status: StatusCode, code: &'static str, detail: impl Into<String>) -> Self {
        Self {
            kind: "about:blank".into(),
            title: status.canonical_reason().unwrap_or("Error").into(),
            status: status.as_u16(),
            code: code.into(),
            detail: detail.into(),
            ..Self::default()
        }
    }

    /// The same, at this field.
    pub fn at(mut self, field: impl Into<String>) -> Self {
        self.field = Some(field.into());
        self
    }

    /// The same, with the run that is in the way.
    fn because_of(mut self, existing: &Existing) -> Self {
        self.existing = Some(Box::new(existing.into()));
        self
    }

    /// The caller is nobody. One text for every reason, so that it tells nothing to who guesses.
    pub fn unauthorized() -> Self {
        Self::new(StatusCode::UNAUTHORIZED, "unauthorized", "send a token in force as `Authorization: Bearer rl_api_…`")
    }

    /// The caller sends too much of something. `limit` is the name of the rate, by which an operator may change it.
    pub fn rate_limited(limit: &'static str, rate: RateLimit, wait: Duration) -> Self {
        // In whole seconds, as the header has it; rounded up, so that who obeys it is not refused again.
        let seconds = u32::try_from(wait.as_millis().div_ceil(1_000)).unwrap_or(u32::MAX).max(1);
        let detail = format!("more than the {limit} of {rate}; wait {seconds} s, or ask the operator for more");
        Self { retry_after: Some(seconds), ..Self::new(StatusCode::TOO_MANY_REQUESTS, "rate-limited", detail) }
    }

    /// The host holds as much for its callers as it may. Nothing was done.
    pub fn overloaded(detail: impl Into<String>) -> Self {
        Self { retry_after: Some(1), ..Self::new(StatusCode::SERVICE_UNAVAILABLE, "overloaded", detail) }
    }

    /// The caller may not do this.
    pub fn forbidden(held: Role, needed: Role) -> Self {
        Self::new(StatusCode::FORBIDDEN, "forbidden", format!("this needs a token with the role `{needed}`; this one has `{held}`"))
    }
}

impl From<Invalid> for Problem {
    fn from(invalid: Invalid) -> Self {
        let status = match invalid.code {
            "bad-cursor" => StatusCode::BAD_REQUEST,
            "grant-not-allowed" => StatusCode::FORBIDDEN,
            // Nothing is wrong with it but the moment.
            "compiler-busy" | "forecast-busy" => StatusCode::TOO_MANY_REQUESTS,
            "shutting-down" => StatusCode::SERVICE_UNAVAILABLE,
            _ => StatusCode::UNPROCESSABLE_ENTITY,
        };
        let wait = if invalid.code == "forecast-busy" { 5 } else { 60 };
        let mut problem = Self::new(status, invalid.code, invalid.reason);
        problem.retry_after = (status == StatusCode::TOO_MANY_REQUESTS).then_some(wait);
        problem.field = (!invalid.field.is_empty()).then_some(invalid.field);
        problem.seen = invalid.seen;
        problem
    }
}

impl From<Error> for Problem {
    fn from(error: Error) -> Self {
        let detail = error.to_string();
        match error {
            Error::Invalid(invalid) => invalid.into(),
            Error::TaskNotFound(_) => Self::new(StatusCode::NOT_FOUND, "task-not-found", detail),
            Error::RunNotFound(_) => Self::new(StatusCode::NOT_FOUND, "run-not-found", detail),
            Error::Change(change) => Self::new(change_status(&change), change_code(&change), detail),
            Error::UniqueKeyTaken(existing) => {
                Self::new(StatusCode::CONFLICT, "unique-key-taken", detail).at("unique_key").because_of(&existing)
            }
            Error::IdempotencyConflict(existing) => {
                Self::new(StatusCode::CONFLICT, "idempotency-conflict", detail).at("Idempotency-Key").because_of(&existing)
            }
            Error::Namespace(refused) => {
                let (status, code) = match &refused {
                    NamespaceError::NotFound(_) => (StatusCode::NOT_FOUND, "namespace-not-found"),
                    NamespaceError::Exists(_) => (StatusCode::CONFLICT, "namespace-exists"),
                    NamespaceError::Deleting(_) => (StatusCode::CONFLICT, "namespace-deleting"),
                    NamespaceError::TooMany(_) => (StatusCode::TOO_MANY_REQUESTS, "quota-exceeded"),
                    NamespaceError::Permanent(_) => (StatusCode::CONFLICT, "namespace-permanent"),
                    NamespaceError::ActingIn(_) => (StatusCode::CONFLICT, "namespace-acted-in"),
                };
                Self::new(status, code, detail)
            }
            Error::Forbidden { held, needed } => Self::forbidden(held, needed),
            Error::Quota(_) => Self::new(StatusCode::TOO_MANY_REQUESTS, "quota-exceeded", detail),
            Error::Cron(cron) => {
                let (status, code) = match &cron {
                    CronError::NotFound(_) => (StatusCode::NOT_FOUND, "cron-not-found"),
                    CronError::TaskNotFound(_) => (StatusCode::NOT_FOUND, "task-not-found"),
                    CronError::Exists(_) => (StatusCode::CONFLICT, "cron-exists"),
                    CronError::DefinedByCode(_) => (StatusCode::CONFLICT, "defined-by-code"),
                    CronError::Stale { .. } => (StatusCode::PRECONDITION_FAILED, "stale"),
                    CronError::TooMany(_) | CronError::Quota(_) => (StatusCode::TOO_MANY_REQUESTS, "quota-exceeded"),
                };
                Self::new(status, code, detail)
            }
            Error::Storage(storage) => storage.into(),
            // What the host can't do is told to its operator, not to callers.
            Error::Start(_) => Self::new(StatusCode::INTERNAL_SERVER_ERROR, "internal", "the host could not do it; see its log"),
        }
    }
}

impl From<StorageError> for Problem {
    fn from(error: StorageError) -> Self {
        let (unavailable, damaged) = (StatusCode::SERVICE_UNAVAILABLE, StatusCode::INTERNAL_SERVER_ERROR);
        let code = error.code();
        match error {
            StorageError::OutcomeUnknown(_) => {
                Self::new(unavailable, code, "it is unknown whether the change was stored; repeat it with the same unique key")
            }
            StorageError::Overloaded(_) => Self { retry_after: Some(1), ..Self::new(unavailable, code, error.to_string()) },
            StorageError::Crowded(_) => Self { retry_after: Some(1), ..Self::new(unavailable, code, error.to_string()) },
            StorageError::TooLong => Self::new(StatusCode::UNPROCESSABLE_ENTITY, code, error.to_string()),
            StorageError::Full => Self::new(StatusCode::INSUFFICIENT_STORAGE, code, error.to_string()),
            StorageError::Locked => Self { retry_after: Some(5), ..Self::new(unavailable, code, error.to_string()) },
            StorageError::Unavailable(_) => Self { retry_after: Some(5), ..Self::new(unavailable, code, "the storage is not available") },
            StorageError::Corrupt(_) | StorageError::NoDatabase(_) => {
                Self::new(damaged, code, "what is stored can't be understood; see the host's log")
            }
        }
    }
}

fn change_status(error: &ChangeError) -> StatusCode {
    match error {
        ChangeError::NotFound(_) => StatusCode::NOT_FOUND,
        ChangeError::OutOfRange(_) => StatusCode::UNPROCESSABLE_ENTITY,
        ChangeError::Stale(_) => StatusCode::PRECONDITION_FAILED,
        _ => StatusCode::CONFLICT,
    }
}

/// The stable code of a change that was refused.
pub(super) fn change_code(error: &ChangeError) -> &'static str {
    match error {
        ChangeError::NotFound(_) => "run-not-found",
        ChangeError::AlreadyTriggered(_) => "already-triggered",
        ChangeError::DefinedByCode(_) => "defined-by-code",
        ChangeError::AlreadyEnded(_) => "already-ended",
        ChangeError::UnderWay(_) => "under-way",
        ChangeError::UniqueKeyTaken(..) => "unique-key-taken",
        ChangeError::Stale(_) => "stale",
        ChangeError::OutOfRange(_) => "invalid-time",
    }
}

impl IntoResponse for Problem {
    fn into_response(self) -> Response {
        let status = StatusCode::from_u16(self.status).unwrap_or(StatusCode::INTERNAL_SERVER_ERROR);
        let mut response = status.into_response();
        let headers = response.headers_mut();
        if status == StatusCode::UNAUTHORIZED {
            headers.insert(header::WWW_AUTHENTICATE, HeaderValue::from_static("Bearer realm=\"runlater\""));
        }
        if let Some(seconds) = self.retry_after {
            headers.insert(header::RETRY_AFTER, seconds.into());
        }
        // The body is written where the id of the request is known.
        response.extensions_mut().insert(self);
        response
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::model::{RunId, Timestamp};

    #[test]
    fn every_refusal_has_its_status() {
        let run = RunId::from_key(1, 1);
        let existing = Box::new(Existing { run, status: None, reason: None, trigger_at: Timestamp::MIN, ended_at: None, held_until: None });
        for (error, status, code) in [
            (Error::Invalid(Invalid::new("invalid-time", "at", "no")), 422, "invalid-time"),
            (Error::Invalid(Invalid::new("bad-cursor", "cursor", "no")), 400, "bad-cursor"),
            (Error::Invalid(Invalid::new("compiler-busy", "component", "later")), 429, "compiler-busy"),
            (Error::Invalid(Invalid::new("forecast-busy", "", "later")), 429, "forecast-busy"),
            (Error::Invalid(Invalid::new("grant-not-allowed", "grant", "no")), 403, "grant-not-allowed"),
            (Error::Namespace(NamespaceError::NotFound("x".into())), 404, "namespace-not-found"),
            (Error::Namespace(NamespaceError::TooMany(9)), 429, "quota-exceeded"),
            (Error::Forbidden { held: Role::Admin, needed: Role::Operator }, 403, "forbidden"),
            (Error::Invalid(Invalid::new("shutting-down", "component", "later")), 503, "shutting-down"),
            (Error::TaskNotFound("x".into()), 404, "task-not-found"),
            (Error::RunNotFound(run), 404, "run-not-found"),
            (Error::Change(ChangeError::AlreadyTriggered(run)), 409, "already-triggered"),
            (Error::Change(ChangeError::DefinedByCode(run)), 409, "defined-by-code"),
            (Error::Change(ChangeError::AlreadyEnded(run)), 409, "already-ended"),
            (Error::Change(ChangeError::UnderWay(run)), 409, "under-way"),
            (Error::Change(ChangeError::UniqueKeyTaken(run, run)), 409, "unique-key-taken"),
            (Error::Change(ChangeError::Stale(run)), 412, "stale"),
            (Error::UniqueKeyTaken(existing.clone()), 409, "unique-key-taken"),
            (Error::IdempotencyConflict(existing), 409, "idempotency-conflict"),
            (Error::Quota("full".into()), 429, "quota-exceeded"),
            (Error::Storage(StorageError::OutcomeUnknown("EIO at /secret/path".into())), 503, "outcome-unknown"),
            (Error::Storage(StorageError::Overloaded(9)), 503, "overloaded"),
            (Error::Storage(StorageError::Crowded(9)), 503, "overloaded"),
            (Error::Storage(StorageError::TooLong), 422, "read-too-long"),
            (Error::Storage(StorageError::Full), 507, "storage-full"),
            (Error::Storage(StorageError::Locked), 503, "database-locked"),
            (Error::Storage(StorageError::Unavailable("at /secret/path".into())), 503, "unavailable"),
            (Error::Storage(StorageError::Corrupt("SELECT x".into())), 500, "database-damaged"),
        ] {
            let problem = Problem::from(error);
            assert_eq!((problem.status, problem.code.as_ref()), (status, code));
            assert!(!problem.detail.contains("/secret") && !problem.detail.contains("SELECT"));
        }
    }
}
