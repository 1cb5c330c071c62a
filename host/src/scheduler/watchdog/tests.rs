//! What the watchdog makes of readings of the clocks. No thread is started: each case says what the clocks read.

use super::*;
use crate::clock::ManualClock;

const GRACE: Duration = Duration::from_secs(60);

fn start() -> Timestamp {
    Timestamp::from_micros(1_000_000_000_000).unwrap()
}

fn after(seconds: u64) -> Timestamp {
    start().saturating_add(Duration::from_secs(seconds))
}

fn all_gaps(watchdog: &Watchdog) -> Vec<Gap> {
    let mut found = Vec::new();
    while let Some(gap) = watchdog.gap() {
        watchdog.swept(gap);
        found.push(gap);
    }
    found
}

/// A clock that passes by itself, as far as it says. It reads what a case says.
#[derive(Default)]
struct Machine(Mutex<Duration>, Mutex<Duration>, Mutex<Duration>);

impl Machine {
    /// Lets each of the three times pass, in milliseconds. The time of day may go back.
    fn pass(&self, wall: i64, elapsed: u64, boot: u64) {
        let mut day = self.0.lock().unwrap();
        let span = Duration::from_millis(wall.unsigned_abs());
        *day = if wall < 0 { *day - span } else { *day + span };
        *self.1.lock().unwrap() += Duration::from_millis(elapsed);
        *self.2.lock().unwrap() += Duration::from_millis(boot);
    }
}

impl Clock for Machine {
    fn now(&self) -> Timestamp {
        start().saturating_add(*self.0.lock().unwrap())
    }

    fn elapsed(&self) -> Duration {
        *self.1.lock().unwrap()
    }

    fn since_boot(&self) -> Duration {
        *self.2.lock().unwrap()
    }

    fn sleep(&self, _span: Duration) -> Sleep {
        Box::pin(std::future::pending())
    }

    fn block_for(&self, span: Duration) -> Option<Duration> {
        Some(span)
    }

    fn on_jump(&self, _wake: Box<dyn Fn() + Send + Sync>) {}
}

#[test]
fn time_in_which_no_thread_ran_is_a_gap() {
    // What passed since the last reading, and when the gap begins and ends: milliseconds.
    for (case, wall, elapsed, boot, expected) in [
        ("a beat on time", 250, 250, 250, None),
        ("a beat delayed by load", 20_000, 20_000, 20_000, None),
        ("a stop within the grace", 60_250, 60_250, 60_250, None),
        ("a stopped process", 100_000, 100_000, 100_000, Some((250, 40_000))),
        ("a suspended machine", 100_000, 100, 100_000, Some((100, 40_000))),
        ("a paused virtual machine, whose own clocks stood still", 100_000, 100, 100, Some((100, 40_000))),
        ("a clock set forward", 100_000, 250, 250, Some((250, 40_000))),
        ("a clock set back", -100_000, 250, 250, None),
        ("a clock set back during a suspension", 30_000, 100, 100_000, None),
    ] {
        let clock = Arc::new(Machine::default());
        clock.pass(200_000, 0, 0);
        let begin = clock.now();
        let watchdog = Watchdog::new(clock.clone(), GRACE);
        clock.pass(wall, elapsed, boot);
        let may_claim = watchdog.beat();
        let at = |millis| begin.saturating_add(Duration::from_millis(millis));
        let expected = expected.map(|(from, until)| Gap { from: at(from), until: at(until) });
        assert_eq!(watchdog.gap(), expected, "{case}");
        assert_eq!(may_claim, expected.is_none().then(|| clock.now()), "{case}");
        all_gaps(&watchdog);
        assert_eq!(watchdog.beat(), Some(clock.now()), "{case}: it was dealt with");
    }
}

#[test]
fn a_grace_of_nothing_does_not_take_load_for_downtime() {
    let clock = Arc::new(Machine::default());
    let watchdog = Watchdog::new(clock.clone(), Duration::ZERO);
    clock.pass(1_200, 1_200, 1_200);
    assert!(watchdog.beat().is_some());
    clock.pass(1_300, 1_300, 1_300);
    assert_eq!((watchdog.beat(), watchdog.gap().unwrap().until), (None, clock.now()));
}

#[test]
fn any_thread_may_read_the_clocks_and_an_older_reading_says_nothing() {
    let clock = Arc::new(Machine::default());
    let watchdog = Watchdog::new(clock.clone(), GRACE);
    let old = Reading::take(clock.as_ref());
    // No watchdog thread ran, but workers did, so the host was awake.
    for _ in 0..10 {
        clock.pass(30_000, 30_000, 30_000);
        assert!(watchdog.beat().is_some());
    }
    clock.pass(0, 0, 1);
    assert_eq!(old.after(&Reading::take(clock.as_ref())), None);
    let before = Reading::take(clock.as_ref());
    clock.pass(100_000, 0, 100_000);
    assert_eq!(before.after(&Reading::take(clock.as_ref())), None, "taken before the machine slept, with the same time awake");
}

#[test]
fn time_awake_is_without_the_time_in_which_no_thread_ran() {
    let clock = Arc::new(Machine::default());
    let watchdog = Arc::new(Watchdog::new(clock.clone(), GRACE));
    let awake = AwakeClock(watchdog.clone());
    let mut before = awake.elapsed();
    // Per step, what passes, and whether the watchdog's thread runs then: milliseconds.
    for (passes, beats) in
        [(200, true), (1_000, false), (200, false), (30_000, false), (250, true), (100_000, true), (1_100, false), (5_000, false)]
    {
        clock.pass(passes, passes.unsigned_abs(), passes.unsigned_abs());
        if beats {
            watchdog.beat();
        }
        let now = awake.elapsed();
        assert!(now >= before, "{passes}: {now:?} {before:?}");
        assert!(now - before <= Duration::from_millis(1_250), "{passes}: {now:?} {before:?}");
        before = now;
    }
    clock.pass(0, 250, 250);
    assert_eq!(awake.elapsed(), before + Duration::from_millis(250));
}

#[test]
fn a_manual_clock_says_when_the_host_is_awake() {
    let clock = ManualClock::new(start());
    let watchdog = Watchdog::start(Arc::new(clock.clone()), GRACE).unwrap();
    let secs = Duration::from_secs;

    clock.advance(secs(3600));
    assert_eq!(watchdog.beat(), Some(after(3600)));
    clock.step_to(start());
    assert_eq!(watchdog.beat(), Some(start()), "a step back is no gap");
    clock.step_to(after(50));
    assert_eq!(watchdog.beat(), Some(after(50)), "a step within the grace");

    // Each move is read by itself, so what became due while the host was awake is known exactly.
    clock.advance(secs(10));
    clock.suspend(secs(100));
    clock.advance(secs(10));
    clock.step_to(after(370));
    assert_eq!(watchdog.beat(), None);
    let gaps = all_gaps(&watchdog);
    assert_eq!(gaps, [Gap { from: after(60), until: after(100) }, Gap { from: after(170), until: after(310) }]);
    assert_eq!(watchdog.beat(), Some(after(370)));
}
