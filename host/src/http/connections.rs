//! Accepts connections and bounds what each may cost before a request is read.
//!
//! HTTP/1.1, and HTTP/2 in clear text for who begins with its preface, if a door wants that. Whoever wants TLS puts a proxy in front.

use std::collections::HashMap;
use std::future::Future;
use std::net::IpAddr;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use axum::Router;
use hyper::server::conn::http1;
use hyper::service::{Service, service_fn};
use hyper_util::rt::{TokioIo, TokioTimer};
use hyper_util::service::TowerToHyperService;
use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::{Semaphore, watch};
use tokio::task::JoinSet;

use super::http2;
use super::rates::Peer;

/// Connections at a time.
const CONNECTIONS_MAX: usize = 1_024;
/// Connections of one address at a time. Not for loopback, where everybody has the same.
const CONNECTIONS_PER_PEER_MAX: usize = 64;
/// Time for the head of a request, and between two requests.
pub(super) const HEAD_TIMEOUT: Duration = Duration::from_secs(10);
pub(super) const HEADERS_MAX: usize = 64;
pub(super) const HEAD_BYTES_MAX: usize = 32 << 10;
/// How long requests in flight may go on once the server is told to stop.
const STOP_GRACE: Duration = Duration::from_secs(5);
/// What tells HTTP/2 from every request of HTTP/1.1 that there is: no method begins so.
const PREFACE: &[u8; 3] = b"PRI";

/// What is served over which protocol.
#[derive(Clone)]
pub(super) struct Routers {
    pub(super) http1: Router,
    /// `None`: nothing is, and its preface is no request.
    pub(super) http2: Option<Router>,
}

/// Serves `routers` until `shutdown` ends, then lets requests in flight end.
pub(super) async fn serve(routers: Routers, listener: TcpListener, shutdown: impl Future<Output = ()>) {
    serve_at_once(CONNECTIONS_MAX, routers, listener, shutdown).await;
}

/// The same, with so many connections at a time.
async fn serve_at_once(connections_max: usize, routers: Routers, listener: TcpListener, shutdown: impl Future<Output = ()>) {
    let slots = Arc::new(Semaphore::new(connections_max));
    let peers = Arc::new(Peers::default());
    let (stop, stopped) = watch::channel(false);
    let mut connections = JoinSet::new();
    let mut shutdown = std::pin::pin!(shutdown);
    loop {
        // A slot is taken before the connection is: who comes too many waits in the kernel's queue.
        let accepted = async {
            let slot = slots.clone().acquire_owned().await.expect("the semaphore is never closed");
            (slot, listener.accept().await)
        };
        tokio::select! {
            () = &mut shutdown => break,
            Some(_) = connections.join_next() => {}
            (slot, accepted) = accepted => match accepted {
                Ok((stream, peer)) => {
                    let Some(place) = peers.admit(peer.ip()) else { continue };
                    let (routers, stopped) = (routers.clone(), stopped.clone());
                    connections.spawn(async move {
                        connection(routers, stream, Peer(peer.ip()), stopped).await;
                        drop((slot, place));
                    });
                }
                Err(error) => {
                    // Most often too many open files: accepting at once again would only spin.
                    tracing::warn!(%error, "can't accept a connection");
                    tokio::time::sleep(Duration::from_millis(100)).await;
                }
            },
        }
    }
    stop.send_replace(true);
    let ended = async { while connections.join_next().await.is_some() {} };
    let _ = tokio::time::timeout(STOP_GRACE, ended).await;
}

async fn connection(routers: Routers, mut stream: TcpStream, peer: Peer, stopped: watch::Receiver<bool>) {
    // Answers are small and written whole: waiting for more to send only delays them.
    let _ = stream.set_nodelay(true);
    let Some(http2) = routers.http2 else { return over_http1(routers.http1, stream, peer, stopped).await };
    let Ok(Ok(begun)) = tokio::time::timeout(HEAD_TIMEOUT, begin(&mut stream)).await else { return };
    let is_http2 = begun == PREFACE;
    let (rest, writer) = stream.into_split();
    let whole = tokio::io::join(std::io::Cursor::new(begun).chain(rest), writer);
    if is_http2 { http2::serve(http2, whole, peer, stopped).await } else { over_http1(routers.http1, whole, peer, stopped).await }
}

