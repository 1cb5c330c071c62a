//! What becomes of the occurrences of a cron that passed while no host was running.

use std::time::Duration;

use super::CronRule;
use crate::model::limits::OCCURRENCES_MAX;
use crate::model::{CatchUp, MissedPolicy, Timestamp};

/// Which of the missed occurrences run, and what is skipped.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct CatchUpPlan {
    /// Planned times that run now, rising.
    pub run: Vec<Timestamp>,
    /// Those that don't.
    pub skipped: Option<Skipped>,
}

/// Occurrences that will not run: one row stands for all of them.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Skipped {
    /// The earliest.
    pub first: Timestamp,
    /// The latest.
    pub last: Timestamp,
    /// How many; [`OCCURRENCES_MAX`] stands for that many or more.
    pub count: u32,
}

/// Decides about the occurrences later than `cursor` and not later than `until`.
pub fn catch_up(rule: &CronRule, policy: MissedPolicy, cursor: Timestamp, until: Timestamp) -> CatchUpPlan {
    let limit = match policy.catch_up {
        CatchUp::Skip => 0,
        CatchUp::Latest => 1,
        CatchUp::All => policy.max as usize,
    };
    let window = cursor.max(until.saturating_sub(policy.window));
    let run = last(rule, window, until, limit);
    let skipped = skipped(rule, cursor, run.first().map_or(until, |first| first.saturating_sub(Duration::from_micros(1))));
    CatchUpPlan { run, skipped }
}

/// The last occurrences later than `after` and not later than `until`: up to `limit`.
fn last(rule: &CronRule, after: Timestamp, until: Timestamp, limit: usize) -> Vec<Timestamp> {
    if limit == 0 {
        return Vec::new();
    }
    // Looks back further and further, so that neither a cron of each second nor one of each year is walked from the beginning.
    let mut back = Duration::from_secs(60);
    loop {
        let from = after.max(until.saturating_sub(back));
        let mut found = rule.occurrences(from, until, limit.saturating_mul(64).max(4096));
        let complete = found.last().is_none_or(|last| rule.next_after(*last).is_none_or(|next| next > until));
        if complete && (found.len() >= limit || from == after) {
            found.drain(..found.len() - limit.min(found.len()));
            return found;
        }
        if !complete {
            // Too many to hold: those of the shorter look are the last ones.
            let from = until.saturating_sub(back / 8);
            let mut found = rule.occurrences(from.max(after), until, usize::MAX);
            found.drain(..found.len() - limit.min(found.len()));
            return found;
        }
        back = back.saturating_mul(8);
    }
}

/// What lies between `cursor` and `until`, in one figure.
fn skipped(rule: &CronRule, cursor: Timestamp, until: Timestamp) -> Option<Skipped> {
    let found = rule.occurrences(cursor, until, OCCURRENCES_MAX);
    let first = *found.first()?;
    let last = if found.len() < OCCURRENCES_MAX { *found.last()? } else { *self::last(rule, cursor, until, 1).last()? };
    Some(Skipped { first, last, count: found.len() as u32 })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(text: &str) -> Timestamp {
        Timestamp::parse(text, "time").unwrap()
    }

    /// What runs and what is skipped after being off from 06:00:30 on, in words.
    fn plan(text: &str, catch_up: CatchUp, until: &str) -> String {
        let start = at("2026-03-01T00:00:00Z");
        let rule = CronRule::new(text, "UTC", start, None, Duration::ZERO).unwrap();
        let policy = MissedPolicy { catch_up, max: 3, window: Duration::from_secs(24 * 3600) };
        let plan = super::catch_up(&rule, policy, at("2026-03-10T06:00:30Z"), at(until));
        let time = |at: &Timestamp| at.to_string()[8..16].to_owned();
        let runs: Vec<String> = plan.run.iter().map(time).collect();
        let skipped = plan.skipped.map(|skipped| format!("{} from {} to {}", skipped.count, time(&skipped.first), time(&skipped.last)));
        format!("run [{}] skip {}", runs.join(" "), skipped.unwrap_or_else(|| "none".into()))
    }

    #[test]
    fn every_policy_and_every_length() {
        use CatchUp::*;
        for (text, policy, until, expected) in [
            ("*/10 * * * *", Skip, "2026-03-10T06:05:00Z", "run [] skip none"),
            ("*/10 * * * *", Skip, "2026-03-10T06:10:00Z", "run [] skip 1 from 10T06:10 to 10T06:10"),
            ("*/10 * * * *", Skip, "2026-03-13T06:00:30Z", "run [] skip 432 from 10T06:10 to 13T06:00"),
            ("*/10 * * * *", Latest, "2026-03-10T06:10:00Z", "run [10T06:10] skip none"),
            ("*/10 * * * *", Latest, "2026-03-13T06:00:30Z", "run [13T06:00] skip 431 from 10T06:10 to 13T05:50"),
            ("*/10 * * * *", All, "2026-03-10T06:25:00Z", "run [10T06:10 10T06:20] skip none"),
            ("*/10 * * * *", All, "2026-03-13T06:00:30Z", "run [13T05:40 13T05:50 13T06:00] skip 429 from 10T06:10 to 13T05:30"),
            ("0 9 * * *", All, "2026-03-13T06:00:30Z", "run [12T09:00] skip 2 from 10T09:00 to 11T09:00"),
            ("0 9 * * *", Latest, "2026-03-10T07:00:00Z", "run [] skip none"),
            ("@every 1s", Skip, "2026-03-13T06:00:30Z", "run [] skip 10000 from 10T06:00 to 13T06:00"),
            ("* * * * * *", All, "2026-03-13T06:00:30Z", "run [13T06:00 13T06:00 13T06:00] skip 10000 from 10T06:00 to 13T06:00"),
        ] {
            assert_eq!(plan(text, policy, until), expected, "{text} {policy:?} until {until}");
        }
    }
}
