//! Serves one connection that speaks HTTP/2, for the door that wants it.
//!
//! Called by `connections.rs`. The bounds are those of HTTP/1.1 where both have them, and one for each way in which HTTP/2 alone can be
//! flooded: streams that are opened and reset, headers that unfold, frames that nobody reads. Pings are answered one at a time, so whoever
//! sends many waits.

use std::sync::Arc;
use std::time::Duration;

use axum::Router;
use axum::body::Body;
use axum::http::StatusCode;
use axum::response::IntoResponse;
use hyper::server::conn::http2;
use hyper::service::{Service, service_fn};
use hyper_util::rt::{TokioExecutor, TokioIo, TokioTimer};
use hyper_util::service::TowerToHyperService;
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::sync::watch;

use super::connections::{HEAD_BYTES_MAX, HEADERS_MAX};
use super::error::Problem;
use super::rates::Peer;
use super::seats::Seat;

/// Requests in flight on one connection. A client that waits for results uses one for all of them.
const STREAMS_MAX: u32 = 64;
/// Streams that the peer has reset before they were looked at, and that we have reset because of what it sent: more end the connection.
const RESETS_MAX: usize = 32;
/// Bytes of bodies that may wait to be read, of one request and of all.
const STREAM_WINDOW: u32 = 128 << 10;
const CONNECTION_WINDOW: u32 = 256 << 10;
/// Bytes of an answer that wait for the peer to read.
const SEND_BYTES_MAX: usize = 64 << 10;
/// How often a peer is asked whether it is still there, and how long it has to answer.
const PING_INTERVAL: Duration = Duration::from_secs(30);
const PING_TIMEOUT: Duration = Duration::from_secs(10);

/// Serves until the peer leaves, or `stopped` is true and what is in flight has ended. A peer may be silent for a few minutes as long as it answers
/// pings, as clients of gRPC are: see `seats.rs`.
pub(super) async fn serve(
    router: Router,
    stream: impl AsyncRead + AsyncWrite + Unpin + 'static,
    peer: Peer,
    seat: &Arc<Seat>,
    mut stopped: watch::Receiver<bool>,
) {
    let (router, seat) = (TowerToHyperService::new(router), seat.clone());
    let service = service_fn(move |mut request: hyper::Request<_>| {
        request.extensions_mut().insert(peer);
        request.extensions_mut().insert(seat.clone());
        // hyper bounds their bytes only.
        let answer = (request.headers().len() <= HEADERS_MAX).then(|| router.call(request));
        async {
            match answer {
                Some(answer) => answer.await,
                None => Ok(too_many_headers().map(Body::new)),
            }
        }
    });
    let connection = http2::Builder::new(TokioExecutor::new())
        .timer(TokioTimer::new())
        .max_concurrent_streams(STREAMS_MAX)
        .max_pending_accept_reset_streams(RESETS_MAX)
        .max_local_error_reset_streams(RESETS_MAX)
        .max_header_list_size(HEAD_BYTES_MAX as u32)
        .initial_stream_window_size(STREAM_WINDOW)
        .initial_connection_window_size(CONNECTION_WINDOW)
        .max_send_buf_size(SEND_BYTES_MAX)
        .keep_alive_interval(PING_INTERVAL)
        .keep_alive_timeout(PING_TIMEOUT)
        .serve_connection(TokioIo::new(stream), service);
    let mut connection = std::pin::pin!(connection);
    let ended = tokio::select! {
        ended = connection.as_mut() => ended,
        () = async { drop(stopped.wait_for(|stopped| *stopped).await) } => {
            connection.as_mut().graceful_shutdown();
            connection.await
        }
    };
    if let Err(error) = ended {
        tracing::debug!(%error, "a connection ended");
    }
}

fn too_many_headers() -> axum::response::Response {
    let detail = format!("more than {HEADERS_MAX} headers");
    Problem::new(StatusCode::REQUEST_HEADER_FIELDS_TOO_LARGE, "too-many-headers", detail).into_response()
}
