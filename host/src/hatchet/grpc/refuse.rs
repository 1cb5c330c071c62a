//! Refusals as statuses of gRPC.

use axum::body::Body;
use axum::http::{HeaderMap, HeaderValue};
use axum::response::Response;

use super::framing::answer;
use crate::http::error::Problem;

/// The codes that are used here.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Code {
    InvalidArgument = 3,
    DeadlineExceeded = 4,
    NotFound = 5,
    AlreadyExists = 6,
    PermissionDenied = 7,
    ResourceExhausted = 8,
    Unimplemented = 12,
    Internal = 13,
    Unavailable = 14,
    Unauthenticated = 16,
}

/// An answer that is nothing but a status.
pub(super) fn refuse(problem: &Problem) -> Response {
    let mut response = answer(Body::empty());
    response.headers_mut().extend(trailers(problem));
    response
}

/// The status of an answer that has begun, and went wrong later.
pub(super) fn trailers(problem: &Problem) -> HeaderMap {
    let code = code(problem);
    let message = match code {
        Code::Unimplemented if problem.code == "not-found" => {
            "runlater has no such method: its tasks are WebAssembly components, which `runlater register` deploys, so there are no workers to \
             start and no workflows to put. Schedule, run and wait for tasks; for all else use the REST API or the command line: see docs/hatchet.md"
                .to_owned()
        }
        _ => [problem.field.as_ref().map(|field| format!("{field}: ")), Some(problem.detail.clone())].into_iter().flatten().collect(),
    };
    let mut trailers = HeaderMap::new();
    trailers.insert("grpc-status", HeaderValue::from(code as u16));
    trailers.insert("grpc-message", HeaderValue::try_from(escape(&message)).expect("what is escaped is printable ASCII"));
    trailers
}

/// The code decides whether the SDKs try again: they do for all but invalid arguments, what exists or does not, what is not implemented, and
/// what is not allowed.
fn code(problem: &Problem) -> Code {
    match (problem.status, problem.code.as_ref()) {
        (404, "not-found") | (405, _) => Code::Unimplemented,
        (401, _) => Code::Unauthenticated,
        (403, _) => Code::PermissionDenied,
        (404, _) => Code::NotFound,
        (408, _) => Code::DeadlineExceeded,
        (429 | 507, _) => Code::ResourceExhausted,
        // It may be stored. Another try has nothing by which it could be known as the same, and would store it twice.
        (_, "outcome-unknown") => Code::AlreadyExists,
        (503, _) => Code::Unavailable,
        (500.., _) => Code::Internal,
        _ => Code::InvalidArgument,
    }
}

/// All that is no printable ASCII in percent signs and digits.
fn escape(text: &str) -> String {
    text.bytes()
        .map(|byte| if matches!(byte, b' '..=b'~') && byte != b'%' { char::from(byte).into() } else { format!("%{byte:02X}") })
        .collect()
}

#[cfg(test)]
mod tests {
    use axum::http::StatusCode;

    use super::*;
    use crate::storage::StorageError;

    #[test]
    fn whether_the_sdks_try_again() {
        let of = |status: StatusCode, name| code(&Problem::new(status, name, ""));
        assert_eq!(of(StatusCode::NOT_FOUND, "not-found"), Code::Unimplemented);
        assert_eq!(of(StatusCode::NOT_FOUND, "run-not-found"), Code::NotFound);
        assert_eq!(of(StatusCode::UNPROCESSABLE_ENTITY, "invalid-time"), Code::InvalidArgument);
        assert_eq!(of(StatusCode::PAYLOAD_TOO_LARGE, "message-too-large"), Code::InvalidArgument);
        assert_eq!(code(&StorageError::OutcomeUnknown(String::new()).into()), Code::AlreadyExists);
        assert_eq!(code(&StorageError::Overloaded(1).into()), Code::Unavailable);
        assert_eq!(code(&StorageError::Locked.into()), Code::Unavailable);
        assert_eq!(code(&StorageError::Full.into()), Code::ResourceExhausted);
    }

    #[test]
    fn messages_are_ascii() {
        assert_eq!(escape("100 % \u{fc}\n"), "100 %25 %C3%BC%0A");
    }
}
