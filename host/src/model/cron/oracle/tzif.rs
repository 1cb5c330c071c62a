//! Reads compiled time zones (RFC 9636): what the clocks of a zone show, by its transitions and by the rule at its end.

use chrono::{Datelike, NaiveDate};
use fastrand::Rng;

/// A zone: each change with the offset from then on, and the rule for what comes after the last.
pub(super) struct Clocks {
    first: i64,
    changes: Vec<(i64, i64)>,
    rule: Rule,
}

/// The offset outside of daylight saving time; with it, the one of daylight saving time with its beginning and its end.
struct Rule {
    standard: i64,
    daylight: Option<(i64, String, String)>,
}

fn big_endian(bytes: &[u8]) -> i64 {
    let unsigned = bytes.iter().fold(0u64, |value, byte| value << 8 | u64::from(*byte));
    if bytes.len() == 4 { i64::from(unsigned as u32 as i32) } else { unsigned as i64 }
}

impl Clocks {
    pub(super) fn read(tzif: &[u8]) -> Self {
        let counts = |at: usize| -> [usize; 6] { std::array::from_fn(|place| big_endian(&tzif[at + 20 + 4 * place..][..4]) as usize) };
        let [utc, standard, leap, times, types, letters] = counts(0);
        // The first block has times of 32 bits, which the second repeats with 64.
        let second = 44 + times * 5 + types * 6 + letters + leap * 8 + standard + utc;
        let [utc, standard, leap, times, types, letters] = counts(second);
        let at = second + 44;
        let kinds = at + times * 9;
        let offset = |kind: usize| big_endian(&tzif[kinds + kind * 6..][..4]);
        let change = |place: usize| (big_endian(&tzif[at + place * 8..][..8]), offset(tzif[at + times * 8 + place].into()));
        let end = kinds + types * 6 + letters + leap * 12 + standard + utc;
        let footer = std::str::from_utf8(&tzif[end..]).expect("a rule").trim_matches('\n');
        Self { first: offset(0), changes: (0..times).map(change).collect(), rule: Rule::read(footer) }
    }

    /// Seconds ahead of UTC at `at`, and the first second for which that must be asked again.
    pub(super) fn stretch(&self, at: i64) -> (i64, i64) {
        let passed = self.changes.iter().filter(|(change, _)| *change <= at).count();
        match (passed, self.changes.get(passed)) {
            (0, Some((until, _))) => (self.first, *until),
            (_, Some((until, _))) => (self.changes[passed - 1].1, *until),
            (0, None) if self.rule.daylight.is_none() => (self.rule.standard, i64::MAX),
            (_, None) => self.rule.stretch(at),
        }
    }

    pub(super) fn offset(&self, at: i64) -> i64 {
        self.stretch(at).0
    }

    /// A change since 1970: one that is written out, or one by the rule, up to the year 2200 and sometimes much later.
    pub(super) fn some_change(&self, random: &mut Rng) -> i64 {
        let written: Vec<_> = self.changes.iter().map(|(change, _)| *change).filter(|change| *change > 0).collect();
        let by_rule = self.rule.daylight.is_some() && random.u8(..3) == 0;
        if by_rule || written.is_empty() {
            let year = if random.u8(..10) == 0 { random.i32(2200..9990) } else { random.i32(2026..2200) };
            let changes = self.rule.changes(year);
            return changes.get(random.usize(..2)).map_or(1_800_000_000, |(change, _)| *change);
        }
        // Half of them among the latest.
        let from = if random.bool() { written.len().saturating_sub(12) } else { 0 };
        written[random.usize(from..written.len())]
    }
}

impl Rule {
    /// Reads a text such as `CET-1CEST,M3.5.0,M10.5.0/3`.
    fn read(text: &str) -> Self {
        let mut parts = text.split(',');
        let names = parts.next().expect("names and offsets");
        // Names are letters, or anything in angle brackets.
        let (standard, rest) = offset_after_name(names);
        let standard = -standard.expect("an offset");
        let daylight = parts.next().zip(parts.next()).map(|(begin, end)| {
            let (offset, _) = offset_after_name(rest);
            (offset.map_or(standard + 3600, |offset| -offset), begin.to_owned(), end.to_owned())
        });
        Self { standard, daylight }
    }

    /// The changes that the rule puts in a year, each with the offset from then on. An end comes before a beginning at the same time.
    fn changes(&self, year: i32) -> Vec<(i64, i64)> {
        let Some((daylight, begin, end)) = &self.daylight else { return Vec::new() };
        vec![(moment(end, year) - daylight, self.standard), (moment(begin, year) - self.standard, *daylight)]
    }

    fn stretch(&self, at: i64) -> (i64, i64) {
        let year = chrono::DateTime::from_timestamp(at, 0).expect("within the years").year();
        let mut changes: Vec<_> = (year - 2..=year + 2).flat_map(|year| self.changes(year)).collect();
        // Keeps the order of those at the same time.
        changes.sort_by_key(|(change, _)| *change);
        let offset = changes.iter().rev().find(|(change, _)| *change <= at).map_or(self.standard, |(_, offset)| *offset);
        (offset, changes.iter().map(|(change, _)| *change).find(|change| *change > at).unwrap_or(i64::MAX))
    }
}

/// The offset after the name with which a text begins, in seconds west of Greenwich, and the text after it.
fn offset_after_name(text: &str) -> (Option<i64>, &str) {
    let name = match text.strip_prefix('<') {
        Some(quoted) => quoted.find('>').expect("a bracket") + 2,
        None => text.find(|c: char| !c.is_ascii_alphabetic()).unwrap_or(text.len()),
    };
    let text = &text[name..];
    let end = text.find(|c: char| !(c.is_ascii_digit() || "+-:".contains(c))).unwrap_or(text.len());
    ((end > 0).then(|| seconds(&text[..end])), &text[end..])
}

/// `2`, `-3:30` or `167`, in seconds.
fn seconds(text: &str) -> i64 {
    let unsigned = text.trim_start_matches(['+', '-']);
    let sum = unsigned.split(':').zip([3600, 60, 1]).map(|(part, unit)| part.parse::<i64>().expect("a number") * unit).sum::<i64>();
    if text.starts_with('-') { -sum } else { sum }
}

/// What clocks show, before the change, at a date and time such as `M3.5.0/2`, `J60` or `59/0`.
fn moment(text: &str, year: i32) -> i64 {
    let (date, time) = text.split_once('/').unwrap_or((text, "2"));
    let first = |month: u32| NaiveDate::from_ymd_opt(year, month, 1).expect("a month");
    let date = if let Some(rule) = date.strip_prefix('M') {
        let parts: Vec<u32> = rule.split('.').map(|part| part.parse().expect("a number")).collect();
        let days = first(parts[0]).iter_days().take_while(|day| day.month() == parts[0]);
        let days: Vec<_> = days.filter(|day| day.weekday().num_days_from_sunday() == parts[2]).collect();
        days[(parts[1] as usize).min(days.len()) - 1]
    } else if let Some(day) = date.strip_prefix('J') {
        // The 29th of February does not count.
        let common = NaiveDate::from_yo_opt(2001, day.parse().expect("a day")).expect("a day");
        NaiveDate::from_ymd_opt(year, common.month(), common.day()).expect("a day")
    } else {
        first(1) + chrono::Days::new(date.parse().expect("a day"))
    };
    date.and_hms_opt(0, 0, 0).expect("midnight").and_utc().timestamp() + seconds(time)
}
