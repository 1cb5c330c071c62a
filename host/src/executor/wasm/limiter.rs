//! Bounds the memory of one attempt: the sum of all its memories and tables, and of what the host keeps for it.
//!
//! wasmtime's own limiter bounds each memory by itself, which a component with several memories passes. wasmtime asks before anything
//! grows, and `held.rs` before the host keeps a resource or a write for the guest. The outcome reads what was refused.
//!
//! What exceeds the attempt's limit is refused at once, and that is the guest's fault. What exceeds its reservation is reserved first (`capacity.rs`).
//! While the host has no such memory free, the guest waits for it; attempts that hold memory could wait for each other, so the wait is bounded, and
//! the attempt is given back then: that is nobody's failure. A host call can't wait, so what the host keeps must be free at once.

use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;
use futures_util::future::{Either, select};
use wasmtime::ResourceLimiterAsync;

use crate::clock::Clock;
use crate::model::RunId;
use crate::model::limits::Limits;

use super::capacity::{Capacity, Reservation};

/// How long an attempt waits for memory that it wants to grow by. Long enough for quick neighbours to end; what the attempt did so far is done again
/// after that.
const GROWTH_WAIT: Duration = Duration::from_secs(2);

/// Bytes that are reserved at least when the host keeps something for a guest.
const RESERVED_AT_ONCE: u64 = 256 << 10;

/// Bytes of one table element in the host.
pub(super) const ELEMENT_BYTES: usize = size_of::<usize>();

/// What an attempt has, and may have.
pub(super) struct Limiter {
    bytes: usize,
    elements: usize,
    /// What the last permission added, should the growth fail after all.
    last_memory: usize,
    last_table: usize,
    bytes_max: usize,
    elements_max: usize,
    instances: usize,
    memories: usize,
    tables: usize,
    refused: Option<Refused>,
    reserved: Reserved,
    /// Bytes in all that the attempt waits for, or waited for in vain.
    wanted: Option<usize>,
}

/// An attempt whose resources and writes need more memory of the host than the attempt has left.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("what the host keeps for the attempt exceeds its memory limit")]
pub(super) struct Exhausted;

/// What is reserved for an attempt, and where it can have more.
pub(super) struct Reserved {
    pub(super) capacity: Arc<Capacity>,
    pub(super) clock: Arc<dyn Clock>,
    pub(super) run: RunId,
    /// There until the attempt has ended.
    pub(super) reservation: Option<Reservation>,
}

/// Memory that the host did not have free.
#[derive(Debug, thiserror::Error)]
#[error("the host has no {0} bytes of memory free for this attempt")]
pub(super) struct NotFree(usize);

/// A growth that was refused.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Refused {
    /// This many bytes in all.
    Bytes {
        /// What the attempt would have had.
        asked: usize,
        /// What it may have.
        max: usize,
    },
    /// This many table elements in all.
    Elements {
        /// What the attempt would have had.
        asked: usize,
        /// What it may have.
        max: usize,
    },
}

impl Limiter {
    pub(super) fn new(limits: &Limits, reserved: Reserved) -> Self {
        Self {
            bytes: 0,
            elements: 0,
            last_memory: 0,
            last_table: 0,
            bytes_max: limits.memory_bytes,
            elements_max: limits.table_elements,
            instances: limits.instances,
            memories: limits.memories,
            tables: limits.tables,
            refused: None,
            reserved,
            wanted: None,
        }
    }

    /// Bytes that the attempt waits for, or waited for in vain, with what it has.
    pub(super) fn wanted(&self) -> Option<usize> {
        self.wanted
    }

    /// Bytes that the attempt has.
    pub(super) fn bytes(&self) -> usize {
        self.bytes
    }

    /// What is reserved for the attempt, once it has ended.
    pub(super) fn take_reservation(&mut self) -> Option<Reservation> {
        self.reserved.reservation.take()
    }

    /// Has so many bytes reserved in all.
    async fn reserve(&mut self, bytes: usize) -> Result<(), NotFree> {
        let Reserved { capacity, clock, run, reservation: Some(reservation) } = &mut self.reserved else { return Err(NotFree(bytes)) };
        let more = (bytes as u64).saturating_sub(reservation.bytes());
        if more == 0 {
            return Ok(());
        }
        // Stays if the attempt ends while it waits.
        self.wanted = Some(bytes);
        let grown = std::pin::pin!(capacity.grow(reservation, *run, more));
        match select(grown, clock.sleep(GROWTH_WAIT)).await {
            Either::Left(_) => self.wanted = None,
            Either::Right(_) => return Err(NotFree(bytes)),
        }
        Ok(())
    }

