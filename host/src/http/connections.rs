//! Accepts connections and bounds what each may cost before a request is read.
//!
//! Plain HTTP/1.1: whoever wants TLS or HTTP/2 puts a proxy in front, and with them gone so are their floods.

use std::collections::HashMap;
use std::future::Future;
use std::net::IpAddr;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use axum::Router;
use hyper::server::conn::http1;
use hyper_util::rt::{TokioIo, TokioTimer};
use hyper_util::service::TowerToHyperService;
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::{Semaphore, watch};
use tokio::task::JoinSet;

/// Connections at a time.
const CONNECTIONS_MAX: usize = 1_024;
/// Connections of one address at a time. Not for loopback, where everybody has the same.
const CONNECTIONS_PER_PEER_MAX: usize = 64;
/// Time for the head of a request, and between two requests.
const HEAD_TIMEOUT: Duration = Duration::from_secs(10);
const HEADERS_MAX: usize = 64;
const HEAD_BYTES_MAX: usize = 32 << 10;
/// How long requests in flight may go on once the server is told to stop.
const STOP_GRACE: Duration = Duration::from_secs(5);

/// Serves `router` until `shutdown` ends, then lets requests in flight end.
pub(super) async fn serve(router: Router, listener: TcpListener, shutdown: impl Future<Output = ()>) {
    let slots = Arc::new(Semaphore::new(CONNECTIONS_MAX));
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
                    let (router, mut stopped) = (router.clone(), stopped.clone());
                    connections.spawn(async move {
                        connection(router, stream, &mut stopped).await;
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

async fn connection(router: Router, stream: TcpStream, stopped: &mut watch::Receiver<bool>) {
    // Answers are small and written whole: waiting for more to send only delays them.
    let _ = stream.set_nodelay(true);
    let connection = http1::Builder::new()
        .timer(TokioTimer::new())
        .header_read_timeout(HEAD_TIMEOUT)
        .max_headers(HEADERS_MAX)
        .max_buf_size(HEAD_BYTES_MAX)
        .serve_connection(TokioIo::new(stream), TowerToHyperService::new(router));
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
}
