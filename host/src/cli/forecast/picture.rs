//! Draws a forecast: bars for a few hours, a map of days and hours for more. Fits the terminal.

use std::collections::HashMap;
use std::time::Duration;

use crate::http::shapes::Forecast;
use crate::model::{Timestamp, hour_of};

const HOUR: Duration = Duration::from_secs(3600);
/// Up to so many hours each has a bar of its own.
const BARS_MAX: u64 = 48;
/// Columns of a bar where the output has no width.
const BAR_COLUMNS: usize = 40;
/// From nothing to the most.
const SHADES: [char; 5] = ['·', '░', '▒', '▓', '█'];

/// How a day is laid out.
struct Layout {
    /// The columns that it needs.
    columns: usize,
    /// How the day is written.
    label: &'static str,
    /// Columns of a cell.
    cell: usize,
    /// Hours that share a cell.
    hours: usize,
    /// Whether the day's sum stands at the end.
    sum: bool,
}

/// The widest that fits is taken; the last one fits everywhere.
const LAYOUTS: [Layout; 4] = [
    Layout { columns: 72, label: "%a %Y-%m-%d", cell: 2, hours: 1, sum: true },
    Layout { columns: 48, label: "%a %Y-%m-%d", cell: 1, hours: 1, sum: true },
    Layout { columns: 30, label: "%m-%d", cell: 1, hours: 1, sum: false },
    Layout { columns: 18, label: "%m-%d", cell: 1, hours: 2, sum: false },
];

/// The lines of the picture.
pub(super) fn picture(forecast: &Forecast, width: Option<usize>) -> Vec<String> {
    let counts: HashMap<Timestamp, u64> = forecast.hours.iter().map(|hour| (hour.hour, hour.runs + hour.crons)).collect();
    let hours = forecast.until.since(hour_of(forecast.from)).as_secs().div_ceil(HOUR.as_secs());
    if hours <= BARS_MAX { bars(forecast, &counts, hours, width) } else { map(forecast, &counts, width) }
}

fn bars(forecast: &Forecast, counts: &HashMap<Timestamp, u64>, hours: u64, width: Option<usize>) -> Vec<String> {
    let most = counts.values().copied().max().unwrap_or(0);
    let digits = most.to_string().len();
    // "2027-03-14 15:00Z" and a gap on both sides of the count; without the date where that is too much.
    let label = if width.is_some_and(|width| width < 40) { "%H:%MZ" } else { "%Y-%m-%d %H:%MZ" };
    let label_columns = if label.len() > 8 { 17 } else { 6 };
    let room = width.map_or(BAR_COLUMNS, |width| width.saturating_sub(label_columns + digits + 4).max(1)) as u64;
    let first = hour_of(forecast.from);
    let line = |index: u64| {
        let hour = first.saturating_add(HOUR * index as u32);
        let count = counts.get(&hour).copied().unwrap_or(0);
        // What is there is seen, however little it is beside the most.
        let columns = if count == 0 { 0 } else { (count * room / most).max(1) };
        let line = format!("{}  {count:>digits$}  {}", hour.to_chrono().format(label), "█".repeat(columns as usize));
        line.trim_end().to_owned()
    };
    (0..hours).map(line).collect()
}

fn map(forecast: &Forecast, counts: &HashMap<Timestamp, u64>, width: Option<usize>) -> Vec<String> {
    let fits = |layout: &&Layout| width.is_none_or(|width| layout.columns <= width);
    let layout = LAYOUTS.iter().find(fits).unwrap_or(&LAYOUTS[LAYOUTS.len() - 1]);
    let (first, day) = (hour_of(forecast.from), HOUR * 24);
    let start = Timestamp::from_micros(first.as_micros() / day.as_micros() as i64 * day.as_micros() as i64).unwrap_or(first);
    let days: Vec<Timestamp> = (0..).map(|index| start.saturating_add(day * index)).take_while(|day| *day < forecast.until).collect();
    // What each cell of a day holds; `None` outside of the forecast.
    let cells = |day: Timestamp| {
        (0..24 / layout.hours).map(move |cell| {
            let hour = |index: usize| day.saturating_add(HOUR * (cell * layout.hours + index) as u32);
            let inside = (0..layout.hours).map(hour).filter(|hour| (first..forecast.until).contains(hour));
            inside.map(|hour| counts.get(&hour).copied().unwrap_or(0)).reduce(|sum, count| sum + count)
        })
    };
    let most = days.iter().flat_map(|day| cells(*day)).flatten().max().unwrap_or(0);
    let label_columns = start.to_chrono().format(layout.label).to_string().len();
    let mut head = format!("{:label_columns$} ", "");
    for hour in [0, 6, 12, 18] {
        head.push_str(&format!("{:<columns$}", format!("{hour:02}"), columns = 6 / layout.hours * layout.cell));
    }
    let mut lines = vec![head.trim_end().to_owned()];
    for day in days {
        let mut line = format!("{} ", day.to_chrono().format(layout.label));
        for cell in cells(day) {
            let shade = cell.map_or(' ', |count| SHADES[level(count, most)]);
            line.extend(std::iter::repeat_n(shade, layout.cell));
        }
        let sum: u64 = cells(day).flatten().sum();
        if layout.sum && sum > 0 {
            line.push_str(&format!("  {sum}"));
        }
        lines.push(line.trim_end().to_owned());
    }
    lines.push(legend(most, layout.hours));
    lines
}

