//! What is to come, hour by hour: what waits already, and what crons will make.
//!
//! Put together by the façade from what storage reads; shown by the doors.

use std::cmp::Reverse;
use std::collections::{BTreeMap, BinaryHeap};
use std::fmt;
use std::time::Duration;

use super::limits::{FORECAST_NOTES_MAX, FORECAST_STEPS_MAX};
use super::{CronRule, DstNote, Name, Timestamp};

const HOUR_MICROS: i64 = 3_600_000_000;

/// What is stored of what is to come.
#[derive(Clone, Debug, Default)]
pub struct Ahead {
    /// Scheduled runs that lie ahead, with those that were made of occurrences.
    pub runs: Vec<HourCount>,
    /// Crons that are to fire, in order of name.
    pub crons: Vec<CronAhead>,
    /// There are more crons than are looked at.
    pub more: bool,
}

/// A cron that is to fire, without what its runs are made of.
#[derive(Clone, Debug)]
pub struct CronAhead {
    /// Its name.
    pub name: Name,
    /// When it fires.
    pub rule: CronRule,
    /// The first occurrence that has no run yet.
    pub next_at: Timestamp,
    /// How often it may still fire.
    pub left: u64,
}

/// How many runs are due in an hour.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct HourCount {
    /// When the hour begins, in UTC.
    pub hour: Timestamp,
    /// Runs that somebody scheduled.
    pub runs: u64,
    /// Occurrences of crons.
    pub crons: u64,
}

/// What is to come.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Forecast {
    /// From this moment on.
    pub from: Timestamp,
    /// Up to, and without, this one. Earlier than was asked for if there is too much to count.
    pub until: Timestamp,
    /// Whether something is left out: what lies beyond `until`, or crons beyond the limit.
    pub cut: Option<Cut>,
    /// The hours in which something is due, rising.
    pub hours: Vec<HourCount>,
    /// What changes of the clocks do, rising; the first hundred.
    pub notes: Vec<ForecastNote>,
}

/// What a forecast leaves out.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Cut {
    /// Everything from its `until` on.
    Steps,
    /// The crons after so many, in order of name.
    Crons(usize),
}

impl fmt::Display for Cut {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Steps => write!(
                f,
                "to count further takes more than {FORECAST_STEPS_MAX} steps: the forecast ends early; name a task to see its own"
            ),
            Self::Crons(count) => write!(f, "only the first {count} crons, in order of name, are counted; name a task to see its own"),
        }
    }
}

/// What a change of the clocks does to an occurrence.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ForecastNote {
    /// When it fires: of several in that hour with the same note, the first.
    pub at: Timestamp,
    /// What fires.
    pub cron: Name,
    /// What happens to it.
    pub note: DstNote,
}

/// A cron on its way through the hours.
struct Walk<'a> {
    cron: &'a CronAhead,
    left: u64,
    /// Until when the clocks of its zone are known not to change.
    calm_until: Timestamp,
}

/// Counts what is due at `from` or later and before `until`. Bounded: when there is more to count than it has steps for, it ends with the last hour
/// that is complete.
pub fn forecast(ahead: &Ahead, from: Timestamp, until: Timestamp) -> Forecast {
    forecast_within(ahead, from, until, FORECAST_STEPS_MAX)
}

fn forecast_within(ahead: &Ahead, from: Timestamp, mut until: Timestamp, budget: u64) -> Forecast {
    let mut hours: BTreeMap<Timestamp, HourCount> = BTreeMap::new();
    let mut notes = Vec::new();
    let mut cut = ahead.more.then_some(Cut::Crons(ahead.crons.len()));
    let mut walks: Vec<Walk<'_>> = ahead.crons.iter().map(|cron| Walk { cron, left: cron.left, calm_until: Timestamp::MIN }).collect();
    // By time and not by cron: so the part that is counted is whole.
    let mut heap: BinaryHeap<Reverse<(Timestamp, usize)>> =
        walks.iter().enumerate().map(|(index, walk)| Reverse((walk.cron.next_at.max(from), index))).collect();
    let mut steps = 0;
    while let Some(Reverse((first, index))) = heap.pop() {
        if first >= until {
            break;
        }
        let hour = hour_of(first);
        let end = after(hour).min(until);
        let walk = &mut walks[index];
        let (count, looked_at) = walk.count(first, end, &mut notes);
        // One for the search for what follows.
        steps += looked_at + 1;
        if steps > budget {
            // The hour is counted in part only.
            (until, cut) = (hour, Some(Cut::Steps));
            hours.remove(&hour);
            break;
        }
        entry(&mut hours, hour).crons += count;
        if walk.left > 0
            && let Some(next) = walk.cron.rule.next_before(end.saturating_sub(Duration::from_micros(1)), until)
        {
            heap.push(Reverse((next, index)));
        }
    }
    for stored in ahead.runs.iter().filter(|stored| stored.hour < until) {
        let hour = entry(&mut hours, stored.hour);
        hour.runs += stored.runs;
        hour.crons += stored.crons;
    }
    notes.retain(|note: &ForecastNote| note.at < until);
    notes.sort_by(|a, b| (a.at, &a.cron).cmp(&(b.at, &b.cron)));
    Forecast { from, until, cut, hours: hours.into_values().filter(|hour| hour.runs + hour.crons > 0).collect(), notes }
}

