//! Looks up the names of hosts for all attempts, on threads of its own.
//!
//! Asked by `name_lookup`. The system's resolver can't be interrupted and may take half a minute, so a guest waits at most [`LOOKUP_MAX`], and
//! the number of threads that are still busy then is bounded, in all and for each namespace.

use std::net::{IpAddr, ToSocketAddrs};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use futures_util::future::{Either, select};
use rustc_hash::FxHashMap;
use tokio::sync::Semaphore;

use crate::clock::Clock;
use crate::model::{HostName, NamespaceId};

/// How long an attempt waits for one lookup, its turn included.
const LOOKUP_MAX: Duration = Duration::from_secs(5);
/// Lookups at a time, of the whole host and of one namespace. Further ones wait.
const LOOKUPS_AT_ONCE: usize = 32;
const LOOKUPS_PER_NAMESPACE: usize = 4;
/// Addresses of one answer that are looked at.
const ANSWER_MAX: usize = 256;

/// Why a name has no addresses.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Unresolved {
    /// There is no such name, or no name server that knows.
    Unknown,
    /// It took too long.
    TooLate,
}

/// The lookups of one host.
pub(super) struct Resolver {
    all: Arc<Semaphore>,
    shares: Mutex<FxHashMap<NamespaceId, Arc<Semaphore>>>,
}

impl Resolver {
    pub(super) fn new() -> Self {
        Self { all: Arc::new(Semaphore::new(LOOKUPS_AT_ONCE)), shares: Mutex::default() }
    }

    /// The addresses of a name.
    pub(super) fn resolve(
        &self,
        namespace: NamespaceId,
        name: HostName,
        clock: &Arc<dyn Clock>,
    ) -> impl Future<Output = Result<Vec<IpAddr>, Unresolved>> + Send + 'static {
        self.within_bounds(namespace, clock, move || {
            let found = (name.as_str(), 0).to_socket_addrs().ok()?;
            Some(found.take(ANSWER_MAX).map(|address| address.ip()).collect())
        })
    }

    fn within_bounds(
        &self,
        namespace: NamespaceId,
        clock: &Arc<dyn Clock>,
        look_up: impl FnOnce() -> Option<Vec<IpAddr>> + Send + 'static,
    ) -> impl Future<Output = Result<Vec<IpAddr>, Unresolved>> + Send + 'static {
        let (share, all, too_late) = (self.share(namespace), Arc::clone(&self.all), clock.sleep(LOOKUP_MAX));
        let looked_up = async move {
            let permits = (share.acquire_owned().await, all.acquire_owned().await);
            let (send, receive) = tokio::sync::oneshot::channel();
            let thread = std::thread::Builder::new().name("resolve".into()).spawn(move || {
                let found = look_up();
                // Not before it is done, even if nobody waits for it.
                drop(permits);
                drop(send.send(found));
            });
            match thread {
                Ok(_) => receive.await.ok().flatten().ok_or(Unresolved::Unknown),
                Err(_) => Err(Unresolved::TooLate),
            }
        };
        async move {
            match select(Box::pin(looked_up), too_late).await {
                Either::Left((found, _)) => found,
                Either::Right(_) => Err(Unresolved::TooLate),
            }
        }
    }

    fn share(&self, namespace: NamespaceId) -> Arc<Semaphore> {
        let mut shares = self.shares.lock().unwrap_or_else(PoisonError::into_inner);
        shares.retain(|_, share| Arc::strong_count(share) > 1 || share.available_permits() < LOOKUPS_PER_NAMESPACE);
        Arc::clone(shares.entry(namespace).or_insert_with(|| Arc::new(Semaphore::new(LOOKUPS_PER_NAMESPACE))))
    }
}

#[cfg(test)]
mod tests {
    use std::sync::mpsc;

    use futures_util::FutureExt;

    use super::*;
    use crate::clock::ManualClock;
    use crate::model::Timestamp;

    #[tokio::test]
    async fn name_servers_that_never_answer_hold_no_more_than_a_share() {
        let manual = ManualClock::new(Timestamp::MIN);
        let (resolver, clock): (_, Arc<dyn Clock>) = (Resolver::new(), Arc::new(manual.clone()));
        let (hostile, other) = (NamespaceId(1), NamespaceId(2));
        let mut stuck = Vec::new();
        for _ in 0..LOOKUPS_PER_NAMESPACE {
            let (release, wait) = mpsc::channel::<()>();
            stuck.push(release);
            let mut given_up = Box::pin(resolver.within_bounds(hostile, &clock, move || wait.recv().ok().map(|()| Vec::new())));
            assert_eq!(given_up.as_mut().now_or_never(), None);
            manual.advance(LOOKUP_MAX);
            assert_eq!(given_up.await, Err(Unresolved::TooLate));
        }
        assert_eq!(resolver.all.available_permits(), LOOKUPS_AT_ONCE - LOOKUPS_PER_NAMESPACE, "threads that are still busy count");
        let mut waiting = Box::pin(resolver.within_bounds(hostile, &clock, || Some(Vec::new())));
        assert_eq!(waiting.as_mut().now_or_never(), None, "it waits for its turn");
        let found = vec![IpAddr::from([192, 0, 2, 1])];
        let answer = found.clone();
        assert_eq!(resolver.within_bounds(other, &clock, || Some(answer)).await, Ok(found));
        drop(stuck);
        assert_eq!(waiting.await, Ok(Vec::new()));
    }
}
