//! Threads of low priority, on which attempts go on that have computed for long.
//!
//! A worker hands them over, so that it is free for what becomes due: whoever needs little time does not wait for whoever takes all there is.
//! The kernel lets these threads have what the workers leave (`stand_back.rs`). To a guest they are like a worker's: not of any runtime, and with the
//! embedder's entered. Knows neither runs nor claims.

use std::future::Future;
use std::pin::Pin;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, PoisonError, mpsc};
use std::task::{Context, Poll, Waker};
use std::time::Duration;

use futures_util::stream::{FuturesUnordered, StreamExt};
use tokio::runtime::Handle;

use super::doorbell::{Doorbell, Wait};
use crate::clock::stopwatch;
use crate::stand_back::stand_back;

/// Time on a worker's thread after which an attempt counts as bound by the processor: an epoch, the least that can be noticed. Most attempts need a
/// tenth of it.
const COMPUTED_MAX: Duration = Duration::from_millis(2);

/// An attempt that is executed.
pub(super) type Attempt = Pin<Box<dyn Future<Output = ()> + Send>>;

/// The threads. They end when this is dropped and their attempts have ended.
pub(super) struct CpuBound {
    threads: Vec<Arc<Place>>,
}

/// What one thread is given.
struct Place {
    doorbell: Arc<Doorbell>,
    incoming: Mutex<Vec<Attempt>>,
    /// Attempts that it has, or is about to have.
    count: AtomicUsize,
    closed: AtomicBool,
}

impl CpuBound {
    /// Starts so many threads, which sleep until there is something to do.
    pub(super) fn start(threads: usize, runtime: &Handle) -> std::io::Result<Self> {
        // If one can't be started, those before it end as this is dropped.
        let mut started = Self { threads: Vec::with_capacity(threads) };
        for number in 0..threads {
            let (send, receive) = mpsc::channel::<Arc<Place>>();
            let runtime = runtime.clone();
            let thread = std::thread::Builder::new().name(format!("runlater-cpu-{number}")).spawn(move || {
                if let Ok(place) = receive.recv() {
                    go_on(&place, &runtime);
                }
            })?;
            let doorbell = Arc::new(Doorbell::new(thread.thread().clone()));
            let place = Arc::new(Place { doorbell, incoming: Mutex::default(), count: 0.into(), closed: false.into() });
            send.send(place.clone()).expect("the thread waits for it");
            started.threads.push(place);
        }
        Ok(started)
    }

    /// Goes on with the attempt on the thread that has the fewest.
    pub(super) fn take(&self, attempt: impl Future<Output = ()> + Send + 'static) {
        let place = self.threads.iter().min_by_key(|place| place.count.load(Ordering::Relaxed)).expect("there is at least one");
        place.count.fetch_add(1, Ordering::Relaxed);
        place.incoming.lock().unwrap_or_else(PoisonError::into_inner).push(Box::pin(attempt));
        place.doorbell.ring_attempts();
    }
}

impl Drop for CpuBound {
    fn drop(&mut self) {
        for place in &self.threads {
            place.closed.store(true, Ordering::Release);
            place.doorbell.ring_look();
        }
    }
}

/// What one thread does.
fn go_on(place: &Place, runtime: &Handle) {
    let _context = runtime.enter();
    stand_back();
    let waker = Waker::from(place.doorbell.clone());
    let mut context = Context::from_waker(&waker);
    let mut attempts = FuturesUnordered::new();
    loop {
        place.doorbell.take_look();
        place.doorbell.take_attempts();
        attempts.extend(std::mem::take(&mut *place.incoming.lock().unwrap_or_else(PoisonError::into_inner)));
        while let Poll::Ready(Some(())) = attempts.poll_next_unpin(&mut context) {
            place.count.fetch_sub(1, Ordering::Relaxed);
        }
        if place.closed.load(Ordering::Acquire) && place.count.load(Ordering::Relaxed) == 0 {
            return;
        }
        place.doorbell.wait(Wait::Forever);
    }
}

/// An attempt on a worker's thread: ends when the attempt has, or hands it back when it has computed for long.
pub(super) struct OnWorker {
    attempt: Option<Attempt>,
    computed: Duration,
}

impl OnWorker {
    pub(super) fn new(attempt: impl Future<Output = ()> + Send + 'static) -> Self {
        Self { attempt: Some(Box::pin(attempt)), computed: Duration::ZERO }
    }
}

impl Future for OnWorker {
    type Output = Option<Attempt>;

    fn poll(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Self::Output> {
        let Some(attempt) = &mut self.attempt else { return Poll::Ready(None) };
        let began = stopwatch();
        if attempt.as_mut().poll(context).is_ready() {
            return Poll::Ready(None);
        }
        self.computed += stopwatch().saturating_sub(began);
        if self.computed < COMPUTED_MAX { Poll::Pending } else { Poll::Ready(self.attempt.take()) }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn who_computes_for_long_is_handed_back_and_goes_on_elsewhere() {
        let polled = |attempt: Attempt| Pin::new(&mut OnWorker::new(attempt)).poll(&mut Context::from_waker(Waker::noop()));
        assert!(matches!(polled(Box::pin(async {})), Poll::Ready(None)));
        assert!(polled(Box::pin(std::future::pending())).is_pending(), "who waits takes no time");
        let runtime = tokio::runtime::Builder::new_current_thread().build().unwrap();
        let threads = CpuBound::start(1, runtime.handle()).unwrap();
        let (ended, end) = mpsc::channel();
        for number in 0..3 {
            let computes = Box::pin(async {
                let began = stopwatch();
                while stopwatch() - began < COMPUTED_MAX {}
                tokio::task::yield_now().await;
            });
            let Poll::Ready(Some(attempt)) = polled(computes) else { panic!("it computed for long enough") };
            let ended = ended.clone();
            threads.take(async move {
                attempt.await;
                // As a host function of an embedder may: the thread is of no runtime.
                Handle::current().block_on(async {});
                ended.send(number).unwrap();
            });
        }
        drop((threads, ended));
        assert_eq!(end.iter().count(), 3, "those that are in flight end, and then the threads do");
    }
}