    /// The last growth that was refused.
    pub(super) fn refused(&self) -> Option<Refused> {
        self.refused
    }

    /// Charges bytes that the host keeps for the guest.
    ///
    /// # Errors
    ///
    /// [`Exhausted`] beyond the attempt's limit; [`NotFree`] if the host has no memory left to reserve for it.
    pub(super) fn charge(&mut self, bytes: usize) -> wasmtime::Result<()> {
        if !self.fits(bytes) {
            return Err(Exhausted.into());
        }
        self.reserve_at_once(self.bytes + bytes)?;
        self.bytes += bytes;
        Ok(())
    }

    /// The same as [`reserve`](Self::reserve), without a wait.
    fn reserve_at_once(&mut self, bytes: usize) -> Result<(), NotFree> {
        let Reserved { capacity, reservation: Some(reservation), .. } = &mut self.reserved else { return Err(NotFree(bytes)) };
        let more = (bytes as u64).saturating_sub(reservation.bytes());
        // More than is needed where that is free, so that a thousand small resources do not ask a thousand times.
        if more == 0 || capacity.grow_at_once(reservation, more.max(RESERVED_AT_ONCE)) || capacity.grow_at_once(reservation, more) {
            return Ok(());
        }
        self.wanted = Some(bytes);
        Err(NotFree(bytes))
    }

    /// Returns bytes that were charged.
    pub(super) fn release(&mut self, bytes: usize) {
        self.bytes = self.bytes.saturating_sub(bytes);
    }

    fn fits(&mut self, added_bytes: usize) -> bool {
        let asked = self.bytes.saturating_add(added_bytes);
        if asked > self.bytes_max {
            self.refused = Some(Refused::Bytes { asked, max: self.bytes_max });
            return false;
        }
        true
    }
}

#[async_trait]
impl ResourceLimiterAsync for Limiter {
    async fn memory_growing(&mut self, current: usize, desired: usize, _maximum: Option<usize>) -> wasmtime::Result<bool> {
        let added = desired.saturating_sub(current);
        let fits = self.fits(added);
        if fits {
            self.reserve(self.bytes + added).await?;
            self.bytes += added;
            self.last_memory = added;
        }
        Ok(fits)
    }

    fn memory_grow_failed(&mut self, _error: wasmtime::Error) -> wasmtime::Result<()> {
        self.bytes -= std::mem::take(&mut self.last_memory);
        Ok(())
    }

    async fn table_growing(&mut self, current: usize, desired: usize, _maximum: Option<usize>) -> wasmtime::Result<bool> {
        let added = desired.saturating_sub(current);
        let asked = self.elements.saturating_add(added);
        if asked > self.elements_max {
            self.refused = Some(Refused::Elements { asked, max: self.elements_max });
            return Ok(false);
        }
        let fits = self.fits(added.saturating_mul(ELEMENT_BYTES));
        if fits {
            self.reserve(self.bytes + added * ELEMENT_BYTES).await?;
            self.elements = asked;
            self.bytes += added * ELEMENT_BYTES;
            self.last_table = added;
        }
        Ok(fits)
    }

    fn table_grow_failed(&mut self, _error: wasmtime::Error) -> wasmtime::Result<()> {
        let added = std::mem::take(&mut self.last_table);
        self.elements -= added;
        self.bytes -= added * ELEMENT_BYTES;
        Ok(())
    }

    fn instances(&self) -> usize {
        self.instances
    }

    fn memories(&self) -> usize {
        self.memories
    }

    fn tables(&self) -> usize {
        self.tables
    }
}

#[cfg(test)]
mod tests {
    use futures_util::FutureExt;

    use super::super::capacity::Need;
    use super::*;
    use crate::clock::ManualClock;
    use crate::model::Timestamp;

    const MIB: usize = 1 << 20;

    /// An attempt on a host that has this much memory for guests.
    struct Attempt {
        limiter: Limiter,
        clock: ManualClock,
    }

    fn capacity(bytes: usize) -> Arc<Capacity> {
        Arc::new(Capacity::new(&Limits::default(), bytes as u64, 64, 64))
    }

    impl Attempt {
        fn start(limits: &Limits, capacity: &Arc<Capacity>, number: i64) -> Self {
            let (clock, run) = (ManualClock::new(Timestamp::MIN), RunId::from_key(number, 0));
            let task = super::super::tests::task();
            let reservation = capacity.start(&task, run, Need { bytes: 0, memories: 1, tables: 1 }).now_or_never();
            let reserved = Reserved { capacity: capacity.clone(), clock: Arc::new(clock.clone()), run, reservation };
            Self { limiter: Limiter::new(limits, reserved), clock }
        }

