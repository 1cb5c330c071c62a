//! What a cron's text says: the fields of an expression, a nickname, or an interval.
//!
//! `croner` reads the fields and knows which days match; this file refuses what a scheduler must refuse, and names the field.

use std::time::Duration;

use croner::Cron;
use croner::parser::{CronParser, Seconds, Year};

use crate::model::limits::{CRON_BYTES_MAX, CRON_INTERVAL_MIN, DURATION_MAX};
use crate::model::{Invalid, format_duration, parse_duration};

/// A parsed text.
#[derive(Clone, Debug)]
pub(super) enum Expression {
    /// At fixed times of the day, or at each match of a pattern.
    Calendar(Box<Calendar>),
    /// Each time so much has passed since the anchor.
    Every(Duration),
}

/// Days that match, and the times of day on them.
#[derive(Clone, Debug)]
pub(super) struct Calendar {
    pub(super) days: Cron,
    /// Of fixed times: seconds since midnight on the clock on the wall, rising.
    pub(super) times: Vec<u32>,
    /// Whether the text names times, so that each happens once a day whatever the clocks do; otherwise (`*` or a step in
    /// the seconds, minutes or hours) it follows elapsed time.
    pub(super) fixed: bool,
}

/// The fields in their order in six, with the values of each; five leave out the seconds.
const FIELDS: [(&str, &str); 6] = [
    ("second", "0 to 59"),
    ("minute", "0 to 59"),
    ("hour", "0 to 23"),
    ("day of month", "1 to 31 or L"),
    ("month", "1 to 12 or JAN to DEC"),
    ("day of week", "0 to 7 or SUN to SAT"),
];

/// Parses `text`, and refuses what has no meaning although it can be read; `field` names it in the error.
pub(super) fn parse(text: &str, field: &str) -> Result<Expression, Invalid> {
    let expression = restore(text, field)?;
    let parts: Vec<&str> = text.split_whitespace().collect();
    // A nickname and an interval are whole words.
    if parts.len() > 4
        && let Some(index) = (0..parts.len()).find(|index| !has_meaning(parts[*index], index + 6 - parts.len()))
    {
        let reason = named(&parts, index, "no value, range or step, and no list of them");
        return Err(Invalid::new("invalid-cron", field, reason).seen(text));
    }
    Ok(expression)
}

/// Parses what [`parse`] has accepted before, or an older version of it.
pub(super) fn restore(text: &str, field: &str) -> Result<Expression, Invalid> {
    let refused = |reason: String| Invalid::new("invalid-cron", field, reason).seen(text);
    if text.len() > CRON_BYTES_MAX {
        return Err(refused(format!("{} bytes, the limit is {CRON_BYTES_MAX}", text.len())));
    }
    let text = text.trim();
    if let Some(interval) = text.strip_prefix("@every") {
        let every = parse_duration(interval.trim(), field)
            .map_err(|error| refused(format!("@every needs a duration such as 90s: {}", error.reason)))?;
        if !(CRON_INTERVAL_MIN..=DURATION_MAX).contains(&every) || every.subsec_micros() % 1_000_000 != 0 {
            return Err(refused(format!("an interval has whole seconds, at least {}", format_duration(CRON_INTERVAL_MIN))));
        }
        return Ok(Expression::Every(every));
    }
    let fields = match text {
        "@yearly" | "@annually" => "0 0 1 1 *",
        "@monthly" => "0 0 1 * *",
        "@weekly" => "0 0 * * 0",
        "@daily" | "@midnight" => "0 0 * * *",
        "@hourly" => "0 * * * *",
        "@reboot" => return Err(refused("a start of the host is no time; schedule a run when your program starts instead".into())),
        nickname if nickname.starts_with('@') => {
            return Err(refused("one of @yearly, @monthly, @weekly, @daily, @hourly, @every 90s, or five or six fields".into()));
        }
        fields => fields,
    };
    let parts: Vec<&str> = fields.split_whitespace().collect();
    if !(5..=6).contains(&parts.len()) {
        return Err(refused(format!(
            "{} fields; there are five (minute, hour, day of month, month, day of week), or six with the second before them",
            parts.len()
        )));
    }
    let wrong = |index: usize, error: &str| refused(named(&parts, index, error));
    // Croner reads nothing between two commas as nothing: a field without a value would never match, and be searched for all the same.
    if let Some(index) = parts.iter().position(|part| part.split(',').any(str::is_empty)) {
        return Err(wrong(index, "a comma stands between two values"));
    }
    let days = read(&parts).map_err(|error| match culprit(&parts) {
        Some((index, error)) => wrong(index, &error),
        None => refused(error),
    })?;
    let of_the_day = &parts[..parts.len() - 3];
    let fixed = !of_the_day.iter().any(|part| part.contains(['*', '/']));
    let times = if fixed { times(&days) } else { Vec::new() };
    Ok(Expression::Calendar(Box::new(Calendar { days, times, fixed })))
}

/// What is wrong with a field, with its name.
fn named(parts: &[&str], index: usize, error: &str) -> String {
    let (name, values) = FIELDS[index + 6 - parts.len()];
    format!("field {} ({name}, {values}) \"{}\": {error}", index + 1, parts[index])
}

