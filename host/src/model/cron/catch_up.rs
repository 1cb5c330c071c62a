//! What becomes of the occurrences of a cron that passed while no host was running.

use std::time::Duration;

use super::CronRule;
use crate::model::limits::OCCURRENCES_MAX;
use crate::model::{MissedPolicy, Timestamp};

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
///
/// `is_missed` may except some of them, as those that have their run already. Of [`OCCURRENCES_MAX`] or more it is not asked: then all of them
/// were.
pub fn catch_up(
    rule: &CronRule,
    policy: MissedPolicy,
    cursor: Timestamp,
    until: Timestamp,
    is_missed: impl FnMut(&Timestamp) -> bool,
) -> CatchUpPlan {
    let most = policy.most() as usize;
    let window = cursor.max(until.saturating_sub(policy.window));
    let mut missed = rule.occurrences(cursor, until, OCCURRENCES_MAX);
    if missed.len() == OCCURRENCES_MAX {
        let run = last(rule, window, until, most);
        let end = run.first().map_or(until, |first| first.saturating_sub(Duration::from_micros(1)));
        return CatchUpPlan { skipped: skipped(rule, cursor, end), run };
    }
    missed.retain(is_missed);
    let runs = missed.iter().rev().take(most).take_while(|planned| **planned > window).count();
    let run = missed.split_off(missed.len() - runs);
    let skipped = missed.first().zip(missed.last()).map(|(first, last)| Skipped { first: *first, last: *last, count: missed.len() as u32 });
    CatchUpPlan { run, skipped }
}

/// The last occurrences later than `after` and not later than `until`: up to `most`.
fn last(rule: &CronRule, after: Timestamp, until: Timestamp, most: usize) -> Vec<Timestamp> {
    let since = |from: Timestamp| rule.occurrences(from, until, most);
    if since(after).len() == most {
        // The latest moment since which there are that many, found by halving: a cron of each second is not walked from the beginning.
        let (mut enough, mut fewer) = (after, until);
        while fewer > enough.saturating_add(Duration::from_micros(1)) {
            let middle = enough.saturating_add(fewer.since(enough) / 2);
            if since(middle).len() == most { enough = middle } else { fewer = middle }
        }
        return since(enough);
    }
    since(after)
}

/// What lies between `cursor` and `until`, in one figure.
fn skipped(rule: &CronRule, cursor: Timestamp, until: Timestamp) -> Option<Skipped> {
    let found = rule.occurrences(cursor, until, OCCURRENCES_MAX);
    let (first, last) = (*found.first()?, *last(rule, cursor, until, 1).last()?);
    Some(Skipped { first, last, count: found.len() as u32 })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::model::{CatchUp, Zone, ZoneDatabase};

    fn at(text: &str) -> Timestamp {
        Timestamp::parse(text, "time").unwrap()
    }

    /// What runs and what is skipped after being off from 06:00:30 on, in words.
    fn plan(text: &str, catch_up: CatchUp, until: &str) -> String {
        let start = at("2026-03-01T00:00:00Z");
        let rule = CronRule::new(text, Zone::utc(), start, None, Duration::ZERO).unwrap();
        let policy = MissedPolicy { catch_up, max: 3, window: Duration::from_secs(24 * 3600) };
        let plan = super::catch_up(&rule, policy, at("2026-03-10T06:00:30Z"), at(until), |_| true);
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

    /// Each expression over each length of time, with each policy, beside a walk through all occurrences.
    #[test]
    fn nothing_is_lost_and_the_latest_run() {
        let start = at("2026-03-01T00:00:00Z");
        let mut chance = fastrand::Rng::with_seed(3);
        let mut many = 0;
        let prague = ZoneDatabase::bundled().zone("Europe/Prague").unwrap();
        for text in ["*/5 * 9-17 * * *", "* * 3 * * *", "@every 7s", "0 9 * * 1-5", "*/20 * * * *", "0 0 1 * *"] {
            let rule = CronRule::new(text, prague.clone(), start, None, Duration::ZERO).unwrap();
            for case in 0..12 {
                let cursor = start.saturating_add(Duration::from_secs(chance.u64(0..30 * 86_400)));
                let length = [600, 8 * 3600, 86_400, 4 * 86_400][case % 4];
                let until = cursor.saturating_add(Duration::from_secs(chance.u64(1..length)));
                let all = rule.occurrences(cursor, until, usize::MAX);
                let policy = MissedPolicy {
                    catch_up: CatchUp::ALL[case % 3],
                    max: chance.u32(1..50),
                    window: Duration::from_secs(chance.u64(60..2 * 86_400)),
                };
                let made = |planned: &Timestamp| all.len() < OCCURRENCES_MAX && planned.as_micros() % 3 == 0;
                let plan = super::catch_up(&rule, policy, cursor, until, |planned| !made(planned));
                let missed: Vec<_> = all.iter().copied().filter(|planned| !made(planned)).collect();
                let window = cursor.max(until.saturating_sub(policy.window));
                let mut run: Vec<_> = missed.iter().copied().filter(|planned| *planned > window).collect();
                run.drain(..run.len().saturating_sub(policy.most() as usize));
                let rest = &missed[..missed.len() - run.len()];
                let skipped = rest.first().map(|first| (*first, *rest.last().unwrap(), rest.len().min(OCCURRENCES_MAX) as u32));
                assert_eq!(plan.run, run, "{text} {policy:?} from {cursor} to {until}");
                assert_eq!(plan.skipped.map(|skipped| (skipped.first, skipped.last, skipped.count)), skipped, "{text} {policy:?}");
                many += usize::from(all.len() >= OCCURRENCES_MAX);
            }
        }
        assert!(many > 3, "{many} were many");
    }
}