        fn memory(&mut self, current: usize, desired: usize) -> bool {
            self.limiter.memory_growing(current, desired, None).now_or_never().expect("there is room").unwrap()
        }

        fn table(&mut self, current: usize, desired: usize) -> bool {
            self.limiter.table_growing(current, desired, None).now_or_never().expect("there is room").unwrap()
        }
    }

    #[test]
    fn memories_and_tables_add_up() {
        let limits = Limits { memory_bytes: 4 * MIB, table_elements: 1_000, ..Limits::default() };
        let mut attempt = Attempt::start(&limits, &capacity(128 * MIB), 1);
        assert!(attempt.memory(0, MIB));
        assert!(attempt.memory(0, 2 * MIB));
        assert!(!attempt.memory(MIB, 3 * MIB), "5 MiB in all, though no memory alone exceeds 4");
        assert_eq!(attempt.limiter.refused(), Some(Refused::Bytes { asked: 5 * MIB, max: 4 * MIB }));
        assert!(attempt.table(0, 600));
        assert!(!attempt.memory(MIB, 2 * MIB), "the table counts");
        assert!(!attempt.table(0, 401));
        assert_eq!(attempt.limiter.refused(), Some(Refused::Elements { asked: 1_001, max: 1_000 }));
        assert!(!attempt.table(0, usize::MAX));
        assert!(!attempt.memory(0, usize::MAX));
    }

    #[test]
    fn what_the_host_keeps_counts_until_it_is_released() {
        let mut attempt = Attempt::start(&Limits { memory_bytes: 4 * MIB, ..Limits::default() }, &capacity(128 * MIB), 1);
        attempt.limiter.charge(3 * MIB).unwrap();
        assert!(!attempt.memory(0, 2 * MIB));
        assert!(attempt.limiter.charge(2 * MIB).unwrap_err().is::<Exhausted>());
        assert_eq!(attempt.limiter.refused(), Some(Refused::Bytes { asked: 5 * MIB, max: 4 * MIB }));
        attempt.limiter.release(3 * MIB);
        assert!(attempt.memory(0, 2 * MIB));
        attempt.limiter.charge(2 * MIB).unwrap();
        assert!(attempt.limiter.charge(usize::MAX).unwrap_err().is::<Exhausted>());
    }

    #[test]
    fn what_the_host_keeps_must_be_free_at_once() {
        let (limits, capacity) = (Limits::default(), capacity(128 * MIB));
        let [mut first, mut second] = [1, 2].map(|number| Attempt::start(&limits, &capacity, number));
        first.limiter.charge(40 * MIB).unwrap();
        assert!(second.limiter.charge(100 * MIB).unwrap_err().is::<NotFree>(), "the rest is reserved for other namespaces");
        assert_eq!((second.limiter.wanted(), second.limiter.refused()), (Some(100 * MIB), None));
        drop(first);
        second.limiter.charge(100 * MIB).unwrap();
    }

    #[test]
    fn a_growth_that_failed_is_not_counted() {
        let mut attempt = Attempt::start(&Limits { memory_bytes: MIB, ..Limits::default() }, &capacity(128 * MIB), 1);
        assert!(attempt.memory(0, MIB));
        attempt.limiter.memory_grow_failed(wasmtime::Error::msg("no")).unwrap();
        assert!(attempt.memory(0, MIB));
        assert!(!attempt.memory(MIB, MIB + 1));
    }

    #[test]
    fn a_growth_waits_for_memory_of_the_host_and_not_for_ever() {
        let (limits, capacity) = (Limits::default(), capacity(128 * MIB));
        let [mut first, mut second] = [1, 2].map(|number| Attempt::start(&limits, &capacity, number));
        assert!(first.memory(0, 40 * MIB));
        // The rest is reserved for other namespaces.
        let mut waiting = second.limiter.memory_growing(0, 100 * MIB, None);
        assert!(waiting.as_mut().now_or_never().is_none());
        second.clock.advance(GROWTH_WAIT);
        assert!(waiting.as_mut().now_or_never().expect("it has waited long enough").unwrap_err().is::<NotFree>());
        drop(waiting);
        assert_eq!((second.limiter.wanted(), second.limiter.bytes()), (Some(100 * MIB), 0));

        let mut waiting = second.limiter.memory_growing(0, 100 * MIB, None);
        assert!(waiting.as_mut().now_or_never().is_none());
        drop(first);
        assert!(waiting.now_or_never().expect("the first has ended").unwrap());
        assert_eq!((second.limiter.wanted(), second.limiter.bytes()), (None, 100 * MIB));
    }
}