/// Whether a field, by its place among six, has one of the forms that it may have. Croner replaces names wherever they stand and looks for letters
/// anywhere, so that it reads `JANFEB` as the twelfth month and `15WW` as `15W`.
fn has_meaning(part: &str, place: usize) -> bool {
    const MONTHS: [&str; 12] = ["JAN", "FEB", "MAR", "APR", "MAY", "JUN", "JUL", "AUG", "SEP", "OCT", "NOV", "DEC"];
    const DAYS: [&str; 7] = ["SUN", "MON", "TUE", "WED", "THU", "FRI", "SAT"];
    let (is_day_of_month, is_day_of_week) = (place == 3, place == 5);
    let names: &[&str] = match place {
        4 => &MONTHS,
        5 => &DAYS,
        _ => &[],
    };
    let is_number = |text: &str| !text.is_empty() && text.bytes().all(|byte| byte.is_ascii_digit());
    let is_value = |text: &str| is_number(text) || names.contains(&text);
    let is_range = |text: &str| text.split_once('-').is_some_and(|(from, to)| is_value(from) && is_value(to));
    let is_step = |text: &str| text.split_once('/').is_some_and(|(of, step)| (of == "*" || is_range(of)) && is_number(step));
    let is_plain = |text: &str| is_value(text) || is_range(text) || is_step(text);
    let is_any = |text: &str| text == "*" || (text == "?" && (is_day_of_month || is_day_of_week));
    let is_nearest = |text: &str| text == "L" || text == "LW" || text.strip_suffix('W').is_some_and(is_number);
    let is_nth = |text: &str| match text.split_once('#') {
        Some((days, nth)) => is_plain(days) && ["1", "2", "3", "4", "5", "L"].contains(&nth),
        None => text.strip_suffix('L').is_some_and(is_value),
    };
    let upper = part.to_uppercase();
    // Before the days of the week a plus says that those of the month must match, too.
    let items = if is_day_of_week { upper.strip_prefix('+').unwrap_or(&upper) } else { &upper };
    items.split(',').all(|item| is_any(item) || is_plain(item) || (is_day_of_month && is_nearest(item)) || (is_day_of_week && is_nth(item)))
}

/// Every time of the day that is named.
fn times(days: &Cron) -> Vec<u32> {
    let (seconds, minutes, hours) = (days.pattern.seconds.values(), days.pattern.minutes.values(), days.pattern.hours.values());
    let mut times = Vec::with_capacity(seconds.len() * minutes.len() * hours.len());
    for hour in hours {
        for minute in &minutes {
            times.extend(seconds.iter().map(|second| u32::from(hour) * 3600 + u32::from(*minute) * 60 + u32::from(*second)));
        }
    }
    times
}

fn read(parts: &[&str]) -> Result<Cron, String> {
    let parser = CronParser::builder().seconds(Seconds::Optional).year(Year::Disallowed).build();
    parser.parse(&parts.join(" ")).map_err(|error| {
        // Its parts are croner's own matter; which field it is, is said by ours.
        let error = error.to_string();
        let error = error.trim_start_matches("Component error: ").trim_end_matches('.');
        error.chars().next().map_or(String::new(), |first| first.to_lowercase().collect::<String>() + &error[first.len_utf8()..])
    })
}

/// The first field that can't be read by itself, and why.
fn culprit(parts: &[&str]) -> Option<(usize, String)> {
    (0..parts.len()).find_map(|index| {
        let mut alone = vec!["*"; parts.len()];
        alone[index] = parts[index];
        read(&alone).err().map(|error| (index, error))
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The verdict on an expression: `sound`, or the number of the field that is wrong.
    fn of(text: &str) -> String {
        match parse(text, "expression") {
            Ok(_) => "sound".into(),
            Err(refused) => refused.reason.split([' ', '(']).take(2).collect::<Vec<_>>().join(" "),
        }
    }

    #[test]
    fn what_means_nothing_is_refused_with_its_field() {
        for (text, field) in [
            ("0 0 15WW * *", "field 3"),
            ("0 0 15W5 * *", "field 3"),
            ("0 0 LW5 * *", "field 3"),
            ("0 0 LWW * *", "field 3"),
            ("0 0 LL * *", "field 3"),
            ("0 0 1,15WW * *", "field 3"),
            ("0 0 MON * *", "field 3"),
            ("0 0 * JANFEB *", "field 4"),
            ("0 0 * JAN2 *", "field 4"),
            ("0 0 * 1JAN *", "field 4"),
            ("0 0 * MON *", "field 4"),
            ("0 0 * * 1LL", "field 5"),
            ("0 0 * * L", "field 5"),
            ("0 0 * * MONTUE", "field 5"),
            ("0 0 * * JAN", "field 5"),
            ("0 0 * * 1#2L", "field 5"),
            ("0 0 1 * L", "field 5"),
            ("JAN * * * *", "field 1"),
            ("0 SUN * * * *", "field 2"),
            ("0 0 0 * * 1LL", "field 6"),
        ] {
            assert_eq!(of(text), field, "{text}");
        }
    }

    #[test]
    fn what_means_something_is_not() {
        for text in [
            "*/5 * * * *",
            "0 0-30/10 1,2,5-9 * * *",
            "0 0 L * *",
            "0 0 LW * *",
            "0 0 15W,L * *",
            "0 0 ? * mon-fri",
            "0 0 * jan,MAR-jun,OCT-12 *",
            "0 0 * */3 FRI-SUN",
            "0 0 * * 5L",
            "0 0 * * FRIL,MON#2,SUN#L,1-5#1",
            "0 0 13 * +FRI",
            "0 0 1 JAN ?",
            " @daily ",
            "@every 90s",
        ] {
            assert_eq!(of(text), "sound", "{text}");
        }
    }
}
