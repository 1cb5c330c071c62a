//! Moments and spans of time.
//!
//! A [`Timestamp`] is UTC in whole microseconds: what the database stores and every decision compares. Zones and offsets
//! end at the doors.

use std::fmt;
use std::time::Duration;

use chrono::{DateTime, Datelike, Timelike, Utc};

use super::Invalid;
use super::limits::DURATION_MAX;

/// A moment in UTC, in microseconds since 1970-01-01T00:00:00Z. Never before that, never after the year 9999.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Timestamp(i64);

impl Timestamp {
    /// 1970-01-01T00:00:00Z.
    pub const MIN: Self = Self(0);
    /// 9999-12-31T23:59:59.999999Z.
    pub const MAX: Self = Self(253_402_300_799_999_999);

    /// From microseconds since the epoch; `None` outside the accepted range.
    pub const fn from_micros(micros: i64) -> Option<Self> {
        if micros >= Self::MIN.0 && micros <= Self::MAX.0 { Some(Self(micros)) } else { None }
    }

    /// Microseconds since the epoch.
    pub const fn as_micros(self) -> i64 {
        self.0
    }

    /// From seconds since the epoch and nanoseconds within the second: rounded up to the next microsecond, so that a run never starts before
    /// the time that was asked for. `None` outside the accepted range, which ends with the last nanosecond of the year 9999; that is rounded down to
    /// [`MAX`](Self::MAX).
    ///
    /// Stored times are whole microseconds, so for these `t >= at` and `t < at` mean the same before and after rounding. For `t > at` and
    /// `t <= at`, round with [`from_unix_floor`](Self::from_unix_floor).
    pub const fn from_unix_ceil(seconds: i64, nanos: u32) -> Option<Self> {
        match Self::from_unix_floor(seconds, nanos) {
            Some(Self(micros)) if !nanos.is_multiple_of(1_000) && micros < Self::MAX.0 => Some(Self(micros + 1)),
            at => at,
        }
    }

    /// The same, rounded down.
    pub const fn from_unix_floor(seconds: i64, nanos: u32) -> Option<Self> {
        if seconds < 0 || seconds > Self::MAX.0 / 1_000_000 || nanos >= 1_000_000_000 {
            return None;
        }
        Self::from_micros(seconds * 1_000_000 + (nanos / 1_000) as i64)
    }

    /// This much later, or the end of the accepted range. Parts finer than a microsecond are left out.
    pub fn saturating_add(self, span: Duration) -> Self {
        let micros = i64::try_from(span.as_micros()).unwrap_or(i64::MAX);
        Self(self.0.saturating_add(micros).min(Self::MAX.0))
    }

    /// The same, rounded up to a microsecond: for the time before which a run must not start.
    pub fn saturating_add_ceil(self, span: Duration) -> Self {
        let micros = i64::try_from(span.as_nanos().div_ceil(1_000)).unwrap_or(i64::MAX);
        Self(self.0.saturating_add(micros).min(Self::MAX.0))
    }

    /// This much earlier, or the start of the accepted range.
    pub fn saturating_sub(self, span: Duration) -> Self {
        let micros = i64::try_from(span.as_micros()).unwrap_or(i64::MAX);
        Self(self.0.saturating_sub(micros).max(Self::MIN.0))
    }

    /// How long after `earlier` this is; zero if it is not after it.
    pub fn since(self, earlier: Self) -> Duration {
        Duration::from_micros(u64::try_from(self.0 - earlier.0).unwrap_or(0))
    }

    /// Parses an RFC 3339 date and time with an offset, and rounds it [up](Self::from_unix_ceil). `field` names it in the error.
    ///
    /// ```text
    /// 2027-03-14T15:09:26[.123456789]Z
    /// 2027-03-14T16:09:26[.123456789]+01:00
    /// ```
    ///
    /// One to nine decimals; `T` may be `t` or one space, `Z` may be `z`. Offsets have a sign, a colon, and less than 24 h. All characters are
    /// ASCII: a minus sign that is not a hyphen (U+2212) and digits of other scripts are refused. Hours are 00 to 23 and seconds 00 to 59.
    pub fn parse(text: &str, field: &str) -> Result<Self, Invalid> {
        Self::parse_with(text, field, Self::from_unix_ceil)
    }

