//! Accepts connections, and says over which protocol each is served.
//!
//! HTTP/1.1, and HTTP/2 in clear text for connections that begin with its preface, if a door wants that. For TLS, put a proxy in front. Which
//! connections are kept when there are too many is decided in `seats.rs`.

use std::future::Future;
use std::io;
use std::sync::Arc;
use std::time::Duration;

use axum::Router;
use hyper::server::conn::http1;
use hyper::service::{Service, service_fn};
use hyper_util::rt::{TokioIo, TokioTimer};
use hyper_util::service::TowerToHyperService;
use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::watch;
use tokio::task::JoinSet;
use tokio::time::Instant;

use super::http2;
use super::rates::Peer;
use super::seats::{Bounds, Seat, Seats, Visit};
use super::spare_files::SpareFiles;
use super::watched_stream::WatchedStream;

/// Time for the head of a request, and between two requests.
pub(super) const HEAD_TIMEOUT: Duration = Duration::from_secs(10);
pub(super) const HEADERS_MAX: usize = 64;
pub(super) const HEAD_BYTES_MAX: usize = 32 << 10;
/// How long requests in flight may go on once the server is told to stop.
const STOP_GRACE: Duration = Duration::from_secs(5);
/// What tells HTTP/2 from every request of HTTP/1.1 that there is: no method begins so.
const PREFACE: &[u8; 3] = b"PRI";
/// Pause after a connection could not be accepted: trying again at once would only spin.
const ACCEPT_PAUSE: Duration = Duration::from_millis(10);
/// How often the log says so.
const WARN_EVERY: Duration = Duration::from_secs(10);

/// What is served over which protocol.
#[derive(Clone)]
pub(super) struct Routers {
    pub(super) http1: Router,
    /// `None`: nothing is, and its preface is no request.
    pub(super) http2: Option<Router>,
}

/// Serves `routers` until `shutdown` ends, then lets requests in flight end.
pub(super) async fn serve(routers: Routers, listener: TcpListener, shutdown: impl Future<Output = ()>) {
    let files = rlimit::getrlimit(rlimit::Resource::NOFILE).map_or(u64::MAX, |(soft, _)| soft);
    let bounds = Bounds::within(files);
    if bounds.are_reduced() {
        let Bounds { seats, lobby } = bounds;
        tracing::warn!(
            "the limit of {files} open files leaves room for {seats} connections, and {lobby} that have sent no token yet; raise it with `ulimit -n`"
        );
    }
    serve_within(bounds, routers, listener, shutdown).await;
}

/// The same, with so many connections at a time.
async fn serve_within(bounds: Bounds, routers: Routers, listener: TcpListener, shutdown: impl Future<Output = ()>) {
    let (seats, mut spare, mut warned) = (Seats::new(bounds), SpareFiles::new(), None::<Instant>);
    let (stop, stopped) = watch::channel(false);
    let mut connections = JoinSet::new();
    let mut shutdown = std::pin::pin!(shutdown);
    loop {
        tokio::select! {
            () = &mut shutdown => break,
            Some(_) = connections.join_next() => spare.refill(),
            accepted = listener.accept() => match accepted {
                Ok((stream, peer)) => {
                    spare.refill();
                    let peer = Peer(peer.ip());
                    let Some(visit) = seats.admit(peer) else { continue };
                    connections.spawn(connection(routers.clone(), stream, peer, visit, stopped.clone()));
                }
                Err(error) => {
                    if warned.is_none_or(|warned| warned.elapsed() >= WARN_EVERY) {
                        tracing::warn!(%error, "can't accept a connection");
                        warned = Some(Instant::now());
                    }
                    // A file that is kept for this takes the connection. If there is none left, another connection makes room.
                    if !(is_short_of_files(&error) && spare.give_up()) {
                        seats.end_one();
                        tokio::time::sleep(ACCEPT_PAUSE).await;
                    }
                }
            },
        }
    }
    stop.send_replace(true);
    let ended = async { while connections.join_next().await.is_some() {} };
    let _ = tokio::time::timeout(STOP_GRACE, ended).await;
}

fn is_short_of_files(error: &io::Error) -> bool {
    matches!(error.raw_os_error(), Some(libc::EMFILE | libc::ENFILE))
}

/// Serves one connection until it ends, or must end.
async fn connection(routers: Routers, stream: TcpStream, peer: Peer, visit: Visit, stopped: watch::Receiver<bool>) {
    // Answers are small and written whole: waiting for more to send only delays them.
    let _ = stream.set_nodelay(true);
    let seat = visit.0.clone();
    tokio::select! {
        () = speak(routers, stream, peer, &seat, stopped) => {}
        why = seat.over() => tracing::debug!(why, "a connection is closed"),
    }
}

async fn speak(routers: Routers, mut stream: TcpStream, peer: Peer, seat: &Arc<Seat>, stopped: watch::Receiver<bool>) {
    let watched = |stream| WatchedStream { stream, seat: seat.clone() };
    let Some(http2) = routers.http2 else { return over_http1(routers.http1, watched(stream), peer, seat, stopped).await };
    let Ok(Ok(begun)) = tokio::time::timeout(HEAD_TIMEOUT, begin(&mut stream)).await else { return };
    let is_http2 = begun == PREFACE;
    let (rest, writer) = stream.into_split();
    let whole = tokio::io::join(io::Cursor::new(begun).chain(rest), WatchedStream { stream: writer, seat: seat.clone() });
    if is_http2 {
        http2::serve(http2, whole, peer, seat, stopped).await
    } else {
        over_http1(routers.http1, whole, peer, seat, stopped).await
    }
}

