//! Reads the fields of a calendar expression: which values each one names.
//!
//! The grammar is that of cronie with `L`, `W`, `#`, and `?`. Whatever it does not cover is refused, with the text that was probably meant.

use super::days::Days;

/// The values of a field as bits, and what else its text says.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct Values {
    pub(super) bits: u64,
    /// Whether the text begins with `*` or `?`: such a day field does not restrict the days by itself.
    pub(super) begins_with_star: bool,
}

/// A kind of field.
struct Field {
    name: &'static str,
    /// Its values in words.
    values: &'static str,
    least: u32,
    most: u32,
    /// Names of the values, from `least` on.
    names: &'static [&'static str],
}

const MONTHS: [&str; 12] = ["JAN", "FEB", "MAR", "APR", "MAY", "JUN", "JUL", "AUG", "SEP", "OCT", "NOV", "DEC"];
const WEEKDAYS: [&str; 7] = ["SUN", "MON", "TUE", "WED", "THU", "FRI", "SAT"];

const SECOND: Field = Field { name: "second", values: "0 to 59", least: 0, most: 59, names: &[] };
const MINUTE: Field = Field { name: "minute", values: "0 to 59", least: 0, most: 59, names: &[] };
const HOUR: Field = Field { name: "hour", values: "0 to 23", least: 0, most: 23, names: &[] };
const DAY_OF_MONTH: Field = Field { name: "day of month", values: "1 to 31 or L", least: 1, most: 31, names: &[] };
const MONTH: Field = Field { name: "month", values: "1 to 12 or JAN to DEC", least: 1, most: 12, names: &MONTHS };
const DAY_OF_WEEK: Field = Field { name: "day of week", values: "0 to 7 or SUN to SAT", least: 0, most: 7, names: &WEEKDAYS };

/// What the fields of an expression name.
#[derive(Clone, Debug)]
pub(super) struct Fields {
    pub(super) seconds: u64,
    pub(super) minutes: u64,
    pub(super) hours: u64,
    pub(super) days: Days,
    /// Whether second, minute and hour have neither `*` nor a step.
    pub(super) names_its_times: bool,
}

/// Reads five or six fields. An error says which field is wrong, and why.
pub(super) fn read(parts: &[&str]) -> Result<Fields, String> {
    let first = 6 - parts.len();
    let read = |field: &Field, place: usize, item: &mut dyn FnMut(&Field, &str) -> Result<u64, String>| {
        let index = place - first;
        let part = parts[index];
        values(field, part, item).map_err(|reason| format!("field {} ({}, {}) \"{part}\": {reason}", index + 1, field.name, field.values))
    };
    let seconds = if first == 0 { read(&SECOND, 0, &mut plain)?.bits } else { 1 };
    let minutes = read(&MINUTE, 1, &mut plain)?.bits;
    let hours = read(&HOUR, 2, &mut plain)?.bits;
    let mut days = Days::default();
    let of_month = read(&DAY_OF_MONTH, 3, &mut |field, item| day_of_month(&mut days, field, item))?;
    days.months = read(&MONTH, 4, &mut plain)?.bits;
    let of_week = read(&DAY_OF_WEEK, 5, &mut |field, item| day_of_week(&mut days, field, item))?;
    days.of_month = of_month.bits;
    days.of_week = sunday_is_zero(of_week.bits);
    // Before the days of the week a plus says that those of the month must match, too.
    days.both = of_month.begins_with_star || of_week.begins_with_star || parts[5 - first].starts_with('+');
    let names_its_times = !parts[..3 - first].iter().any(|part| part.contains(['*', '/']));
    Ok(Fields { seconds, minutes, hours, days, names_its_times })
}

/// Seven is another name of Sunday.
fn sunday_is_zero(bits: u64) -> u64 {
    bits & 0x7f | bits >> 7 & 1
}

/// The values of a field's text; `item` reads what stands between two commas.
fn values(field: &Field, part: &str, item: &mut dyn FnMut(&Field, &str) -> Result<u64, String>) -> Result<Values, String> {
    let text = part.to_ascii_uppercase();
    let items = if field.name == DAY_OF_WEEK.name { text.strip_prefix('+').unwrap_or(&text) } else { &text };
    let mut bits = 0;
    for text in items.split(',') {
        if text.is_empty() {
            return Err("a comma stands between two values".into());
        }
        bits |= item(field, text)?;
    }
    Ok(Values { bits, begins_with_star: items.starts_with(['*', '?']) })
}

/// `*`, a value, a range or a step.
fn plain(field: &Field, item: &str) -> Result<u64, String> {
    if item == "*" {
        return Ok(range(field.least, field.most, 1));
    }
    if item == "?" {
        return Err("? means any day and is for the day fields; write *".into());
    }
    let (of, step) = match item.split_once('/') {
        None => (item, 1),
        Some((of, step)) => match number(step) {
            Some(0) => return Err("a step is at least 1".into()),
            Some(step) => (of, step),
            None => return Err(not_understood(field)),
        },
    };
    if of == "*" {
        return Ok(range(field.least, field.most, step));
    }
    if of.is_empty() {
        return Err(match item.contains('/') {
            true => format!("a step needs values to step through: write *{item}"),
            false => not_understood(field),
        });
    }
    let Some((from, to)) = of.split_once('-') else {
        let value = value(field, of)?;
        return if item.contains('/') { Err(format!("a step needs a range: write {of}-{}/{step}", last(field))) } else { Ok(1 << value) };
    };
    let from_value = value(field, from)?;
    let to_value = match value(field, to)? {
        // A range that ends on a Sunday ends the week.
        0 if field.most == 7 && to == "SUN" && from_value > 0 => 7,
        to => to,
    };
    if from_value > to_value {
        return Err(format!("the range goes backwards: write {}", unwrapped(field, (from, from_value), (to, to_value), step)));
    }
    Ok(range(from_value, to_value, step))
}

