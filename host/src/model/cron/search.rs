//! When a calendar comes round next, on the clocks of a time zone.
//!
//! The rule of docs/crons.md. Named times: one that the clocks skip happens at the first instant after the gap, one that they repeat happens the
//! first time. All other expressions match at each second at which the clocks show a match: none in a gap, and in both passes of a repeated hour.
//!
//! Instants and what clocks show are seconds since 1970, the latter as if the clocks were UTC's.

use super::days::Days;
use crate::model::Zone;
use crate::model::zone::{OFFSET_BOUND, Stretch};

const HOUR: i64 = 3_600;
const DAY: i64 = 86_400;
/// After this, the clocks of a zone can show again what they showed before only if somebody changes them.
const REPEAT_BOUND: i64 = 2 * OFFSET_BOUND;
/// From 2100 on, the rules of all zones are the same in each year, so clocks and calendar together repeat after 400 years.
pub(super) const REPEATING_FROM: i64 = 4_102_444_800;
const CYCLE: i64 = 400 * 31_556_952 + 366 * DAY;

/// Days that match, and the times of day on them.
#[derive(Clone, Debug)]
pub(super) struct Calendar {
    pub(super) days: Days,
    /// Bits, as the two below.
    pub(super) seconds: u64,
    pub(super) minutes: u64,
    pub(super) hours: u64,
    /// Whether the text names times, so that each happens once a day whatever the clocks do. Otherwise (`*` or a step in the seconds, minutes or
    /// hours) it follows elapsed time.
    pub(super) fixed: bool,
}

/// A span of what the clocks show: from the first second up to, and without, the last.
type Shown = std::ops::Range<i64>;

impl Calendar {
    /// The first match later than `after`; `None` if there is none up to the year 9999.
    pub(super) fn next(&self, zone: &Zone, after: i64) -> Option<i64> {
        if self.fixed { self.next_named(zone, after) } else { self.next_shown(zone, after, after.max(REPEATING_FROM) + CYCLE) }
    }

    /// The first match later than `after`, if it is earlier than `before`; else the search may end there.
    pub(super) fn next_before(&self, zone: &Zone, after: i64, before: i64) -> Option<i64> {
        let found = if self.fixed { self.next_named(zone, after) } else { self.next_shown(zone, after, before) };
        found.filter(|found| *found < before)
    }

    /// For patterns: the first second later than `after` at which the clocks show a match. Searches up to `end`.
    fn next_shown(&self, zone: &Zone, after: i64, end: i64) -> Option<i64> {
        let mut at = after + 1;
        while at < end {
            let Stretch { offset, until } = zone.stretch(at);
            let shown = self.from(at + offset)?;
            if shown - offset < until {
                return Some(shown - offset);
            }
            // In a longer stretch, whatever the clocks show after it is later than what they showed when it began. So the next match is `shown`
            // or later, under whichever offset.
            at = if until - at > REPEAT_BOUND { until.max(shown - OFFSET_BOUND) } else { until };
        }
        None
    }

    /// For named times: the first second later than `after` at which the clocks first reach or pass a match.
    fn next_named(&self, zone: &Zone, after: i64) -> Option<i64> {
        let (reached, mut stretch) = latest_shown(zone, after);
        let wanted = self.from(reached + 1)?;
        // No clock shows it earlier.
        let mut at = (after + 1).max(wanted - OFFSET_BOUND);
        if at >= stretch.until {
            stretch = zone.stretch(at);
        }
        loop {
            // Before `at`, if the clocks jumped over it.
            let found = (wanted - stretch.offset).max(at);
            if found < stretch.until {
                return Some(found);
            }
            at = stretch.until;
            stretch = zone.stretch(at);
        }
    }

    /// The first match from what the clocks show on.
    fn from(&self, shown: i64) -> Option<i64> {
        let (day, second) = (shown.div_euclid(DAY), shown.rem_euclid(DAY));
        if self.days.matches(day)
            && let Some(time) = self.time_from(second as u32)
        {
            return Some(day * DAY + i64::from(time));
        }
        Some(self.days.next(day + 1)? * DAY + i64::from(self.time_from(0)?))
    }

