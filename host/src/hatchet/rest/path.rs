//! What a path names: the tenant, who must be the caller's own, and in it a workflow or a run.

use axum::extract::{FromRequestParts, RawPathParams};
use axum::http::StatusCode;
use axum::http::request::Parts;

use super::super::ids;
use crate::http::Caller;
use crate::http::error::Problem;
use crate::model::{Invalid, RunId};
use crate::scheduler::Scheduler;

/// The scheduler of the caller, in whose namespace the path is.
pub(super) struct Tenant {
    pub(super) scheduler: Scheduler,
    pub(super) id: String,
}

impl<S: Send + Sync> FromRequestParts<S> for Tenant {
    type Rejection = Problem;

    async fn from_request_parts(parts: &mut Parts, state: &S) -> Result<Self, Problem> {
        let caller = Caller::from_request_parts(parts, state).await?;
        let (id, named) = (ids::tenant(&caller.scheduler), named(parts, state, "tenant").await?);
        if named.eq_ignore_ascii_case(&id) {
            return Ok(Self { scheduler: caller.scheduler, id });
        }
        let detail = format!("the token is for the tenant {id}, and for no other");
        Err(Problem {
            seen: Invalid::new("", "", "").seen(named).seen,
            ..Problem::new(StatusCode::FORBIDDEN, "forbidden", detail).at("tenant")
        })
    }
}

/// The workflow's name.
pub(super) struct WorkflowName(pub(super) String);

impl<S: Send + Sync> FromRequestParts<S> for WorkflowName {
    type Rejection = Problem;

    async fn from_request_parts(parts: &mut Parts, state: &S) -> Result<Self, Problem> {
        named(parts, state, "workflow").await.map(Self)
    }
}

/// The run.
pub(super) struct Scheduled(pub(super) RunId);

impl<S: Send + Sync> FromRequestParts<S> for Scheduled {
    type Rejection = Problem;

    async fn from_request_parts(parts: &mut Parts, state: &S) -> Result<Self, Problem> {
        Ok(Self(RunId::parse(&named(parts, state, "id").await?, "id")?))
    }
}

/// A parameter of the path, decoded.
async fn named<S: Send + Sync>(parts: &mut Parts, state: &S, name: &str) -> Result<String, Problem> {
    let unreadable = || Problem::new(StatusCode::NOT_FOUND, "not-found", "there is nothing at this address");
    let parameters = RawPathParams::from_request_parts(parts, state).await.map_err(|_| unreadable())?;
    parameters.iter().find(|(other, _)| *other == name).map(|(_, value)| value.into()).ok_or_else(unreadable)
}
