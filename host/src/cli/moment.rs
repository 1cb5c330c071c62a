//! Times as people read them: in UTC, with how far away they are.

use std::time::Duration;

use crate::clock::{Clock, SystemClock};
use crate::model::Timestamp;

/// The time of day on this machine.
pub(super) fn now() -> Timestamp {
    SystemClock::new().now()
}

/// `2027-03-14 15:09:26Z (in 3h)`.
pub(super) fn with_hint(at: Timestamp, now: Timestamp) -> String {
    format!("{} ({})", in_utc(at), relative(at, now))
}

/// `2027-03-14 15:09:26Z`.
pub(super) fn in_utc(at: Timestamp) -> String {
    at.to_chrono().format("%Y-%m-%d %H:%M:%SZ").to_string()
}

/// `15:09:26.123Z`.
pub(super) fn of_day(at: Timestamp) -> String {
    at.to_chrono().format("%H:%M:%S%.3fZ").to_string()
}

/// `in 3h`, `2m ago`, `now`.
pub(super) fn relative(at: Timestamp, now: Timestamp) -> String {
    let (ahead, past) = (at.since(now), now.since(at));
    match (ahead.as_millis() >= 500, past.as_millis() >= 500) {
        (true, _) => format!("in {}", rough(ahead)),
        (_, true) => format!("{} ago", rough(past)),
        _ => "now".into(),
    }
}

/// A span to two digits or so: `0.8s`, `12s`, `5m`, `3h`, `9d`, `4y`.
pub(super) fn rough(span: Duration) -> String {
    let seconds = span.as_secs();
    // To the nearest: a run asked for in 90 days a moment ago is not due in 89.
    let in_units = |unit: u64| (seconds + unit / 2) / unit;
    match seconds {
        0..10 => format!("{:.1}s", span.as_secs_f64()).replace(".0s", "s"),
        10..120 => format!("{seconds}s"),
        120..7_200 => format!("{}m", in_units(60)),
        7_200..172_800 => format!("{}h", in_units(3_600)),
        172_800..63_072_000 => format!("{}d", in_units(86_400)),
        _ => format!("{}y", in_units(31_556_952)),
    }
}

/// A short span, as measured: `85µs`, `1.2ms`, `3.4s`.
pub(super) fn measured(span: Duration) -> String {
    match span.as_micros() {
        micros @ 0..1_000 => format!("{micros}µs"),
        micros @ 1_000..1_000_000 => format!("{:.1}ms", micros as f64 / 1e3),
        _ => format!("{:.1}s", span.as_secs_f64()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn hints() {
        let now = Timestamp::parse("2027-03-14T12:00:00Z", "t").unwrap();
        for (at, text) in [
            ("2027-03-14T12:00:00.2Z", "2027-03-14 12:00:00Z (now)"),
            ("2027-03-14T12:00:02Z", "2027-03-14 12:00:02Z (in 2s)"),
            ("2027-03-14T12:00:01.5Z", "2027-03-14 12:00:01Z (in 1.5s)"),
            ("2027-03-14T15:09:26Z", "2027-03-14 15:09:26Z (in 3h)"),
            ("2027-03-14T11:58:20Z", "2027-03-14 11:58:20Z (100s ago)"),
            ("2027-03-12T11:00:00Z", "2027-03-12 11:00:00Z (2d ago)"),
            ("2031-03-14T12:00:00Z", "2031-03-14 12:00:00Z (in 4y)"),
        ] {
            assert_eq!(with_hint(Timestamp::parse(at, "t").unwrap(), now), text);
        }
        assert_eq!(measured(Duration::from_micros(1_240)), "1.2ms");
    }
}
