//! How many runs the guests of each namespace may create in a second.
//!
//! Asked by `guest_calls.rs` for each run that a guest schedules. What the host, its embedder or a caller creates is not counted: the doors
//! have rates of their own.

use std::sync::{Mutex, PoisonError};
use std::time::Duration;

use crate::model::{Meter, NamespaceId, RateLimit, Timestamp};

/// The rate, and what each namespace has used of it. No rate: as many as the database takes.
pub(super) struct GuestCreates(Option<Mutex<Meter<NamespaceId>>>);

impl GuestCreates {
    pub(super) fn new(rate: Option<RateLimit>) -> Self {
        Self(rate.map(|rate| Mutex::new(Meter::new(rate))))
    }

    /// Counts one, at a time that only passes; or says what the rate is.
    pub(super) fn take(&self, namespace: NamespaceId, elapsed: Duration) -> Result<(), RateLimit> {
        let Some(meter) = &self.0 else { return Ok(()) };
        let mut meter = meter.lock().unwrap_or_else(PoisonError::into_inner);
        let rate = meter.rate();
        meter.take(namespace, Timestamp::MIN.saturating_add(elapsed)).map_err(|_| rate)
    }
}
