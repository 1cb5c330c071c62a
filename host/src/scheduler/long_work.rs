//! Work that takes longer than a worker, or a thread that serves requests, may be held: reads that walk many runs, and costly checks.
//!
//! Guests' calls and requests try their work where they are, for a few milliseconds (see [`time_limit`]). What does not finish continues
//! here, on a few threads of low priority. The threads take work from the namespaces in turn, and one namespace never occupies all of them.

use std::collections::VecDeque;
use std::panic::AssertUnwindSafe;
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use rustc_hash::FxHashMap;
use tokio::sync::oneshot;

use crate::cancel::CancelSignal;
use crate::model::NamespaceId;
use crate::stand_back::stand_back;
use crate::storage::StorageError;
use crate::time_limit;

/// Threads. Each keeps one connection to the database busy.
const THREADS: usize = 4;
/// Threads that one namespace occupies at most.
const SHARE: usize = THREADS / 2;
/// Pieces of work of one namespace that wait or are being done. More is refused.
const PENDING_MAX: usize = 1_024;
/// Longest time that one piece of work may take. Sorting ten million runs takes about 6 s.
pub(super) const WORK_MAX: Duration = Duration::from_secs(10);
/// Longest time that a guest's call holds its worker.
pub(super) const ON_WORKER_MAX: Duration = Duration::from_millis(3);
/// Longest time that a request holds a thread of the runtime's pool for blocking calls.
pub(super) const ON_REQUEST_MAX: Duration = Duration::from_millis(20);

type Work = Box<dyn FnOnce() + Send>;

/// The threads, and the work that waits for them. The threads end when this is dropped.
pub(super) struct LongWork {
    shared: Arc<Shared>,
}

#[derive(Default)]
struct Shared {
    queue: Mutex<Queue>,
    /// Signalled when there is work, and when the threads are to end.
    changed: Condvar,
}

/// What waits, by namespace.
#[derive(Default)]
struct Queue {
    namespaces: FxHashMap<NamespaceId, Pending>,
    /// The namespaces in the order in which they are served. A namespace is here once while it has work that waits.
    turns: VecDeque<NamespaceId>,
    closed: bool,
}

#[derive(Default)]
struct Pending {
    waiting: VecDeque<Work>,
    busy: usize,
}

impl Queue {
    /// Adds work, unless the namespace has [`PENDING_MAX`] pieces already.
    fn add(&mut self, namespace: NamespaceId, work: Work) -> Result<(), usize> {
        let pending = self.namespaces.entry(namespace).or_default();
        let count = pending.waiting.len() + pending.busy;
        if count >= PENDING_MAX {
            return Err(count);
        }
        if pending.waiting.is_empty() {
            self.turns.push_back(namespace);
        }
        pending.waiting.push_back(work);
        Ok(())
    }

    /// The next work of the first namespace that is below its share. That namespace goes to the end.
    fn next(&mut self) -> Option<(NamespaceId, Work)> {
        let place = self.turns.iter().position(|namespace| self.namespaces[namespace].busy < SHARE)?;
        let namespace = self.turns.remove(place)?;
        let pending = self.namespaces.get_mut(&namespace)?;
        let work = pending.waiting.pop_front()?;
        pending.busy += 1;
        if !pending.waiting.is_empty() {
            self.turns.push_back(namespace);
        }
        Some((namespace, work))
    }

    fn done(&mut self, namespace: NamespaceId) {
        let Some(pending) = self.namespaces.get_mut(&namespace) else { return };
        pending.busy -= 1;
        if pending.busy == 0 && pending.waiting.is_empty() {
            self.namespaces.remove(&namespace);
        }
    }
}

impl LongWork {
    /// Starts the threads, which sleep until there is work.
    pub(super) fn start() -> std::io::Result<Self> {
        // If a thread can't be started, those before it end as this is dropped.
        let long = Self { shared: Arc::default() };
        for number in 0..THREADS {
            let shared = long.shared.clone();
            std::thread::Builder::new().name(format!("runlater-long-{number}")).spawn(move || serve(&shared))?;
        }
        Ok(long)
    }

