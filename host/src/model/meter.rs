//! How much of one rate each of many has used: tokens and addresses at the doors, namespaces whose guests schedule.
//!
//! Pure: what it remembers is one moment for each key, and `now` comes in. Any time will do that only passes.

use std::collections::HashMap;
use std::hash::Hash;
use std::time::Duration;

use super::{RateLimit, Timestamp};

/// Keys up to which nothing is forgotten.
const KEYS_KEPT: usize = 1_024;

/// What each key has used of a rate.
#[derive(Clone, Debug)]
pub struct Meter<K> {
    rate: RateLimit,
    /// Of those who have used any, until when.
    used_until: HashMap<K, Timestamp>,
    /// The number of keys at which those are forgotten who have used nothing lately.
    forget_at: usize,
}

impl<K: Eq + Hash> Meter<K> {
    /// Nobody has used anything.
    pub fn new(rate: RateLimit) -> Self {
        Self { rate, used_until: HashMap::new(), forget_at: KEYS_KEPT }
    }

    /// The rate.
    pub fn rate(&self) -> RateLimit {
        self.rate
    }

    /// Uses one, or says after how long there is one again.
    pub fn take(&mut self, key: K, now: Timestamp) -> Result<(), Duration> {
        let used_until = self.left(&key, now)?;
        if self.used_until.len() >= self.forget_at {
            // Who has used nothing lately has as much as who never came. So memory follows how many come within the rate's span.
            self.used_until.retain(|_, until| *until > now);
            self.forget_at = (self.used_until.len() * 2).max(KEYS_KEPT);
        }
        self.used_until.insert(key, used_until);
        Ok(())
    }

    /// Whether there is one, without using it.
    pub fn check(&self, key: &K, now: Timestamp) -> Result<(), Duration> {
        self.left(key, now).map(drop)
    }

    fn left(&self, key: &K, now: Timestamp) -> Result<Timestamp, Duration> {
        let used_until = self.used_until.get(key).copied().unwrap_or(Timestamp::MIN);
        self.rate.start(used_until, now).map_err(|again| again.since(now))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(millis: i64) -> Timestamp {
        Timestamp::from_micros(millis * 1_000).unwrap()
    }

    #[test]
    fn each_key_has_its_own() {
        let mut meter = Meter::new(RateLimit::parse("2/s", "rate").unwrap());
        assert_eq!((meter.take("a", at(0)), meter.take("a", at(0))), (Ok(()), Ok(())));
        assert_eq!(meter.take("a", at(100)), Err(Duration::from_millis(400)));
        assert_eq!(meter.check(&"a", at(500)), Ok(()));
        assert_eq!(meter.take("b", at(100)), Ok(()));
        assert_eq!((meter.take("a", at(500)), meter.take("a", at(500))), (Ok(()), Err(Duration::from_millis(500))));
    }

    #[test]
    fn who_stays_away_is_forgotten() {
        let mut meter = Meter::new(RateLimit::parse("2/s", "rate").unwrap());
        for key in 0..100_000 {
            meter.take(key, at(key)).unwrap();
            assert!(meter.used_until.len() <= 2 * KEYS_KEPT);
        }
        for key in 0..5_000 {
            meter.take(key, at(1_000_000)).unwrap();
        }
        assert_eq!(meter.take(0, at(1_000_000)).and_then(|()| meter.take(0, at(1_000_000))), Err(Duration::from_millis(500)));
    }
}
