//! The clock watchdog: notices time during which the host's threads did not run, or over which the clock was set forward.
//!
//! A suspended machine, a paused virtual machine and a stopped process are downtime, like a host that was killed, and are judged by the same
//! policies and grace. A thread of its own reads the clocks every 250 ms. It does no I/O and takes no lock that is held during I/O, so a slow
//! disk or a full worker pool does not delay it. If it comes late by more than the grace, no thread ran.
//!
//! Every worker reads the clocks as well, before each claim: whichever thread runs first after the machine wakes up finds the gap, and
//! [`beat`](Watchdog::beat) forbids claims from then on until the runs missed in it are marked. They would start as if they were merely late.

use std::collections::VecDeque;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, OnceLock, Weak};
use std::thread::Thread;
use std::time::Duration;

use tokio::sync::Notify;

use crate::clock::{Clock, Sleep};
use crate::model::{Gap, Timestamp, gap};

/// How often the thread reads the clocks. It bounds how exactly the beginning of a gap is known.
const PERIOD: Duration = Duration::from_millis(250);
/// A delay up to this is the scheduling of a loaded machine: shorter gaps are not looked for, whatever the grace.
const LATE_MIN: Duration = Duration::from_secs(1);
/// Two readings of the time further apart than this were not taken at one moment.
const MOMENT: Duration = Duration::from_millis(10);

/// When the host was last known to be awake, and the gaps that are being dealt with.
pub(super) struct Watchdog {
    clock: Arc<dyn Clock>,
    grace: Duration,
    /// How long the host may be awake without a reading; `None` if time passes only when the clock is told so.
    period: Option<Duration>,
    beats: Mutex<Beats>,
    /// For [`awake`](Self::awake), which takes no lock, in nanoseconds of [`Clock::elapsed`]: the last reading, and the time not awake before it.
    last: AtomicU64,
    stopped: AtomicU64,
    noticed: Notify,
    thread: OnceLock<Thread>,
}

struct Beats {
    last: Reading,
    /// Oldest first. They are not merged: a run that became due between two of them was due while the host was awake.
    gaps: VecDeque<Gap>,
}

#[derive(Clone, Copy)]
struct Reading {
    wall: Timestamp,
    elapsed: Duration,
    boot: Duration,
}

impl Watchdog {
    /// Starts to watch now. The thread ends when the last reference is dropped.
    pub(super) fn start(clock: Arc<dyn Clock>, grace: Duration) -> std::io::Result<Arc<Self>> {
        let watchdog = Arc::new(Self::new(clock, grace));
        let weak = Arc::downgrade(&watchdog);
        // A clock that is moved by hand is read at each move, on the thread that moves it: so moves that follow each other are told apart.
        watchdog.clock.on_jump(Box::new({
            let weak = weak.clone();
            move || {
                if let Some(watchdog) = weak.upgrade() {
                    watchdog.beat();
                }
            }
        }));
        if watchdog.period.is_some() {
            let thread = std::thread::Builder::new().name("runlater-clock".into()).spawn(move || watch(&weak))?;
            // It was set by nobody else.
            let _ = watchdog.thread.set(thread.thread().clone());
        }
        Ok(watchdog)
    }

    fn new(clock: Arc<dyn Clock>, grace: Duration) -> Self {
        let (period, last) = (clock.block_for(PERIOD).map(|_| PERIOD), Reading::take(clock.as_ref()));
        let beats = Mutex::new(Beats { last, gaps: VecDeque::new() });
        let (last, stopped) = (AtomicU64::new(nanos(last.elapsed)), AtomicU64::new(0));
        Self { clock, grace, period, beats, last, stopped, noticed: Notify::new(), thread: OnceLock::new() }
    }

    /// Reads the clocks. Returns the time of day, at which the host was awake: runs due by then may be claimed. `None` while a gap is dealt with.
    pub(super) fn beat(&self) -> Option<Timestamp> {
        let reading = Reading::take(self.clock.as_ref());
        let mut beats = self.beats();
        // Another thread may have come here with a later reading; an older one says nothing.
        if let Some(passed) = reading.after(&beats.last) {
            let awake = self.period.map_or(passed, |period| passed.min(period));
            let late = reading.wall.since(beats.last.wall.saturating_add(awake));
            if late > LATE_MIN
                && let Some(gap) = gap(beats.last.wall, awake, reading.wall, self.grace)
            {
                beats.gaps.push_back(gap);
                self.noticed.notify_one();
            }
            if let Some(period) = self.period {
                let stopped = passed.saturating_sub(period + LATE_MIN);
                if !stopped.is_zero() {
                    self.stopped.fetch_add(nanos(stopped), Ordering::Release);
                }
                self.last.store(nanos(reading.elapsed), Ordering::Release);
            }
            beats.last = reading;
        }
        // If the clock jumps from here on, the claim still has the time from before, and finds nothing of the gap.
        beats.gaps.is_empty().then_some(reading.wall)
    }

