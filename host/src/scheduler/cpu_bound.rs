//! Threads of low priority, on which attempts go on that have computed for long.
//!
//! A worker hands them over, so that it is free for what becomes due: whoever needs little time does not wait for whoever takes all there is.
//! The kernel lets these threads have what the workers leave (`stand_back.rs`). To a guest they are like a worker's: not of any runtime, and with the
//! embedder's entered. Knows neither runs nor claims.
//!
//! Attempts that can go on are polled in turn, for an epoch each. An attempt that is woken to be ended (`urgent.rs`) goes before all others, so it
//! does not compute on for as long as a round takes. So does one that is new, because only its first turn here tells its alarms how to wake it.

use std::collections::VecDeque;
use std::future::Future;
use std::pin::Pin;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError, mpsc};
use std::task::{Context, Poll, Wake, Waker};
use std::time::Duration;

use rustc_hash::FxHashMap;
use tokio::runtime::Handle;

use super::doorbell::{Doorbell, Wait};
use crate::clock::stopwatch;
use crate::stand_back::stand_back;
use crate::urgent;

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
    queue: Mutex<Queue>,
    /// Attempts that it has, or is about to have.
    count: AtomicUsize,
    closed: AtomicBool,
}

/// The attempts that can go on, by their keys.
#[derive(Default)]
struct Queue {
    incoming: Vec<Attempt>,
    /// To be ended, most likely. They go first.
    urgent: VecDeque<u64>,
    ready: VecDeque<u64>,
}

/// Wakes one attempt of a thread.
struct Call {
    place: Arc<Place>,
    key: u64,
    is_urgent: bool,
    /// Whether it is in the queue. Whoever sets it puts it there.
    queued: AtomicBool,
}

impl Call {
    fn waker(place: &Arc<Place>, key: u64, is_urgent: bool) -> (Arc<Self>, Waker) {
        // A new attempt is put among the urgent ones.
        let call = Arc::new(Self { place: place.clone(), key, is_urgent, queued: AtomicBool::new(is_urgent) });
        (call.clone(), call.into())
    }
}

impl Wake for Call {
    fn wake(self: Arc<Self>) {
        self.wake_by_ref();
    }

    fn wake_by_ref(self: &Arc<Self>) {
        if !self.queued.swap(true, Ordering::AcqRel) {
            let mut queue = self.place.queue();
            let queue = if self.is_urgent { &mut queue.urgent } else { &mut queue.ready };
            queue.push_back(self.key);
        }
        self.place.doorbell.ring_attempts();
    }
}

