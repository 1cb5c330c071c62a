//! Moments and spans of time, as the contract knows them: UTC, and nanoseconds.
//!
//! Small on purpose: a calendar library would double the size of a task. Parsing is `const`, so that the times
//! written in an attribute are checked when the task is compiled.

use std::fmt;
use std::ops::{Add, Sub};
use std::str::FromStr;

const NANOS_PER_SECOND: u64 = 1_000_000_000;
const SECONDS_PER_DAY: i64 = 86_400;

/// A moment in UTC. As text it is RFC 3339, for example `2030-01-01T03:00:00Z`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Instant {
    seconds: i64,
    nanoseconds: u32,
}

/// A span of time, up to 584 years. As text it is `90s`, `1h30m`, `250ms`, `7d`.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Duration(u64);

/// A text that is no time.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct InvalidTime(&'static str);

impl fmt::Display for InvalidTime {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.0)
    }
}

impl std::error::Error for InvalidTime {}

const NO_INSTANT: InvalidTime = InvalidTime("not a time such as 2030-01-01T03:00:00Z");
const NO_DURATION: InvalidTime = InvalidTime("not a duration such as 30s, 1h30m or 250ms");

/// `n` milliseconds.
pub const fn milliseconds(n: u64) -> Duration {
    Duration(n.saturating_mul(1_000_000))
}

/// `n` seconds.
pub const fn seconds(n: u64) -> Duration {
    Duration(n.saturating_mul(NANOS_PER_SECOND))
}

/// `n` minutes.
pub const fn minutes(n: u64) -> Duration {
    seconds(n.saturating_mul(60))
}

/// `n` hours.
pub const fn hours(n: u64) -> Duration {
    seconds(n.saturating_mul(3_600))
}

/// `n` days of 24 hours.
pub const fn days(n: u64) -> Duration {
    seconds(n.saturating_mul(86_400))
}

impl Duration {
    /// From nanoseconds.
    pub const fn from_nanos(nanos: u64) -> Self {
        Duration(nanos)
    }

    /// In nanoseconds.
    pub const fn as_nanos(self) -> u64 {
        self.0
    }

    /// In whole milliseconds.
    pub const fn as_millis(self) -> u64 {
        self.0 / 1_000_000
    }

    /// Reads `90s`, `1h30m`, `250ms`: numbers, each with one of the units `ms s m h d`.
    pub const fn parse(text: &str) -> Result<Duration, InvalidTime> {
        let text = text.as_bytes();
        let (mut at, mut total) = (0, 0u64);
        if text.is_empty() {
            return Err(NO_DURATION);
        }
        while at < text.len() {
            let from = at;
            let mut count = 0u64;
            while at < text.len() && text[at].is_ascii_digit() {
                // More digits than any span has; refused here so that the sum below can't overflow.
                if count > u64::MAX / 100 {
                    return Err(NO_DURATION);
                }
                count = count * 10 + (text[at] - b'0') as u64;
                at += 1;
            }
            let milliseconds = at + 1 < text.len() && text[at] == b'm' && text[at + 1] == b's';
            let unit = if at == from || at == text.len() {
                return Err(NO_DURATION);
            } else if milliseconds {
                at += 1;
                1_000_000
            } else {
                match text[at] {
                    b's' => NANOS_PER_SECOND,
                    b'm' => 60 * NANOS_PER_SECOND,
                    b'h' => 3_600 * NANOS_PER_SECOND,
                    b'd' => 86_400 * NANOS_PER_SECOND,
                    _ => return Err(NO_DURATION),
                }
            };
            at += 1;
            total = match count.checked_mul(unit) {
                Some(part) => total.saturating_add(part),
                None => return Err(NO_DURATION),
            };
        }
        Ok(Duration(total))
    }
}

impl FromStr for Duration {
    type Err = InvalidTime;

    fn from_str(text: &str) -> Result<Self, InvalidTime> {
        Duration::parse(text)
    }
}

impl fmt::Display for Duration {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut rest = self.0 / 1_000_000;
        if rest == 0 {
            return f.write_str("0s");
        }
        for (unit, millis) in [("d", 86_400_000), ("h", 3_600_000), ("m", 60_000), ("s", 1_000), ("ms", 1)] {
            if rest >= millis {
                write!(f, "{}{unit}", rest / millis)?;
                rest %= millis;
            }
        }
        Ok(())
    }
}

impl From<Duration> for std::time::Duration {
    fn from(duration: Duration) -> Self {
        std::time::Duration::from_nanos(duration.0)
    }
}

impl From<std::time::Duration> for Duration {
    fn from(duration: std::time::Duration) -> Self {
        Duration(u64::try_from(duration.as_nanos()).unwrap_or(u64::MAX))
    }
}