fn entry(hours: &mut BTreeMap<Timestamp, HourCount>, hour: Timestamp) -> &mut HourCount {
    hours.entry(hour).or_insert(HourCount { hour, runs: 0, crons: 0 })
}

impl Walk<'_> {
    /// How often it fires at `first`, which is an occurrence, and later, before `end`, within one hour. Returns as well how many occurrences were
    /// looked at for that: one, unless the clocks change nearby.
    fn count(&mut self, first: Timestamp, end: Timestamp, notes: &mut Vec<ForecastNote>) -> (u64, u64) {
        let rule = &self.cron.rule;
        if self.calm_until < end {
            self.calm_until = rule.calm_until(first).unwrap_or(Timestamp::MIN);
        }
        if self.calm_until >= end {
            let count = (1 + rule.count_between(first, end)).min(self.left);
            self.left -= count;
            return (count, 1);
        }
        let (before, noted) = (notes.len(), clocks_change_near(rule, hour_of(first)));
        let (mut next, mut count) = (Some(first), 0);
        while let Some(at) = next.filter(|_| self.left > 0) {
            (count, self.left) = (count + 1, self.left - 1);
            if noted && notes.len() < FORECAST_NOTES_MAX {
                note(notes, before, self.cron, at);
            }
            next = rule.next_before(at, end);
        }
        (count, count)
    }
}

/// The hour of UTC that this moment is in.
pub fn hour_of(at: Timestamp) -> Timestamp {
    Timestamp::from_micros(at.as_micros() / HOUR_MICROS * HOUR_MICROS).expect("not before the epoch, and earlier than a valid time")
}

fn after(hour: Timestamp) -> Timestamp {
    hour.saturating_add(Duration::from_micros(HOUR_MICROS as u64))
}

/// Whether the clocks of the rule's zone may change within a few hours of this one: looking for notes at every occurrence would double the
/// work.
fn clocks_change_near(rule: &CronRule, hour: Timestamp) -> bool {
    let offset = |at: Timestamp| rule.local(at).and_utc().timestamp() - at.to_chrono().timestamp();
    let margin = Duration::from_secs(6 * 3600);
    offset(hour.saturating_sub(margin)) != offset(hour.saturating_add(margin))
}

