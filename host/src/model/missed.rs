//! When runs were missed, that is, their time passed while no host was running, and what is made up for.
//!
//! The scheduler asks once when it starts, and then at each beat of the clock watchdog, because a machine that slept, a process that was
//! stopped, and a clock that was set forward are downtime like any other.

use std::time::Duration;

use super::limits::{CATCH_UP_MAX, CATCH_UP_WINDOW_MAX};
use super::{Invalid, Timestamp};

/// What becomes of the runs of a task, or of the occurrences of a cron, that were missed. They are rows either way.
#[derive(Clone, Copy, Debug, PartialEq, Eq, serde::Serialize, serde::Deserialize)]
pub struct MissedPolicy {
    /// Which of them run.
    pub catch_up: CatchUp,
    /// What lies longer back than this never runs.
    #[serde(with = "super::retry::span")]
    pub window: Duration,
    /// At most so many run, the latest ones.
    pub max: u32,
}

/// Which of the missed runs of a task run when a host is back.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, serde::Serialize, serde::Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum CatchUp {
    /// None; they have status `missed`, and can be triggered by hand.
    #[default]
    Skip,
    /// The latest one.
    Latest,
    /// All of them.
    All,
}

impl CatchUp {
    /// All of them.
    pub const ALL: [Self; 3] = [Self::Skip, Self::Latest, Self::All];

    /// The word for it on every surface.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Skip => "skip",
            Self::Latest => "latest",
            Self::All => "all",
        }
    }

    /// Parses that word.
    pub fn parse(text: &str, field: &str) -> Result<Self, Invalid> {
        let found = Self::ALL.into_iter().find(|catch_up| catch_up.as_str() == text);
        found.ok_or_else(|| Invalid::new("invalid-missed", field, "one of skip, latest, all").seen(text))
    }
}

impl Default for MissedPolicy {
    fn default() -> Self {
        Self { catch_up: CatchUp::Skip, window: Duration::from_secs(24 * 3600), max: 100 }
    }
}

impl MissedPolicy {
    /// Refuses what is beyond the limits.
    pub fn checked(self) -> Result<Self, Invalid> {
        if !(Duration::from_secs(1)..=CATCH_UP_WINDOW_MAX).contains(&self.window) {
            return Err(Invalid::new("invalid-missed", "missed-window", "a window of 1s to 366d").seen(super::format_duration(self.window)));
        }
        if !(1..=CATCH_UP_MAX).contains(&self.max) {
            return Err(Invalid::new("invalid-missed", "missed-max", format!("1 to {CATCH_UP_MAX} runs")).seen(self.max.to_string()));
        }
        Ok(self)
    }
}

impl MissedPolicy {
    /// How many missed runs of a task run at most.
    pub const fn most(&self) -> u32 {
        match self.catch_up {
            CatchUp::Skip => 0,
            CatchUp::Latest => 1,
            CatchUp::All => self.max,
        }
    }

    /// Whether a missed run runs now, `chosen` later ones of its task having been chosen already.
    pub fn makes_up(&self, chosen: u32, trigger_at: Timestamp, now: Timestamp) -> bool {
        chosen < self.most() && now.since(trigger_at) <= self.window
    }

    /// Why a missed run does not run, in words.
    pub fn why_missed(&self, trigger_at: Timestamp, now: Timestamp) -> String {
        let window = super::format_duration(self.window);
        match self.catch_up {
            CatchUp::Skip => "no host was running at its time, and the task's policy makes up for nothing (missed = skip)".into(),
            _ if now.since(trigger_at) > self.window => {
                format!("no host was running at its time, which is longer ago than the task makes up for (missed-window = {window})")
            }
            CatchUp::Latest => "no host was running at its time, and the task makes up for a later one only (missed = latest)".into(),
            CatchUp::All => {
                format!("no host was running at its time, and the task makes up for later ones only (missed-max = {})", self.max)
            }
        }
    }
}

/// A span during which no host was running.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Gap {
    /// The host was alive until then. Runs due by then had triggered: they waited for a slot, and stay due.
    pub from: Timestamp,
    /// What became due later than this is within the grace, and runs.
    pub until: Timestamp,
}

/// Returns the gap noticed at `now` by a host that was known to be alive at `last` and has since been awake for `awake`, as far as it can tell:
/// zero if it starts only now. `None` if the rest is within the grace.
///
/// The time awake is taken to come first. A run due in it is not missed, so the uncertainty about where the gap begins never loses one.
///
/// Only the time of day counts, because that is what runs are due by. A clock that was set back leaves no gap: nothing became due in between,
/// and what ran is not due again.
pub fn gap(last: Timestamp, awake: Duration, now: Timestamp, grace: Duration) -> Option<Gap> {
    let from = last.saturating_add(awake);
    (now.since(from) > grace).then(|| Gap { from, until: now.saturating_sub(grace) })
}

