//! Expands an expression as a reader would, value by value.

use chrono::{DateTime, Datelike, NaiveDate, Timelike};

/// The values that each field lists, and the rules for days.
pub(super) struct Expanded {
    seconds: Vec<u32>,
    minutes: Vec<u32>,
    hours: Vec<u32>,
    of_month: String,
    months: Vec<u32>,
    of_week: String,
    /// Whether it names its times.
    pub(super) named: bool,
    pub(super) whole_minutes: bool,
}

const MONTHS: &str = "JAN FEB MAR APR MAY JUN JUL AUG SEP OCT NOV DEC";
const WEEKDAYS: &str = "SUN MON TUE WED THU FRI SAT";

/// A number, or the place of a name in a list.
fn number(text: &str, names: &str, first: u32) -> u32 {
    match names.split(' ').position(|name| name == text) {
        Some(place) => place as u32 + first,
        None => text.parse().expect("a number"),
    }
}

/// Whether an item such as `5`, `2-9`, `*/3` or `2-9/3` lists a value.
fn lists(item: &str, value: u32, least: u32, names: &str) -> bool {
    let (span, step) = item.split_once('/').unwrap_or((item, "1"));
    let step: u32 = step.parse().expect("a step");
    match span.split_once('-') {
        _ if span == "*" || span == "?" => (value - least).is_multiple_of(step),
        Some((from, to)) => {
            let from = number(from, names, least);
            let to = if to == "SUN" { 7 } else { number(to, names, least) };
            from <= value && value <= to && (value - from).is_multiple_of(step)
        }
        None => number(span, names, least) == value,
    }
}

fn listed(field: &str, least: u32, most: u32, names: &str) -> Vec<u32> {
    (least..=most).filter(|value| field.split(',').any(|item| lists(item, *value, least, names))).collect()
}

fn is_working_day(day: NaiveDate) -> bool {
    day.weekday().num_days_from_monday() < 5
}

/// All days of the month of `day`.
fn month_of(day: NaiveDate) -> impl DoubleEndedIterator<Item = NaiveDate> {
    (1..=31).filter_map(move |number| day.with_day(number))
}

impl Expanded {
    pub(super) fn of(text: &str) -> Self {
        let text = text.to_uppercase();
        let mut fields: Vec<&str> = text.split(' ').collect();
        if fields.len() == 5 {
            fields.insert(0, "0");
        }
        let [seconds, minutes, hours, of_month, months, of_week] = fields[..] else { panic!("{text}") };
        Self {
            seconds: listed(seconds, 0, 59, ""),
            minutes: listed(minutes, 0, 59, ""),
            hours: listed(hours, 0, 23, ""),
            of_month: of_month.into(),
            months: listed(months, 1, 12, MONTHS),
            of_week: of_week.into(),
            named: ![seconds, minutes, hours].concat().contains(['*', '/']),
            whole_minutes: seconds == "0",
        }
    }

    /// Whether a clock that shows this shows a match.
    pub(super) fn matches(&self, shown: i64) -> bool {
        let second = shown.rem_euclid(60) as u32;
        let minute = (shown.rem_euclid(3600) / 60) as u32;
        if !self.seconds.contains(&second) || !self.minutes.contains(&minute) {
            return false;
        }
        let shown = DateTime::from_timestamp(shown, 0).expect("within the years").naive_utc();
        self.hours.contains(&shown.hour()) && self.months.contains(&shown.month()) && self.matches_day(shown.date())
    }

    fn matches_day(&self, day: NaiveDate) -> bool {
        let (of_week, plus) = match self.of_week.strip_prefix('+') {
            Some(of_week) => (of_week, true),
            None => (self.of_week.as_str(), false),
        };
        let one = self.of_month.split(',').any(|item| is_day_of_month(item, day));
        let other = of_week.split(',').any(|item| is_day_of_week(item, day));
        let starred = |field: &str| field.starts_with('*') || field.starts_with('?');
        if plus || starred(&self.of_month) || starred(of_week) { one && other } else { one || other }
    }
}

fn is_day_of_month(item: &str, day: NaiveDate) -> bool {
    match item {
        "L" => month_of(day).next_back() == Some(day),
        "LW" => month_of(day).rfind(|day| is_working_day(*day)) == Some(day),
        _ => match item.strip_suffix('W') {
            // The nearest working day of the month, if the month has such a day.
            Some(number) => day.with_day(number.parse().expect("a day")).is_some_and(|wanted| {
                let working_days = month_of(day).filter(|day| is_working_day(*day));
                working_days.min_by_key(|day| (*day - wanted).num_days().abs()) == Some(day)
            }),
            None => lists(item, day.day(), 1, ""),
        },
    }
}

fn is_day_of_week(item: &str, day: NaiveDate) -> bool {
    let weekday = day.weekday().num_days_from_sunday();
    let listed = |item: &str| lists(item, weekday, 0, WEEKDAYS) || (weekday == 0 && lists(item, 7, 0, WEEKDAYS));
    let same: Vec<_> = month_of(day).filter(|other| other.weekday() == day.weekday()).collect();
    match item.split_once('#').or_else(|| item.strip_suffix('L').map(|weekday| (weekday, "L"))) {
        Some((item, "L")) => listed(item) && same.last() == Some(&day),
        Some((item, nth)) => listed(item) && same.get(nth.parse::<usize>().expect("a number") - 1) == Some(&day),
        None => listed(item),
    }
}