    /// The first time of day that matches, from this one on, in seconds since midnight.
    fn time_from(&self, second: u32) -> Option<u32> {
        let [hour, minute, second] = [second / 3600, second / 60 % 60, second % 60];
        let first = |bits: u64| bits.trailing_zeros();
        if self.hours >> hour & 1 == 1 {
            if self.minutes >> minute & 1 == 1 {
                let seconds = self.seconds >> second << second;
                if seconds != 0 {
                    return Some(hour * 3600 + minute * 60 + first(seconds));
                }
            }
            let minutes = self.minutes >> minute >> 1 << 1 << minute;
            if minutes != 0 {
                return Some(hour * 3600 + first(minutes) * 60 + first(self.seconds));
            }
        }
        let hours = self.hours >> hour >> 1 << 1 << hour;
        (hours != 0).then(|| first(hours) * 3600 + first(self.minutes) * 60 + first(self.seconds))
    }

    /// How many matches there are in a span of what the clocks show.
    pub(super) fn count(&self, shown: Shown) -> u64 {
        let (mut count, mut from) = (0, shown.start);
        while from < shown.end {
            let hour = from.div_euclid(HOUR) * HOUR;
            let end = shown.end.min(hour + HOUR);
            let (day, hour_of_day) = (hour.div_euclid(DAY), hour.rem_euclid(DAY) / HOUR);
            if self.hours >> hour_of_day & 1 == 1 && self.days.matches(day) {
                count += self.within_hour(end - hour) - self.within_hour(from - hour);
            }
            from = end;
        }
        count
    }

    /// How many seconds match in an hour that matches, before this one of its seconds.
    fn within_hour(&self, second: i64) -> u64 {
        let (minute, second) = (second / 60, second % 60);
        let before = |bits: u64, bit: i64| u64::from((bits & ((1 << bit) - 1)).count_ones());
        let rest = if self.minutes >> minute & 1 == 1 { before(self.seconds, second) } else { 0 };
        before(self.minutes, minute) * u64::from(self.seconds.count_ones()) + rest
    }

    /// Whether clocks that show this show a match.
    pub(super) fn names(&self, shown: i64) -> bool {
        self.from(shown) == Some(shown)
    }

    /// The first matches within what the clocks skip: up to `most`.
    pub(super) fn within(&self, skipped: Shown, most: usize) -> Vec<i64> {
        let matches = std::iter::successors(self.from(skipped.start), |shown| self.from(shown + 1));
        matches.take_while(|shown| *shown < skipped.end).take(most).collect()
    }
}

/// The latest that the clocks have shown up to `at`, and the stretch in which `at` lies. Later than what they show at `at` if they went back.
fn latest_shown(zone: &Zone, at: i64) -> (i64, Stretch) {
    let (mut from, mut latest) = (at - REPEAT_BOUND, i64::MIN);
    loop {
        let stretch = zone.stretch(from);
        if stretch.until > at {
            return (latest.max(at + stretch.offset), stretch);
        }
        latest = latest.max(stretch.until - 1 + stretch.offset);
        from = stretch.until;
    }
}

/// What the clocks skip at `at`, if they jump forward at this very second.
pub(super) fn skipped_at(zone: &Zone, at: i64) -> Option<Shown> {
    let (before, after) = (zone.offset(at - 1), zone.offset(at));
    (after > before).then(|| at + before..at + after)
}

/// Whether the clocks show the same at another instant, around the nearest changes before and after `at`.
pub(super) fn is_shown_twice(zone: &Zone, at: i64) -> bool {
    let shown = at + zone.offset(at);
    let Stretch { until, .. } = zone.stretch(at);
    let again = until != i64::MAX && shown >= until + zone.offset(until);
    let before = zone.changed(at).is_some_and(|changed| shown < changed + zone.offset(changed - 1));
    again || before
}
