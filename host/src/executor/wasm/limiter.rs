//! Bounds the memory of one attempt: the sum of all its memories and tables, and of what the host keeps for it.
//!
//! wasmtime's own limiter bounds each memory by itself, which a component with several memories passes. wasmtime asks before anything
//! grows, and `kept` before the host keeps a resource or a write for the guest. The outcome reads what was refused.

use wasmtime::ResourceLimiter;

use crate::model::limits::Limits;

/// Bytes of one table element in the host.
const ELEMENT_BYTES: usize = size_of::<usize>();

/// What an attempt has, and may have.
#[derive(Debug)]
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
}

/// An attempt whose resources and writes need more memory of the host than the attempt has left.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("what the host keeps for the attempt exceeds its memory limit")]
pub(super) struct Exhausted;

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
    pub(super) fn new(limits: &Limits) -> Self {
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
        }
    }

    /// The last growth that was refused.
    pub(super) fn refused(&self) -> Option<Refused> {
        self.refused
    }

    /// Charges bytes that the host keeps for the guest.
    pub(super) fn charge(&mut self, bytes: usize) -> Result<(), Exhausted> {
        if !self.fits(bytes) {
            return Err(Exhausted);
        }
        self.bytes += bytes;
        Ok(())
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

impl ResourceLimiter for Limiter {
    fn memory_growing(&mut self, current: usize, desired: usize, _maximum: Option<usize>) -> wasmtime::Result<bool> {
        let added = desired.saturating_sub(current);
        let fits = self.fits(added);
        if fits {
            self.bytes += added;
            self.last_memory = added;
        }
        Ok(fits)
    }

    fn memory_grow_failed(&mut self, _error: wasmtime::Error) -> wasmtime::Result<()> {
        self.bytes -= std::mem::take(&mut self.last_memory);
        Ok(())
    }

    fn table_growing(&mut self, current: usize, desired: usize, _maximum: Option<usize>) -> wasmtime::Result<bool> {
        let added = desired.saturating_sub(current);
        let asked = self.elements.saturating_add(added);
        if asked > self.elements_max {
            self.refused = Some(Refused::Elements { asked, max: self.elements_max });
            return Ok(false);
        }
        let fits = self.fits(added.saturating_mul(ELEMENT_BYTES));
        if fits {
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
    use super::*;

    const MIB: usize = 1 << 20;

    #[test]
    fn memories_and_tables_add_up() {
        let limits = Limits { memory_bytes: 4 * MIB, table_elements: 1_000, ..Limits::default() };
        let mut limiter = Limiter::new(&limits);
        assert!(limiter.memory_growing(0, MIB, None).unwrap());
        assert!(limiter.memory_growing(0, 2 * MIB, None).unwrap());
        assert!(!limiter.memory_growing(MIB, 3 * MIB, None).unwrap(), "5 MiB in all, though no memory alone exceeds 4");
        assert_eq!(limiter.refused(), Some(Refused::Bytes { asked: 5 * MIB, max: 4 * MIB }));
        assert!(limiter.table_growing(0, 600, None).unwrap());
        assert!(!limiter.memory_growing(MIB, 2 * MIB, None).unwrap(), "the table counts");
        assert!(!limiter.table_growing(0, 401, None).unwrap());
        assert_eq!(limiter.refused(), Some(Refused::Elements { asked: 1_001, max: 1_000 }));
        assert!(!limiter.table_growing(0, usize::MAX, None).unwrap());
        assert!(!limiter.memory_growing(0, usize::MAX, None).unwrap());
    }

    #[test]
    fn what_the_host_keeps_counts_until_it_is_released() {
        let mut limiter = Limiter::new(&Limits { memory_bytes: 4 * MIB, ..Limits::default() });
        limiter.charge(3 * MIB).unwrap();
        assert!(!limiter.memory_growing(0, 2 * MIB, None).unwrap());
        assert_eq!(limiter.charge(2 * MIB), Err(Exhausted));
        assert_eq!(limiter.refused(), Some(Refused::Bytes { asked: 5 * MIB, max: 4 * MIB }));
        limiter.release(3 * MIB);
        assert!(limiter.memory_growing(0, 2 * MIB, None).unwrap());
        limiter.charge(2 * MIB).unwrap();
        assert_eq!(limiter.charge(usize::MAX), Err(Exhausted));
    }

    #[test]
    fn a_growth_that_failed_is_not_counted() {
        let mut limiter = Limiter::new(&Limits { memory_bytes: MIB, ..Limits::default() });
        assert!(limiter.memory_growing(0, MIB, None).unwrap());
        limiter.memory_grow_failed(wasmtime::Error::msg("no")).unwrap();
        assert!(limiter.memory_growing(0, MIB, None).unwrap());
        assert!(!limiter.memory_growing(MIB, MIB + 1, None).unwrap());
    }
}