/// The first bytes of a connection: as many as tell which protocol it speaks.
async fn begin(stream: &mut TcpStream) -> std::io::Result<Vec<u8>> {
    let mut begun = Vec::with_capacity(PREFACE.len());
    while begun.len() < PREFACE.len() && PREFACE.starts_with(&begun) {
        let missing = (PREFACE.len() - begun.len()) as u64;
        if (&mut *stream).take(missing).read_buf(&mut begun).await? == 0 {
            break;
        }
    }
    Ok(begun)
}

async fn over_http1(router: Router, stream: impl AsyncRead + AsyncWrite + Unpin, peer: Peer, mut stopped: watch::Receiver<bool>) {
    let router = TowerToHyperService::new(router);
    let service = service_fn(move |mut request: hyper::Request<_>| {
        request.extensions_mut().insert(peer);
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

/// How many connections each address has.
#[derive(Default)]
struct Peers(Mutex<HashMap<IpAddr, usize>>);

/// One connection of an address.
struct Place(Option<(Arc<Peers>, IpAddr)>);

impl Peers {
    fn admit(self: &Arc<Self>, peer: IpAddr) -> Option<Place> {
        if peer.to_canonical().is_loopback() {
            return Some(Place(None));
        }
        let mut counts = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let count = counts.entry(peer).or_default();
        (*count < CONNECTIONS_PER_PEER_MAX).then(|| {
            *count += 1;
            Place(Some((self.clone(), peer)))
        })
    }
}

impl Drop for Place {
    fn drop(&mut self) {
        let Some((peers, peer)) = self.0.take() else { return };
        let mut counts = peers.0.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(count) = counts.get_mut(&peer) {
            *count -= 1;
            if *count == 0 {
                counts.remove(&peer);
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_address_has_so_many_connections() {
        let (peers, peer) = (Arc::new(Peers::default()), IpAddr::from([192, 0, 2, 7]));
        let mut places: Vec<_> = (0..CONNECTIONS_PER_PEER_MAX).map(|_| peers.admit(peer).unwrap()).collect();
        assert!(peers.admit(peer).is_none());
        assert!(peers.admit(IpAddr::from([192, 0, 2, 8])).is_some());
        places.pop();
        assert!(peers.admit(peer).is_some());
        assert!((0..1_000).map(|_| peers.admit(IpAddr::from([127, 0, 0, 1]))).all(|place| place.is_some()));
        drop(places);
        assert!(peers.0.lock().unwrap().is_empty());
    }
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
    async fn who_comes_too_many_waits_until_somebody_leaves() {
        use tokio::io::{AsyncReadExt, AsyncWriteExt};
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        let router = Router::new().route("/", axum::routing::get(async || "here"));
        let (stop, stopped) = tokio::sync::oneshot::channel::<()>();
        let serving = serve_at_once(2, Routers { http1: router, http2: None }, listener, async { drop(stopped.await) });
        let asking = async {
            let ask = async || {
                let mut stream = TcpStream::connect(address).await.unwrap();
                stream.write_all(b"GET / HTTP/1.1\r\nHost: localhost\r\n\r\n").await.unwrap();
                stream
            };
            let answered = async |stream: &mut TcpStream| stream.read(&mut [0; 64]).await.unwrap() > 0;
            let (mut one, mut two) = (ask().await, ask().await);
            assert!(answered(&mut one).await && answered(&mut two).await);
            let mut three = ask().await;
            // Less than those two are given for their next request.
            assert!(tokio::time::timeout(HEAD_TIMEOUT / 2, answered(&mut three)).await.is_err(), "there is no place for it");
            drop(one);
            assert!(answered(&mut three).await);
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
