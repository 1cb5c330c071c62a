//! The one place that asks the system for the time.
//!
//! Everything else takes `now` as an argument or holds a [`Clock`]. With a [`ManualClock`] a test decides when time passes:
//! due runs, retries, timeouts and grace periods all follow it.

use std::future::Future;
use std::pin::Pin;
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

use crate::model::Timestamp;

/// A pending sleep.
pub type Sleep = Pin<Box<dyn Future<Output = ()> + Send>>;

/// Tells the time and waits for it.
pub trait Clock: Send + Sync + 'static {
    /// The time of day, in UTC. May step back or forward when somebody sets the clock.
    fn now(&self) -> Timestamp;

    /// Time that only passes: never steps. Counted from an arbitrary start.
    fn elapsed(&self) -> Duration;

    /// Time since the machine started, including the time during which it was suspended. Never steps.
    ///
    /// It shows that the machine slept between two readings. The default is [`elapsed`](Self::elapsed), for clocks that cannot tell.
    fn since_boot(&self) -> Duration {
        self.elapsed()
    }

    /// Ends once this much of [`elapsed`](Self::elapsed) has passed.
    fn sleep(&self, span: Duration) -> Sleep;

    /// How long a thread should block, in the machine's own time, for `span` to pass; `None` if it does not pass by itself
    /// (then the thread is woken by [`on_jump`](Self::on_jump)). A clock answers `None` always or never.
    ///
    /// With `Some`, a thread that wakes much later than it asked for did not run in between, so the host was down. With `None`, the host counts
    /// as awake for as long as [`elapsed`](Self::elapsed) passes.
    fn block_for(&self, span: Duration) -> Option<Duration>;

    /// Calls `wake` whenever the time changes other than by passing: on the thread that changes it, after the change.
    fn on_jump(&self, wake: Box<dyn Fn() + Send + Sync>);
}

/// Time that passes on this machine, from an arbitrary start, whatever any clock says: for how long a thread was at work.
#[allow(clippy::disallowed_methods, reason = "this is the file that may")]
pub(crate) fn stopwatch() -> Duration {
    static START: std::sync::LazyLock<Instant> = std::sync::LazyLock::new(Instant::now);
    START.elapsed()
}

/// The machine's clock.
#[derive(Clone, Debug)]
pub struct SystemClock {
    start: Instant,
}

impl SystemClock {
    /// A clock whose [`elapsed`](Clock::elapsed) starts at zero.
    #[allow(clippy::disallowed_methods, reason = "this is the file that may")]
    pub fn new() -> Self {
        Self { start: Instant::now() }
    }
}

impl Default for SystemClock {
    fn default() -> Self {
        Self::new()
    }
}

impl Clock for SystemClock {
    #[allow(clippy::disallowed_methods, reason = "this is the file that may")]
    fn now(&self) -> Timestamp {
        let micros = SystemTime::now().duration_since(UNIX_EPOCH).map_or(0, |since| since.as_micros());
        i64::try_from(micros).ok().and_then(Timestamp::from_micros).unwrap_or(Timestamp::MAX)
    }

    fn elapsed(&self) -> Duration {
        self.start.elapsed()
    }

    /// On Linux by `CLOCK_BOOTTIME`, on Apple's systems by `CLOCK_MONOTONIC`, both of which include suspensions; elsewhere the default.
    #[cfg(any(target_os = "linux", target_os = "android", target_vendor = "apple"))]
    fn since_boot(&self) -> Duration {
        #[cfg(target_vendor = "apple")]
        const CLOCK: libc::clockid_t = libc::CLOCK_MONOTONIC;
        #[cfg(not(target_vendor = "apple"))]
        const CLOCK: libc::clockid_t = libc::CLOCK_BOOTTIME;
        let mut time = libc::timespec { tv_sec: 0, tv_nsec: 0 };
        // SAFETY: clock_gettime writes one timespec, to a place of ours.
        let told = unsafe { libc::clock_gettime(CLOCK, &mut time) };
        match (told, u64::try_from(time.tv_sec), u32::try_from(time.tv_nsec)) {
            (0, Ok(seconds), Ok(nanos)) => Duration::new(seconds, nanos),
            // A kernel without this clock (before 2.6.39).
            _ => self.elapsed(),
        }
    }

    fn sleep(&self, span: Duration) -> Sleep {
        Box::pin(tokio::time::sleep(span))
    }

    fn block_for(&self, span: Duration) -> Option<Duration> {
        Some(span)
    }

    fn on_jump(&self, _wake: Box<dyn Fn() + Send + Sync>) {}
}

/// A clock that stands still until it is told to move. Cheap to clone; clones share the time.
#[derive(Clone)]
pub struct ManualClock {
    shared: Arc<Mutex<Manual>>,
}