impl Instant {
    /// From whole seconds since 1970-01-01T00:00:00Z and the nanoseconds within that second.
    pub const fn from_unix(seconds: i64, nanoseconds: u32) -> Self {
        Instant { seconds, nanoseconds }
    }

    /// Whole seconds since 1970-01-01T00:00:00Z.
    pub const fn unix_seconds(self) -> i64 {
        self.seconds
    }

    /// The nanoseconds within the second.
    pub const fn subsec_nanos(self) -> u32 {
        self.nanoseconds
    }

    /// How much later this is than `earlier`; zero when it is not.
    pub fn since(self, earlier: Instant) -> Duration {
        let nanos =
            (self.seconds - earlier.seconds) as i128 * NANOS_PER_SECOND as i128 + self.nanoseconds as i128 - earlier.nanoseconds as i128;
        Duration(u64::try_from(nanos.max(0)).unwrap_or(u64::MAX))
    }

    /// Reads RFC 3339: a date, `T`, a time with up to nine decimals, and `Z` or an offset such as `+02:00`.
    pub const fn parse(text: &str) -> Result<Instant, InvalidTime> {
        match parse_rfc3339(text.as_bytes()) {
            Some(instant) => Ok(instant),
            None => Err(NO_INSTANT),
        }
    }
}

const fn parse_rfc3339(text: &[u8]) -> Option<Instant> {
    if text.len() < 20 || text[4] != b'-' || text[7] != b'-' || text[10] != b'T' || text[13] != b':' || text[16] != b':' {
        return None;
    }
    let (Some(year), Some(month), Some(day)) = (number(text, 0, 4), number(text, 5, 2), number(text, 8, 2)) else { return None };
    let (Some(hour), Some(minute), Some(second)) = (number(text, 11, 2), number(text, 14, 2), number(text, 17, 2)) else { return None };
    if month < 1 || month > 12 || day < 1 || day > days_in(year, month) || hour > 23 || minute > 59 || second > 59 {
        return None;
    }
    let (mut at, mut nanoseconds) = (19, 0);
    if text[at] == b'.' {
        at += 1;
        let (from, mut scale) = (at, 100_000_000);
        while at < text.len() && text[at].is_ascii_digit() {
            nanoseconds += (text[at] - b'0') as u32 * scale;
            scale /= 10;
            at += 1;
        }
        if at == from || at > from + 9 || at == text.len() {
            return None;
        }
    }
    let offset = match text[at] {
        b'Z' if at + 1 == text.len() => 0,
        sign @ (b'+' | b'-') if at + 6 == text.len() && text[at + 3] == b':' => {
            let (Some(hours), Some(minutes)) = (number(text, at + 1, 2), number(text, at + 4, 2)) else { return None };
            if hours > 23 || minutes > 59 {
                return None;
            }
            (hours * 3_600 + minutes * 60) * if sign == b'+' { 1 } else { -1 }
        }
        _ => return None,
    };
    let seconds = days_from_epoch(year, month, day) * SECONDS_PER_DAY + hour * 3_600 + minute * 60 + second - offset;
    Some(Instant { seconds, nanoseconds })
}

const fn number(text: &[u8], from: usize, digits: usize) -> Option<i64> {
    let (mut at, mut value) = (from, 0);
    while at < from + digits {
        if !text[at].is_ascii_digit() {
            return None;
        }
        value = value * 10 + (text[at] - b'0') as i64;
        at += 1;
    }
    Some(value)
}

const fn days_in(year: i64, month: i64) -> i64 {
    match month {
        4 | 6 | 9 | 11 => 30,
        2 if year % 4 == 0 && (year % 100 != 0 || year % 400 == 0) => 29,
        2 => 28,
        _ => 31,
    }
}

// Counted in years that start in March, so that the leap day is the last of its year and needs no case of its own.
const fn days_from_epoch(year: i64, month: i64, day: i64) -> i64 {
    let (year, month) = if month > 2 { (year, month - 3) } else { (year - 1, month + 9) };
    let day_of_year = (153 * month + 2) / 5 + day - 1;
    365 * year + year.div_euclid(4) - year.div_euclid(100) + year.div_euclid(400) + day_of_year - 719_468
}

impl FromStr for Instant {
    type Err = InvalidTime;

    fn from_str(text: &str) -> Result<Self, InvalidTime> {
        Instant::parse(text)
    }
}

impl fmt::Display for Instant {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let days = self.seconds.div_euclid(SECONDS_PER_DAY);
        let second = self.seconds.rem_euclid(SECONDS_PER_DAY);
        // The estimate ignores leap days, so it is never too early; then the month is the last that began by then.
        let mut year = 1970 + days.div_euclid(365);
        while days_from_epoch(year, 1, 1) > days {
            year -= 1;
        }
        let mut month = 12;
        while days_from_epoch(year, month, 1) > days {
            month -= 1;
        }
        let day = days - days_from_epoch(year, month, 1) + 1;
        write!(f, "{year:04}-{month:02}-{day:02}T{:02}:{:02}:{:02}", second / 3_600, second / 60 % 60, second % 60)?;
        match self.nanoseconds {
            0 => {}
            n if n % 1_000 == 0 => write!(f, ".{:06}", n / 1_000)?,
            n => write!(f, ".{n:09}")?,
        }
        f.write_str("Z")
    }
}