    /// Does `work` on one of the threads. If the returned future is dropped, work that waits is dropped, and work under way is stopped.
    ///
    /// # Errors
    /// [`StorageError::Crowded`] if the namespace has too much work here already, and [`StorageError::Unavailable`] if the work panicked.
    pub(super) async fn run<T: Send + 'static>(
        &self,
        namespace: NamespaceId,
        work: impl FnOnce() -> T + Send + 'static,
    ) -> Result<T, StorageError> {
        let (send, receive) = oneshot::channel();
        let cancel = CancelSignal::default();
        let _cancel_on_drop = CancelOnDrop(cancel.clone());
        let work = Box::new(move || {
            if !cancel.is_set() {
                drop(send.send(time_limit::within(WORK_MAX, Some(cancel), work)));
            }
        });
        self.shared.queue().add(namespace, work).map_err(StorageError::Crowded)?;
        self.shared.changed.notify_one();
        receive.await.map_err(|_| StorageError::Unavailable("a thread of the host ended in the middle of the work".into()))
    }

    /// Reads: where it is called for up to `at_once`, and then, if that was not enough, on one of the threads.
    pub(super) async fn read<T: Send + 'static>(
        &self,
        namespace: NamespaceId,
        at_once: Duration,
        read: impl Fn() -> Result<T, StorageError> + Send + 'static,
    ) -> Result<T, StorageError> {
        match time_limit::within(at_once, None, &read) {
            Err(StorageError::TooLong) => self.run(namespace, read).await?,
            done => done,
        }
    }
}

impl Drop for LongWork {
    fn drop(&mut self) {
        let mut queue = self.shared.queue();
        queue.closed = true;
        queue.turns.clear();
        let waiting = std::mem::take(&mut queue.namespaces);
        drop(queue);
        self.shared.changed.notify_all();
        // Not under the lock: the work may hold the last reference to the storage.
        drop(waiting);
    }
}

