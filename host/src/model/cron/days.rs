//! Which days of the calendar match. Knows no time zones: a day is a number, counted from 1970-01-01, which is 0.

/// 10000-01-01: east of Greenwich, clocks show it before the year 9999 is over in UTC.
const LAST_DAY: i64 = 2_932_897;
/// Months after which the calendar repeats, weekdays included: 400 years.
const CYCLE_MONTHS: u32 = 400 * 12;

/// The days that the day fields and the month name. Sets are bits.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct Days {
    /// From bit 1 on.
    pub(super) months: u64,
    /// From bit 1 on.
    pub(super) of_month: u64,
    /// `L`.
    pub(super) last: bool,
    /// `LW`.
    pub(super) last_working_day: bool,
    /// `15W`: the working day nearest to one of these days.
    pub(super) nearest_working_days: u64,
    /// From bit 0 on, which is Sunday.
    pub(super) of_week: u64,
    /// `MON#2`: the second of these weekdays is at index 1.
    pub(super) nth_of_week: [u64; 5],
    /// `FRI#L`.
    pub(super) last_of_week: u64,
    /// Whether day of month and day of week must both match. Otherwise, one of them is enough.
    pub(super) both: bool,
}

impl Days {
    pub(super) fn matches(&self, day: i64) -> bool {
        let (year, month, of_month) = date(day);
        self.months >> month & 1 == 1 && self.of(year, month) >> of_month & 1 == 1
    }

    /// The first day from `day` on that matches; `None` if none does up to the year 9999, or within 400 years.
    pub(super) fn next(&self, day: i64) -> Option<i64> {
        if day > LAST_DAY {
            return None;
        }
        let (mut year, mut month, from) = date(day);
        let mut from_bit = from;
        for _ in 0..=CYCLE_MONTHS {
            if self.months >> month & 1 == 1 {
                let found = self.of(year, month) >> from_bit << from_bit;
                if found != 0 {
                    let found = number(year, month, 1) + i64::from(found.trailing_zeros()) - 1;
                    return (found <= LAST_DAY).then_some(found);
                }
            }
            (month, from_bit) = (month + 1, 1);
            if month > 12 {
                (year, month) = (year + 1, 1);
            }
        }
        None
    }

    /// The days of a month that match, from bit 1 on, whether the month itself does or not.
    fn of(&self, year: i64, month: u32) -> u32 {
        let length = length(year, month);
        let all = (!0u32 >> (31 - length)) & !1;
        // The weekday of the day before the first; 1970-01-01 was a Thursday.
        let before = (number(year, month, 1) + 3).rem_euclid(7) as u32;
        let weekday = |day: u32| (before + day) % 7;
        let mut of_month = self.of_month as u32 & all;
        if self.last {
            of_month |= 1 << length;
        }
        if self.last_working_day {
            of_month |= 1 << working_day_near(length, length, weekday(length));
        }
        let mut nearest = self.nearest_working_days as u32 & all;
        while nearest != 0 {
            let day = nearest.trailing_zeros();
            of_month |= 1 << working_day_near(day, length, weekday(day));
            nearest &= nearest - 1;
        }
        let mut of_week = 0;
        if self.of_week == 0x7f {
            of_week = all;
        } else {
            for day in 0..7 {
                // The first one of this weekday.
                let first = (day + 7 - before - 1) % 7 + 1;
                if self.of_week >> day & 1 == 1 {
                    of_week |= 0x2040_8102 << (first - 1);
                }
                for (weeks, set) in self.nth_of_week.iter().enumerate() {
                    if set >> day & 1 == 1 {
                        of_week |= (1u64 << (first + 7 * weeks as u32)) as u32;
                    }
                }
                if self.last_of_week >> day & 1 == 1 {
                    of_week |= 1 << (first + (length - first) / 7 * 7);
                }
            }
            of_week &= all;
        }
        if self.both { of_month & of_week } else { of_month | of_week }
    }
}

/// The working day nearest to a day, within its month.
fn working_day_near(day: u32, length: u32, weekday: u32) -> u32 {
    match weekday {
        6 if day > 1 => day - 1,
        6 => day + 2,
        0 if day < length => day + 1,
        0 => day - 2,
        _ => day,
    }
}

fn length(year: i64, month: u32) -> u32 {
    match month {
        4 | 6 | 9 | 11 => 30,
        2 if year % 4 == 0 && (year % 100 != 0 || year % 400 == 0) => 29,
        2 => 28,
        _ => 31,
    }
}

/// Year, month and day of the month of a day. From "chrono-compatible low-level date algorithms" (Howard Hinnant, 2013), `civil_from_days`.
fn date(day: i64) -> (i64, u32, u32) {
    let shifted = day + 719_468;
    let era = shifted.div_euclid(146_097);
    let of_era = shifted.rem_euclid(146_097);
    let year_of_era = (of_era - of_era / 1_460 + of_era / 36_524 - of_era / 146_096) / 365;
    let of_year = of_era - (365 * year_of_era + year_of_era / 4 - year_of_era / 100);
    let from_march = (5 * of_year + 2) / 153;
    let of_month = (of_year - (153 * from_march + 2) / 5 + 1) as u32;
    let month = if from_march < 10 { from_march + 3 } else { from_march - 9 } as u32;
    (year_of_era + era * 400 + i64::from(month <= 2), month, of_month)
}

/// The number of a day. From the same work, `days_from_civil`.
fn number(year: i64, month: u32, of_month: u32) -> i64 {
    let year = if month <= 2 { year - 1 } else { year };
    let (era, year_of_era) = (year.div_euclid(400), year.rem_euclid(400));
    let from_march = i64::from(if month > 2 { month - 3 } else { month + 9 });
    let of_year = (153 * from_march + 2) / 5 + i64::from(of_month) - 1;
    era * 146_097 + year_of_era * 365 + year_of_era / 4 - year_of_era / 100 + of_year - 719_468
}

#[cfg(test)]
mod tests {
    use chrono::{Datelike, NaiveDate};

    use super::*;

    #[test]
    fn days_are_those_of_the_calendar() {
        let mut date_of = NaiveDate::from_ymd_opt(1969, 12, 1).unwrap();
        let mut day = -31;
        while day <= LAST_DAY {
            assert_eq!(date(day), (i64::from(date_of.year()), date_of.month(), date_of.day()));
            assert_eq!(number(date_of.year().into(), date_of.month(), date_of.day()), day);
            // A prime, so that each day of the year and the week comes by.
            day += 11;
            date_of += chrono::TimeDelta::days(11);
        }
        assert_eq!(date(LAST_DAY), (10_000, 1, 1));
    }
}
