//! What every answer has: an id of its request, the body of a problem, and headers that keep it out of caches.
//!
//! The outermost layer. Knows nothing of routes.

use axum::body::Body;
use axum::extract::Request;
use axum::http::{HeaderName, HeaderValue, StatusCode, header};
use axum::middleware::Next;
use axum::response::{IntoResponse, Response};

use super::error::{PROBLEM_JSON, Problem};

const REQUEST_ID: HeaderName = HeaderName::from_static("x-request-id");
/// Bytes of a request's address.
const URI_BYTES_MAX: usize = 8 << 10;

/// Answers one request.
pub(super) async fn finish(request: Request, next: Next) -> Response {
    // The caller's own id is not taken over: it would let callers write into the log.
    let id = format!("req_{:016x}", fastrand::u64(..));
    // Of an address that holds a token nothing is logged: `auth.rs` refuses it.
    let path = if super::auth::holds_token(request.uri()) { "(with a token)" } else { request.uri().path() };
    tracing::debug!(request = %id, method = %request.method(), path, "request");
    let too_long = request.uri().path_and_query().is_some_and(|uri| uri.as_str().len() > URI_BYTES_MAX);
    let mut response = if too_long {
        Problem::new(StatusCode::URI_TOO_LONG, "uri-too-long", format!("an address has at most {URI_BYTES_MAX} bytes")).into_response()
    } else {
        next.run(request).await
    };
    if let Some(mut problem) = response.extensions_mut().remove::<Problem>() {
        problem.request_id = Some(id.clone());
        let body = serde_json::to_vec(&problem).expect("text and numbers can be written as JSON");
        *response.body_mut() = Body::from(body);
        let headers = response.headers_mut();
        headers.remove(header::CONTENT_LENGTH);
        headers.insert(header::CONTENT_TYPE, HeaderValue::from_static(PROBLEM_JSON));
        if leaves_doubt(&problem) {
            headers.insert(header::CONNECTION, HeaderValue::from_static("close"));
        }
    }
    let headers = response.headers_mut();
    headers.insert(REQUEST_ID, HeaderValue::from_str(&id).expect("hexadecimal digits are a header's value"));
    headers.insert(header::CACHE_CONTROL, HeaderValue::from_static("no-store"));
    headers.insert(header::X_CONTENT_TYPE_OPTIONS, HeaderValue::from_static("nosniff"));
    response
}

/// Whether the connection must end: what is left of a body that was refused must not be read as the next request.
pub(super) fn leaves_doubt(problem: &Problem) -> bool {
    matches!(problem.status, 400 | 408 | 413 | 415)
}

#[cfg(test)]
mod tests {
    use std::fmt;
    use std::sync::{Arc, Mutex};

    use axum::Router;
    use axum::middleware::from_fn;
    use tower::ServiceExt;
    use tracing::field::{Field, Visit};
    use tracing::span;

    use super::*;

    /// Keeps all that is logged as text.
    #[derive(Clone, Default)]
    struct Log(Arc<Mutex<String>>);

    impl Visit for Log {
        fn record_debug(&mut self, field: &Field, value: &dyn fmt::Debug) {
            fmt::Write::write_fmt(&mut *self.0.lock().unwrap(), format_args!("{field}={value:?} ")).unwrap();
        }
    }

    impl tracing::Subscriber for Log {
        fn enabled(&self, _: &tracing::Metadata<'_>) -> bool {
            true
        }
        fn new_span(&self, _: &span::Attributes<'_>) -> span::Id {
            span::Id::from_u64(1)
        }
        fn record(&self, _: &span::Id, _: &span::Record<'_>) {}
        fn record_follows_from(&self, _: &span::Id, _: &span::Id) {}
        fn event(&self, event: &tracing::Event<'_>) {
            event.record(&mut self.clone());
        }
        fn enter(&self, _: &span::Id) {}
        fn exit(&self, _: &span::Id) {}
    }

    #[tokio::test]
    async fn a_token_in_an_address_is_not_logged() {
        let log = Log::default();
        let _guard = tracing::subscriber::set_default(log.clone());
        let router = Router::new().fallback(async || "here").layer(from_fn(finish));
        for address in
            ["/v1/runs?token=rl_api_00000000_secret", "/v1/tasks/rl_api_00000000_secret", "/v1/runs?access_token=secret", "/plain"]
        {
            router.clone().oneshot(Request::builder().uri(address).body(Body::empty()).unwrap()).await.unwrap();
        }
        let logged = log.0.lock().unwrap().clone();
        assert!(!logged.contains("secret") && logged.matches("(with a token)").count() == 3, "{logged}");
        assert!(logged.contains("path=\"/plain\""), "the log that is looked at is the right one: {logged}");
    }
}