/// 0 for nothing, then the quarter of `most` that `count` is in.
fn level(count: u64, most: u64) -> usize {
    if count == 0 { 0 } else { (count * 4).div_ceil(most) as usize }
}

fn legend(most: u64, hours: usize) -> String {
    let mut parts = vec![format!("{} none", SHADES[0])];
    for quarter in 1..=4u64 {
        let (low, high) = (most * (quarter - 1) / 4 + 1, most * quarter / 4);
        let range = if low == high { low.to_string() } else { format!("{low}–{high}") };
        parts.extend((low <= high).then(|| format!("{} {range}", SHADES[quarter as usize])));
    }
    let unit = if hours == 1 { "an hour".into() } else { format!("{hours} hours") };
    format!("{}  in {unit}", parts.join("  "))
}

#[cfg(test)]
mod tests {
    use console::measure_text_width;

    use super::*;
    use crate::http::shapes::ForecastHour;

    fn forecast(until: &str, hours: &[(&str, u64)]) -> Forecast {
        let at = |text: &str| Timestamp::parse(text, "time").unwrap();
        let hours = hours.iter().map(|(hour, count)| ForecastHour { hour: at(hour), runs: 1, crons: count - 1 }).collect();
        Forecast { from: at("2027-03-14T15:09:26Z"), until: at(until), cut: None, hours, notes: Vec::new() }
    }

    #[test]
    fn a_few_hours_are_bars() {
        let seen = forecast("2027-03-14T18:00:00Z", &[("2027-03-14T15:00:00Z", 12), ("2027-03-14T17:00:00Z", 1)]);
        assert_eq!(
            picture(&seen, Some(40)),
            ["2027-03-14 15:00Z  12  █████████████████", "2027-03-14 16:00Z   0", "2027-03-14 17:00Z   1  █"]
        );
    }

    #[test]
    fn many_hours_are_a_map() {
        let hours = [("2027-03-14T15:00:00Z", 8), ("2027-03-15T00:00:00Z", 2), ("2027-03-15T06:00:00Z", 5), ("2027-03-16T15:00:00Z", 1)];
        let seen = forecast("2027-03-16T20:00:00Z", &hours);
        assert_eq!(
            picture(&seen, Some(60)),
            [
                "               00    06    12    18",
                "Sun 2027-03-14                █········  8",
                "Mon 2027-03-15 ░·····▓·················  7",
                "Tue 2027-03-16 ···············░····      1",
                "· none  ░ 1–2  ▒ 3–4  ▓ 5–6  █ 7–8  in an hour",
            ]
        );
        assert_eq!(picture(&seen, Some(20))[1..3], ["03-14        █····", "03-15 ░··▓········"]);
    }

    #[test]
    fn it_fits_every_terminal() {
        for until in ["2027-03-15T15:00:00Z", "2027-03-28T15:00:00Z"] {
            let seen = forecast(until, &[("2027-03-14T16:00:00Z", 99_999), ("2027-03-15T01:00:00Z", 1)]);
            for width in 20..120 {
                let map = picture(&seen, Some(width));
                // The legend is text, which a terminal may break.
                let drawn = if until.contains("28") { &map[..map.len() - 1] } else { &map[..] };
                for line in drawn {
                    assert!(measure_text_width(line) <= width, "{width}: {line:?}");
                }
            }
        }
    }
}
