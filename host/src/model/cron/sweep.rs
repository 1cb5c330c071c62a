//! Crons against an oracle that shares nothing with them: it walks the minutes of a zone's clock one by one.
//!
//! All zones of the database, every change of their clocks from 2020 to 2035, 40 shapes of crons. Zones whose clocks change alike share one walk,
//! except in the test that is ignored unless it is asked for: `cargo test --lib -- --ignored sweep`.

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use chrono::{DateTime, Datelike, NaiveDateTime, Offset, TimeDelta, TimeZone, Timelike, Utc};
use chrono_tz::{TZ_VARIANTS, Tz};

use super::CronRule;
use crate::model::Timestamp;

/// Minute, hour, day of month, month and day of week, as sets to look a time up in.
struct Shape {
    text: &'static str,
    minutes: Vec<u32>,
    hours: Vec<u32>,
    day: fn(NaiveDateTime) -> bool,
    fixed: bool,
}

fn shapes() -> Vec<Shape> {
    let every_day: fn(NaiveDateTime) -> bool = |_| true;
    let all = |to: u32| (0..to).collect::<Vec<_>>();
    let step = |from: u32, to: u32, by: usize| (from..to).step_by(by).collect::<Vec<_>>();
    let mut shapes = Vec::new();
    let mut add = |text, minutes: Vec<u32>, hours: Vec<u32>, day, fixed| shapes.push(Shape { text, minutes, hours, day, fixed });
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

/// When the oracle says that `shape` fires between two instants, given what the clock shows at each minute.
fn walk(shape: &Shape, clock: &[(DateTime<Utc>, NaiveDateTime)]) -> Vec<DateTime<Utc>> {
    let matches =
        |local: NaiveDateTime| shape.minutes.contains(&local.minute()) && shape.hours.contains(&local.hour()) && (shape.day)(local);
    let mut fires = BTreeSet::new();
    if !shape.fixed {
        fires.extend(clock.iter().filter(|(_, local)| matches(*local)).map(|(utc, _)| *utc));
        return fires.into_iter().collect();
    }
    let mut shown = BTreeSet::new();
    let mut latest = clock[0].1;
    shown.insert(latest);
    for pair in clock.windows(2) {
        let [(_, before), (utc, local)] = pair else { unreachable!() };
        let mut skipped = *before + TimeDelta::minutes(1);
        // What the clock jumps over happens when it has jumped.
        while skipped < *local {
            if skipped > latest && matches(skipped) {
                fires.insert(*utc);
            }
            skipped += TimeDelta::minutes(1);
        }
        // What it shows again has happened.
        if shown.insert(*local) && matches(*local) {
            fires.insert(*utc);
        }
        latest = latest.max(*local);
    }
    fires.into_iter().collect()
}

/// Days on which the clock of `zone` changes, from 2020 to 2035, each with its offsets.
fn changes(zone: Tz) -> Vec<(DateTime<Utc>, i32, i32)> {
    let offset = |at: DateTime<Utc>| zone.offset_from_utc_datetime(&at.naive_utc()).fix().local_minus_utc();
    let mut at = Utc.with_ymd_and_hms(2020, 1, 1, 0, 0, 0).unwrap();
    let end = Utc.with_ymd_and_hms(2036, 1, 1, 0, 0, 0).unwrap();
    let mut found = Vec::new();
    let mut before = offset(at);
    while at < end {
        let next = at + TimeDelta::days(1);
        let after = offset(next);
        if after != before {
            let (mut low, mut high) = (at, next);
            while high - low > TimeDelta::minutes(1) {
                let middle = low + TimeDelta::minutes((high - low).num_minutes() / 2);
                if offset(middle) == before { low = middle } else { high = middle }
            }
            found.push((high, before, after));
            before = after;
        }
        at = next;
    }
    found
}

/// Compares the rules of all shapes with the oracle, around `at` on the clocks of `zone`.
fn compare(shapes: &[Shape], zone: Tz, at: DateTime<Utc>) {
    let clock_of = |around: TimeDelta| -> Vec<_> {
        (0..=(around * 2).num_minutes())
            .map(|minute| at - around + TimeDelta::minutes(minute))
            .map(|utc| (utc, zone.from_utc_datetime(&utc.naive_utc()).naive_local()))
            .collect()
    };
    // A pattern of many minutes tells in a few hours what it does; one of the day needs the days around.
    let (short, long) = (TimeDelta::hours(3), TimeDelta::hours(26));
    let (short, long) = ((short, clock_of(short)), (long, clock_of(long)));
    for shape in shapes {
        let (around, clock) = if shape.minutes.len() > 2 && !shape.fixed { &short } else { &long };
        let (from, until) = (at - *around, at + *around);
        let expected = walk(shape, clock);
        let rule = CronRule::new(shape.text, zone.name(), Timestamp::MIN, None, Duration::ZERO).unwrap();
        let time = |utc: DateTime<Utc>| Timestamp::try_from(utc).unwrap();
        let found = rule.occurrences(time(from), time(until), usize::MAX);
        let expected: Vec<Timestamp> = expected.into_iter().map(time).filter(|at| *at > time(from)).collect();
        assert_eq!(found, expected, "\"{}\" in {} around {at}", shape.text, zone.name());
    }
}

/// All changes of all clocks, in two halves, because they take long and a machine has two processors.
#[test]
fn all_changes_of_all_clocks_the_first_half() {
    compare_half(0);
}

#[test]
fn all_changes_of_all_clocks_the_second_half() {
    compare_half(1);
}

fn compare_half(half: usize) {
    // What a change does depends on its instant and the two offsets only.
    let mut distinct: BTreeMap<(DateTime<Utc>, i32, i32), Tz> = BTreeMap::new();
    for zone in TZ_VARIANTS {
        for change in changes(zone) {
            distinct.entry(change).or_insert(zone);
        }
    }
    assert!(distinct.len() > 300, "{} changes", distinct.len());
    let shapes = shapes();
    assert_eq!(shapes.len(), 40);
    for ((at, ..), zone) in distinct.into_iter().skip(half).step_by(2) {
        compare(&shapes, zone, at);
    }
}

/// Takes nothing for granted about what two zones have in common: each by its own name, at each change, and on a day without one.
#[test]
#[ignore = "takes long; all_changes_of_all_clocks_… have each change once"]
fn every_zone_at_each_change_of_its_own_clock() {
    let (shapes, ordinary) = (shapes(), Utc.with_ymd_and_hms(2027, 1, 13, 0, 0, 0).unwrap());
    let of_zone = |zone: Tz| changes(zone).into_iter().map(|(at, ..)| at).chain([ordinary]).map(move |at| (zone, at)).collect::<Vec<_>>();
    let cases: Vec<_> = TZ_VARIANTS.into_iter().flat_map(of_zone).collect();
    cases.iter().for_each(|(zone, at)| compare(&shapes, *zone, *at));
    println!("{} zones, {} days with those around them, {} shapes", TZ_VARIANTS.len(), cases.len(), shapes.len());
    assert!(cases.len() > 5_000);
}

#[test]
fn no_text_panics_or_searches_for_long() {
    try_texts(if cfg!(debug_assertions) { 200_000 } else { 1_000_000 });
}

#[test]
#[ignore = "takes a minute unoptimised; no_text_panics_or_searches_for_long has a fifth of it"]
fn no_text_of_a_million_panics_or_searches_for_long() {
    try_texts(1_000_000);
}

fn try_texts(texts: u32) {
    const SOUND: [&str; 9] = ["*", "*/2", "1", "2", "5", "7", "1-5", "2,5", "*"];
    let mut random = fastrand::Rng::with_seed(2026);
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
        if CronRule::new(&text, "Europe/Prague", start, None, Duration::ZERO).is_ok() {
            sound += 1;
        }
        longest = longest.max(before.elapsed());
    }
    assert!(sound > texts / 100, "{sound} sound expressions are too few to mean anything");
    // The goal is 10 ms in a release build on a quiet machine; this bound only tells a bounded search from an endless one.
    assert!(longest < Duration::from_secs(2), "{longest:?}");
}