    /// The same for a bound that `t <= at` or `t > at` is compared with: rounded [down](Self::from_unix_floor).
    pub fn parse_floor(text: &str, field: &str) -> Result<Self, Invalid> {
        Self::parse_with(text, field, Self::from_unix_floor)
    }

    fn parse_with(text: &str, field: &str, round: impl Fn(i64, u32) -> Option<Self>) -> Result<Self, Invalid> {
        let invalid = |reason: &str| invalid_time(field, reason).seen(text);
        // chrono takes more than the grammar: U+2212 for a minus sign, and any number of decimals, of which it forgets the tenth and later ones.
        if let Some(other) = text.chars().find(|c| !c.is_ascii()) {
            return Err(invalid(&format!("U+{:04X} is not one of the characters of a time", u32::from(other))));
        }
        let text = text.trim_ascii();
        let decimals = text.split_once('.').map_or(0, |(_, rest)| rest.bytes().take_while(u8::is_ascii_digit).count());
        if decimals > 9 {
            return Err(invalid("more than nine decimals"));
        }
        let at = DateTime::parse_from_rfc3339(text).map_err(|_| invalid("not an RFC 3339 date and time with an offset"))?;
        // chrono reads a leap second as the second before it with 1,000,000,000 or more nanoseconds.
        if at.timestamp_subsec_nanos() >= 1_000_000_000 {
            return Err(invalid("second 60 can't be scheduled: use the second before or after it"));
        }
        round(at.timestamp(), at.timestamp_subsec_nanos()).ok_or_else(|| invalid(OUT_OF_RANGE))
    }

    /// As a chrono date and time.
    pub fn to_chrono(self) -> DateTime<Utc> {
        DateTime::from_timestamp_micros(self.0).expect("the accepted range lies within chrono's")
    }
}

const OUT_OF_RANGE: &str = "outside the accepted range";

/// Whatever is wrong with a time, how to write a right one is said.
fn invalid_time(field: &str, reason: &str) -> Invalid {
    let write =
        "write a time from 1970-01-01T00:00:00Z to 9999-12-31T23:59:59Z, for example 2027-03-14T15:09:26Z or 2027-03-14T16:09:26+01:00";
    Invalid::new("invalid-time", field, format!("{reason}; {write}"))
}

/// Rounded [up](Timestamp::from_unix_ceil). A leap second, which chrono writes as more than 999,999,999 nanoseconds, is refused.
impl TryFrom<DateTime<Utc>> for Timestamp {
    type Error = Invalid;

    fn try_from(at: DateTime<Utc>) -> Result<Self, Invalid> {
        let found = Self::from_unix_ceil(at.timestamp(), at.timestamp_subsec_nanos());
        found.ok_or_else(|| invalid_time("at", OUT_OF_RANGE).seen(at.to_string()))
    }
}

/// RFC 3339 in UTC, with fractional seconds only where there are any. By hand, because every answer and every record has one or two of them.
impl fmt::Display for Timestamp {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let at = self.to_chrono();
        let mut text = *b"0000-00-00T00:00:00.000000Z";
        let year = at.year().unsigned_abs();
        for (place, pair) in [year / 100, year % 100].into_iter().enumerate() {
            put(&mut text[2 * place..], pair);
        }
        for (place, pair) in [at.month(), at.day(), at.hour(), at.minute(), at.second()].into_iter().enumerate() {
            put(&mut text[5 + 3 * place..], pair);
        }
        let micros = at.timestamp_subsec_micros();
        for (place, pair) in [micros / 10_000, micros / 100 % 100, micros % 100].into_iter().enumerate() {
            put(&mut text[20 + 2 * place..], pair);
        }
        let length = match micros {
            0 => 19,
            _ if micros.is_multiple_of(1_000) => 23,
            _ => 26,
        };
        text[length] = b'Z';
        f.write_str(std::str::from_utf8(&text[..=length]).map_err(|_| fmt::Error)?)
    }
}

/// Writes a number below 100 in two digits.
fn put(text: &mut [u8], number: u32) {
    text[0] = b'0' + (number / 10) as u8;
    text[1] = b'0' + (number % 10) as u8;
}

impl fmt::Debug for Timestamp {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

impl serde::Serialize for Timestamp {
    fn serialize<S: serde::Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(self)
    }
}

