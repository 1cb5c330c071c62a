//! Every route of the API with the role that it needs. One file per resource and kind of verb.

mod audit;
mod backup;
mod bulk;
mod change;
mod crons;
mod explain;
mod forecast;
mod health;
mod namespaces;
mod read;
mod register;
mod schedule;
mod tasks;
mod tokens;

use std::future::{Ready, ready};

use axum::Router;
use axum::extract::{FromRequestParts, RawPathParams, Request};
use axum::handler::Handler;
use axum::http::Method;
use axum::http::request::Parts;
use axum::response::{IntoResponse, Response};
use axum::routing::{MethodFilter, MethodRouter, on};
use futures_util::future::Either;

use super::auth::{Large, Needs};
use super::error::Problem;
use crate::http::percent;
use crate::model::{Invalid, RunId};
use crate::scheduler::Role;

/// An operation of the API.
#[derive(Clone, Debug)]
pub struct Endpoint {
    /// The method.
    pub method: Method,
    /// The path, with parameters in braces.
    pub path: &'static str,
    /// The role that the caller's token needs; `None`: no token at all.
    pub needs: Option<Role>,
}

/// Everything that the API can do.
pub fn endpoints() -> Vec<Endpoint> {
    table().into_iter().map(|(endpoint, _)| endpoint).collect()
}

pub(super) fn router() -> Router {
    table().into_iter().fold(Router::new(), |router, (endpoint, handler)| router.route(endpoint.path, handler))
}

type Route = (Endpoint, MethodRouter);

fn table() -> Vec<Route> {
    use Role::{Admin, Deploy, Operator, Read, Trigger, Write};
    const PAGE: u64 = Large::<()>::PAGE;
    const GET: Method = Method::GET;
    const POST: Method = Method::POST;
    vec![
        public(GET, "/healthz", health::healthz),
        bare(GET, "/v1/tasks", Read, Large::new(PAGE, tasks::list)),
        route(POST, "/v1/tasks", Deploy, register::register),
        bare(GET, "/v1/tasks/{name}", Read, tasks::show),
        bare(POST, "/v1/tasks/{name}/pause", Write, tasks::pause),
        bare(POST, "/v1/tasks/{name}/resume", Write, tasks::resume),
        route(GET, "/v1/runs", Read, Large::new(PAGE, read::list)),
        bare(POST, "/v1/runs", Trigger, schedule::schedule),
        bare(GET, "/v1/runs/{id}", Read, read::show),
        bare(Method::PATCH, "/v1/runs/{id}", Write, change::reschedule),
        bare(Method::DELETE, "/v1/runs/{id}", Write, change::delete),
        route(GET, "/v1/runs/{id}/wait", Read, read::wait),
        route(GET, "/v1/runs/{id}/attempts", Read, Large::new(PAGE, read::attempts)),
        bare(GET, "/v1/runs/{id}/explain", Read, Large::new(PAGE, explain::explain)),
        bare(POST, "/v1/runs/{id}/trigger", Trigger, change::trigger),
        bare(POST, "/v1/runs/{id}/cancel", Write, change::cancel),
        bare(POST, "/v1/runs/bulk-delete", Write, bulk::delete),
        bare(POST, "/v1/runs/bulk-cancel", Write, bulk::cancel),
        bare(POST, "/v1/runs/bulk-trigger", Write, bulk::trigger),
        bare(POST, "/v1/runs/bulk-reschedule", Write, bulk::reschedule),
        route(GET, "/v1/crons", Read, Large::new(PAGE, crons::list)),
        bare(POST, "/v1/crons", Write, crons::create),
        bare(GET, "/v1/crons/{name}", Read, crons::show),
        bare(Method::PATCH, "/v1/crons/{name}", Write, crons::update),
        bare(Method::DELETE, "/v1/crons/{name}", Write, crons::delete),
        route(GET, "/v1/crons/{name}/next", Read, Large::new(PAGE, crons::next)),
        bare(POST, "/v1/crons/{name}/pause", Write, crons::pause),
        bare(POST, "/v1/crons/{name}/resume", Write, crons::resume),
        bare(POST, "/v1/crons/{name}/trigger", Trigger, crons::trigger),
        bare(POST, "/v1/crons/{name}/backfill", Write, crons::backfill),
        route(GET, "/v1/forecast", Read, Large::new(PAGE, forecast::forecast)),
        bare(GET, "/v1/tokens", Admin, Large::new(PAGE, tokens::list)),
        bare(POST, "/v1/tokens", Admin, tokens::create),
        bare(Method::DELETE, "/v1/tokens/{id}", Admin, tokens::revoke),
        bare(GET, "/v1/health", Read, health::counts),
        route(GET, "/v1/audit", Admin, Large::new(PAGE, audit::list)),
        bare(GET, "/v1/namespaces", Operator, namespaces::list),
        bare(POST, "/v1/namespaces", Operator, namespaces::create),
        bare(GET, "/v1/namespaces/{name}", Operator, namespaces::show),
        bare(Method::PATCH, "/v1/namespaces/{name}", Operator, namespaces::update),
        route(Method::DELETE, "/v1/namespaces/{name}", Operator, namespaces::delete),
        bare(POST, "/v1/backup", Operator, backup::backup),
    ]
}