/// Returns the gaps that a host finds when it starts at `now`, oldest first. `alive` holds the moments at which an earlier host is known to have
/// been alive, in order; it may have been down between any two of them. One that lies ahead is ignored: the clock was set back since.
pub fn gaps_at_start(alive: &[Timestamp], now: Timestamp, grace: Duration) -> Vec<Gap> {
    let moments: Vec<_> = alive.iter().copied().filter(|moment| *moment <= now).chain([now]).collect();
    moments.windows(2).filter_map(|pair| gap(pair[0], Duration::ZERO, pair[1], grace)).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn which_of_ten_missed_runs_run() {
        let at = |seconds: i64| Timestamp::from_micros(seconds * 1_000_000).unwrap();
        let seconds = |seconds| Duration::from_secs(seconds);
        for (catch_up, window, max, expected) in [
            (CatchUp::Skip, 1_000, 10, vec![]),
            (CatchUp::Latest, 1_000, 10, vec![100]),
            (CatchUp::Latest, 9, 10, vec![]),
            (CatchUp::All, 1_000, 3, vec![100, 90, 80]),
            (CatchUp::All, 1_000, 100, vec![100, 90, 80, 70, 60, 50, 40, 30, 20, 10]),
            (CatchUp::All, 35, 100, vec![100, 90, 80]),
        ] {
            let policy = MissedPolicy { catch_up, window: seconds(window), max };
            let mut run = Vec::new();
            for trigger in (1..=10).rev().map(|each| each * 10) {
                if policy.makes_up(run.len() as u32, at(trigger), at(110)) {
                    run.push(trigger);
                } else {
                    let why = policy.why_missed(at(trigger), at(110));
                    assert_eq!(why.contains("window"), catch_up != CatchUp::Skip && 110 - trigger > window as i64, "{trigger}: {why}");
                }
            }
            assert_eq!(run, expected, "{catch_up:?} {window} {max}");
        }
    }

    #[test]
    fn gaps() {
        let at = |seconds: i64| Timestamp::from_micros(seconds * 1_000_000).unwrap();
        for (case, last, passed, now, expected) in [
            ("nothing happened", 1000, 0, 1000, None),
            ("a second was counted", 1000, 1, 1001, None),
            ("a long wait was counted", 1000, 3600, 4600, None),
            ("a restart within the grace", 1000, 0, 1060, None),
            ("a restart just beyond it", 1000, 0, 1061, Some((1000, 1001))),
            ("a night off", 1000, 0, 31_000, Some((1000, 30_940))),
            ("the machine slept for an hour", 1000, 1, 4601, Some((1001, 4541))),
            ("the clock was set forward by less than the grace", 1000, 1, 1031, None),
            ("the clock was set back", 1000, 1, 400, None),
            ("the clock was set back while a long wait was counted", 1000, 500, 1001, None),
        ] {
            let expected = expected.map(|(from, until)| Gap { from: at(from), until: at(until) });
            assert_eq!(gap(at(last), Duration::from_secs(passed), at(now), Duration::from_secs(60)), expected, "{case}");
        }
    }

    #[test]
    fn a_start_finds_the_gap_before_a_sign_of_life_and_the_one_after_it() {
        let at = |seconds: i64| Timestamp::from_micros(seconds * 1_000_000).unwrap();
        for (alive, now, expected) in [
            (vec![], 5000, vec![]),
            (vec![1000], 1050, vec![]),
            (vec![1000], 2000, vec![(1000, 1940)]),
            (vec![1000, 1030], 2000, vec![(1030, 1940)]),
            (vec![1000, 1500], 1510, vec![(1000, 1440)]),
            (vec![1000, 1500], 2000, vec![(1000, 1440), (1500, 1940)]),
            (vec![1000, 9000], 2000, vec![(1000, 1940)]),
            (vec![9000], 2000, vec![]),
        ] {
            let moments: Vec<_> = alive.iter().map(|moment| at(*moment)).collect();
            let expected: Vec<_> = expected.into_iter().map(|(from, until)| Gap { from: at(from), until: at(until) }).collect();
            assert_eq!(gaps_at_start(&moments, at(now), Duration::from_secs(60)), expected, "{alive:?} {now}");
        }
    }
}