/// Adds what the clocks do to this occurrence, once for each kind and hour. `since`: where the notes of this hour begin.
fn note(notes: &mut Vec<ForecastNote>, since: usize, cron: &CronAhead, at: Timestamp) {
    let Some(note) = cron.rule.occurrence(at).note else { return };
    if !notes[since..].iter().any(|there| there.note == note) {
        notes.push(ForecastNote { at, cron: cron.name.clone(), note });
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(text: &str) -> Timestamp {
        Timestamp::parse(text, "time").unwrap()
    }

    fn cron(name: &str, expression: &str, from: Timestamp, max_count: Option<u64>) -> CronAhead {
        let zone = crate::model::ZoneDatabase::bundled().zone("Europe/Prague").unwrap();
        let rule = CronRule::new(expression, zone, from, None, Duration::ZERO).unwrap();
        let next_at = rule.next_after(from).unwrap();
        CronAhead { name: Name::parse(name, "name").unwrap(), rule, next_at, left: max_count.unwrap_or(u64::MAX) }
    }

    /// The hours as `DDThh runs+crons`.
    fn shown(forecast: &Forecast) -> String {
        let hour = |hour: &HourCount| format!("{} {}+{}", &hour.hour.to_string()[8..13], hour.runs, hour.crons);
        forecast.hours.iter().map(hour).collect::<Vec<_>>().join(", ")
    }

    #[test]
    fn hours_hold_runs_and_occurrences() {
        let from = at("2026-03-10T06:10:00Z");
        let runs = vec![
            HourCount { hour: at("2026-03-10T06:00:00Z"), runs: 2, crons: 1 },
            HourCount { hour: at("2026-03-11T00:00:00Z"), runs: 5, crons: 0 },
        ];
        let crons = vec![cron("a", "*/20 * * * *", from, None), cron("b", "@every 1h", from, Some(2)), cron("c", "0 9 * * *", from, None)];
        let ahead = Ahead { runs, crons, more: false };
        let seen = forecast(&ahead, from, at("2026-03-10T09:00:00Z"));
        assert_eq!(shown(&seen), "10T06 2+3, 10T07 0+4, 10T08 0+5");
        assert_eq!((seen.until, seen.cut, seen.notes.len()), (at("2026-03-10T09:00:00Z"), None, 0));
    }

    #[test]
    fn what_is_too_much_is_cut_at_a_whole_hour() {
        let from = at("2026-03-10T06:00:00Z");
        let crons = vec![cron("a", "* * * * * *", from, None), cron("b", "0 * * * *", from, None)];
        let runs = vec![HourCount { hour: at("2026-03-10T08:00:00Z"), runs: 5, crons: 0 }];
        let ahead = Ahead { runs, crons, more: false };
        // Two steps for each hour of each cron, but b has none in the first one.
        let seen = forecast_within(&ahead, from, at("2026-03-12T00:00:00Z"), 6);
        assert_eq!(shown(&seen), "10T06 0+3599, 10T07 0+3601");
        assert_eq!((seen.until, seen.cut), (at("2026-03-10T08:00:00Z"), Some(Cut::Steps)));
    }

    /// What is counted by the hour is what a walk from occurrence to occurrence finds, also where the clocks change.
    #[test]
    fn hours_are_counted_as_a_walk_finds_them() {
        let expressions = [
            "*/10 * * * * *",
            "*/7 3-50/2 * * * *",
            "30 2 * * *",
            "*/5 2 * * *",
            "15 1,2,3 * * *",
            "@every 7s",
            "@every 37m",
            "17 */11 1-12 L * MON",
        ];
        for start in ["2026-03-26T05:17:23.5Z", "2026-10-22T23:59:59Z", "2026-06-01T00:00:00Z"] {
            let (from, until) = (at(start), at(start).saturating_add(Duration::from_secs(5 * 86_400 + 1_234)));
            for expression in expressions {
                let mut one = cron("a", expression, from, None);
                let mut walked: BTreeMap<Timestamp, u64> = BTreeMap::new();
                let mut next = one.rule.next_after(from);
                while let Some(at) = next.filter(|at| *at < until) {
                    *walked.entry(hour_of(at)).or_default() += 1;
                    next = one.rule.next_after(at);
                }
                one.next_at = one.rule.next_after(from).unwrap();
                let ahead = Ahead { runs: Vec::new(), crons: vec![one], more: false };
                let seen = forecast_within(&ahead, from, until, u64::MAX).hours;
                let counted: BTreeMap<_, _> = seen.iter().map(|hour| (hour.hour, hour.crons)).collect();
                assert_eq!(counted, walked, "{expression} from {start}");
            }
        }
    }

    /// A year of a rule that fires each second takes as long as one of a rule that fires each hour, but for a few days.
    #[test]
    fn a_busy_rule_is_counted_by_the_hour() {
        let from = at("2026-06-01T00:00:00Z");
        let ahead = Ahead { runs: Vec::new(), crons: vec![cron("a", "* * * * * *", from, None)], more: false };
        let until = at("2026-10-01T00:00:00Z");
        let seen = forecast_within(&ahead, from, until, 2 * 122 * 24);
        assert_eq!((seen.cut, seen.hours.len()), (None, 122 * 24));
        assert!(seen.hours[1..].iter().all(|hour| hour.crons == 3_600));
        assert!(forecast_within(&ahead, from, until, 2 * 122 * 24 - 1).cut.is_some());
    }

    #[test]
    fn the_clocks_are_noted_once_an_hour() {
        let from = at("2026-03-28T00:00:00Z");
        let crons = vec![cron("fixed", "30 2 * * *", from, None), cron("often", "*/5 2 * * *", from, None)];
        let ahead = Ahead { runs: Vec::new(), crons, more: false };
        let notes = |from: &str, until: &str| {
            let (from, until) = (at(from), at(until));
            let mut ahead = ahead.clone();
            ahead.crons.iter_mut().for_each(|cron| cron.next_at = cron.rule.next_after(from).unwrap());
            let seen = forecast(&ahead, from, until).notes;
            seen.iter().map(|note| format!("{} {} {:?}", &note.at.to_string()[8..16], note.cron, note.note)).collect::<Vec<_>>()
        };
        assert_eq!(notes("2026-03-28T00:00:00Z", "2026-03-31T00:00:00Z"), ["29T01:00 fixed Moved { from: \"2026-03-29 02:30\" }"]);
        assert_eq!(
            notes("2026-10-24T12:00:00Z", "2026-10-27T00:00:00Z"),
            ["25T00:00 often OneOfTwo", "25T00:30 fixed FirstOfTwo", "25T01:00 often OneOfTwo"]
        );
    }

    #[test]
    fn crons_that_are_left_out_are_told() {
        let from = at("2026-03-10T06:00:00Z");
        let ahead = Ahead { runs: Vec::new(), crons: vec![cron("a", "0 7 * * *", from, None)], more: true };
        assert_eq!(forecast(&ahead, from, at("2026-03-11T00:00:00Z")).cut, Some(Cut::Crons(1)));
    }
}
