//! What every request passes on its way to a route, and every answer on its way out.
//!
//! One step and not a stack of layers: each layer of middleware copies all that are below it for each request, which was a sixth of what
//! creating a run over HTTP cost. The parts are functions of their own files; this one only knows their order.

use std::convert::Infallible;
use std::sync::Arc;

use axum::Router;
use axum::body::{Body, HttpBody};
use axum::extract::Request;
use axum::http::{Method, StatusCode, Version};
use axum::response::{IntoResponse, Response};
use bytes::Bytes;
use tower::{ServiceExt, service_fn};

use super::answer_body::AnswerBody;
use super::auth::Gate;
use super::door::Form;
use super::error::Problem;
use super::in_flight::Charge;
use super::json::JSON_BYTES_MAX;
use super::seats::{InUse, Seat};
use super::{answer, host_header};
use crate::model::NamespaceId;

/// Bytes of a body or answer up to which it is not counted over HTTP/1.1, where a connection has one of each.
const UNCOUNTED: u64 = 8 << 10;

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
        let seat = request.extensions().get::<Arc<Seat>>().cloned();
        let in_use = seat.as_ref().map(Seat::begin);
        let response = match self.admit(&mut request, seat.as_deref()) {
            Ok(None) => routes.oneshot(request).await.into_response(),
            Ok(Some(namespace)) => {
                // What reads can be asked again; what changed something must be told.
                let refusable = request.method() == Method::GET;
                let body = request.body().size_hint().exact();
                match self.hold_body(namespace, body, is_http1).await {
                    Ok(_held) => {
                        let response = routes.oneshot(request).await.into_response();
                        self.hold_answer(namespace, response, refusable, is_http1, seat, in_use)
                    }
                    Err(problem) => problem.into_response(),
                }
            }
            Err(problem) => problem.into_response(),
        };
        let response = match form {
            Some(form) => form.reshape(response, is_http1),
            None => response,
        };
        answer::finish(&id, response)
    }

    /// Takes the bytes of a request's body before it is read. A longer body than these is refused as soon as it is read, but for components, which
    /// take their own bytes. Messages over HTTP/2 are counted as they come.
    async fn hold_body(&self, namespace: NamespaceId, size: Option<u64>, is_http1: bool) -> Result<Option<Charge>, Problem> {
        let max = JSON_BYTES_MAX as u64;
        let bytes = size.unwrap_or(max).min(max);
        if !is_http1 || bytes <= UNCOUNTED {
            return Ok(None);
        }
        let mut charge = self.gate.held.messages.charge(namespace);
        charge.grow(bytes).await?;
        Ok(Some(charge))
    }

    /// Counts the bytes of an answer until they are sent.
    fn hold_answer(
        &self,
        namespace: NamespaceId,
        mut response: Response,
        refusable: bool,
        is_http1: bool,
        seat: Option<Arc<Seat>>,
        in_use: Option<InUse>,
    ) -> Response {
        let charge = response.extensions_mut().remove::<Arc<Charge>>().and_then(Arc::into_inner);
        let size = response.body().size_hint().exact();
        let charge = match size {
            Some(bytes) if is_http1 && bytes <= UNCOUNTED => return response,
            Some(bytes) => {
                let mut charge = charge.unwrap_or_else(|| self.gate.held.messages.charge(namespace));
                if !charge.resize(bytes, !refusable) {
                    return Problem::overloaded("this answer is larger than what the host may hold for this namespace now; try again")
                        .into_response();
                }
                Some(Arc::new(charge))
            }
            // A stream counts its own messages.
            None => None,
        };
        response.map(|inner| Body::new(AnswerBody { inner, rest: Bytes::new(), charge, seat, _in_use: in_use }))
    }

    /// Returns the namespace of the caller's token, and has the connection count as one of it.
    fn admit(&self, request: &mut Request, seat: Option<&Seat>) -> Result<Option<NamespaceId>, Problem> {
        answer::check_length(request.uri())?;
        if self.loopback {
            host_header::check(request)?;
        }
        let namespace = self.gate.admit(request)?;
        if let (Some(namespace), Some(seat)) = (namespace, seat) {
            seat.accept(namespace)?;
        }
        Ok(namespace)
    }
}
