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
    tracing::debug!(request = %id, method = %request.method(), path = request.uri().path(), "request");
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
        // What is left of a body that was refused must not be read as the next request.
        if matches!(problem.status, 400 | 408 | 413 | 415) {
            headers.insert(header::CONNECTION, HeaderValue::from_static("close"));
        }
    }
    let headers = response.headers_mut();
    headers.insert(REQUEST_ID, HeaderValue::from_str(&id).expect("hexadecimal digits are a header's value"));
    headers.insert(header::CACHE_CONTROL, HeaderValue::from_static("no-store"));
    headers.insert(header::X_CONTENT_TYPE_OPTIONS, HeaderValue::from_static("nosniff"));
    response
}
