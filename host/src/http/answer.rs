//! What every answer has: an id of its request, the body of a problem, and headers that keep it out of caches.
//!
//! Called by `entrance.rs`, first and last. Knows nothing of routes.

use axum::body::Body;
use axum::extract::Request;
use axum::http::{HeaderName, HeaderValue, StatusCode, Uri, header};
use axum::response::Response;

use super::error::{PROBLEM_JSON, Problem};

const REQUEST_ID: HeaderName = HeaderName::from_static("x-request-id");
/// Bytes of a request's address.
const URI_BYTES_MAX: usize = 8 << 10;

/// Gives a request an id and tells the log of it. The caller's own id is not taken over: it would let callers write into the log.
pub(super) fn id_of(request: &Request) -> String {
    let id = format!("req_{:016x}", fastrand::u64(..));
    // Of an address that holds a token nothing is logged: `auth.rs` refuses it.
    let path = if super::auth::holds_token(request.uri()) { "(with a token)" } else { request.uri().path() };
    tracing::debug!(request = %id, method = %request.method(), path, "request");
    id
}

/// Refuses what nobody means by an address.
pub(super) fn check_length(address: &Uri) -> Result<(), Problem> {
    if address.path_and_query().is_none_or(|address| address.as_str().len() <= URI_BYTES_MAX) {
        return Ok(());
    }
    Err(Problem::new(StatusCode::URI_TOO_LONG, "uri-too-long", format!("an address has at most {URI_BYTES_MAX} bytes")))
}

/// The answer to the request of this id, with what all answers have.
pub(super) fn finish(id: &str, mut response: Response) -> Response {
    if let Some(mut problem) = response.extensions_mut().remove::<Problem>() {
        problem.request_id = Some(id.into());
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
    headers.insert(REQUEST_ID, HeaderValue::from_str(id).expect("hexadecimal digits are a header's value"));
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

    #[test]
    fn a_token_in_an_address_is_not_logged() {
        let log = Log::default();
        let _guard = tracing::subscriber::set_default(log.clone());
        for address in
            ["/v1/runs?token=rl_api_00000000_secret", "/v1/tasks/rl_api_00000000_secret", "/v1/runs?access_token=secret", "/plain"]
        {
            id_of(&Request::builder().uri(address).body(Body::empty()).unwrap());
        }
        let logged = log.0.lock().unwrap().clone();
        assert!(!logged.contains("secret") && logged.matches("(with a token)").count() == 3, "{logged}");
        assert!(logged.contains("path=\"/plain\""), "the log that is looked at is the right one: {logged}");
    }
}