impl<'de> serde::Deserialize<'de> for Timestamp {
    fn deserialize<D: serde::Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let text = <std::borrow::Cow<'de, str>>::deserialize(deserializer)?;
        Self::parse(&text, "time").map_err(|invalid| serde::de::Error::custom(invalid.reason))
    }
}

/// When a run becomes due.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Due {
    /// At once.
    Now,
    /// At this moment; a moment in the past means at once.
    At(Timestamp),
    /// This long after the request is accepted.
    After(Duration),
}

impl Due {
    /// The trigger time it means at `now`. A time in the past stays as it was given: it is the run's due time that can't
    /// lie before its creation.
    pub fn trigger_at(self, now: Timestamp) -> Timestamp {
        match self {
            Due::Now => now,
            Due::At(at) => at,
            Due::After(span) => now.saturating_add_ceil(span),
        }
    }
}

impl From<Timestamp> for Due {
    fn from(at: Timestamp) -> Self {
        Due::At(at)
    }
}

const UNITS: [(&str, u64); 7] =
    [("us", 1), ("ms", 1_000), ("s", 1_000_000), ("m", 60_000_000), ("h", 3_600_000_000), ("d", 86_400_000_000), ("w", 604_800_000_000)];

/// Parses spans such as `2s`, `1h30m` or `1.5d`, rounded up to a microsecond. `field` names it in the error.
///
/// Units: `us ms s m h d w`. A number without a unit is refused, because nobody can tell what was meant.
pub fn parse_duration(text: &str, field: &str) -> Result<Duration, Invalid> {
    parse_duration_with(text, field, |nanos| nanos.div_ceil(PARTS))
}

/// The same, rounded down: for a span that something is moved back by.
pub fn parse_duration_floor(text: &str, field: &str) -> Result<Duration, Invalid> {
    parse_duration_with(text, field, |nanos| nanos / PARTS)
}

/// Parts of a microsecond that a duration is read in. With nine decimals of the smallest unit, nothing is lost.
const PARTS: u128 = 1_000_000_000;

/// `to_micros` gets the sum of all parts.
fn parse_duration_with(text: &str, field: &str, to_micros: impl Fn(u128) -> u128) -> Result<Duration, Invalid> {
    let invalid = || {
        Invalid::new(
            "invalid-duration",
            field,
            "not a duration; write for example 90s, 1h30m or 2d (units us, ms, s, m, h, d, w; from 0s to 36600d, which is 100 years)",
        )
        .seen(text)
    };
    let mut rest = text.trim();
    if rest.is_empty() {
        return Err(invalid());
    }
    let mut parts = 0u128;
    while !rest.is_empty() {
        let digits = rest.find(|c: char| !c.is_ascii_digit() && c != '.').ok_or_else(invalid)?;
        let (number, tail) = rest.split_at(digits);
        let unit_len = tail.find(|c: char| !c.is_ascii_alphabetic()).unwrap_or(tail.len());
        let (unit, tail) = tail.split_at(unit_len);
        let scale = u128::from(UNITS.iter().find(|(name, _)| *name == unit).ok_or_else(invalid)?.1);
        let (whole, fraction) = number.split_once('.').unwrap_or((number, "0"));
        if whole.len() > 15 || fraction.is_empty() || fraction.len() > 9 || fraction.contains('.') {
            return Err(invalid());
        }
        let whole: u128 = whole.parse().map_err(|_| invalid())?;
        let numerator: u128 = fraction.parse().map_err(|_| invalid())?;
        // What is too much stays too much: a long text could overflow.
        parts = parts.saturating_add(whole * scale * PARTS + numerator * scale * PARTS / 10u128.pow(fraction.len() as u32));
        rest = tail;
    }
    let span = u64::try_from(to_micros(parts)).map(Duration::from_micros).map_err(|_| invalid())?;
    if span > DURATION_MAX { Err(invalid()) } else { Ok(span) }
}