    /// Time that passes while the host is awake: without suspensions, and without the spans in which no thread ran. Never goes back.
    fn awake(&self) -> Duration {
        let Some(period) = self.period else { return self.clock.elapsed() };
        loop {
            let stopped = self.stopped.load(Ordering::Acquire);
            let elapsed = nanos(self.clock.elapsed());
            if elapsed.saturating_sub(self.last.load(Ordering::Acquire)) > nanos(period + LATE_MIN) {
                // This thread is the first to run after a stop. The reading says how long that was.
                self.beat();
            } else if self.stopped.load(Ordering::Acquire) == stopped {
                return Duration::from_nanos(elapsed.saturating_sub(stopped));
            }
        }
    }

    /// Notes gaps from before the start. No claim is made until they are dealt with, either.
    pub(super) fn owe(&self, gaps: Vec<Gap>) {
        let mut beats = self.beats();
        gaps.into_iter().rev().for_each(|gap| beats.gaps.push_front(gap));
        self.noticed.notify_one();
    }

    /// The gap to deal with next.
    pub(super) fn gap(&self) -> Option<Gap> {
        self.beats().gaps.front().copied()
    }

    /// This gap was dealt with. Claims are allowed again when there is no other.
    pub(super) fn swept(&self, gap: Gap) {
        self.beats().gaps.retain(|other| *other != gap);
    }

    /// Ends when a gap was noticed.
    pub(super) async fn noticed(&self) {
        self.noticed.notified().await;
    }

    fn beats(&self) -> MutexGuard<'_, Beats> {
        self.beats.lock().expect("nothing panics while it holds the last reading")
    }
}

impl Drop for Watchdog {
    fn drop(&mut self) {
        if let Some(thread) = self.thread.get() {
            thread.unpark();
        }
    }
}

/// Reads the clocks until there is nobody to read them for.
fn watch(watchdog: &Weak<Watchdog>) {
    while let Some(awake) = watchdog.upgrade() {
        awake.beat();
        let wait = awake.clock.block_for(PERIOD).unwrap_or(PERIOD);
        drop(awake);
        std::thread::park_timeout(wait);
    }
}

fn nanos(span: Duration) -> u64 {
    u64::try_from(span.as_nanos()).unwrap_or(u64::MAX)
}

impl Reading {
    /// All three times at one moment: if the machine sleeps or a manual clock moves between them, they would look like a jump.
    fn take(clock: &dyn Clock) -> Self {
        loop {
            let before = clock.since_boot();
            let (wall, elapsed, boot) = (clock.now(), clock.elapsed(), clock.since_boot());
            if boot.saturating_sub(before) < MOMENT {
                return Self { wall, elapsed, boot };
            }
        }
    }

    /// How much time the host counted since `earlier`; `None` if this is the older reading.
    fn after(&self, earlier: &Self) -> Option<Duration> {
        self.elapsed.checked_sub(earlier.elapsed).filter(|_| self.boot >= earlier.boot)
    }
}

/// The scheduler's clock for attempts: their timeouts count the time during which the host was awake.
pub(super) struct AwakeClock(pub(super) Arc<Watchdog>);

impl Clock for AwakeClock {
    fn now(&self) -> Timestamp {
        self.0.clock.now()
    }

    fn elapsed(&self) -> Duration {
        self.0.awake()
    }

    fn since_boot(&self) -> Duration {
        self.0.clock.since_boot()
    }

    /// May end early, after a span in which no thread ran: an attempt looks at the time again before it acts on it.
    fn sleep(&self, span: Duration) -> Sleep {
        self.0.clock.sleep(span)
    }

    fn block_for(&self, span: Duration) -> Option<Duration> {
        self.0.clock.block_for(span)
    }

    fn on_jump(&self, wake: Box<dyn Fn() + Send + Sync>) {
        self.0.clock.on_jump(wake);
    }
}

#[cfg(test)]
mod tests;
