//! Single rules and what they must give: each line is a kind of fault that schedulers have had.

use std::time::Duration;

use super::{CronRule, DstNote};
use crate::model::{Timestamp, ZoneDatabase};

fn at(text: &str) -> Timestamp {
    Timestamp::parse(text, "time").unwrap()
}

fn rule(text: &str, zone: &str, start: &str) -> Result<CronRule, crate::model::Invalid> {
    CronRule::new(text, ZoneDatabase::bundled().zone(zone).unwrap(), at(start), None, Duration::ZERO)
}

/// The next occurrences later than `after`, without the parts of the time that are zero.
fn next(text: &str, zone: &str, after: &str, count: usize) -> String {
    let found = rule(text, zone, "1970-01-01T00:00:00Z").unwrap().occurrences(at(after), Timestamp::MAX, count);
    found.iter().map(|at| at.to_string().replace(":00Z", "Z")).collect::<Vec<_>>().join(" ")
}

#[test]
fn occurrences() {
    for (text, zone, after, expected) in [
        // Zones whose clocks were changed in 2026, or that a release of 2025 has wrong.
        ("0 9 * * *", "America/Vancouver", "2026-12-01T00:00:00Z", "2026-12-01T16:00Z 2026-12-02T16:00Z"),
        ("0 9 * * *", "Europe/Dublin", "2026-12-01T00:00:00Z", "2026-12-01T09:00Z 2026-12-02T09:00Z"),
        // Beyond the transitions that are written out, the zone's rule holds.
        ("0 9 1 7 *", "America/New_York", "2038-01-01T00:00:00Z", "2038-07-01T13:00Z 2039-07-01T13:00Z"),
        ("0 9 1 7 *", "America/New_York", "2100-01-01T00:00:00Z", "2100-07-01T13:00Z 2101-07-01T13:00Z"),
        ("0 9 1 1,7 *", "Australia/Lord_Howe", "9998-06-01T00:00:00Z", "9998-06-30T22:30Z 9998-12-31T22:00Z"),
        // Up to the last second of the year 9999.
        ("*/5 * * * *", "UTC", "5000-01-01T00:00:00Z", "5000-01-01T00:05Z 5000-01-01T00:10Z"),
        ("*/5 * * * *", "UTC", "9999-12-31T23:49:00Z", "9999-12-31T23:50Z 9999-12-31T23:55Z"),
        ("59 59 23 31 12 *", "UTC", "9999-01-01T00:00:00Z", "9999-12-31T23:59:59Z"),
        ("* * * * *", "Pacific/Kiritimati", "9999-12-31T23:57:00Z", "9999-12-31T23:58Z 9999-12-31T23:59Z"),
        ("0 0 1 1 *", "Pacific/Kiritimati", "9998-12-31T12:00:00Z", "9999-12-31T10:00Z"),
        ("0 15 1 1 *", "Pacific/Kiritimati", "9999-01-01T12:00:00Z", ""),
        ("0 12 * * *", "America/Los_Angeles", "9999-12-31T00:00:00Z", "9999-12-31T20:00Z"),
        ("0 0 29 2 *", "UTC", "9000-01-01T00:00:00Z", "9004-02-29T00:00Z 9008-02-29T00:00Z"),
        // L and LW are two days.
        ("0 0 L,LW * *", "UTC", "2026-05-01T00:00:00Z", "2026-05-29T00:00Z 2026-05-31T00:00Z"),
        ("0 0 31W,1W * *", "UTC", "2026-07-31T12:00:00Z", "2026-08-03T00:00Z 2026-08-31T00:00Z"),
        // A day field that begins with * does not restrict the days by itself.
        ("0 0 */2 * 1", "UTC", "2026-06-01T12:00:00Z", "2026-06-15T00:00Z 2026-06-29T00:00Z"),
        ("0 0 1 * */2", "UTC", "2026-06-02T00:00:00Z", "2026-08-01T00:00Z 2026-09-01T00:00Z"),
        ("0 0 1,15 * 5", "UTC", "2026-06-01T12:00:00Z", "2026-06-05T00:00Z 2026-06-12T00:00Z"),
        ("0 0 13 * +FRI", "UTC", "2026-06-01T00:00:00Z", "2026-11-13T00:00Z 2027-08-13T00:00Z"),
        ("0 0 1-7,* * 1", "UTC", "2026-06-01T12:00:00Z", "2026-06-02T00:00Z 2026-06-03T00:00Z"),
        // After a day that a zone left out.
        ("* * 31 12 *", "Pacific/Apia", "2011-12-30T09:00:00Z", "2011-12-30T10:00Z 2011-12-30T10:01Z"),
        ("*/30 * 22 8 *", "Pacific/Kwajalein", "1993-08-21T00:00:00Z", "1993-08-21T12:00Z 1993-08-21T12:30Z"),
        ("0 9 30 12 *", "Pacific/Apia", "2011-12-29T20:00:00Z", "2011-12-30T10:00Z 2012-12-29T19:00Z"),
        // A step has no times of its own, also if it steps over one value: nothing in a gap, both in a repeated hour.
        ("30 2-2/1 * * *", "Europe/Prague", "2027-03-27T12:00:00Z", "2027-03-29T00:30Z 2027-03-30T00:30Z"),
        ("30 2 * * *", "Europe/Prague", "2027-03-27T12:00:00Z", "2027-03-28T01:00Z 2027-03-29T00:30Z"),
        ("30-30/5 2 * * *", "Europe/Prague", "2027-10-31T00:00:00Z", "2027-10-31T00:30Z 2027-10-31T01:30Z"),
        ("30 2 * * *", "Europe/Prague", "2027-10-31T00:00:00Z", "2027-10-31T00:30Z 2027-11-01T01:30Z"),
        ("0 2,3 * * *", "Europe/Prague", "2027-03-27T12:00:00Z", "2027-03-28T01:00Z 2027-03-29T00:00Z"),
        // Half an hour, midnight, and a clock that goes back over midnight.
        ("15 2 * * *", "Australia/Lord_Howe", "2026-10-03T00:00:00Z", "2026-10-03T15:30Z 2026-10-04T15:15Z"),
        ("0 0 * * *", "Africa/Cairo", "2026-04-23T12:00:00Z", "2026-04-23T22:00Z 2026-04-24T21:00Z"),
        ("30 23 * * *", "America/Nuuk", "2026-10-24T12:00:00Z", "2026-10-25T00:30Z 2026-10-26T01:30Z"),
        ("*/30 23 * * *", "America/Nuuk", "2026-10-25T00:00:00Z", "2026-10-25T00:30Z 2026-10-25T01:00Z"),
    ] {
        assert_eq!(next(text, zone, after, 2), expected, "{text} in {zone} after {after}");
    }
}