struct Manual {
    now: Timestamp,
    elapsed: Duration,
    /// Time spent suspended, which `elapsed` does not count.
    suspended: Duration,
    sleepers: Vec<(Duration, tokio::sync::oneshot::Sender<()>)>,
    wakes: Vec<Arc<dyn Fn() + Send + Sync>>,
}

impl ManualClock {
    /// A clock that stands at `now`.
    pub fn new(now: Timestamp) -> Self {
        let manual = Manual { now, elapsed: Duration::ZERO, suspended: Duration::ZERO, sleepers: Vec::new(), wakes: Vec::new() };
        Self { shared: Arc::new(Mutex::new(manual)) }
    }

    /// Lets time pass while the host is awake, however busy: a run that becomes due may be late and is never missed.
    pub fn advance(&self, span: Duration) {
        self.change(|manual| {
            manual.now = manual.now.saturating_add(span);
            manual.elapsed += span;
        });
    }

    /// Lets time pass while the machine sleeps: the time of day and the time since boot move on, [`elapsed`](Clock::elapsed) does not. The span
    /// counts as downtime. Runs whose time falls into it, earlier than the grace before its end, are treated as their missed policy says.
    pub fn suspend(&self, span: Duration) {
        self.change(|manual| {
            manual.now = manual.now.saturating_add(span);
            manual.suspended += span;
        });
    }

    /// Sets the time of day, back or forward, as an operator would; [`elapsed`](Clock::elapsed) does not notice.
    pub fn step_to(&self, now: Timestamp) {
        self.change(|manual| manual.now = now);
    }

    fn change(&self, change: impl FnOnce(&mut Manual)) {
        let wakes = {
            let mut manual = self.lock();
            change(&mut manual);
            let elapsed = manual.elapsed;
            manual.sleepers.retain(|(until, wake)| *until > elapsed && !wake.is_closed());
            manual.wakes.clone()
        };
        wakes.iter().for_each(|wake| wake());
    }

    fn lock(&self) -> std::sync::MutexGuard<'_, Manual> {
        self.shared.lock().expect("nothing panics while it holds the clock")
    }
}

impl Clock for ManualClock {
    fn now(&self) -> Timestamp {
        self.lock().now
    }

    fn elapsed(&self) -> Duration {
        self.lock().elapsed
    }

    fn since_boot(&self) -> Duration {
        let manual = self.lock();
        manual.elapsed + manual.suspended
    }

    fn sleep(&self, span: Duration) -> Sleep {
        let (wake, woken) = tokio::sync::oneshot::channel();
        let mut manual = self.lock();
        let until = manual.elapsed + span;
        if until > manual.elapsed {
            manual.sleepers.push((until, wake));
        }
        // Dropping the sender is what ends the sleep.
        Box::pin(async move { drop(woken.await) })
    }

    fn block_for(&self, _span: Duration) -> Option<Duration> {
        None
    }

    fn on_jump(&self, wake: Box<dyn Fn() + Send + Sync>) {
        self.lock().wakes.push(wake.into());
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_systems_time_since_boot_passes() {
        let clock = SystemClock::new();
        let (boot, elapsed) = (clock.since_boot(), clock.elapsed());
        clock_moves(&clock, elapsed);
        assert!(clock.since_boot() > boot);
    }

    fn clock_moves(clock: &SystemClock, from: Duration) {
        while clock.elapsed() <= from + Duration::from_micros(10) {
            std::hint::spin_loop();
        }
    }

    #[tokio::test]
    async fn a_suspension_is_no_time_awake() {
        let start = Timestamp::from_micros(1_000_000).unwrap();
        let (clock, span) = (ManualClock::new(start), Duration::from_secs(10));
        let mut sleep = clock.sleep(span);
        clock.suspend(span);
        assert_eq!((clock.now(), clock.elapsed(), clock.since_boot()), (start.saturating_add(span), Duration::ZERO, span));
        assert!(futures_util::poll!(&mut sleep).is_pending());
        clock.advance(span);
        assert_eq!((clock.elapsed(), clock.since_boot()), (span, span * 2));
        sleep.await;
    }

    #[tokio::test]
    async fn a_manual_sleep_ends_when_told() {
        let clock = ManualClock::new(Timestamp::MIN);
        let mut sleep = clock.sleep(Duration::from_secs(10));
        clock.advance(Duration::from_secs(9));
        assert!(futures_util::poll!(&mut sleep).is_pending());
        clock.step_to(Timestamp::MAX);
        assert!(futures_util::poll!(&mut sleep).is_pending(), "stepping the time of day is not passing time");
        clock.advance(Duration::from_secs(1));
        sleep.await;
        clock.sleep(Duration::ZERO).await;
    }
}
