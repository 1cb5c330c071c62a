//! When a calendar comes round next, on the clocks of a time zone.
//!
//! Fixed times: one that the clocks skip happens at the first instant after the gap, one that they repeat happens the first time. What
//! follows a pattern happens at every real match: not in a gap, and in both passes of a repeated hour.

use chrono::{DateTime, Datelike, Days, LocalResult, NaiveDate, NaiveDateTime, TimeDelta, TimeZone, Utc};
use chrono_tz::Tz;

use super::expression::Calendar;

/// Days searched for a match: the calendar repeats after 400 years, so what has not come by then never does.
const SEARCH_DAYS: u32 = 146_097;

impl Calendar {
    /// The first match later than `after`; `None` if there is none.
    pub(super) fn next(&self, zone: Tz, after: DateTime<Utc>) -> Option<DateTime<Utc>> {
        let today = after.with_timezone(&zone).date_naive();
        // A day earlier: where the clocks go back over midnight, its last times are still to come.
        let mut date = self.next_day(today.pred_opt()?)?;
        if !self.fixed {
            let start = first_instant(zone, date.pred_opt()?.and_hms_opt(0, 0, 0)?).max(after);
            let found = self.days.find_next_occurrence(&start.with_timezone(&zone), false).ok()?;
            return Some(found.with_timezone(&Utc));
        }
        loop {
            let instant = |seconds: &u32| first_instant(zone, at(date, *seconds));
            // Instants rise with the times of the day, so the first one that lies ahead is found by halving.
            let passed = self.times.partition_point(|seconds| instant(seconds) <= after);
            if let Some(seconds) = self.times.get(passed) {
                return Some(instant(seconds));
            }
            date = self.next_day(date.succ_opt()?)?;
        }
    }

    /// The first day from `date` on that matches.
    fn next_day(&self, mut date: NaiveDate) -> Option<NaiveDate> {
        let last = date.checked_add_days(Days::new(SEARCH_DAYS.into()))?;
        let pattern = &self.days.pattern;
        while date <= last {
            if !pattern.month_match(date.month()).ok()? {
                date = date.with_day(1)?.checked_add_months(chrono::Months::new(1))?;
                continue;
            }
            let weekday = croner::Weekday::from_days_from_sunday(date.weekday().num_days_from_sunday());
            if pattern.day_match(date.year(), date.month(), date.day(), weekday).ok()? {
                return Some(date);
            }
            date = date.succ_opt()?;
        }
        None
    }

    /// Whether a clock on the wall that shows this names one of the times.
    pub(super) fn names(&self, local: NaiveDateTime) -> bool {
        let seconds = local.signed_duration_since(local.date().and_time(chrono::NaiveTime::MIN)).num_seconds();
        u32::try_from(seconds).is_ok_and(|seconds| self.times.binary_search(&seconds).is_ok())
    }

    /// The latest time of that day up to this one: the one that was skipped, where the clocks jumped over it to `local`.
    pub(super) fn skipped_before(&self, local: NaiveDateTime) -> Option<NaiveDateTime> {
        let seconds = local.signed_duration_since(local.date().and_time(chrono::NaiveTime::MIN)).num_seconds();
        self.times.iter().rev().find(|time| i64::from(**time) < seconds).map(|time| at(local.date(), *time))
    }
}

fn at(date: NaiveDate, seconds: u32) -> NaiveDateTime {
    date.and_time(chrono::NaiveTime::MIN) + TimeDelta::seconds(seconds.into())
}

/// When the clocks of `zone` first show `local`, or what comes after it if they skip it.
fn first_instant(zone: Tz, local: NaiveDateTime) -> DateTime<Utc> {
    match zone.from_local_datetime(&local) {
        LocalResult::Single(instant) | LocalResult::Ambiguous(instant, _) => instant.with_timezone(&Utc),
        LocalResult::None => end_of_gap(zone, local),
    }
}

/// The instant at which the clocks jump over `local`.
fn end_of_gap(zone: Tz, local: NaiveDateTime) -> DateTime<Utc> {
    // Offsets lie within 14 hours, and no gap is longer than a day.
    let (mut before, mut after) = (local.and_utc() - TimeDelta::hours(40), local.and_utc() + TimeDelta::hours(40));
    while after - before > TimeDelta::seconds(1) {
        let middle = before + TimeDelta::seconds((after - before).num_seconds() / 2);
        if zone.from_utc_datetime(&middle.naive_utc()).naive_local() > local { after = middle } else { before = middle }
    }
    after
}