#[test]
fn rules_that_never_fire_are_refused_with_the_reason() {
    for (text, zone, reason) in [
        ("0 0 30 2 *", "UTC", "no day of the calendar ever matches it"),
        ("0 0 31W 2 *", "UTC", "no day of the calendar ever matches it"),
        ("0 0 */31 2 MON#5", "UTC", "no day of the calendar ever matches it"),
        ("*/15 2 * 3 SUN#L", "Europe/Prague", "the clocks of its time zone skip all its times"),
        ("0 2-2/1 8-14 3 +SUN", "America/New_York", "the clocks of its time zone skip all its times"),
    ] {
        let refused = rule(text, zone, "2026-06-01T00:00:00Z").unwrap_err();
        assert!(refused.code == "invalid-cron" && refused.reason.contains(reason), "{text}: {refused}");
    }
    let late = rule("* * * * *", "UTC", "9999-12-31T23:59:30Z").unwrap_err();
    assert!(late.reason.contains("not fire any more"), "{late}");
    assert!(rule("15 2 * 3 SUN#L", "Europe/Prague", "2026-06-01T00:00:00Z").is_ok(), "named times fire after the gap");
}

#[test]
fn notes_say_what_the_clocks_do() {
    let moved = |from: &str| Some(DstNote::Moved { from: from.into() });
    let joined = |from: &str| Some(DstNote::Joined { from: from.into() });
    for (text, zone, after, expected) in [
        ("30 2 * * *", "Europe/Prague", "2027-03-27T12:00:00Z", moved("2027-03-28 02:30")),
        ("10 0 2 * * *", "Europe/Prague", "2027-03-27T12:00:00Z", moved("2027-03-28 02:00:10")),
        ("0,30 2 * * *", "Europe/Prague", "2027-03-27T12:00:00Z", moved("2027-03-28 02:00, 2027-03-28 02:30")),
        ("0 2,3 * * *", "Europe/Prague", "2027-03-27T12:00:00Z", joined("2027-03-28 02:00")),
        ("0-59 2,3 * * *", "Europe/Prague", "2027-03-27T12:00:00Z", joined("2027-03-28 02:00, 2027-03-28 02:01, 2027-03-28 02:02, …")),
        ("0 3 * * *", "Europe/Prague", "2027-03-27T12:00:00Z", None),
        ("0 * * * *", "Europe/Prague", "2027-03-28T00:00:00Z", None),
        ("30 2 * * *", "Europe/Prague", "2027-10-31T00:00:00Z", Some(DstNote::FirstOfTwo)),
        ("*/30 2 * * *", "Europe/Prague", "2027-10-31T00:00:00Z", Some(DstNote::OneOfTwo)),
        ("*/30 2 * * *", "Europe/Prague", "2027-10-31T01:00:00Z", Some(DstNote::OneOfTwo)),
        ("0 3 * * *", "Europe/Prague", "2027-10-31T00:00:00Z", None),
        ("@every 1h", "Europe/Prague", "2027-10-31T00:00:00Z", None),
    ] {
        let rule = rule(text, zone, "1970-01-01T00:00:00Z").unwrap();
        let next = rule.next_after(at(after)).unwrap();
        assert_eq!(rule.occurrence(next).note, expected, "{text} at {next}");
    }
}

#[test]
fn a_changed_meaning_is_told() {
    for (text, changed) in [
        ("0 0 */2 * 1", true),
        ("0 0 0 1 * */2", true),
        ("0 0 L,LW * *", true),
        ("0 0 */2 * *", false),
        ("0 0 1,15 * 5", false),
        ("0 0 ? * 1-5", false),
        ("0 0 13 * +FRI", false),
        ("@daily", false),
        ("@every 90s", false),
    ] {
        let rule = rule(text, "UTC", "2026-06-01T00:00:00Z").unwrap();
        assert_eq!(rule.changed_meaning().is_some(), changed, "{text}");
    }
}