fn route<H, T>(method: Method, path: &'static str, needs: Role, handler: H) -> Route
where
    H: Handler<T, ()>,
    T: 'static,
{
    let (endpoint, handler) = public(method, path, Needs { role: needs, handler });
    (Endpoint { needs: Some(needs), ..endpoint }, handler)
}

/// The same for a request that takes no query string. A parameter there is refused: if it were ignored, `?dry_run=true` would act.
fn bare<H, T>(method: Method, path: &'static str, needs: Role, handler: H) -> Route
where
    H: Handler<T, ()>,
    T: 'static,
{
    route(method, path, needs, NoQuery(handler))
}

/// A handler of requests without a query string.
#[derive(Clone)]
struct NoQuery<H>(H);

impl<H: Handler<T, S>, T, S> Handler<T, S> for NoQuery<H> {
    type Future = Either<H::Future, Ready<Response>>;

    fn call(self, request: Request, state: S) -> Self::Future {
        match request.uri().query() {
            None | Some("") => Either::Left(self.0.call(request, state)),
            Some(query) => {
                let name: String = query.split(['=', '&']).next().unwrap_or("").chars().take(64).collect();
                let reason = "this request takes no parameters in its address; a POST or PATCH takes them in its JSON body";
                Either::Right(ready(Problem::from(Invalid::new("unknown-parameter", "query", reason).seen(name)).into_response()))
            }
        }
    }
}

fn public<H, T>(method: Method, path: &'static str, handler: H) -> Route
where
    H: Handler<T, ()>,
    T: 'static,
{
    let filter = MethodFilter::try_from(method.clone()).expect("the table has only methods that axum knows");
    (Endpoint { method, path, needs: None }, on(filter, handler))
}

/// The run that the path names.
struct PathRun(RunId);

impl<S: Send + Sync> FromRequestParts<S> for PathRun {
    type Rejection = Problem;

    async fn from_request_parts(parts: &mut Parts, state: &S) -> Result<Self, Problem> {
        Ok(Self(RunId::parse(&PathText::from_request_parts(parts, state).await?.0, "id")?))
    }
}

/// The one parameter of the path, decoded.
struct PathText(String);

impl<S: Send + Sync> FromRequestParts<S> for PathText {
    type Rejection = Problem;

    async fn from_request_parts(parts: &mut Parts, state: &S) -> Result<Self, Problem> {
        let unreadable = || Problem::new(axum::http::StatusCode::NOT_FOUND, "not-found", "there is nothing at this address");
        let parameters = RawPathParams::from_request_parts(parts, state).await.map_err(|_| unreadable())?;
        let (_, text) = parameters.iter().next().ok_or_else(unreadable)?;
        Ok(Self(text.into()))
    }
}

/// The parameters of the query string, in order.
struct QueryPairs(Vec<(String, String)>);

impl<S: Send + Sync> FromRequestParts<S> for QueryPairs {
    type Rejection = Problem;

    async fn from_request_parts(parts: &mut Parts, _state: &S) -> Result<Self, Problem> {
        percent::check(parts.uri.query().unwrap_or(""))?;
        axum::extract::Query::try_from_uri(&parts.uri)
            .map(|axum::extract::Query(pairs)| Self(pairs))
            .map_err(|_| Problem::new(axum::http::StatusCode::BAD_REQUEST, "invalid-query", "the query string can't be decoded"))
    }
}