impl Shared {
    fn queue(&self) -> MutexGuard<'_, Queue> {
        self.queue.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// What one thread does.
fn serve(shared: &Shared) {
    stand_back();
    let mut queue = shared.queue();
    while !queue.closed {
        let Some((namespace, work)) = queue.next() else {
            queue = shared.changed.wait(queue).unwrap_or_else(PoisonError::into_inner);
            continue;
        };
        drop(queue);
        // A panic ends this work: its caller finds that the answer will never come.
        drop(std::panic::catch_unwind(AssertUnwindSafe(work)));
        queue = shared.queue();
        queue.done(namespace);
        // Work of this namespace may have waited for its share while the other threads slept.
        shared.changed.notify_one();
    }
}

/// Stops work that nobody waits for.
struct CancelOnDrop(CancelSignal);

impl Drop for CancelOnDrop {
    fn drop(&mut self) {
        self.0.set();
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn taken(queue: &mut Queue) -> Vec<i64> {
        std::iter::from_fn(|| queue.next().map(|(namespace, _)| namespace.0)).collect()
    }

    #[test]
    fn namespaces_take_turns_and_none_has_all_threads() {
        let mut queue = Queue::default();
        for _ in 0..PENDING_MAX {
            queue.add(NamespaceId(1), Box::new(|| {})).unwrap();
        }
        assert_eq!(queue.add(NamespaceId(1), Box::new(|| {})), Err(PENDING_MAX));
        queue.add(NamespaceId(2), Box::new(|| {})).unwrap();
        queue.add(NamespaceId(3), Box::new(|| {})).unwrap();
        assert_eq!(taken(&mut queue), [1, 2, 3, 1], "the rest of the first namespace waits for its share");
        queue.done(NamespaceId(1));
        assert_eq!(taken(&mut queue), [1]);
        queue.done(NamespaceId(2));
        assert!(!queue.namespaces.contains_key(&NamespaceId(2)), "nothing is kept of a namespace without work");
    }

    #[tokio::test]
    async fn work_is_done_stopped_and_survived() {
        let long = LongWork::start().unwrap();
        let namespace = NamespaceId(1);
        assert_eq!(long.run(namespace, || 7).await.unwrap(), 7);
        for _ in 0..=THREADS {
            let panicked = long.run(namespace, || panic!("as a read may")).await;
            assert!(matches!(panicked, Err(StorageError::Unavailable(_))));
        }
        // Work whose caller has gone away is told to stop; otherwise both threads of the namespace would be occupied for ever.
        let (stopped, stops) = std::sync::mpsc::channel();
        for _ in 0..SHARE {
            let stopped = stopped.clone();
            let (began, begins) = oneshot::channel();
            let endless = long.run(namespace, move || {
                began.send(()).unwrap();
                while !time_limit::is_over() {
                    std::thread::yield_now();
                }
                stopped.send(()).unwrap();
            });
            tokio::select! {
                _ = endless => panic!("it ends only when it is dropped"),
                _ = begins => {}
            }
        }
        drop(stopped);
        assert_eq!(stops.iter().count(), SHARE);
        assert_eq!(long.run(namespace, || 8).await.unwrap(), 8);
    }

    #[tokio::test]
    async fn a_read_goes_on_elsewhere_when_its_time_here_is_over() {
        let long = LongWork::start().unwrap();
        let read = |at_once| {
            long.read(NamespaceId(1), at_once, || match time_limit::is_over() {
                true => Err(StorageError::TooLong),
                false => Ok(std::thread::current().name().map(str::to_owned)),
            })
        };
        let here = std::thread::current().name().map(str::to_owned);
        assert_eq!(read(ON_REQUEST_MAX).await.unwrap(), here);
        assert!(read(Duration::ZERO).await.unwrap().is_some_and(|name| name.starts_with("runlater-long-")));
    }

    #[tokio::test]
    async fn reads_of_the_storage_stop_and_are_repeated() {
        use crate::clock::SystemClock;
        use crate::executor::scripted::{ScriptedExecutor, echo};
        use crate::model::{CronFilter, Order, Page, RunFilter};
        use crate::scheduler::Scheduler;

        let folder = tempfile::tempdir().unwrap();
        let executor = ScriptedExecutor::new(SystemClock::new()).task("letter", echo());
        let scheduler = Scheduler::builder().sqlite(folder.path().join("db")).executor(Arc::new(executor)).paused().build().await.unwrap();
        scheduler.register(Vec::new()).send().await.unwrap();
        let ids = scheduler.schedule_all((0..500).map(|_| scheduler.schedule("letter")).collect()).await.unwrap();
        let ids: Vec<_> = ids.into_iter().map(|scheduled| scheduled.id).collect();
        for number in 0..300 {
            scheduler.cron(&format!("cron-{number:03}"), "letter").expression("@daily").create().await.unwrap();
        }
        let (core, namespace, now) = (&scheduler.core, scheduler.namespace.id, scheduler.now());
        let page = |order| Page::new(200, None, order).unwrap();
        type Read = Box<dyn Fn(&dyn crate::storage::Storage) -> Result<usize, StorageError> + Send>;
        let read = |order| -> Read {
            let page = page(order);
            Box::new(move |storage| storage.list(namespace, &RunFilter::default(), &page, now).map(|(runs, _)| runs.len()))
        };
        let crons = CronFilter { limit: 200, ..CronFilter::default() };
        let ids_page = page(Order::TriggerTime);
        let reads: [(&str, Read); 5] = [
            ("in order of id", read(Order::NewestFirst)),
            ("in order of trigger time", read(Order::TriggerTime)),
            ("ids", Box::new(move |storage| storage.list_ids(namespace, &RunFilter::default(), &ids_page, now).map(|(ids, _)| ids.len()))),
            ("count", Box::new(move |storage| storage.count(namespace, &RunFilter::default(), now).map(|count| count as usize - 300))),
            ("crons", Box::new(move |storage| storage.crons(namespace, &crons, now).map(|crons| crons.len()))),
        ];
        for (what, read) in reads {
            let stopped = time_limit::within(Duration::ZERO, None, || read(core.storage.as_ref()));
            assert!(matches!(stopped, Err(StorageError::TooLong)), "{what}: {stopped:?}");
            let storage = core.storage.clone();
            let read = move || read(storage.as_ref());
            assert_eq!(core.long.read(namespace, Duration::ZERO, read).await.unwrap(), 200, "{what}: repeated elsewhere");
        }
        // One run is found by its key: nothing stops that.
        assert!(time_limit::within(Duration::ZERO, None, || core.storage.get(namespace, ids[0], now)).unwrap().is_some());
        let (listed, next) = scheduler.list(&RunFilter::default(), &page(Order::TriggerTime)).await.unwrap();
        let mut sorted: Vec<_> = listed.iter().map(|run| (run.trigger_at, run.id)).collect();
        sorted.sort_unstable();
        assert!(sorted.iter().eq(listed.iter().map(|run| (run.trigger_at, run.id)).collect::<Vec<_>>().iter()));
        let rest = Page::new(500, next, Order::TriggerTime).unwrap();
        assert_eq!(scheduler.list(&RunFilter::default(), &rest).await.unwrap().0.len(), 300, "the next page goes on where this one ended");
    }
}
