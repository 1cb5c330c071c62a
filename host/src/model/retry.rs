//! When a failed run is tried again.

use std::time::Duration;

use super::limits::RETRY_DELAYS_MAX;
use super::{Invalid, Timestamp, format_duration};

/// A number in `0.0..=1.0`, drawn by the caller, so that a decision with chance in it is still a function.
#[derive(Clone, Copy, Debug)]
pub struct Jitter(f64);

impl Jitter {
    /// Takes `draw`, held within `0.0..=1.0`.
    pub fn new(draw: f64) -> Self {
        Self(if draw.is_finite() { draw.clamp(0.0, 1.0) } else { 1.0 })
    }
}

/// Exponential backoff with full jitter: the delay after failure `n` is drawn evenly from zero to
/// `min(max, base × 2ⁿ⁻¹)`, which spreads a crowd of failed runs best (M. Brooker, "Exponential Backoff And Jitter",
/// AWS Architecture Blog, 2015).
#[derive(Clone, Debug, PartialEq, Eq, serde::Serialize, serde::Deserialize)]
pub struct RetryPolicy {
    /// Failed attempts after which the run fails.
    pub max_attempts: u32,
    /// Upper bound of the first delay.
    #[serde(with = "span")]
    pub base: Duration,
    /// Upper bound of every delay.
    #[serde(with = "span")]
    pub max: Duration,
    /// No attempt is planned later than this after the first that failed had started. Listed delays are taken at their word.
    #[serde(with = "span")]
    pub window: Duration,
    /// Delays after the first, second, … failure, exact and in place of the doubling ones; the last one serves for all that follow.
    #[serde(default, with = "spans", skip_serializing_if = "Vec::is_empty")]
    pub delays: Vec<Duration>,
}

impl Default for RetryPolicy {
    fn default() -> Self {
        Self {
            max_attempts: 5,
            base: Duration::from_secs(10),
            max: Duration::from_secs(6 * 3600),
            window: Duration::from_secs(24 * 3600),
            delays: Vec::new(),
        }
    }
}

impl RetryPolicy {
    /// Refuses delays that are zero, longer than 24 h, or out of order.
    pub fn checked(self) -> Result<Self, Invalid> {
        let allowed = Duration::from_millis(1)..=Duration::from_secs(24 * 3600);
        if self.delays.len() > RETRY_DELAYS_MAX {
            let seen = self.delays.len().to_string();
            return Err(Invalid::new("invalid-retry-delay", "retry-delays", format!("at most {RETRY_DELAYS_MAX} delays")).seen(seen));
        }
        if let Some(delay) = self.delays.iter().find(|delay| !allowed.contains(delay)) {
            let seen = format_duration(*delay);
            return Err(Invalid::new("invalid-retry-delay", "retry-delays", "retry delays are 1ms to 24h").seen(seen));
        }
        if allowed.contains(&self.base) && allowed.contains(&self.max) && self.base <= self.max {
            return Ok(self);
        }
        Err(Invalid::new("invalid-retry-delay", "retry-delay", "retry delays are 1ms to 24h, and the first is not longer than the longest")
            .seen(format!("{} to {}", format_duration(self.base), format_duration(self.max))))
    }

    /// Whether an attempt may not be planned for `due_at`, the first that failed having started at `since`.
    pub fn is_too_late(&self, since: Timestamp, due_at: Timestamp) -> bool {
        self.delays.is_empty() && due_at > since.saturating_add(self.window)
    }

    /// How long to wait after the `failures`-th failure. `asked` is the guest's own "not before".
    pub fn delay(&self, failures: u32, asked: Option<Duration>, jitter: Jitter) -> Duration {
        if let Some(listed) = self.delays.get(failures.saturating_sub(1) as usize).or(self.delays.last()) {
            return (*listed).max(asked.unwrap_or_default());
        }
        let doublings = failures.saturating_sub(1).min(31);
        let bound = self.base.saturating_mul(1 << doublings).min(self.max);
        bound.mul_f64(jitter.0).max(asked.unwrap_or_default())
    }
}

/// Spans are stored as whole microseconds.
pub(crate) mod span {
    use std::time::Duration;

    use serde::{Deserialize, Deserializer, Serializer};

    pub(crate) fn serialize<S: Serializer>(span: &Duration, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_u64(u64::try_from(span.as_micros()).unwrap_or(u64::MAX))
    }

    pub(crate) fn deserialize<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Duration, D::Error> {
        u64::deserialize(deserializer).map(Duration::from_micros)
    }
}

/// As [`span`], for a list.
pub(crate) mod spans {
    use std::time::Duration;

    use serde::{Deserialize, Deserializer, Serializer};

    pub(crate) fn serialize<S: Serializer>(spans: &[Duration], serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_seq(spans.iter().map(|span| u64::try_from(span.as_micros()).unwrap_or(u64::MAX)))
    }

    pub(crate) fn deserialize<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Vec<Duration>, D::Error> {
        Ok(Vec::<u64>::deserialize(deserializer)?.into_iter().map(Duration::from_micros).collect())
    }
}

/// As [`span`], for a span that may be absent.
pub(crate) mod maybe_span {
    use std::time::Duration;

    use serde::{Deserialize, Deserializer, Serializer};

    pub(crate) fn serialize<S: Serializer>(span: &Option<Duration>, serializer: S) -> Result<S::Ok, S::Error> {
        match span {
            Some(span) => super::span::serialize(span, serializer),
            None => serializer.serialize_none(),
        }
    }

    pub(crate) fn deserialize<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Option<Duration>, D::Error> {
        Ok(Option::<u64>::deserialize(deserializer)?.map(Duration::from_micros))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn delays_double_up_to_the_longest() {
        let policy = RetryPolicy::default();
        let most = |failures| policy.delay(failures, None, Jitter::new(1.0)).as_secs();
        assert_eq!([1, 2, 3, 4, 12, 13, 100].map(most), [10, 20, 40, 80, 20_480, 21_600, 21_600]);
        assert_eq!(policy.delay(3, None, Jitter::new(0.25)), Duration::from_secs(10));
        assert_eq!(policy.delay(3, None, Jitter::new(0.0)), Duration::ZERO);
    }

    #[test]
    fn the_guest_may_ask_for_more_but_not_for_less() {
        let policy = RetryPolicy::default();
        assert_eq!(policy.delay(1, Some(Duration::from_secs(60)), Jitter::new(1.0)), Duration::from_secs(60));
        assert_eq!(policy.delay(1, Some(Duration::from_secs(1)), Jitter::new(1.0)), Duration::from_secs(10));
    }

    #[test]
    fn listed_delays_are_exact() {
        let policy = RetryPolicy { delays: [1, 5].map(Duration::from_secs).to_vec(), ..RetryPolicy::default() };
        assert_eq!([1, 2, 3, 50].map(|failures| policy.delay(failures, None, Jitter::new(0.5)).as_secs()), [1, 5, 5, 5]);
    }

    #[test]
    fn bad_policies_are_refused() {
        for (base, max) in [(0, 10), (20, 10), (10, 90_000)] {
            let policy = RetryPolicy { base: Duration::from_secs(base), max: Duration::from_secs(max), ..RetryPolicy::default() };
            assert!(policy.checked().is_err());
        }
    }
}