/// Those between `from` and `to`, both of them possible, in these steps.
fn range(from: u32, to: u32, step: u32) -> u64 {
    (from..=to).step_by(step as usize).fold(0, |bits, value| bits | 1 << value)
}

/// The greatest value of a field, Sunday not counted twice.
fn last(field: &Field) -> u32 {
    if field.most == 7 { 6 } else { field.most }
}

/// A range that goes past the end of its field and on from the beginning, as a list without such a range.
fn unwrapped(field: &Field, from: (&str, u32), to: (&str, u32), step: u32) -> String {
    if step > 1 {
        // In two ranges, so that it stays a rule with a step.
        let (most, count) = (last(field), last(field) - field.least + 1);
        if from.1 > most {
            return format!("{}-{}/{step}", field.least, to.1);
        }
        let first = (from.1..).step_by(step as usize).find(|value| *value > most).expect("steps go on") - count;
        let head = format!("{}-{most}/{step}", from.1);
        return if first > to.1 { head } else { format!("{head},{first}-{}/{step}", to.1) };
    }
    let by_name = [from.0, to.0].iter().any(|text| number(text).is_none());
    let word = |value: u32| match field.names.get((value - field.least) as usize) {
        Some(name) if by_name => (*name).to_owned(),
        _ => value.to_string(),
    };
    let span = |from: u32, to: u32| if from == to { word(from) } else { format!("{}-{}", word(from), word(to)) };
    // 7 is a Sunday, with which the week begins.
    if from.1 > last(field) { span(field.least, to.1) } else { format!("{},{}", span(from.1, last(field)), span(field.least, to.1)) }
}

fn number(text: &str) -> Option<u32> {
    let is_number = !text.is_empty() && text.bytes().all(|byte| byte.is_ascii_digit());
    // What is longer than any number here is out of range, whatever it is.
    is_number.then(|| text.parse().unwrap_or(u32::MAX))
}

fn value(field: &Field, text: &str) -> Result<u32, String> {
    if let Some(place) = field.names.iter().position(|name| *name == text) {
        return Ok(field.least + place as u32);
    }
    match number(text) {
        Some(value) if (field.least..=field.most).contains(&value) => Ok(value),
        Some(_) => Err(format!("{text} is out of range, {} to {}", field.least, field.most)),
        None => Err(not_understood(field)),
    }
}

fn not_understood(field: &Field) -> String {
    let example = match field.name {
        name if name == DAY_OF_MONTH.name => "1, 1-15, */2, 1,15, L, LW or 15W",
        name if name == MONTH.name => "1, JAN-MAR, */3 or JAN,JUL",
        name if name == DAY_OF_WEEK.name => "1, MON-FRI, 1,5, MON#2 or FRI#L",
        name if name == HOUR.name => "9, 9-17, */2 or 9,17",
        _ => "5, 0-30, */5 or 0,30",
    };
    format!("neither a value, a range, a step, nor a list of them, such as {example}")
}

/// As [`plain`], and `?`, `L`, `LW` and `15W`.
fn day_of_month(days: &mut Days, field: &Field, item: &str) -> Result<u64, String> {
    match (item, item.strip_suffix('W')) {
        ("?", _) => return plain(field, "*"),
        ("L", _) => days.last = true,
        ("LW", _) => days.last_working_day = true,
        (_, Some(day)) if number(day).is_some() => days.nearest_working_days |= 1 << value(field, day)?,
        _ => return plain(field, item),
    }
    Ok(0)
}

/// As [`plain`], and `?`, `MON#2`, `FRI#L` and `5L`.
fn day_of_week(days: &mut Days, field: &Field, item: &str) -> Result<u64, String> {
    if item == "?" {
        return plain(field, "*");
    }
    let (weekdays, which) = match item.split_once('#') {
        Some((weekdays, which)) if weekdays != "*" => (weekdays, which),
        Some(_) => return Err(not_understood(field)),
        None => match item.strip_suffix('L') {
            Some(weekday) => (weekday, "L"),
            None => return plain(field, item),
        },
    };
    if !item.contains('#') {
        // `5L` names one day only.
        value(field, weekdays)?;
    }
    // A rewrite of the days alone would leave out which of the month is meant.
    let bits = plain(field, weekdays).map_err(|reason| match reason.split_once(": write ") {
        Some((reason, days)) if item.contains('#') => {
            format!("{reason}: write {}", days.split(',').map(|days| format!("{days}#{which}")).collect::<Vec<_>>().join(","))
        }
        _ => reason,
    })?;
    let bits = sunday_is_zero(bits);
    match which {
        "L" => days.last_of_week |= bits,
        "1" | "2" | "3" | "4" | "5" => days.nth_of_week[usize::from(which.as_bytes()[0] - b'1')] |= bits,
        _ => return Err("after # stands which one of the month: 1 to 5, or L for the last".into()),
    }
    Ok(0)
}
