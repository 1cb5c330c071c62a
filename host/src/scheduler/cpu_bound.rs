//! Threads of low priority, on which attempts go on that have computed for long.
//!
//! A worker hands them over, so that it is free for what becomes due: whoever needs little time never waits for whoever takes all there is.
//! The kernel lets these threads have what the workers leave (`stand_back.rs`). Knows neither runs nor claims.

use std::future::Future;
use std::pin::Pin;
use std::task::{Context, Poll};
use std::time::Duration;

use tokio::runtime::Runtime;

use crate::clock::stopwatch;
use crate::stand_back::stand_back;

/// Time on a worker's thread after which an attempt counts as bound by the processor: an epoch, the least that can be noticed. Most attempts need a
/// tenth of it.
const COMPUTED_MAX: Duration = Duration::from_millis(2);

/// An attempt that is executed.
pub(super) type Attempt = Pin<Box<dyn Future<Output = ()> + Send>>;

/// The threads.
pub(super) struct CpuBound {
    runtime: Option<Runtime>,
}

impl CpuBound {
    /// Starts so many of them. They sleep until there is something to do.
    pub(super) fn start(threads: usize) -> std::io::Result<Self> {
        let mut builder = tokio::runtime::Builder::new_multi_thread();
        builder.worker_threads(threads).thread_name("runlater-cpu").enable_all().on_thread_start(stand_back);
        Ok(Self { runtime: Some(builder.build()?) })
    }

    /// Goes on with the attempt here.
    pub(super) fn take(&self, attempt: impl Future<Output = ()> + Send + 'static) {
        self.runtime.as_ref().expect("it is there until it is dropped").spawn(attempt);
    }
}

impl Drop for CpuBound {
    fn drop(&mut self) {
        // Whoever drops this may be in a runtime, where none may be waited for. Nothing is left in it: each worker waits for its attempts.
        if let Some(runtime) = self.runtime.take() {
            runtime.shutdown_background();
        }
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
    use std::task::Waker;

    use super::*;

    #[test]
    fn who_computes_for_long_is_handed_back() {
        let polled = |attempt: Attempt| Pin::new(&mut OnWorker::new(attempt)).poll(&mut Context::from_waker(Waker::noop()));
        assert!(matches!(polled(Box::pin(async {})), Poll::Ready(None)));
        assert!(polled(Box::pin(std::future::pending())).is_pending(), "who waits takes no time");
        let computes = Box::pin(async {
            let began = stopwatch();
            while stopwatch() - began < COMPUTED_MAX {}
            tokio::task::yield_now().await;
        });
        let Poll::Ready(Some(attempt)) = polled(computes) else { panic!("it computed for long enough") };
        let threads = CpuBound::start(1).unwrap();
        let (ended, end) = std::sync::mpsc::channel();
        threads.take(async move {
            attempt.await;
            ended.send(()).unwrap();
        });
        end.recv().unwrap();
    }
}
