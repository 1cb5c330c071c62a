//! What is to come, hour by hour: what waits already, and what crons will make.
//!
//! Put together by the façade from what storage reads; shown by the doors.

use std::cmp::Reverse;
use std::collections::{BTreeMap, BinaryHeap};
use std::fmt;
use std::time::Duration;

use super::limits::{FORECAST_NOTES_MAX, FORECAST_OCCURRENCES_MAX};
use super::{Cron, CronRule, DstNote, Name, Timestamp};

const HOUR_MICROS: i64 = 3_600_000_000;

/// What is stored of what is to come.
#[derive(Clone, Debug, Default)]
pub struct Ahead {
    /// Scheduled runs that lie ahead, with those that were made of occurrences.
    pub runs: Vec<HourCount>,
    /// Crons that are to fire, in order of name. `next_at` is the first occurrence that has no run yet.
    pub crons: Vec<Cron>,
    /// There are more crons than are looked at.
    pub more: bool,
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
    Occurrences,
    /// The crons after so many, in order of name.
    Crons(usize),
}

impl fmt::Display for Cut {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Occurrences => write!(f, "there are more than {FORECAST_OCCURRENCES_MAX} occurrences: the forecast ends early"),
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
    cron: &'a Cron,
    left: u64,
}

/// Counts what is due at `from` or later and before `until`. Bounded: when there is more than can be counted, it ends with the last hour
/// that is complete.
pub fn forecast(ahead: &Ahead, from: Timestamp, until: Timestamp) -> Forecast {
    forecast_within(ahead, from, until, FORECAST_OCCURRENCES_MAX)
}

fn forecast_within(ahead: &Ahead, from: Timestamp, mut until: Timestamp, budget: u64) -> Forecast {
    let mut hours: BTreeMap<Timestamp, HourCount> = BTreeMap::new();
    let mut notes = Vec::new();
    let mut cut = ahead.more.then_some(Cut::Crons(ahead.crons.len()));
    let mut walks: Vec<Walk<'_>> = ahead.crons.iter().map(|cron| Walk { cron, left: left(cron) }).collect();
    // By time and not by cron: so the part that is counted is whole.
    let mut heap: BinaryHeap<Reverse<(Timestamp, usize)>> =
        walks.iter().enumerate().filter_map(|(index, walk)| Some(Reverse((walk.cron.next_at?.max(from), index)))).collect();
    let mut counted = 0;
    while let Some(Reverse((first, index))) = heap.pop() {
        if first >= until {
            break;
        }
        let hour = hour_of(first);
        let end = after(hour).min(until);
        let Walk { cron, left } = &mut walks[index];
        let rule = &cron.spec.rule;
        let noted = clocks_change_near(rule, hour);
        let mut next = Some(first);
        let mut count = 0;
        let before = notes.len();
        while let Some(at) = next.filter(|at| *at < end && *left > 0) {
            (count, *left) = (count + 1, *left - 1);
            if noted && notes.len() < FORECAST_NOTES_MAX {
                note(&mut notes, before, cron, at);
            }
            next = rule.next_after(at);
        }
        counted += count;
        if counted > budget {
            // The hour is counted in part only.
            (until, cut) = (hour, Some(Cut::Occurrences));
            hours.remove(&hour);
            break;
        }
        entry(&mut hours, hour).crons += count;
        if let Some(next) = next.filter(|_| *left > 0) {
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

/// How often it may still fire.
fn left(cron: &Cron) -> u64 {
    cron.spec.max_count.map_or(u64::MAX, |max| max.saturating_sub(cron.fired).into())
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
fn note(notes: &mut Vec<ForecastNote>, since: usize, cron: &Cron, at: Timestamp) {
    let Some(note) = cron.spec.rule.occurrence(at).note else { return };
    if !notes[since..].iter().any(|there| there.note == note) {
        notes.push(ForecastNote { at, cron: cron.name.clone(), note });
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::model::{CronSpec, Metadata, Origin, Payload};

    fn at(text: &str) -> Timestamp {
        Timestamp::parse(text, "time").unwrap()
    }

    fn cron(name: &str, expression: &str, from: Timestamp, max_count: Option<u32>) -> Cron {
        let rule =
            CronRule::new(expression, crate::model::ZoneDatabase::bundled().zone("Europe/Prague").unwrap(), from, None, Duration::ZERO)
                .unwrap();
        let next_at = rule.next_after(from);
        let (name, task) = (Name::parse(name, "name").unwrap(), Name::parse("t", "task").unwrap());
        let (input, metadata) = (Payload::null(), Metadata::default());
        let spec = CronSpec { task, rule, max_count, input, metadata, priority: None, missed: None };
        Cron { name, spec, origin: Origin::Api, pause: None, next_at, fired: 0, version: 1, created_at: from, updated_at: from }
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
        let seen = forecast_within(&ahead, from, at("2026-03-12T00:00:00Z"), 8_000);
        assert_eq!(shown(&seen), "10T06 0+3599, 10T07 0+3601");
        assert_eq!((seen.until, seen.cut), (at("2026-03-10T08:00:00Z"), Some(Cut::Occurrences)));
    }

    #[test]
    fn the_clocks_are_noted_once_an_hour() {
        let from = at("2026-03-28T00:00:00Z");
        let crons = vec![cron("fixed", "30 2 * * *", from, None), cron("often", "*/5 2 * * *", from, None)];
        let ahead = Ahead { runs: Vec::new(), crons, more: false };
        let notes = |from: &str, until: &str| {
            let (from, until) = (at(from), at(until));
            let mut ahead = ahead.clone();
            ahead.crons.iter_mut().for_each(|cron| cron.next_at = cron.spec.rule.next_after(from));
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
