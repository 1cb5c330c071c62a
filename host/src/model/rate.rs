//! How many runs of a lane may start in a span of time.
//!
//! Asked by storage whenever a run is due. The state of a lane is one number: the time at which it has used up nothing (a leaky
//! bucket as a meter, ITU-T I.371's "generic cell rate algorithm").

use std::time::Duration;

use super::limits::RATE_COUNT_MAX;
use super::{Invalid, Timestamp};

/// At most `count` starts in any `per`, after a burst of as many.
#[derive(Clone, Copy, Debug, PartialEq, Eq, serde::Serialize, serde::Deserialize)]
pub struct RateLimit {
    /// Starts.
    pub count: u32,
    /// In this time.
    pub per: RateUnit,
}

/// The span that a rate is counted in.
#[derive(Clone, Copy, Debug, PartialEq, Eq, serde::Serialize, serde::Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum RateUnit {
    /// A second.
    Second,
    /// A minute.
    Minute,
    /// An hour.
    Hour,
}

impl RateUnit {
    const fn span(self) -> Duration {
        match self {
            Self::Second => Duration::from_secs(1),
            Self::Minute => Duration::from_secs(60),
            Self::Hour => Duration::from_secs(3600),
        }
    }
}

impl RateLimit {
    /// Parses `10/s`, `10/m` or `10/h`.
    pub fn parse(text: &str, field: &str) -> Result<Self, Invalid> {
        let parsed = text.split_once('/').and_then(|(count, unit)| {
            let per = match unit {
                "s" => RateUnit::Second,
                "m" => RateUnit::Minute,
                "h" => RateUnit::Hour,
                _ => return None,
            };
            Self::new(count.parse().ok()?, per, field).ok()
        });
        parsed.ok_or_else(|| refused(field, text))
    }

    /// So many starts in that unit.
    pub fn new(count: u32, per: RateUnit, field: &str) -> Result<Self, Invalid> {
        let rate = Self { count, per };
        if (1..=RATE_COUNT_MAX).contains(&count) { Ok(rate) } else { Err(refused(field, &rate.to_string())) }
    }

    /// What a lane can have used at most. More is used only by a clock that was ahead, or under another rate: that shuts nobody out for longer
    /// than the rate's span, if it is kept in this form.
    pub fn bounded(self, used_until: Timestamp, now: Timestamp) -> Timestamp {
        used_until.min(now.saturating_add(self.per.span()))
    }

    /// Whether a run may start at `now`. `used_until` is what the lane's last start left, or the past; `Ok` holds what this start leaves,
    /// `Err` when to ask again.
    pub fn start(self, used_until: Timestamp, now: Timestamp) -> Result<Timestamp, Timestamp> {
        let one = self.per.span() / self.count;
        let used_until = self.bounded(used_until, now);
        let burst = one * (self.count - 1);
        let earliest = used_until.saturating_sub(burst);
        if earliest > now {
            return Err(earliest);
        }
        Ok(used_until.max(now).saturating_add(one))
    }
}

fn refused(field: &str, seen: &str) -> Invalid {
    Invalid::new("invalid-rate", field, format!("1 to {RATE_COUNT_MAX} starts in a unit, such as 10/s, 600/m or 5/h")).seen(seen)
}

impl std::fmt::Display for RateLimit {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let unit = match self.per {
            RateUnit::Second => "s",
            RateUnit::Minute => "m",
            RateUnit::Hour => "h",
        };
        write!(f, "{}/{unit}", self.count)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_burst_and_then_a_steady_pace() {
        let rate = RateLimit::parse("3/m", "rate").unwrap();
        let at = |second: i64| Timestamp::from_micros(second * 1_000_000).unwrap();
        let mut used_until = Timestamp::MIN;
        let mut starts = Vec::new();
        for second in 0..120 {
            if let Ok(used) = rate.start(used_until, at(second)) {
                used_until = used;
                starts.push(second);
            }
        }
        assert_eq!(starts, [0, 1, 2, 20, 40, 60, 80, 100]);
        assert_eq!(rate.start(used_until, at(101)), Err(at(120)));
        assert_eq!(rate.start(at(7_260), at(60)), Err(at(80)), "the clock was set back by two hours");
    }

    #[test]
    fn bad_rates_are_refused() {
        for bad in ["", "10", "0/s", "-1/s", "1/d", "1.5/s", "99999999999/s", "/s"] {
            assert!(RateLimit::parse(bad, "rate").is_err(), "{bad}");
        }
    }
}