impl Add<Duration> for Instant {
    type Output = Instant;

    fn add(self, duration: Duration) -> Instant {
        let nanos = self.nanoseconds as u64 + duration.0 % NANOS_PER_SECOND;
        let seconds = duration.0 / NANOS_PER_SECOND + nanos / NANOS_PER_SECOND;
        Instant { seconds: self.seconds.saturating_add_unsigned(seconds), nanoseconds: (nanos % NANOS_PER_SECOND) as u32 }
    }
}

impl Sub<Duration> for Instant {
    type Output = Instant;

    fn sub(self, duration: Duration) -> Instant {
        let part = (duration.0 % NANOS_PER_SECOND) as u32;
        let borrow = u64::from(part > self.nanoseconds);
        let nanoseconds = self.nanoseconds + borrow as u32 * NANOS_PER_SECOND as u32 - part;
        Instant { seconds: self.seconds.saturating_sub_unsigned(duration.0 / NANOS_PER_SECOND + borrow), nanoseconds }
    }
}

/// In JSON both are their text.
macro_rules! json_text {
    ($($time:ident),*) => {$(
        impl serde::Serialize for $time {
            fn serialize<S: serde::Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
                serializer.collect_str(self)
            }
        }

        impl<'de> serde::Deserialize<'de> for $time {
            fn deserialize<D: serde::Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
                let text = <std::borrow::Cow<'de, str>>::deserialize(deserializer)?;
                $time::parse(&text).map_err(serde::de::Error::custom)
            }
        }
    )*};
}

json_text!(Instant, Duration);

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn instants_read_what_they_write() {
        for (text, seconds, nanoseconds) in [
            ("1970-01-01T00:00:00Z", 0, 0),
            ("2000-02-29T23:59:59Z", 951_868_799, 0),
            ("2030-01-01T03:00:00.000001Z", 1_893_466_800, 1_000),
            ("2100-03-01T00:00:00.000000001Z", 4_107_542_400, 1),
            ("9999-12-31T23:59:59Z", 253_402_300_799, 0),
        ] {
            let instant: Instant = text.parse().unwrap();
            assert_eq!(instant, Instant::from_unix(seconds, nanoseconds), "{text}");
            assert_eq!(instant.to_string(), text);
        }
        assert_eq!(Instant::parse("2030-01-01T01:00:00.5+02:00").unwrap().to_string(), "2029-12-31T23:00:00.500000Z");
    }

    #[test]
    fn every_day_of_four_centuries_comes_back() {
        for day in 0..146_097 {
            let instant = Instant::from_unix(day * SECONDS_PER_DAY + 1, 0);
            assert_eq!(Instant::parse(&instant.to_string()), Ok(instant));
        }
    }

    #[test]
    fn what_is_no_instant_is_refused() {
        for text in [
            "",
            "2030-01-01",
            "2030-02-29T00:00:00Z",
            "2030-01-01T24:00:00Z",
            "2030-01-01T00:00:00",
            "2030-01-01T00:00:00.Z",
            "2030-01-01T00:00:00Zz",
            "2030-01-01T00:00:00+2:00",
        ] {
            assert_eq!(Instant::parse(text), Err(NO_INSTANT), "{text}");
        }
    }

    #[test]
    fn durations_read_and_write() {
        for (text, expected, written) in [
            ("30s", seconds(30), "30s"),
            ("1h30m", minutes(90), "1h30m"),
            ("90m", minutes(90), "1h30m"),
            ("250ms", milliseconds(250), "250ms"),
            ("7d", days(7), "7d"),
            ("0s", seconds(0), "0s"),
        ] {
            assert_eq!(Duration::parse(text), Ok(expected));
            assert_eq!(expected.to_string(), written);
        }
        for text in ["", "5", "s", "5x", "1h30", "-1s", "99999999999999999999s"] {
            assert_eq!(Duration::parse(text), Err(NO_DURATION), "{text}");
        }
    }

    #[test]
    fn instants_move() {
        let at = Instant::from_unix(10, 600_000_000);
        assert_eq!(at + milliseconds(500), Instant::from_unix(11, 100_000_000));
        assert_eq!(at - milliseconds(700), Instant::from_unix(9, 900_000_000));
        assert_eq!((at + hours(1)).since(at), hours(1));
        assert_eq!(at.since(at + hours(1)), seconds(0));
    }
}