/// Writes a span as [`parse_duration`] reads it, in the largest units that fit: `1h30m`, `2s`, `250ms`.
pub fn format_duration(span: Duration) -> String {
    let mut micros = span.as_micros();
    if micros == 0 {
        return "0s".into();
    }
    let mut text = String::new();
    for (unit, scale) in UNITS.iter().rev().filter(|(unit, _)| *unit != "w") {
        let count = micros / u128::from(*scale);
        if count > 0 {
            text.push_str(&format!("{count}{unit}"));
            micros %= u128::from(*scale);
        }
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn durations() {
        for (text, micros) in
            [("2s", 2_000_000), ("1h30m", 5_400_000_000), ("1.5d", 129_600_000_000), ("250ms", 250_000), ("0s", 0), ("1us", 1)]
        {
            assert_eq!(parse_duration(text, "after").unwrap(), Duration::from_micros(micros), "{text}");
        }
        for text in ["", "2", "-1s", "1e3s", "1ns", "1000000000d", "s", "1.s", "1.2.3s", "1 s", "9999999999999999s", "½s"] {
            let refused = parse_duration(text, "after").unwrap_err();
            assert!(refused.code == "invalid-duration" && refused.reason.contains("from 0s to 36600d"), "{text}: {refused}");
        }
        assert_eq!(parse_duration("36600d", "after").unwrap(), DURATION_MAX);
        assert_eq!(parse_duration("36600d1us", "after").unwrap_err().code, "invalid-duration");
        assert_eq!(parse_duration(&"999999999999999w".repeat(1_000), "after").unwrap_err().code, "invalid-duration");
    }

    #[test]
    fn times_are_written_as_rfc_3339() {
        let mut random = fastrand::Rng::with_seed(7);
        let micros = (0..10_000).map(|_| random.i64(0..=Timestamp::MAX.0) / [1, 1_000, 1_000_000][random.usize(0..3)]);
        for micros in micros
            .chain([0, 1, 999, 1_000, 999_999, 1_000_000, Timestamp::MAX.0])
            .flat_map(|n| [n, n / 1_000 * 1_000, n / 1_000_000 * 1_000_000])
        {
            let at = Timestamp(micros);
            assert_eq!(at.to_string(), at.to_chrono().to_rfc3339_opts(chrono::SecondsFormat::AutoSi, true));
        }
    }

    #[test]
    fn formatted_durations_parse_to_themselves() {
        for micros in [0, 1, 250_000, 2_000_000, 5_400_000_000, 90_061_000_001] {
            let span = Duration::from_micros(micros);
            assert_eq!(parse_duration(&format_duration(span), "x").unwrap(), span);
        }
    }

    #[test]
    fn durations_finer_than_a_microsecond_are_rounded() {
        for (text, up, down) in [
            ("0.1us", 1, 0),
            ("1.0000001s", 1_000_001, 1_000_000),
            ("1.000001s", 1_000_001, 1_000_001),
            ("0.4us0.6us", 1, 1),
            ("0.4us0.7us", 2, 1),
            ("0.000000001us", 1, 0),
        ] {
            let micros = |parsed: Result<Duration, Invalid>| parsed.unwrap().as_nanos();
            assert_eq!((micros(parse_duration(text, "x")), micros(parse_duration_floor(text, "x"))), (up * 1_000, down * 1_000), "{text}");
        }
        assert_eq!(parse_duration("36600d0.1us", "x").unwrap_err().code, "invalid-duration");
        let at = Timestamp::from_micros(5).unwrap();
        assert_eq!(at.saturating_add_ceil(Duration::from_nanos(1)), Timestamp(6));
        assert_eq!(at.saturating_add_ceil(Duration::from_nanos(1_000)), Timestamp(6));
        assert_eq!(at.saturating_add(Duration::from_nanos(1_999)), Timestamp(6));
    }

    #[test]
    fn times_finer_than_a_microsecond_are_rounded() {
        // The decimals, and the microseconds after rounding up and down.
        for (decimals, up, down) in [
            ("", 0, 0),
            (".000000001", 1, 0),
            (".0000005", 1, 0),
            (".000001", 1, 1),
            (".000001000", 1, 1),
            (".123456789", 123_457, 123_456),
            (".999999", 999_999, 999_999),
            (".999999001", 1_000_000, 999_999),
            (".999999999", 1_000_000, 999_999),
        ] {
            let (text, second) = (format!("2027-03-14T15:09:26{decimals}Z"), 1_805_036_966_000_000);
            let parsed = (Timestamp::parse(&text, "at").unwrap().0 - second, Timestamp::parse_floor(&text, "at").unwrap().0 - second);
            assert_eq!(parsed, (up, down), "{text}");
            let at: DateTime<Utc> = text.parse().unwrap();
            assert_eq!(Timestamp::try_from(at).unwrap().0 - second, up, "{text}");
        }
        for (text, expected) in [
            ("9999-12-31T23:59:59.999999001Z", Some(Timestamp::MAX)),
            ("9999-12-31T23:59:59.999999999Z", Some(Timestamp::MAX)),
            ("10000-01-01T00:00:00Z", None),
            ("1969-12-31T23:59:59.999999999Z", None),
        ] {
            assert_eq!(Timestamp::parse(text, "at").ok(), expected, "{text}");
        }
        assert_eq!(Timestamp::from_unix_ceil(0, 1_000_000_000), None);
    }

    #[test]
    fn accepted_and_refused_forms_of_a_time() {
        let moment = Timestamp::parse("2027-03-14T15:09:26Z", "at").unwrap();
        for text in [
            "2027-03-14t15:09:26z",
            "2027-03-14 15:09:26Z",
            " 2027-03-14T15:09:26.0Z\n",
            "2027-03-14T15:09:26.000000000Z",
            "2027-03-14T15:09:26-00:00",
            "2027-03-14T16:09:26+01:00",
            "2027-03-13T15:10:26-23:59",
        ] {
            assert_eq!(Timestamp::parse(text, "at").unwrap(), moment, "{text}");
        }
        for text in [
            "2027-03-14T16:09:26\u{2212}01:00",
            "2027-03-14T16:09:26\u{2010}01:00",
            "2027-03-14T16:09:26\u{ff0b}01:00",
            "2027\u{2212}03\u{2212}14T15:09:26Z",
            "2027-03-14T15:09:26.\u{0665}Z",
            "\u{ff12}027-03-14T15:09:26Z",
            "\u{a0}2027-03-14T15:09:26Z",
            "2027-03-14\u{2003}15:09:26Z",
            "2027-03-14  15:09:26Z",
            "2027-03-14T15:09:26 Z",
            "2027-03-14T15:09:26.Z",
            "2027-03-14T15:09:26,5Z",
            "2027-03-14T15:09:26.0000000001Z",
            "2027-03-14T15:09Z",
            "2027-03-14T15:09:26+01",
            "2027-03-14T15:09:26+0100",
            "2027-03-14T15:09:26+1:00",
            "2027-03-14T15:09:26+24:00",
            "2027-03-14T15:09:26+01:60",
            "2027-03-14T15:09:26+01:00:00",
            "2027-03-14T15:09:26UTC",
            "2027-03-14T15:09:26ZZ",
            "2027-3-14T15:09:26Z",
            "+2027-03-14T15:09:26Z",
            "2027-03-14_15:09:26Z",
            "2027-03-14T15:60:26Z",
            "2027-03-14T15:09:61Z",
            "2027-03-14T15:09:60.5Z",
            "20270314T150926Z",
            "2027-W10-7T15:09:26Z",
            "1805036966",
        ] {
            assert_eq!(Timestamp::parse(text, "at").map_err(|refused| refused.code), Err("invalid-time"), "{text}");
        }
        let refused = Timestamp::parse("2027-03-14T16:09:26\u{2212}01:00", "at").unwrap_err();
        assert!(refused.reason.contains("U+2212"), "{}", refused.reason);
    }

    #[test]
    fn times() {
        assert_eq!(Timestamp::parse("2027-03-14T16:09:26.5+01:00", "at").unwrap().to_string(), "2027-03-14T15:09:26.500Z");
        for text in [
            "",
            "now",
            "2027-03-14",
            "2027-03-14T15:09:26",
            "1969-12-31T23:59:59Z",
            "10000-01-01T00:00:00Z",
            "2027-03-14T24:00:00Z",
            "2027-03-14T15:09:60Z",
            "2027-02-29T00:00:00Z",
            "2027-03-14T15:09:26+25:00",
            "9999-12-31T23:59:59-01:00",
            "-001-01-01T00:00:00Z",
        ] {
            let refused = Timestamp::parse(text, "at").unwrap_err();
            assert_eq!((refused.code, refused.field.as_str()), ("invalid-time", "at"), "{text}");
            for word in ["1970-01-01T00:00:00Z to 9999-12-31T23:59:59Z", "for example 2027-03-14T15:09:26Z"] {
                assert!(refused.reason.contains(word), "{text}: {}", refused.reason);
            }
        }
    }
}
