//! How many runs the guests of each namespace may create in a second.
//!
//! Asked by `guest_calls.rs` for each run that a guest schedules. What the host, its embedder or a caller creates is not counted: the doors
//! have rates of their own.

use std::collections::HashMap;
use std::sync::{Mutex, PoisonError};
use std::time::Duration;

use crate::model::{Meter, NamespaceId, RateLimit, Timestamp};

/// The rate of every namespace that has none of its own, and what each namespace has used. No rate: as many as the database takes.
pub(super) struct GuestCreates {
    common: Option<Mutex<Meter<NamespaceId>>>,
    /// Of namespaces with a rate of their own. Each has a meter, which lasts for as long as its rate does.
    own: Mutex<HashMap<NamespaceId, Meter<()>>>,
}

impl GuestCreates {
    pub(super) fn new(rate: Option<RateLimit>) -> Self {
        Self { common: rate.map(|rate| Mutex::new(Meter::new(rate))), own: Mutex::default() }
    }

    /// Counts one, at a time that only passes; or says what the rate is: the namespace's `own`, or else that of all.
    pub(super) fn take(&self, namespace: NamespaceId, own: Option<RateLimit>, elapsed: Duration) -> Result<(), RateLimit> {
        let now = Timestamp::MIN.saturating_add(elapsed);
        if let Some(rate) = own {
            let mut meters = self.own.lock().unwrap_or_else(PoisonError::into_inner);
            let meter = meters.entry(namespace).or_insert_with(|| Meter::new(rate));
            if meter.rate() != rate {
                *meter = Meter::new(rate);
            }
            return meter.take((), now).map_err(|_| rate);
        }
        let Some(meter) = &self.common else { return Ok(()) };
        let mut meter = meter.lock().unwrap_or_else(PoisonError::into_inner);
        let rate = meter.rate();
        meter.take(namespace, now).map_err(|_| rate)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_namespace_with_a_rate_of_its_own_has_that_one() {
        let rate = |text: &str| RateLimit::parse(text, "rate").unwrap();
        let creates = GuestCreates::new(Some(rate("2/s")));
        let take = |namespace: i64, own: Option<&str>| creates.take(NamespaceId(namespace), own.map(rate), Duration::from_secs(9));
        assert_eq!((take(1, None), take(1, None), take(1, None)), (Ok(()), Ok(()), Err(rate("2/s"))));
        assert_eq!((take(2, Some("1/s")), take(2, Some("1/s"))), (Ok(()), Err(rate("1/s"))));
        assert_eq!(take(2, Some("5/s")), Ok(()), "a new rate begins with nothing used");
        assert_eq!(GuestCreates::new(None).take(NamespaceId(1), None, Duration::ZERO), Ok(()));
    }
}
