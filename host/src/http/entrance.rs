//! What every request passes on its way to a route, and every answer on its way out.
//!
//! One step and not a stack of layers: each layer of middleware copies all that are below it for each request, which was a sixth of what
//! creating a run over HTTP cost. The parts are functions of their own files; this one only knows their order.

use std::convert::Infallible;
use std::sync::Arc;

use axum::Router;
use axum::extract::Request;
use axum::http::{StatusCode, Version};
use axum::response::{IntoResponse, Response};
use tower::{ServiceExt, service_fn};

use super::auth::Gate;
use super::door::Form;
use super::error::Problem;
use super::{answer, host_header};

/// What is asked of a request, and in which form it is refused.
pub(super) struct Entrance {
    pub(super) gate: Gate,
    /// Whether only requests are answered that were meant for this machine.
    pub(super) loopback: bool,
    pub(super) forms: Vec<Form>,
}

impl Entrance {
    /// These routes for whom the entrance lets pass.
    pub(super) fn before(self, routes: Router) -> Router {
        let routes = routes
            .fallback(async || Problem::new(StatusCode::NOT_FOUND, "not-found", "there is nothing at this address"))
            .method_not_allowed_fallback(async || {
                Problem::new(StatusCode::METHOD_NOT_ALLOWED, "method-not-allowed", "this address takes the methods in `Allow`")
            })
            // Makes services of the handlers once, and not for each request.
            .with_state(());
        let entrance = Arc::new(self);
        Router::new().fallback_service(service_fn(move |request| {
            let (entrance, routes) = (entrance.clone(), routes.clone());
            async move { Ok::<_, Infallible>(entrance.pass(request, routes).await) }
        }))
    }

    async fn pass(&self, mut request: Request, routes: Router) -> Response {
        let id = answer::id_of(&request);
        let form = self.forms.iter().find(|form| form.is_for(request.uri().path()));
        let is_http1 = request.version() != Version::HTTP_2;
        let response = match self.admit(&mut request) {
            Ok(()) => routes.oneshot(request).await.into_response(),
            Err(problem) => problem.into_response(),
        };
        let response = match form {
            Some(form) => form.reshape(response, is_http1),
            None => response,
        };
        answer::finish(&id, response)
    }

    fn admit(&self, request: &mut Request) -> Result<(), Problem> {
        answer::check_length(request.uri())?;
        if self.loopback {
            host_header::check(request)?;
        }
        self.gate.admit(request)
    }
}
