//! What a cron's text says: the fields of an expression, a nickname, or an interval.

use std::time::Duration;

use super::fields;
use super::search::Calendar;
use crate::model::limits::{CRON_BYTES_MAX, CRON_INTERVAL_MIN, DURATION_MAX};
use crate::model::{Invalid, format_duration, parse_duration};

/// A parsed text.
#[derive(Clone, Debug)]
pub(super) enum Expression {
    /// At named times of the day, or at each match of a pattern.
    Calendar(Box<Calendar>),
    /// Each time this much has passed since the anchor.
    Every(Duration),
}

/// The nicknames, and what they stand for.
const NICKNAMES: [(&str, &str); 7] = [
    ("@yearly", "0 0 1 1 *"),
    ("@annually", "0 0 1 1 *"),
    ("@monthly", "0 0 1 * *"),
    ("@weekly", "0 0 * * 0"),
    ("@daily", "0 0 * * *"),
    ("@midnight", "0 0 * * *"),
    ("@hourly", "0 * * * *"),
];

/// Parses `text`; `field` names it in the error.
pub(super) fn parse(text: &str, field: &str) -> Result<Expression, Invalid> {
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
    let fields = match NICKNAMES.iter().find(|(nickname, _)| *nickname == text) {
        Some((_, fields)) => fields,
        None if text.starts_with('@') => return Err(refused(unknown_nickname(text))),
        None => text,
    };
    let parts: Vec<&str> = fields.split_whitespace().collect();
    if !(5..=6).contains(&parts.len()) {
        return Err(refused(format!(
            "{} fields; there are five (minute, hour, day of month, month, day of week), or six with the second before them",
            parts.len()
        )));
    }
    let fields = fields::read(&parts).map_err(refused)?;
    Ok(Expression::Calendar(Box::new(Calendar {
        days: fields.days,
        seconds: fields.seconds,
        minutes: fields.minutes,
        hours: fields.hours,
        fixed: fields.names_its_times,
    })))
}

fn unknown_nickname(text: &str) -> String {
    let lower = text.to_lowercase();
    if lower == "@reboot" {
        return "a start of the host is no time; schedule a run when your program starts instead".into();
    }
    let known = NICKNAMES.iter().any(|(nickname, _)| *nickname == lower) || lower.strip_prefix("@every").is_some();
    if known && lower != text {
        return format!("nicknames are in lower case: write {lower}");
    }
    "one of @yearly, @monthly, @weekly, @daily, @hourly, @every 90s, or five or six fields".into()
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
            ("0 0 * * *#1", "field 5"),
            ("0 0 * * 1-5L", "field 5"),
            ("? * * * *", "field 1"),
            ("0 0 0 * *", "field 3"),
            ("60 * * * *", "field 1"),
            ("0 99999999999 * * *", "field 2"),
            ("1,,2 * * * *", "field 1"),
            ("*/0 * * * *", "field 1"),
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
            "0 0 ?,5 * ?",
            "0 0 L,LW,1W,31 * */2",
            "0 */60 * * *",
            "0 0 * * SAT-SUN",
            "0 0 * * 0-7",
            " @daily ",
            "@every 90s",
        ] {
            assert_eq!(of(text), "sound", "{text}");
        }
    }

    #[test]
    fn a_refusal_says_what_to_write() {
        for (text, advice) in [
            ("0 22-2 * * *", "write 22-23,0-2"),
            ("0 22-2/2 * * *", "write 22-23/2,0-2/2"),
            ("0 23-1/3 * * *", "write 23-23/3"),
            ("0 0 * * 5-1#2", "write 5-6#2,0-1#2"),
            ("0 0 * * 7-2/2", "write 0-2/2"),
            ("0 0 * * FRI-MON", "write FRI-SAT,SUN-MON"),
            ("0 0 * * 5-1", "write 5-6,0-1"),
            ("0 0 * * 7-2", "write 0-2"),
            ("0 0 * NOV-JAN *", "write NOV-DEC,JAN"),
            ("0 0 28-3 * *", "write 28-31,1-3"),
            ("5/15 * * * *", "write 5-59/15"),
            ("0 3/4 * * *", "write 3-23/4"),
            ("0 0 * * 1/2", "write 1-6/2"),
            ("/5 * * * *", "write */5"),
            ("? * * * *", "write *"),
            ("@Daily", "write @daily"),
            ("@EVERY 90S", "write @every 90s"),
            ("@dialy", "or five or six fields"),
            ("61 * * * *", "61 is out of range, 0 to 59"),
        ] {
            let refused = parse(text, "expression").unwrap_err();
            assert!(refused.reason.ends_with(advice), "{text}: {}", refused.reason);
        }
    }
}
