//! Owns what works in the background, the workers' threads and the keeper, and ends it.
//!
//! Made by the builder, stopped by the façade.

use std::sync::{Arc, Mutex};
use std::thread::JoinHandle;
use std::time::Duration;

use tokio::sync::watch;
use tokio::task::JoinSet;

use super::attempt::Attempts;
use super::cpu_bound::CpuBound;
use super::creates::GuestCreates;
use super::crew::Crew;
use super::keeper;
use super::long_work::LongWork;
use super::watchdog::Watchdog;
use super::worker::Worker;
use crate::clock::Clock;
use crate::executor::Executor;
use crate::storage::Storage;

/// Attempts in flight on all threads together, at most and by default.
///
/// A waiting guest costs some 40 KiB; a host that should hold more of them at once is better served by a second one.
pub(super) const IN_FLIGHT_MAX: usize = 1_024;

/// Everything that works in the background of one scheduler. Nothing, if it was opened paused.
#[derive(Default)]
pub(super) struct Background {
    work: Option<Work>,
}

struct Work {
    crew: Arc<Crew>,
    threads: Mutex<Vec<JoinHandle<()>>>,
    /// Each thread holds a receiver for as long as it lives.
    ended: watch::Sender<()>,
    keeper: Mutex<JoinSet<()>>,
}

/// What the background works with.
pub(super) struct Parts {
    pub(super) storage: Arc<dyn Storage>,
    pub(super) executor: Arc<dyn Executor>,
    pub(super) clock: Arc<dyn Clock>,
    pub(super) long: Arc<LongWork>,
    pub(super) threads: usize,
    /// Attempts in flight on all of them together: 1 to [`IN_FLIGHT_MAX`].
    pub(super) slots: usize,
    pub(super) seed: u64,
    pub(super) watchdog: Arc<Watchdog>,
    pub(super) guest_creates: GuestCreates,
    /// Told once there is no gap left to deal with.
    pub(super) caught_up: watch::Sender<bool>,
}

impl Background {
    /// Starts to execute due runs. Called within a tokio runtime, whose timers and sockets the guests then use.
    pub(super) fn start(parts: Parts) -> std::io::Result<Self> {
        let count = parts.threads.clamp(1, parts.slots);
        let (ended, alive) = watch::channel(());
        // A thread waits for its worker, which needs the crew, which needs all the threads. If one can't be
        // started, those before it find that their worker will never come, and end.
        let mut threads = Vec::with_capacity(count);
        let mut workers = Vec::with_capacity(count);
        for number in 0..count {
            let (send, receive) = std::sync::mpsc::channel::<Worker>();
            let alive = alive.clone();
            let thread = std::thread::Builder::new().name(format!("runlater-run-{number}")).spawn(move || {
                if let Ok(worker) = receive.recv() {
                    worker.run();
                }
                drop(alive);
            })?;
            threads.push(thread);
            workers.push(send);
        }
        let cpu_bound = Arc::new(CpuBound::start(count, &tokio::runtime::Handle::current())?);
        let crew = Arc::new(Crew::new(threads.iter().map(|thread| thread.thread().clone()), parts.watchdog));
        ring_when_due(&crew, parts.storage.as_ref(), parts.clock.as_ref());
        let attempts = Arc::new(Attempts {
            storage: parts.storage.clone(),
            executor: parts.executor,
            clock: parts.clock.clone(),
            shut_down: crew.shut_down.clone(),
            guest_creates: Arc::new(parts.guest_creates),
            long: parts.long,
            chance: Mutex::new(fastrand::Rng::with_seed(parts.seed)),
        });
        for (number, send) in workers.into_iter().enumerate() {
            let worker = Worker {
                number,
                capacity: parts.slots / count + usize::from(number < parts.slots % count),
                crew: crew.clone(),
                attempts: attempts.clone(),
                storage: parts.storage.clone(),
                clock: parts.clock.clone(),
                cpu_bound: cpu_bound.clone(),
                runtime: tokio::runtime::Handle::current(),
            };
            send.send(worker).expect("the thread waits for its worker");
        }
        let mut keeper = JoinSet::new();
        keeper.spawn(super::prune::prune(parts.storage.clone(), parts.clock.clone()));
        keeper.spawn(super::namespaces::keep(parts.storage.clone(), parts.clock.clone()));
        keeper.spawn(super::time_zones::keep(parts.storage.clone(), parts.clock.clone()));
        keeper.spawn(keeper::keep(crew.clone(), parts.storage, parts.clock, parts.caught_up));
        Ok(Self { work: Some(Work { crew, threads: Mutex::new(threads), ended, keeper: Mutex::new(keeper) }) })
    }

    /// Claims nothing more, waits up to `grace` for the attempts in flight, and cuts the others off: they do not count. May be
    /// called again, also while it is under way.
    pub(super) async fn stop(&self, clock: &dyn Clock, grace: Duration) {
        let Some(work) = &self.work else { return };
        work.crew.stop();
        tokio::select! {
            biased;
            () = work.ended.closed() => {}
            () = clock.sleep(grace) => {
                work.crew.shut_down.set();
                // The executor ends every attempt at once then; that is its contract.
                work.ended.closed().await;
            }
        }
        let threads = std::mem::take(&mut *work.threads.lock().expect("nothing panics while it holds the threads"));
        for thread in threads {
            // It is past its last statement. If it panicked, it has said so, and what it held is recovered as after a crash.
            drop(thread.join());
        }
        let mut keeper = std::mem::take(&mut *work.keeper.lock().expect("nothing panics while it holds the keeper"));
        keeper.shutdown().await;
    }
}

impl Drop for Work {
    /// Ends the work of a scheduler that nobody shut down: attempts in flight are cut off. The threads are told and not waited
    /// for, because whoever drops the last scheduler may be one of them, or the thread that drives the runtime which their
    /// attempts wait for. Each lets go of the database as it ends. The keeper is aborted by its own drop.
    fn drop(&mut self) {
        self.crew.stop();
        self.crew.shut_down.set();
    }
}

/// Has storage and the clock ring when there may be something due. They may outlive the crew, and must not keep it.
fn ring_when_due(crew: &Arc<Crew>, storage: &dyn Storage, clock: &dyn Clock) {
    let ring = || {
        let crew = Arc::downgrade(crew);
        move || {
            if let Some(crew) = crew.upgrade() {
                crew.look();
            }
        }
    };
    storage.on_due(Box::new(ring()));
    clock.on_jump(Box::new(ring()));
}
