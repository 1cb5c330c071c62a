//! Reading request bodies within bounds of size and time.
//!
//! Called by `json.rs` and by the endpoint that takes components. Knows nothing of what is in them.

use std::time::Duration;

use axum::body::Body;
use axum::http::{HeaderMap, StatusCode, header};
use futures_util::{FutureExt, StreamExt};
use tokio::time::Instant;

use super::error::Problem;

/// Longest pause between two pieces of a body.
const IDLE_MAX: Duration = Duration::from_secs(10);
/// Longest time for a whole body.
const TOTAL_MAX: Duration = Duration::from_secs(60);

/// Reads a body of at most `limit` bytes; refuses it as soon as it is known to be longer.
pub(super) async fn read(headers: &HeaderMap, body: Body, limit: usize) -> Result<(Vec<u8>, Slow), Problem> {
    let too_large = || {
        let detail = format!("the body has more than {limit} bytes, which is the limit here");
        Problem::new(StatusCode::PAYLOAD_TOO_LARGE, "body-too-large", detail)
    };
    // A compressed body could unfold to any size: none is taken.
    if headers.contains_key(header::CONTENT_ENCODING) {
        return Err(Problem::new(
            StatusCode::UNSUPPORTED_MEDIA_TYPE,
            "content-encoding",
            "send the body as it is, without Content-Encoding",
        ));
    }
    let announced = headers.get(header::CONTENT_LENGTH).and_then(|length| length.to_str().ok()?.parse::<u64>().ok());
    if announced.is_some_and(|length| length > limit as u64) {
        return Err(too_large());
    }
    // Grown step by step, a vector could have twice the bytes that it holds.
    let mut bytes = Vec::with_capacity(announced.and_then(|length| usize::try_from(length).ok()).unwrap_or(0));
    let mut pieces = body.into_data_stream();
    let mut ends_at = None;
    loop {
        // Most bodies come with their head: what is there already needs no timer.
        let piece = match pieces.next().now_or_never() {
            Some(piece) => piece,
            None => {
                let now = Instant::now();
                let ends_at = *ends_at.get_or_insert(now + TOTAL_MAX);
                tokio::time::timeout_at(ends_at.min(now + IDLE_MAX), pieces.next()).await.map_err(|_| slow())?
            }
        };
        match piece {
            None => return Ok((bytes, Slow(ends_at.is_some()))),
            Some(Err(_)) => return Err(Problem::new(StatusCode::BAD_REQUEST, "body-cut", "the body ended before it was complete")),
            Some(Ok(piece)) if bytes.len() + piece.len() > limit => return Err(too_large()),
            Some(Ok(piece)) => bytes.extend_from_slice(&piece),
        }
    }
}

/// Whether a body did not come with its head. Much may have changed since its request was admitted.
pub(super) struct Slow(pub(super) bool);

fn slow() -> Problem {
    Problem::new(StatusCode::REQUEST_TIMEOUT, "body-too-slow", "the body did not arrive in time: 10 s between two pieces, 60 s in all")
}

/// Whether the body is said to be of this media type; parameters such as a charset are ignored.
pub(super) fn check_media_type(headers: &HeaderMap, expected: &str) -> Result<(), Problem> {
    let said = headers.get(header::CONTENT_TYPE).and_then(|value| value.to_str().ok()).unwrap_or("");
    let essence = said.split(';').next().unwrap_or("").trim();
    if essence.eq_ignore_ascii_case(expected) && headers.get_all(header::CONTENT_TYPE).iter().count() == 1 {
        return Ok(());
    }
    let problem = Problem::new(StatusCode::UNSUPPORTED_MEDIA_TYPE, "media-type", format!("send `Content-Type: {expected}`"));
    Err(problem.at("Content-Type"))
}

#[cfg(test)]
mod tests {
    use std::convert::Infallible;

    use futures_util::stream;

    use super::*;

    /// What becomes of a body that comes in pieces, each after such a pause.
    async fn arrive(pieces: usize, pause: Duration) -> Result<usize, String> {
        let body = stream::unfold(0, move |sent| async move {
            tokio::time::sleep(pause).await;
            (sent < pieces).then_some((Ok::<_, Infallible>("x"), sent + 1))
        });
        let read = read(&HeaderMap::new(), Body::from_stream(body), 1_000).await;
        read.map(|(bytes, _)| bytes.len()).map_err(|problem| format!("{} {}", problem.status, problem.code))
    }

    #[tokio::test(start_paused = true)]
    async fn a_body_has_its_time() {
        let slow = || Err("408 body-too-slow".to_string());
        assert_eq!(arrive(5, Duration::from_secs(9)).await, Ok(5));
        assert_eq!(arrive(1, Duration::from_secs(11)).await, slow(), "too long a pause");
        assert_eq!(arrive(100, Duration::from_secs(1)).await, slow(), "too long in all");
        assert_eq!(arrive(50, Duration::from_secs(1)).await, Ok(50));
        assert_eq!(arrive(2_000, Duration::ZERO).await, Err("413 body-too-large".into()));
    }
}