impl Place {
    fn queue(&self) -> MutexGuard<'_, Queue> {
        self.queue.lock().unwrap_or_else(PoisonError::into_inner)
    }
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
            let place = Arc::new(Place { doorbell, queue: Mutex::default(), count: 0.into(), closed: false.into() });
            send.send(place.clone()).expect("the thread waits for it");
            started.threads.push(place);
        }
        Ok(started)
    }

    /// Goes on with the attempt on the thread that has the fewest.
    pub(super) fn take(&self, attempt: impl Future<Output = ()> + Send + 'static) {
        let place = self.threads.iter().min_by_key(|place| place.count.load(Ordering::Relaxed)).expect("there is at least one");
        place.count.fetch_add(1, Ordering::Relaxed);
        place.queue().incoming.push(Box::pin(attempt));
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

/// An attempt of one thread.
struct Running {
    attempt: Attempt,
    ready: (Arc<Call>, Waker),
    urgent: (Arc<Call>, Waker),
}

impl Running {
    fn new(attempt: Attempt, place: &Arc<Place>, key: u64) -> Self {
        Self { attempt, ready: Call::waker(place, key, false), urgent: Call::waker(place, key, true) }
    }

    /// Polls the attempt, which was taken from one of the queues.
    fn poll(&mut self, was_urgent: bool) -> Poll<()> {
        let (call, _) = if was_urgent { &self.urgent } else { &self.ready };
        // A wake-up from here on puts it into that queue again.
        call.queued.store(false, Ordering::Release);
        let mut context = Context::from_waker(&self.ready.1);
        urgent::polled_with(&self.urgent.1, || self.attempt.as_mut().poll(&mut context))
    }
}

/// What one thread does.
fn go_on(place: &Arc<Place>, runtime: &Handle) {
    let _context = runtime.enter();
    stand_back();
    let mut attempts = FxHashMap::default();
    let mut keys = 0..;
    loop {
        place.doorbell.take_look();
        place.doorbell.take_attempts();
        while let Some((key, was_urgent)) = next(place, &mut attempts, &mut keys) {
            // It may have ended since it was put into the queue.
            let Some(running) = attempts.get_mut(&key) else { continue };
            if running.poll(was_urgent).is_ready() {
                attempts.remove(&key);
                place.count.fetch_sub(1, Ordering::Relaxed);
            }
        }
        if place.closed.load(Ordering::Acquire) && place.count.load(Ordering::Relaxed) == 0 {
            return;
        }
        place.doorbell.wait(Wait::Forever);
    }
}

/// Takes in what has come, and says which attempt has its turn, and whether it was among the urgent ones.
fn next(place: &Arc<Place>, attempts: &mut FxHashMap<u64, Running>, keys: &mut impl Iterator<Item = u64>) -> Option<(u64, bool)> {
    let mut queue = place.queue();
    let queue = &mut *queue;
    for (attempt, key) in queue.incoming.drain(..).zip(keys) {
        attempts.insert(key, Running::new(attempt, place, key));
        queue.urgent.push_back(key);
    }
    let urgent = queue.urgent.pop_front().map(|key| (key, true));
    urgent.or_else(|| queue.ready.pop_front().map(|key| (key, false)))
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

    /// Counts how often it is polled, and computes on until it is told to end.
    fn computing(polls: &Arc<AtomicUsize>, end: &Arc<AtomicBool>) -> Attempt {
        let (polls, end) = (polls.clone(), end.clone());
        Box::pin(std::future::poll_fn(move |context| {
            polls.fetch_add(1, Ordering::Relaxed);
            context.waker().wake_by_ref();
            if end.load(Ordering::Relaxed) { Poll::Ready(()) } else { Poll::Pending }
        }))
    }

    #[test]
    fn an_attempt_that_must_end_does_not_wait_for_those_that_compute() {
        const OTHERS: usize = 900;
        let runtime = tokio::runtime::Builder::new_current_thread().build().unwrap();
        let threads = CpuBound::start(1, runtime.handle()).unwrap();
        let (polls, end) = (Arc::new(AtomicUsize::new(0)), Arc::new(AtomicBool::new(false)));
        let alarm = Arc::new(Mutex::new(None::<Waker>));
        let rang = Arc::new(AtomicUsize::new(usize::MAX));
        let (waited, waits) = mpsc::channel();
        // It computes as the others do, and its alarm is urgent.
        let mut inner = computing(&polls, &end);
        let (set, seen, counted, stopped) = (alarm.clone(), rang.clone(), polls.clone(), end.clone());
        let must_end = std::future::poll_fn(move |context| {
            let rang = seen.load(Ordering::Relaxed);
            if rang < usize::MAX {
                waited.send(counted.load(Ordering::Relaxed) - rang).unwrap();
                stopped.store(true, Ordering::Relaxed);
                return Poll::Ready(());
            }
            *set.lock().unwrap() = Some(urgent::waker(context));
            inner.as_mut().poll(context)
        });
        threads.take(must_end);
        for _ in 0..OTHERS {
            threads.take(computing(&polls, &end));
        }
        // One of those that compute rings the alarm of the other in the middle of a round.
        let (counted, mut inner) = (polls.clone(), computing(&polls, &end));
        threads.take(std::future::poll_fn(move |context| {
            let count = counted.load(Ordering::Relaxed);
            if count > 10 * OTHERS && rang.load(Ordering::Relaxed) == usize::MAX {
                rang.store(count, Ordering::Relaxed);
                alarm.lock().unwrap().as_ref().expect("it was polled before").wake_by_ref();
            }
            inner.as_mut().poll(context)
        }));
        drop(threads);
        let waited = waits.recv().unwrap();
        assert!(waited <= 1, "{waited} others had their turn first");
    }
}