/// The first bytes of a connection: as many as tell which protocol it speaks.
async fn begin(stream: &mut TcpStream) -> io::Result<Vec<u8>> {
    let mut begun = Vec::with_capacity(PREFACE.len());
    while begun.len() < PREFACE.len() && PREFACE.starts_with(&begun) {
        let missing = (PREFACE.len() - begun.len()) as u64;
        if (&mut *stream).take(missing).read_buf(&mut begun).await? == 0 {
            break;
        }
    }
    Ok(begun)
}

async fn over_http1(
    router: Router,
    stream: impl AsyncRead + AsyncWrite + Unpin,
    peer: Peer,
    seat: &Arc<Seat>,
    mut stopped: watch::Receiver<bool>,
) {
    let router = TowerToHyperService::new(router);
    let service = service_fn(move |mut request: hyper::Request<_>| {
        request.extensions_mut().insert(peer);
        request.extensions_mut().insert(seat.clone());
        router.call(request)
    });
    let connection = http1::Builder::new()
        .timer(TokioTimer::new())
        .header_read_timeout(HEAD_TIMEOUT)
        .max_headers(HEADERS_MAX)
        .max_buf_size(HEAD_BYTES_MAX)
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

#[cfg(test)]
mod tests {
    use super::*;

    /// Serves with the time standing still but for when everybody waits: then it goes on to whatever is next.
    async fn answered_with(http2: bool, sent: &[u8]) -> String {
        use tokio::io::{AsyncReadExt, AsyncWriteExt};
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        let router = Router::new().route("/", axum::routing::get(async || "here"));
        let (stop, stopped) = tokio::sync::oneshot::channel::<()>();
        let serving = serve(Routers { http1: router.clone(), http2: http2.then_some(router) }, listener, async { drop(stopped.await) });
        let asking = async {
            let mut stream = TcpStream::connect(address).await.unwrap();
            stream.write_all(sent).await.unwrap();
            let mut answer = Vec::new();
            // Ends because the server does.
            let _ = stream.read_to_end(&mut answer).await;
            drop(stop);
            String::from_utf8_lossy(&answer).into_owned()
        };
        tokio::join!(serving, asking).1
    }

    async fn answered(sent: &[u8]) -> String {
        answered_with(false, sent).await
    }

    #[tokio::test(start_paused = true)]
    async fn so_is_who_might_speak_http2() {
        for begun in [&b""[..], b"P", b"PR", b"PRI", b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n", b"GET / HTTP/1.1\r\nX-Slow: "] {
            assert!(!answered_with(true, begun).await.contains("here"));
        }
        // Connected, and asks for nothing; then what is asked for over HTTP/1.1, also by methods that begin as the preface does.
        let settings = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n\0\0\0\x04\0\0\0\0\0";
        assert!(!answered_with(true, settings).await.is_empty(), "it was greeted");
        for (method, status) in [("GET", "200"), ("PUT", "405"), ("PROPFIND", "405"), ("P", "405")] {
            let answer =
                answered_with(true, format!("{method} / HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n").as_bytes()).await;
            assert!(answer.starts_with(&format!("HTTP/1.1 {status}")), "{method}: {answer}");
        }
    }

    #[tokio::test(start_paused = true)]
    async fn who_does_not_go_on_is_let_go() {
        assert_eq!(answered(b"").await, "", "says nothing");
        assert!(!answered(b"GET / HTTP/1.1\r\nHost: localhost\r\nX-Slow: ").await.contains("here"), "half a head");
        let kept = answered(b"GET / HTTP/1.1\r\nHost: localhost\r\n\r\n").await;
        assert!(kept.starts_with("HTTP/1.1 200") && kept.ends_with("here"), "keeps the connection and sends nothing more: {kept}");
    }

    #[tokio::test(start_paused = true)]
    async fn a_connection_without_a_token_makes_room_for_the_next_one() {
        use tokio::io::{AsyncReadExt, AsyncWriteExt};
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        let router = Router::new().route("/", axum::routing::get(async || "here"));
        let (stop, stopped) = tokio::sync::oneshot::channel::<()>();
        let bounds = Bounds { seats: 1, lobby: 2 };
        let serving = serve_within(bounds, Routers { http1: router, http2: None }, listener, async { drop(stopped.await) });
        let asking = async {
            let began = Instant::now();
            let mut streams = Vec::new();
            for _ in 0..10 {
                let mut stream = TcpStream::connect(address).await.unwrap();
                stream.write_all(b"GET / HTTP/1.1\r\nHost: localhost\r\n\r\n").await.unwrap();
                assert!(stream.read(&mut [0; 64]).await.unwrap() > 0, "each is answered");
                streams.push(stream);
            }
            // Ends because the first connection was closed, with what was left of its answer.
            let _ = streams[0].read_to_end(&mut Vec::new()).await;
            assert!(began.elapsed() < HEAD_TIMEOUT);
            drop(stop);
        };
        tokio::join!(serving, asking);
    }

    #[tokio::test]
    async fn many_requests_at_once_are_answered_in_turn() {
        let mut sent = b"GET / HTTP/1.1\r\nHost: localhost\r\n\r\n".repeat(1_000);
        sent.extend_from_slice(b"GET / HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n");
        assert_eq!(answered(&sent).await.matches("HTTP/1.1 200").count(), 1_001);
        // What HTTP/2 begins with is no request here; so none of its floods is.
        let second = answered(b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n").await;
        assert!(!second.contains("200") && !second.contains("here"), "{second}");
    }
}
